//! `/events`.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment::{EventBody, EventId, RejectReason, limits};

use super::header::{LOCATION, POSITION, PREFERENCE_APPLIED, REPLAYED};
use super::operation::{Operation, Parameter, part, request_header};
use super::{Book, schema};
use crate::error::Code;
use crate::prefer::LONGEST_WAIT_SECONDS;
use crate::publish::{Accepted, Results};
use crate::query::Found;
use crate::request::BODY_BYTES;

/// The ids of the examples.
pub(super) const EVENT: &str = "evt_7X3K9QBD_KDAN2CSQRKKHCNEXRN3E3M";
pub(super) const NUMBER: &str = "99M-7X3K9QBD";

const MEANINGS: [(&str, &str); 10] = [
    ("tracking_number", "The shipment."),
    ("status", "Where it stands now. A shipment is created with `POST /shipments`, not by an event."),
    ("kind", "What was seen, when that claims no status."),
    ("source", "Who reports."),
    ("location", "Where, in degrees (WGS 84)."),
    ("place", "Where, in words."),
    ("code", "The source's own code."),
    ("reason", "Why."),
    ("notes", "Anything else."),
    ("source_event_id", "The source's own id of the event: for sources that see two things in one second."),
];

/// How far a source's clock may be ahead.
pub(super) fn not_ahead() -> String {
    format!("not more than {} minutes ahead of our clock", limits::CLOCK_AHEAD.as_secs() / 60)
}

pub(super) fn prefer() -> Parameter {
    let text = format!(
        "`wait=N` waits up to N seconds, at most {LONGEST_WAIT_SECONDS}, for what becomes of the event (RFC 7240)."
    );
    request_header("Prefer", text, json!({"type": "string"}), "wait=5")
}

/// Why an event that was waited for may be refused.
pub(super) fn refusals() -> Vec<Code> {
    RejectReason::ALL.iter().map(|&reason| Code::Outcome(reason)).collect()
}

/// The three forms of a batch of `item`: media types with their schemas.
pub(super) fn batch(item: &Value, most: usize) -> (Value, Value) {
    let items = json!({"type": "array", "items": item, "minItems": 1, "maxItems": most});
    let object = json!({"type": "object", "properties": {"events": items}, "required": ["events"], "additionalProperties": false});
    (json!({"oneOf": [object, items]}), items)
}

pub(super) fn describe(book: &mut Book, max_batch: usize) {
    let ahead = format!("When it happened, by the source; {}.", not_ahead());
    let event = book.body("Event", EventBody::schema(), &[&MEANINGS[..], &[("timestamp", &ahead)]].concat());
    let (accepted, results, found) = (book.answer::<Accepted>(), book.answer::<Results>(), book.answer::<Found<'_>>());
    book.add(
        Operation::post("/events", "postEvent", "Report an event")
            .tag("events")
            .text(
                "For admins, sources and clients. 202 once the event is in the log. Sent again it is a duplicate, and has the same `event_id`; \
                 to report something else, send another timestamp.",
            )
            .takes(prefer())
            .body(event.clone(), BODY_BYTES, &[("pickup", pickup()), ("scan", scan())])
            .answers(StatusCode::ACCEPTED, "In the log.", accepted.clone(), &[LOCATION, POSITION, PREFERENCE_APPLIED])
            .such_as(answered("queued", "Event accepted for processing"))
            .answers(StatusCode::OK, "It was waited for: applied, recorded, or a duplicate.", accepted, &[LOCATION, POSITION, PREFERENCE_APPLIED])
            .such_as(answered("applied", "Event applied: it moved the status"))
            .refuses(&refusals())
            .refuses(&[Code::Forbidden]),
    );
    let (json, lines) = batch(&event, max_batch);
    let events = [pickup(), scan()];
    book.add(
        Operation::post("/events/batch", "postEvents", "Report many events")
            .tag("events")
            .text(format!(
                "For admins, sources and clients. At most {max_batch} events, as `{{\"events\": […]}}`, as a bare array, or one JSON value a line. The valid ones \
                 are queued in their order; `items` says of each what became of it, and which were refused and why. 400 when none is valid."
            ))
            .once()
            .bodies(
                &[
                    ("application/json", json, &[("events", json!({"events": events})), ("array", json!(events))]),
                    ("application/x-ndjson", lines, &[]),
                ],
                BODY_BYTES,
            )
            .answers(StatusCode::ACCEPTED, "The valid ones are in the log.", results, &[POSITION, REPLAYED])
            .such_as(batch_answered())
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::get("/events/{event_id}", "getEvent", "Read what became of an event")
            .tag("events")
            .text("For admins, the sender's client and the shipment's client. To anybody else it is not there.")
            .takes(part("event_id", "The event.", schema::<EventId>(), EVENT))
            .awaits()
            .answers(StatusCode::OK, "The event: `queued` until it is judged, `parked` while it waits behind one of its shipment that could not be processed.", found, &[])
            .such_as(json!({
                "event_id": EVENT, "tracking_number": NUMBER, "outcome": "applied", "reason": null, "from": "created", "to": "picked_up",
                "timestamp": "2025-02-12T16:30:00Z", "recorded_at": "2025-02-12T16:30:02.123Z", "partition": 7, "offset": 1042,
            }))
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
}

/// What an event is answered.
pub(super) fn answered(status: &str, message: &str) -> Value {
    json!({"event_id": EVENT, "status": status, "tracking_number": NUMBER, "message": message})
}

fn batch_answered() -> Value {
    let message = "must be one of created, picked_up, in_warehouse, in_transit, delivered, cancelled";
    let wrong = json!({"field": "status", "code": "unknown_value", "message": message});
    let error = json!({"error": "VALIDATION_ERROR", "message": format!("status: {message}"), "errors": [wrong]});
    json!({
        "received": 2, "queued": 1, "rejected": 1, "duplicates": 0, "message": "Some events were rejected; items says which and why",
        "items": [{"index": 0, "event_id": EVENT, "status": "queued"}, {"index": 1, "event_id": null, "status": "rejected", "error": error}],
    })
}

fn pickup() -> Value {
    json!({
        "tracking_number": NUMBER, "status": "picked_up", "timestamp": "2025-02-12T10:30:00-06:00",
        "source": "driver_app", "location": {"lat": 19.4326, "lng": -99.1332}, "notes": "Left at the gate",
    })
}

fn scan() -> Value {
    json!({
        "tracking_number": NUMBER, "kind": "delivery_attempt_failed", "reason": "nobody_home",
        "timestamp": "2025-02-14T17:05:00-06:00", "source": "warehouse_scanner", "place": "Puebla, PUE", "code": "07",
        "source_event_id": "scan-000123",
    })
}
