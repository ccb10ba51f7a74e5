//! Reads parcel histories (NDJSON, one object a line) and puts their scans into the order in which they happened.
//!
//! The time order, by instant: scans with the same instant keep the order of the carrier's list, oldest first; a scan with
//! a date and no time stays behind the scan before it of that day.

use std::fmt;
use std::io::BufRead;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest slug that the platform takes for a source, in characters (contract section 1).
const SLUG: usize = 64;
/// Longest place of an event, in characters (contract section 4).
const PLACE: usize = 120;
/// Longest code of an event, in characters (contract section 4). Published codes are up to 60 long; what is behind is cut off.
const CODE: usize = 40;
/// Longest text of a shipment that a carrier's number may fill, in characters: the contract bounds it, published ones have up to 60.
const NUMBER: usize = 100;

/// A status that a scan may claim. The order is that of the table that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Registered.
    Created,
    /// With the first courier.
    PickedUp,
    /// At a hub.
    InWarehouse,
    /// Between two places.
    InTransit,
    /// Handed over.
    Delivered,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::PickedUp, Self::InWarehouse, Self::InTransit, Self::Delivered, Self::Cancelled];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::PickedUp => "picked_up",
            Self::InWarehouse => "in_warehouse",
            Self::InTransit => "in_transit",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Where a scan was made, in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lng: f64,
}

/// A scan with a status.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// When it happened, as published.
    pub occurred: String,
    /// The same as an instant.
    pub instant: OffsetDateTime,
    /// What it claims.
    pub status: Status,
    /// Where, in words.
    pub place: Option<String>,
    /// The carrier's code.
    pub code: Option<String>,
    /// Where, in degrees.
    pub location: Option<Location>,
}

impl Scan {
    /// The second in which it happened: what the platform's key of an event is made of.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }

    /// The millisecond in which it happened: what the platform keeps of a time.
    #[must_use]
    pub fn unix_millis(&self) -> i64 {
        i64::try_from(self.instant.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }
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
    /// Its scans that have a status, in the order in which they happened.
    pub scans: Vec<Scan>,
}

impl History {
    /// Whether the carrier delivered the parcel.
    #[must_use]
    pub fn holds_delivered(&self) -> bool {
        self.scans.iter().any(|scan| scan.status == Status::Delivered)
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
    code: Option<String>,
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
    let slug = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !(1..=SLUG).contains(&published.carrier.len()) || !published.carrier.bytes().all(slug) {
        return Err(format!(
            "carrier: expected 1 to {SLUG} characters of a-z, 0-9, _ and -, got {:?}",
            published.carrier
        ));
    }
    if published.number.trim().is_empty() || published.number.chars().count() > NUMBER {
        return Err(format!("number: expected 1 to {NUMBER} characters"));
    }
    let mut scans = Vec::with_capacity(published.events.len());
    for (index, scan) in published.events.into_iter().enumerate() {
        scans.push(read_scan(scan).map_err(|problem| format!("events[{index}].{problem}"))?);
    }
    let scans = in_time_order(scans);
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

/// A scan of the list, with or without a status: those without take part in the order.
struct Listed {
    instant: OffsetDateTime,
    time_missing: bool,
    scan: Option<Scan>,
}

fn read_scan(published: PublishedScan) -> Result<Listed, String> {
    let instant = OffsetDateTime::parse(&published.occurred, &Rfc3339)
        .map_err(|_| format!("occurred: expected an RFC 3339 time with an offset, got {:?}", published.occurred))?;
    let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let place = text(published.place);
    if place.as_ref().is_some_and(|place| place.chars().count() > PLACE) {
        return Err(format!("place: has more than {PLACE} characters"));
    }
    let location = match (published.lat, published.lng) {
        (Some(lat), Some(lng)) if lat.abs() <= 90.0 && lng.abs() <= 180.0 => Some(Location { lat, lng }),
        (None, None) => None,
        _ => return Err("lat, lng: expected both, within 90 and 180 degrees, or neither".to_owned()),
    };
    if published.status == Some(Status::Created) {
        return Err("status: no scan creates a shipment".to_owned());
    }
    let scan = published.status.map(|status| Scan {
        occurred: published.occurred,
        instant,
        status,
        place,
        code: text(published.code).map(|code| code.chars().take(CODE).collect()),
        location,
    });
    Ok(Listed { instant, time_missing: published.time_missing, scan })
}

/// The scans with a status, oldest first.
fn in_time_order(mut listed: Vec<Listed>) -> Vec<Scan> {
    let steps = || listed.windows(2).map(|pair| pair[1].instant.cmp(&pair[0].instant));
    let (up, down) = (steps().filter(|step| step.is_gt()).count(), steps().filter(|step| step.is_lt()).count());
    if down > up {
        listed.reverse();
    }
    let mut last: Option<OffsetDateTime> = None;
    for scan in &mut listed {
        if let Some(last) = last.filter(|last| scan.time_missing && last.date() == scan.instant.date()) {
            scan.instant = scan.instant.max(last);
        }
        last = Some(scan.instant);
    }
    listed.sort_by_key(|scan| scan.instant); // stable
    listed.into_iter().filter_map(|listed| listed.scan).collect()
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

    fn statuses(text: &str) -> Vec<&'static str> {
        let histories = read(text.as_bytes()).expect("every line is a history");
        histories[0].scans.iter().map(|scan| scan.status.as_str()).collect()
    }

    #[test]
    fn scans_are_ordered_by_instant_whatever_the_offset_and_the_order_of_the_list() {
        let text = line(&[
            scan("2024-05-03T09:00:00-05:00", r#""delivered""#),
            scan("2024-05-02T23:00:00-03:00", r#""in_warehouse""#),
            scan("2024-05-02T21:30:00-05:00", r#""in_transit""#),
            scan("2024-05-02T10:00:00-03:00", "null"),
            scan("2024-05-01T10:00:00-03:00", r#""picked_up""#),
        ]);
        assert_eq!(statuses(&text), ["picked_up", "in_warehouse", "in_transit", "delivered"]);
    }

    #[test]
    fn scans_of_one_instant_keep_the_order_of_the_list_oldest_first() {
        let (early, late) = ("2024-05-01T10:00:00Z", "2024-05-01T12:00:00Z");
        let oldest_first =
            [scan(early, r#""picked_up""#), scan(early, r#""in_warehouse""#), scan(late, r#""in_transit""#)];
        assert_eq!(statuses(&line(&oldest_first)), ["picked_up", "in_warehouse", "in_transit"]);
        let newest_first: Vec<_> = oldest_first.into_iter().rev().collect();
        assert_eq!(statuses(&line(&newest_first)), ["picked_up", "in_warehouse", "in_transit"]);
    }

    #[test]
    fn a_scan_without_a_time_stays_behind_the_scan_before_it_of_that_day() {
        let dateless = r#"{"occurred":"2024-05-01T00:00:00Z","time_missing":true,"status":"in_warehouse"}"#.to_owned();
        let text = line(&[
            scan("2024-05-01T10:00:00Z", r#""picked_up""#),
            dateless,
            scan("2024-05-02T12:00:00Z", r#""in_transit""#),
        ]);
        assert_eq!(statuses(&text), ["picked_up", "in_warehouse", "in_transit"]);
        let histories = read(text.as_bytes()).expect("a history");
        assert_eq!(histories[0].scans[1].occurred, "2024-05-01T00:00:00Z", "its own time is what is posted");
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
        ]
        .join("\n");
        let bad = read(text.as_bytes()).expect_err("most lines are bad");
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
        assert!(bad[1].to_string().starts_with("line 4: events[0].occurred: expected an RFC 3339 time"), "{}", bad[1]);
        assert!(bad[4].problem.starts_with("missing field `status` at column"), "{}", bad[4]);
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
}
