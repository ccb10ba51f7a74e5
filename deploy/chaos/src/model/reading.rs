//! What a record says, read as JSON.

use acceptance::topic::Record;
use play::claim::{Claim, Kind, Status};
use play::history::Scan;
use play::plan::Policy;
use play::time_order::millis;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::evidence::{Position, position};
use crate::refusals;

/// The types of the records that are no poison (contract section 5).
const CREATED: &str = "com.rastro.shipment.created.v1";
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";
const RELEASED: &str = "com.rastro.shipment.parking_released.v1";
/// The header of a record that repeats another one.
const REPLAY_OF: &str = "x-replay-of";

/// A report as its record holds it.
pub(super) struct Report {
    pub(super) event_id: String,
    pub(super) position: Position,
    /// The source, and its own id or the second.
    pub(super) key: String,
    pub(super) scan: Scan,
    pub(super) millis: i64,
    /// The client that reports; `None` for everybody else.
    pub(super) client_id: Option<String>,
    /// The record that it repeats, by its offset: somebody had it redriven, or has mended it.
    pub(super) repeats: Option<i64>,
}

impl Report {
    /// Whether the two, which have one key, are one event.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.content() == other.content()
    }

    /// What is compared of it, in words.
    pub(super) fn content(&self) -> String {
        let Scan { claim, reason, place, code, location, .. } = &self.scan;
        format!("{claim} {place:?} {code:?} {location:?} {reason:?} {}", self.millis.div_euclid(1000))
    }

    /// Whether the store does not take it.
    pub(super) fn is_refused(&self) -> bool {
        self.repeats.is_none() && self.scan.place.as_deref().is_some_and(refusals::is_refused)
    }
}

/// A registration as its record holds it.
pub(super) struct Created {
    pub(super) event_id: String,
    pub(super) position: Position,
    pub(super) policy: Policy,
    pub(super) client_id: String,
    pub(super) millis: i64,
    /// How long a dead letter of the shipment is waited for; 0: not at all.
    pub(super) park_seconds: i64,
}

/// A record.
pub(super) struct Reading {
    /// The number that its key says it is about.
    pub(super) number: String,
    pub(super) position: Position,
    /// The time that it bears, in milliseconds.
    pub(super) time: i64,
    /// The record that it repeats, by its offset.
    pub(super) repeats: Option<i64>,
    pub(super) said: Said,
}

/// What a record says.
pub(super) enum Said {
    Created(Created),
    Reported(Box<Report>),
    /// It is this time by now, in milliseconds: what should have come until then is not waited for any more.
    Released(i64),
    /// What the contract does not know.
    Poison,
}

/// Reads a record.
pub(super) fn read(record: &Record) -> Reading {
    let number = record.key_text().to_owned();
    let (position, time) = (position(record), record.timestamp.unwrap_or_default());
    let repeats = record.header(REPLAY_OF).and_then(|of| repeated(of, position));
    let said = said(record, &number, repeats).unwrap_or(Said::Poison);
    Reading { number, position, time, repeats, said }
}

/// The offset in `<topic>/<partition>/<offset>`, of a record on the same partition.
fn repeated(of: &str, (partition, _): Position) -> Option<i64> {
    let mut parts = of.rsplit('/');
    let offset = parts.next()?.parse().ok()?;
    (parts.next()?.parse() == Ok(partition)).then_some(offset)
}

fn said(record: &Record, number: &str, repeats: Option<i64>) -> Option<Said> {
    let value: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
    if number.is_empty() || value["tracking_number"] != number {
        return None;
    }
    let event_id = record.header("ce_id").unwrap_or_default().to_owned();
    match record.header("ce_type")? {
        CREATED => created(record, &value, event_id).map(Said::Created),
        REPORTED => reported(record, &value, event_id, repeats).map(|report| Said::Reported(Box::new(report))),
        RELEASED => instant(&value["until"]).map(|until| Said::Released(millis(until))),
        _ => None,
    }
}

fn created(record: &Record, value: &Value, event_id: String) -> Option<Created> {
    let policy = Policy::ALL.into_iter().find(|policy| value["transition_policy"] == policy.as_str())?;
    let client_id = value["client_id"].as_str()?.to_owned();
    let millis = millis(instant(&value["created_at"])?);
    let park_seconds = value["park_seconds"].as_i64().unwrap_or(0);
    Some(Created { event_id, position: position(record), policy, client_id, millis, park_seconds })
}

fn reported(record: &Record, value: &Value, event_id: String, repeats: Option<i64>) -> Option<Report> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let status = Status::ALL.into_iter().find(|status| value["status"] == status.as_str());
    let kind = Kind::ALL.into_iter().find(|kind| value["kind"] == kind.as_str());
    let claim = match (status, kind) {
        (Some(status), None) if status != Status::Created => Claim::Status(status),
        (None, Some(kind)) => Claim::Kind(kind),
        _ => return None,
    };
    let (instant, source) = (instant(&value["timestamp"])?, text("source")?);
    let millis = millis(instant);
    let key = match text("source_event_id") {
        Some(id) => format!("{source} id {id}"),
        None => format!("{source} at {}", millis.div_euclid(1000)),
    };
    let scan = Scan {
        listed: 0,
        occurred: text("timestamp")?,
        instant,
        time_missing: false,
        happened: instant,
        claim,
        reason: text("reason"),
        place: text("place"),
        code: text("code"),
        text: None,
        location: None,
    };
    let reporter = &value["reporter"];
    let client_id =
        (reporter["role"] == "client").then(|| reporter["client_id"].as_str().unwrap_or_default().to_owned());
    Some(Report { event_id, position: position(record), key, scan, millis, client_id, repeats })
}

fn instant(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}
