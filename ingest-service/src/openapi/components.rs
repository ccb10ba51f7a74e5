//! What several operations share: headers of answers, and an example of each error. An operation refers to them by name.

use serde_json::{Map, Value, json};
use shared::shipment::{EventId, Outcome, RejectReason, Status, Timestamp};

use super::events::EVENT;
use super::header::Header;
use crate::error::{Code, JudgedEvent, Problem};

/// The trace and the time of the examples.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const NOW: &str = "2025-02-12T16:30:02.123Z";

/// Those that operations have referred to so far.
#[derive(Default)]
pub(super) struct Components {
    pub(super) headers: Map<String, Value>,
    pub(super) examples: Map<String, Value>,
}

impl Components {
    /// A reference to `header`.
    pub(super) fn header(&mut self, header: &Header) -> Value {
        let key = header.key();
        let reference = json!({"$ref": format!("#/components/headers/{key}")});
        self.headers.entry(key).or_insert_with(|| header.value());
        reference
    }

    /// A reference to an example of an error with `code`.
    pub(super) fn error(&mut self, code: Code) -> Value {
        // Two errors may have one word, and different statuses.
        let key = format!("{}-{}", code.status().as_str(), code.word());
        let reference = json!({"$ref": format!("#/components/examples/{key}")});
        self.examples.entry(key).or_insert_with(|| json!({"summary": code.title(), "value": example(code)}));
        reference
    }
}

/// What the service would write.
fn example(code: Code) -> Value {
    let now = Timestamp::parse(NOW).expect("a time");
    let path = if matches!(code, Code::LastAdmin | Code::UserChanged) { "/auth/users/ana" } else { "/events" };
    serde_json::from_slice(&problem(code).body(TRACE, now, path)).expect("our own errors are JSON")
}

fn problem(code: Code) -> Problem {
    let time = "must be an RFC 3339 time with an offset, such as 2026-01-31T15:04:05Z";
    match code {
        Code::ValidationError => Problem::field("timestamp", "malformed", time),
        Code::Outcome(reason) => Problem::judged(reason, code.title().to_owned(), judged(reason)),
        _ => Problem::new(code, code.title()),
    }
}

fn judged(reason: RejectReason) -> JudgedEvent {
    let event_id: EventId = EVENT.parse().expect("an id");
    let is_known = reason != RejectReason::ShipmentNotFound;
    let outcome = if reason == RejectReason::KeyConflict { Outcome::Conflict } else { Outcome::Rejected };
    JudgedEvent {
        event_id,
        tracking_number: event_id.tracking_number,
        outcome: outcome.as_str(),
        from: is_known.then_some(Status::Delivered),
        to: Some(Status::PickedUp),
    }
}
