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

/// The types of the records that are no poison (contract section 5).
const CREATED: &str = "com.rastro.shipment.created.v1";
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

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
}

/// A registration as its record holds it.
pub(super) struct Created {
    pub(super) event_id: String,
    pub(super) position: Position,
    pub(super) policy: Policy,
    pub(super) client_id: String,
    pub(super) millis: i64,
}

/// What a record says, about which number.
pub(super) enum Reading {
    Created(String, Created),
    Reported(String, Box<Report>),
    /// What the contract does not know.
    Poison,
}

/// Reads a record.
pub(super) fn read(record: &Record) -> Reading {
    let value: Option<Value> = record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
    let Some(value) = value else { return Reading::Poison };
    let number = value["tracking_number"].as_str().unwrap_or_default();
    if number.is_empty() || number != record.key_text() {
        return Reading::Poison;
    }
    let event_id = record.header("ce_id").unwrap_or_default().to_owned();
    let reading = match record.header("ce_type") {
        Some(CREATED) => created(record, &value, event_id).map(|created| Reading::Created(number.to_owned(), created)),
        Some(REPORTED) => {
            reported(record, &value, event_id).map(|report| Reading::Reported(number.to_owned(), Box::new(report)))
        }
        _ => None,
    };
    reading.unwrap_or(Reading::Poison)
}

fn created(record: &Record, value: &Value, event_id: String) -> Option<Created> {
    let policy = Policy::ALL.into_iter().find(|policy| value["transition_policy"] == policy.as_str())?;
    let client_id = value["client_id"].as_str()?.to_owned();
    let millis = millis(instant(&value["created_at"])?);
    Some(Created { event_id, position: position(record), policy, client_id, millis })
}

fn reported(record: &Record, value: &Value, event_id: String) -> Option<Report> {
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
    Some(Report { event_id, position: position(record), key, scan, millis, client_id })
}

fn instant(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}
