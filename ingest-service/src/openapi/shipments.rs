//! `/shipments`.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Value, json};
use shared::shipment::{ServiceType, ShipmentBody, Status, Timestamp, TrackingNumber, limits};

use super::events::NUMBER;
use super::header::{CACHE_CONTROL, ETAG, LAST_MODIFIED, LINK, LOCATION, POSITION, REPLAYED};
use super::operation::{Operation, Parameter, part, query, request_header};
use super::{Book, schema, shown};
use crate::error::Code;
use crate::publish::Registered;
use crate::query::{self as queries, ListedEvents, Whole};
use crate::request::BODY_BYTES;

const MEANINGS: [(&str, &str); 18] = [
    ("origin_address", "Where it is picked up."),
    ("origin_lat", "In degrees (WGS 84)."),
    ("origin_lng", "In degrees (WGS 84)."),
    ("destination_address", "Where it is to be delivered."),
    ("destination_lat", "In degrees (WGS 84)."),
    ("destination_lng", "In degrees (WGS 84)."),
    ("weight_kg", "In kilograms."),
    ("length_cm", "In centimetres."),
    ("width_cm", "In centimetres."),
    ("height_cm", "In centimetres."),
    ("content_description", "What is in it."),
    (
        "client_id",
        "Whose shipment it is. An admin must name it; a client's own is taken from its token, and it may name no other.",
    ),
    ("service_type", "How fast it is to arrive; `standard` when absent."),
    ("sender", "Who sends it."),
    ("recipient", "Who is to receive it."),
    ("reference", "The client's own order number."),
    ("metadata", "Pairs of the client's own."),
    ("transition_policy", "How its events are judged, for its whole life; the operator's choice when absent."),
];

pub(super) fn number() -> Parameter {
    part("tracking_number", "The shipment.", schema::<TrackingNumber>(), NUMBER)
}

pub(super) fn describe(book: &mut Book) {
    let registration = book.body("Registration", ShipmentBody::schema(), &MEANINGS);
    let (registered, whole) = (book.answer::<Registered<'_>>(), book.answer::<Whole<'_>>());
    book.add(
        Operation::post("/shipments", "createShipment", "Register a shipment")
            .tag("shipments")
            .text("For admins and clients. 201 once a GET finds it; 202 with the same body when that takes longer, and it is not lost.")
            .once()
            .body(registration, BODY_BYTES, &[("everything", everything()), ("least", least())])
            .answers(StatusCode::CREATED, "Registered, and a GET finds it.", registered.clone(), &[LOCATION, POSITION, REPLAYED])
            .such_as(shown::registered())
            .answers(StatusCode::ACCEPTED, "Registered; a GET will find it soon.", registered, &[LOCATION, POSITION, REPLAYED])
            .such_as(shown::registered())
            .refuses(&[Code::Forbidden]),
    );
    book.add(
        Operation::get("/shipments/{tracking_number}", "getShipment", "Read a shipment with its history")
            .tag("shipments")
            .text("For admins and the shipment's client. `status_history` is in order of `timestamp`; `history_truncated` counts older entries that it no longer holds.")
            .takes(number())
            .awaits()
            .takes(if_none_match())
            .takes(request_header(
                "If-Modified-Since",
                "The `Last-Modified` of the answer that the caller has. It has whole seconds; the `ETag` is better.",
                json!({"type": "string"}),
                "Sun, 15 Jun 2025 15:06:40 GMT",
            ))
            .answers(StatusCode::OK, "The shipment.", whole, &[ETAG, LAST_MODIFIED, CACHE_CONTROL])
            .such_as(shown::whole())
            .answers_with(StatusCode::NOT_MODIFIED, "The caller has it.", None, &[ETAG, LAST_MODIFIED, CACHE_CONTROL])
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
    let events = book.answer::<ListedEvents<'_>>();
    book.add(
        Operation::get("/shipments/{tracking_number}/events", "listShipmentEvents", "List every event about a shipment with its outcome")
            .tag("shipments")
            .text("For admins and the shipment's client, in the order of the log; also those that never got into the history. A parameter without a value counts as absent.")
            .takes(number())
            .takes(limit())
            .takes(cursor())
            .awaits()
            .answers(StatusCode::OK, "A page.", events, &[LINK])
            .such_as(shown::events())
            .refuses(&[Code::Forbidden, Code::NotFound]),
    );
    list(book);
}

pub(super) fn if_none_match() -> Parameter {
    let text = "The `ETag` of the answer that the caller has.";
    request_header("If-None-Match", text, json!({"type": "string"}), "\"1-0123456789abcdef\"")
}

fn limit() -> Parameter {
    let text = format!("Entries on a page; above {} it is {}.", queries::MOST, queries::MOST);
    query("limit", text, json!({"type": "integer", "minimum": 1, "default": queries::DEFAULT_LIMIT})).such_as(20)
}

fn offset() -> Parameter {
    let text = "How many to skip; not together with `cursor`, which goes on beyond the farthest offset.";
    let schema = json!({"type": "integer", "minimum": 0, "maximum": queries::FARTHEST_OFFSET});
    query("offset", text, schema).such_as(20)
}

fn cursor() -> Parameter {
    let schema = json!({"type": "string", "maxLength": queries::LONGEST_CURSOR, "format": "cursor"});
    query("cursor", "`next_cursor` of the page before, with the same filters.", schema)
}

fn list(book: &mut Book) {
    let listed = book.answer::<queries::Listed<'_>>();
    let time = || schema::<Timestamp>();
    book.add(
        Operation::get("/shipments", "listShipments", "List shipments, the newest first")
            .tag("shipments")
            .text("For admins and clients; a client is shown its own, whatever it asks for. A parameter without a value counts as absent.")
            .takes(query("status", "Those that stand there.", word::<Status>()).such_as("in_transit"))
            .takes(query("client_id", "Those of a client.", json!({"type": "string", "maxLength": limits::CLIENT_ID})).such_as("client_001"))
            .takes(query("service_type", "Those that are to arrive that fast.", word::<ServiceType>()).such_as("next_day"))
            .takes(query("search", "The beginning of their tracking number.", json!({"type": "string", "pattern": queries::prefix_pattern()})).such_as("99M-7X"))
            .takes(query("created_from", "Registered then or later.", time()).such_as("2025-02-01T00:00:00Z"))
            .takes(query("created_to", "Registered before.", time()).such_as("2025-03-01T00:00:00Z"))
            .takes(limit())
            .takes(offset())
            .takes(cursor())
            .awaits()
            .answers(StatusCode::OK, "A page.", listed, &[LINK])
            .such_as(shown::page())
            .refuses(&[Code::Forbidden]),
    );
}

/// The words of `T`, in place: a parameter has no component.
pub(super) fn word<T: JsonSchema>() -> Value {
    schema::<T>()
}

fn least() -> Value {
    json!({
        "origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19.0327, "destination_lng": -98.2064,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20, "height_cm": 15,
        "content_description": "Electronics", "client_id": "client_001",
    })
}

fn everything() -> Value {
    let mut body = least();
    body["service_type"] = json!("next_day");
    body["sender"] = json!({"name": "Ana Díaz", "email": "ana@tienda.example", "phone": "+52 55 1234 5678"});
    body["recipient"] = json!({"name": "Luis Peña", "phone": "+52 222 123 4567"});
    body["reference"] = json!("PO-2025-0042");
    body["metadata"] = json!({"warehouse": "MX-07"});
    body["transition_policy"] = json!("field");
    body
}
