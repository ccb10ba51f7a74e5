//! Reads parcel histories: NDJSON, one object a line.

use std::io::BufRead;
use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::claim::{Claim, Kind, Status};
use crate::time_order;

/// Longest slug that the platform takes for a source or a reason, in characters (contract section 1).
const SLUG: usize = 64;
/// Longest place of an event, in characters (contract section 4).
const PLACE: usize = 120;
/// Longest code of an event, in characters (contract section 4). Published codes are up to 60 long; what is behind is cut off.
const CODE: usize = 40;
/// Longest text of a shipment that a carrier's number may fill, in characters: the contract bounds it, published ones have up to 60.
const NUMBER: usize = 100;
/// Years of a scan: nobody tracked parcels before, and a time after them could not be written with another offset or a millisecond later.
const YEARS: RangeInclusive<i32> = 1970..=9998;

/// Where a scan was made, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lng: f64,
}

/// A scan, as its carrier published it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Its place in the carrier's list, from 0.
    pub listed: usize,
    /// When it happened, as published.
    pub occurred: String,
    /// The same as an instant.
    pub instant: OffsetDateTime,
    /// The published time is a date only.
    pub time_missing: bool,
    /// When it happened, as far as the list tells: see [`time_order`].
    pub happened: OffsetDateTime,
    /// What it claims.
    pub claim: Claim,
    /// Why: a slug.
    pub reason: Option<String>,
    /// Where, in words.
    pub place: Option<String>,
    /// The carrier's code.
    pub code: Option<String>,
    /// The carrier's text.
    pub text: Option<String>,
    /// Where, in degrees.
    pub location: Option<Location>,
}

/// What one carrier published of one parcel.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The carrier: the source of its events.
    pub carrier: String,
    /// The carrier's number.
    pub number: String,
    /// Its scans, in the order in which they happened.
    pub scans: Vec<Scan>,
}

impl History {
    /// The claimed statuses, in the order in which they happened.
    pub fn statuses(&self) -> impl Iterator<Item = Status> {
        self.scans.iter().filter_map(|scan| scan.claim.status())
    }

    /// Whether the carrier delivered the parcel.
    #[must_use]
    pub fn holds_delivered(&self) -> bool {
        self.statuses().any(|status| status == Status::Delivered)
    }
}

/// A line that is no history.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads every line. Empty lines do not count.
///
/// # Errors
/// Every line that is no history.
pub fn read(file: impl BufRead) -> Result<Vec<History>, Vec<BadLine>> {
    let (mut histories, mut bad) = (Vec::new(), Vec::new());
    for (index, text) in file.lines().enumerate() {
        let line = index + 1;
        let history = match text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => read_line(line, &text),
            Err(error) => Err(error.to_string()),
        };
        match history {
            Ok(history) => histories.push(history),
            Err(problem) => bad.push(BadLine { line, problem }),
        }
    }
    if bad.is_empty() { Ok(histories) } else { Err(bad) }
}

#[derive(Deserialize)]
struct PublishedHistory {
    carrier: String,
    number: String,
    events: Vec<PublishedScan>,
}

#[derive(Deserialize)]
struct PublishedScan {
    occurred: String,
    #[serde(default)]
    time_missing: bool,
    // Null says that the scan changes nothing; absent, it would be a file in another form.
    #[serde(deserialize_with = "present")]
    status: Option<Status>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    place: Option<String>,
    #[serde(default)]
    lat: Option<f64>,
    #[serde(default)]
    lng: Option<f64>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    Option::deserialize(deserializer)
}

fn read_line(line: usize, text: &str) -> Result<History, String> {
    let published: PublishedHistory = serde_json::from_str(text).map_err(|error| without_line(&error))?;
    check_slug("carrier", &published.carrier)?;
    if published.number.trim().is_empty() || published.number.chars().count() > NUMBER {
        return Err(format!("number: expected 1 to {NUMBER} characters"));
    }
    let mut scans = Vec::with_capacity(published.events.len());
    for (index, scan) in published.events.into_iter().enumerate() {
        scans.push(read_scan(index, scan).map_err(|problem| format!("events[{index}].{problem}"))?);
    }
    let scans = time_order::in_time_order(scans);
    Ok(History { line, carrier: published.carrier, number: published.number, scans })
}

/// The file's line is known better than the parser knows it: it saw one line only.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

fn check_slug(member: &str, text: &str) -> Result<(), String> {
    let slug = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=SLUG).contains(&text.len()) && text.bytes().all(slug) {
        return Ok(());
    }
    Err(format!("{member}: expected 1 to {SLUG} characters of a-z, 0-9, _ and -, got {text:?}"))
}

fn read_scan(listed: usize, published: PublishedScan) -> Result<Scan, String> {
    let instant = OffsetDateTime::parse(&published.occurred, &Rfc3339)
        .map_err(|_| format!("occurred: expected an RFC 3339 time with an offset, got {:?}", published.occurred))?;
    if !YEARS.contains(&instant.year()) {
        return Err(format!("occurred: expected a year from {} to {}", YEARS.start(), YEARS.end()));
    }
    let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let place = text(published.place);
    if place.as_ref().is_some_and(|place| place.chars().count() > PLACE) {
        return Err(format!("place: has more than {PLACE} characters"));
    }
    let reason = text(published.reason);
    if let Some(reason) = &reason {
        check_slug("reason", reason)?;
    }
    let location = match (published.lat, published.lng) {
        (Some(lat), Some(lng)) if lat.abs() <= 90.0 && lng.abs() <= 180.0 => Some(Location { lat, lng }),
        (None, None) => None,
        _ => return Err("lat, lng: expected both, within 90 and 180 degrees, or neither".to_owned()),
    };
    let claim = match published.status {
        Some(Status::Created) => return Err("status: no scan creates a shipment".to_owned()),
        Some(status) => Claim::Status(status),
        None => match Kind::of_published(published.kind.as_deref(), reason.as_deref()) {
            Some(kind) => Claim::Kind(kind),
            None => return Err(format!("kind: {:?} is no scan without a status", published.kind.unwrap_or_default())),
        },
    };
    Ok(Scan {
        listed,
        occurred: published.occurred,
        instant,
        time_missing: published.time_missing,
        happened: instant,
        claim,
        reason,
        place,
        code: text(published.code).map(|code| code.chars().take(CODE).collect()),
        text: text(published.text),
        location,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(occurred: &str, status: &str) -> String {
        format!(r#"{{"occurred":"{occurred}","status":{status}}}"#)
    }

    fn line(events: &[String]) -> String {
        let events = events.join(",");
        format!(r#"{{"carrier":"andes","number":"A1","listed":"newest_first","events":[{events}],"future":1}}"#)
    }

    #[test]
    fn every_bad_line_is_named_by_its_number() {
        let good = line(&[scan("2024-05-01T10:00:00Z", "null")]);
        let text = [
            good.as_str(),
            "",
            "{",
            &line(&[scan("yesterday", "null")]),
            &line(&[scan("2024-05-01T10:00:00Z", r#""created""#)]),
            &line(&[scan("2024-05-01T10:00:00Z", r#""lost""#)]),
            &line(&[r#"{"occurred":"2024-05-01T10:00:00Z"}"#.to_owned()]),
            &good.replace("andes", "Andes Express"),
            &line(&[r#"{"occurred":"2024-05-01T10:00:00Z","status":null,"lat":4.6}"#.to_owned()]),
            &line(&[r#"{"occurred":"2024-05-01T10:00:00Z","status":null,"kind":"delivered"}"#.to_owned()]),
            &line(&[r#"{"occurred":"2024-05-01T10:00:00Z","status":null,"reason":"Not at home"}"#.to_owned()]),
            &line(&[scan("9999-05-01T10:00:00Z", "null")]),
        ]
        .join("\n");
        let bad = read(text.as_bytes()).expect_err("most lines are bad");
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert!(bad[1].to_string().starts_with("line 4: events[0].occurred: expected an RFC 3339 time"), "{}", bad[1]);
        assert!(bad[4].problem.starts_with("missing field `status` at column"), "{}", bad[4]);
        assert_eq!(bad[7].problem, "events[0].kind: \"delivered\" is no scan without a status");
        assert!(bad[8].problem.starts_with("events[0].reason: expected 1 to 64 characters"), "{}", bad[8]);
    }

    #[test]
    fn a_code_that_is_too_long_for_an_event_is_cut() {
        let long = "x".repeat(60);
        let text = line(&[format!(
            r#"{{"occurred":"2024-05-01T10:00:00Z","status":"picked_up","code":"{long}","place":" "}}"#
        )]);
        let histories = read(text.as_bytes()).expect("a history");
        let scan = &histories[0].scans[0];
        assert_eq!((scan.code.as_ref().map(String::len), scan.place.as_deref()), (Some(CODE), None));
    }

    #[test]
    fn scans_with_and_without_a_status_are_read() {
        let text = line(&[
            r#"{"occurred":"2024-05-01T10:00:00Z","status":"picked_up","kind":"picked_up"}"#.to_owned(),
            r#"{"occurred":"2024-05-01T11:00:00Z","status":null,"kind":"other","reason":"customs"}"#.to_owned(),
        ]);
        let history = read(text.as_bytes()).expect("a history").remove(0);
        let claims: Vec<_> = history.scans.iter().map(|scan| (scan.claim.member(), scan.claim.as_str())).collect();
        assert_eq!(claims, [("status", "picked_up"), ("kind", "customs")]);
        assert_eq!(history.scans[1].reason.as_deref(), Some("customs"));
    }
}
