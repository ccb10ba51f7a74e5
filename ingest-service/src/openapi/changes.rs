//! `/changes`, and the streams of them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment::{Status, limits};

use super::Book;
use super::events::{EVENT, NUMBER};
use super::header::{CACHE_CONTROL, LINK, UNBUFFERED};
use super::operation::{Operation, Parameter, query, request_header};
use super::shipments::{number, word};
use crate::error::Code;
use crate::query::{DEFAULT_CHANGES, ListedChanges, MOST_CHANGES};
use crate::stream::LONGEST_ID;

/// The media type of a stream.
const EVENTS: &str = "text/event-stream";
/// An id, as the edge writes it.
const ID: &str = "Q-i5lP2hNAEB";

pub(super) fn describe(book: &mut Book) {
    book.add(
        stream("/stream", "streamChanges", "Be told of changes as they happen")
            .text("For admins and clients; a client is told of its own shipments, whatever it asks for. The `id:` of each event is the place behind it.")
            .takes(client_id())
            .takes(status())
            .takes(last_event_id(ID)),
    );
    book.add(
        stream("/shipments/{tracking_number}/stream", "streamShipmentChanges", "Be told of a shipment's changes as they happen")
            .text("For admins and the shipment's client. The `id:` of each event is `<partition>:<offset>:<time>` of the change.")
            .takes(number())
            .takes(last_event_id("0:1041:1739377802123"))
            .refuses(&[Code::NotFound]),
    );
    let listed = book.answer::<ListedChanges<'_>>();
    book.add(
        Operation::get("/changes", "listChanges", "Read changes a page at a time")
            .tag("changes")
            .text("For admins and clients: what a stream tells, with the same ids. `next_cursor` is always there: ask with it again later.")
            .takes(client_id())
            .takes(status())
            .takes(limit())
            .takes(cursor())
            .answers(StatusCode::OK, "A page.", listed, &[LINK])
            .such_as(page())
            .refuses(&[Code::Forbidden, Code::CursorExpired]),
    );
}

/// A stream, without its parameters.
fn stream(path: &'static str, id: &str, summary: &str) -> Operation {
    let text = "Events, until the token or key ends or this instance does; a comment every 15 s while there are none.";
    let events = Some((EVENTS, json!({"type": "string"})));
    let change = change();
    let example = format!(
        "retry: 2000\nid: Q-i5lP2hNAEA\n\nid: {ID}\ndata: {change}\n\n: \n\nid: {ID}\nevent: reset\ndata: {}\n\n",
        json!({"reason": "too_old", "message": "Changes since then are not kept any more: read the shipments anew"})
    );
    Operation::get(path, id, summary)
        .tag("changes")
        .answers_with(StatusCode::OK, text, events, &[CACHE_CONTROL, UNBUFFERED])
        .such_as(Value::String(example))
        .refuses(&[Code::ValidationError, Code::Forbidden, Code::TooManyStreams])
}

fn last_event_id(example: &str) -> Parameter {
    let text = "The `id:` that came last: the stream goes on behind it, at any instance. Without it, it begins now. `event: reset` says that \
                it cannot, because the changes since then are not kept any more or the topic was made anew: read the shipments anew.";
    request_header("Last-Event-ID", text, json!({"type": "string", "maxLength": LONGEST_ID}), example)
}

fn client_id() -> Parameter {
    let schema = json!({"type": "string", "maxLength": limits::CLIENT_ID});
    query("client_id", "Those of a client's shipments.", schema).such_as("client_001")
}

fn status() -> Parameter {
    query("status", "Those after which a shipment stands there.", word::<Status>()).such_as("delivered")
}

fn limit() -> Parameter {
    let text = format!("Changes on a page; above {MOST_CHANGES} it is {MOST_CHANGES}.");
    query("limit", text, json!({"type": "integer", "minimum": 1, "default": DEFAULT_CHANGES})).such_as(20)
}

fn cursor() -> Parameter {
    let text = "`next_cursor` of the page before, an id of `GET /stream`, or `now`. Without it, from the oldest change that is kept.";
    query("cursor", text, json!({"type": "string", "maxLength": LONGEST_ID, "format": "cursor"}))
}

fn change() -> Value {
    json!({
        "event_id": EVENT, "tracking_number": NUMBER, "client_id": "client_001", "from": "created", "to": "picked_up", "version": 2,
        "timestamp": "2025-02-12T16:30:00Z", "recorded_at": "2025-02-12T16:30:02.123Z", "source": "driver_app", "partition": 7, "offset": 1042,
    })
}

fn page() -> Value {
    let mut listed = change();
    listed["id"] = json!(ID);
    json!({"data": [listed], "pagination": {"limit": 20, "has_next": false, "next_cursor": ID}})
}
