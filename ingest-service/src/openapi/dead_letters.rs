//! `/admin/dead-letters`, and what operators did.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::dead_letters::{LOOKED_AT, MOST_LISTED, REASON, Shown};
use shared::shipment::{Timestamp, TrackingNumber};

use super::events::{EVENT, NUMBER};
use super::header::LINK;
use super::operation::{Operation, Parameter, part, query};
use super::{Book, schema};
use crate::dead_letters::{BODY_BYTES, LetterList, OperatorLog, Redrive, StormContinued, redrive_schema};
use crate::error::Code;
use crate::query::{DEFAULT_LIMIT, MOST};

const BURIED_AT: &str = "2025-02-12T16:30:02.123Z";

pub(super) fn describe(book: &mut Book) {
    read(book);
    act(book);
}

fn read(book: &mut Book) {
    let (listed, shown, log) = (book.answer::<LetterList>(), book.answer::<Shown>(), book.answer::<OperatorLog>());
    let reason = json!({"type": "string", "maxLength": REASON});
    let number = schema::<TrackingNumber>();
    let cursor = json!({"type": "string", "format": "cursor"});
    let text = format!(
        "For admins; the newest first. One call looks at {LOOKED_AT} letters at most, so a page may be short, or empty, and have a next one. \
         A parameter without a value counts as absent."
    );
    book.add(
        operation(Operation::get("/admin/dead-letters", "listDeadLetters", "List dead letters"))
            .text(text)
            .takes(query("reason", "Those of an error class.", reason).such_as("NO_JSON"))
            .takes(query("tracking_number", "Those about a shipment.", number).such_as(NUMBER))
            .takes(time("from", "Those buried at this time or later."))
            .takes(time("to", "Those buried before this time."))
            .takes(
                query(
                    "limit",
                    format!("Letters on a page; above {MOST_LISTED} it is {MOST_LISTED}."),
                    limit(DEFAULT_LIMIT),
                )
                .such_as(20),
            )
            .takes(query("cursor", "`next_cursor` of the page before.", cursor))
            .answers(StatusCode::OK, "A page.", listed, &[LINK.sometimes()])
            .such_as(json!({"data": [letter()], "pagination": {"limit": 10, "has_next": false, "next_cursor": null}})),
    );
    let id = json!({"type": "string"});
    book.add(
        operation(Operation::get(
            "/admin/dead-letters/{id}",
            "getDeadLetter",
            "Read a dead letter, and what stood around it",
        ))
        .text("For admins.")
        .takes(part("id", "The letter.", id, "0:17"))
        .answers(StatusCode::OK, "The letter.", shown, &[])
        .such_as(whole())
        .refuses(&[Code::NotFound]),
    );
    book.add(
        operation(Operation::get("/admin/operator-log", "listOperatorLog", "Read what operators did"))
            .text("For admins; the newest first.")
            .takes(query("limit", format!("Entries; above {MOST} it is {MOST}."), limit(MOST)).such_as(20))
            .answers(StatusCode::OK, "What they did.", log, &[])
            .such_as(json!({"data": [{
                "at": BURIED_AT, "by": "admin_user", "act": "dead_letters_redriven",
                "details": {"selection": {"ids": ["0:17"]}, "limit": 1},
            }]})),
    );
}

fn act(book: &mut Book) {
    let body = book.body(
        "RedriveRequest",
        redrive_schema(),
        &[
            ("ids", "These letters; then no other selection goes with it."),
            ("reason", "Those of an error class."),
            ("tracking_number", "Those about a shipment."),
            ("from", "Those buried at this time or later."),
            ("to", "Those buried before this time."),
            ("cursor", "`next_cursor` of the same redrive before."),
            ("limit", "So many letters at most."),
            ("dry_run", "Only say what would be done."),
        ],
    );
    let (redriven, continued) = (book.answer::<Redrive>(), book.answer::<StormContinued>());
    book.add(
        operation(Operation::post("/admin/dead-letters/redrive", "redriveDeadLetters", "Put dead letters back into the log"))
            .text(
                "For admins. Name `ids`, or at least one of `reason`, `tracking_number`, `from` and `to`. The original records are appended again, \
                 each shipment's in their order; a second time changes nothing. What is selected by a filter leaves out the letters of redriven records.",
            )
            .body(body, BODY_BYTES, &[("ids", json!({"ids": ["0:17"]})), ("try", json!({"reason": "NO_JSON", "dry_run": true}))])
            .answers(StatusCode::OK, "What was done, or would be.", redriven, &[])
            .such_as(json!({
                "dry_run": false, "selected": 1, "redriven": 1, "next_cursor": null,
                "letters": [{
                    "id": "0:17", "tracking_number": NUMBER, "reason": "NO_JSON", "redriven_to": {"partition": 7, "offset": 2041},
                }],
            })),
    );
    book.add(
        operation(Operation::post(
            "/admin/dead-letters/storm/continue",
            "continueStorm",
            "Let a storm of dead letters through",
        ))
        .text("For admins. Processors that stopped because nearly everything would have become a dead letter go on within seconds.")
        .answers(StatusCode::ACCEPTED, "They will hear it.", continued, &[])
        .such_as(json!({"message": "Processors that stopped at a storm of dead letters let it through"})),
    );
}

fn operation(operation: Operation) -> Operation {
    operation.tag("dead letters").refuses(&[Code::Forbidden])
}

fn time(name: &'static str, text: &str) -> Parameter {
    query(name, text, schema::<Timestamp>()).such_as("2025-02-12T00:00:00Z")
}

fn limit(default: u32) -> Value {
    json!({"type": "integer", "minimum": 1, "default": default})
}

fn letter() -> Value {
    json!({
        "id": "0:17", "tracking_number": NUMBER, "reason": "NO_JSON", "message": "the value is no JSON: expected value at line 1 column 1",
        "buried_at": BURIED_AT, "attempts": 1, "original": {"topic": "shipments.events", "partition": 7, "offset": 1042},
        "group": "processor-service", "replay_of": null, "replayed_by": null, "value_bytes": 9, "value_omitted": false,
    })
}

fn whole() -> Value {
    let mut shown = letter();
    let more = json!({
        "timestamp": BURIED_AT, "key": NUMBER, "value": "{not json",
        "headers": [{"name": "dlq.error.class", "value": "NO_JSON"}],
        "around": [{
            "partition": 7, "offset": 1042, "timestamp": BURIED_AT, "tracking_number": NUMBER, "event_id": EVENT,
            "type": "com.rastro.shipment.status_reported.v1", "value_bytes": 9, "original": true,
        }],
    });
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.extend(more);
    }
    shown
}
