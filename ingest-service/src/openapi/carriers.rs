//! `/carriers` and what operators see of them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment::limits;

use super::Book;
use super::events::{NUMBER, answered, batch, not_ahead, prefer, refusals};
use super::header::{LOCATION, POSITION, PREFERENCE_APPLIED};
use super::operation::{Operation, part, query};
use crate::carriers::{CarrierList, DEFAULT_LIMIT, MOST, Reloaded, UnmappedList};
use crate::error::Code;
use crate::publish::{Accepted, Results};
use crate::request::BODY_BYTES;
use crate::validate;

/// The time of the examples.
const READ_AT: &str = "2025-02-12T08:00:00Z";

const MEANINGS: [(&str, &str); 8] = [
    ("tracking_number", "The shipment."),
    ("code", "The carrier's code."),
    ("text", "The carrier's text."),
    ("zone", "The IANA time zone of `time`, when neither it nor the carrier's mapping says one."),
    ("location", "Where, in degrees (WGS 84)."),
    ("place", "Where, in words."),
    ("scan_id", "The carrier's own id of the scan."),
    ("notes", "Anything else."),
];

pub(super) fn describe(book: &mut Book, max_batch: usize) {
    let time = format!("The time as the carrier writes it; {}.", not_ahead());
    let scan = book.body("Scan", validate::scan_schema(), &[&MEANINGS[..], &[("time", &time)]].concat());
    let (one, many) = (book.answer::<Accepted>(), book.answer::<Results>());
    let (batch, lines) = batch(&scan, max_batch);
    let carrier = json!({"type": "string", "minLength": 1, "maxLength": limits::SLUG, "pattern": "^[a-z0-9_-]+$"});
    book.add(
        Operation::post("/carriers/{carrier}/events", "postScans", "Report scans in a carrier's own words")
            .tag("carriers")
            .text(
                "For admins, sources and clients. One scan, or many in the forms of `POST /events/batch`. A scan becomes an event through the \
                 carrier's vocabulary; `mapped` says which. One that no rule knows is recorded as `other`.",
            )
            .takes(part("carrier", "The carrier, as `GET /admin/carriers` lists it.", carrier, "fedex"))
            .takes(prefer())
            .bodies(
                &[
                    (
                        "application/json",
                        json!({"oneOf": [scan, batch["oneOf"][0], batch["oneOf"][1]]}),
                        &[("one", example()), ("many", json!({"events": [example()]}))],
                    ),
                    ("application/x-ndjson", lines, &[]),
                ],
                BODY_BYTES,
            )
            .answers(StatusCode::ACCEPTED, "In the log.", json!({"oneOf": [one, many]}), &[LOCATION.sometimes(), POSITION, PREFERENCE_APPLIED])
            .such_as(mapped("queued", "Event accepted for processing"))
            .answers(StatusCode::OK, "One scan was waited for: applied, recorded, or a duplicate.", one, &[LOCATION, POSITION, PREFERENCE_APPLIED])
            .such_as(mapped("applied", "Event applied: it moved the status"))
            .refuses(&refusals())
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
    operated(book);
}

fn operated(book: &mut Book) {
    let (listed, reloaded, unmapped) =
        (book.answer::<CarrierList<'_>>(), book.answer::<Reloaded>(), book.answer::<UnmappedList<'_>>());
    book.add(
        Operation::get("/admin/carriers", "listCarriers", "List the vocabularies that are loaded")
            .tag("carriers")
            .text("For admins.")
            .answers(StatusCode::OK, "All of them.", listed, &[])
            .such_as(json!({
                "data": [{"carrier": "correios_br", "zone": "America/Sao_Paulo", "rules": 16, "file": "deploy/carriers/correios_br.toml"}],
                "source": "compiled in", "read_at": READ_AT, "last_reload_refused": false,
            }))
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::post("/admin/carriers/reload", "reloadCarriers", "Read the mapping files again")
            .tag("carriers")
            .text("For admins. All files are used, or none, and then those from before go on.")
            .answers(StatusCode::OK, "They are read.", reloaded, &[])
            .such_as(json!({"source": "compiled in", "carriers": 43, "rules": 289, "read_at": READ_AT}))
            .refuses(&[Code::Forbidden, Code::BrokenMapping]),
    );
    book.add(
        Operation::get("/admin/unmapped-codes", "listUnmappedCodes", "List the codes that no mapping knows")
            .tag("carriers")
            .text("For admins; the most frequent first. A parameter without a value counts as absent.")
            .takes(query("carrier", "Those of a carrier.", json!({"type": "string", "maxLength": limits::SLUG})).such_as("fedex"))
            .takes(query(
                "limit",
                format!("Codes in the list; above {MOST} it is {MOST}."),
                json!({"type": "integer", "minimum": 1, "maximum": u32::MAX, "default": DEFAULT_LIMIT}),
            ).such_as(20))
            .answers(StatusCode::OK, "The codes.", unmapped, &[])
            .such_as(json!({"data": [{
                "carrier": "fedex", "code": "ZZ", "text": "Somewhere", "count": 3, "first_seen": "2025-02-12T16:30:02.123Z",
                "last_seen": "2025-02-14T23:05:01.004Z", "tracking_number": NUMBER, "rest": false, "mapped_now": false,
            }]}))
            .refuses(&[Code::Forbidden]),
    );
}

fn mapped(status: &str, message: &str) -> Value {
    let mut answer = answered(status, message);
    answer["mapped"] = json!({"status": "picked_up", "rule": "code"});
    answer
}

fn example() -> Value {
    json!({
        "tracking_number": NUMBER, "code": "PU", "text": "Picked up", "time": "2025-02-12 10:30:00",
        "zone": "America/Mexico_City", "place": "Puebla, PUE",
    })
}
