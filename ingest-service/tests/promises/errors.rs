//! One shape for every error.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use hyper::body::Frame;
use serde_json::{Value, json};
use shared::shipment::{RowId, TrackingNumber};
use shared::shipment_store::{
    EventRow, ListFilter, Page, PageStart, RowPosition, ShipmentReader, StoreError, StoredShipment,
};

use crate::world::{ADMIN, Answer, CLIENT, DRIVER, World, registration, report};

/// Checks the members of contract section 4.
pub(crate) fn assert_shape(answer: &Answer, path: &str) {
    let body = answer.json();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}: {}", answer.text);
    for member in ["error", "message", "timestamp", "type", "title", "detail", "instance", "trace_id"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{path} has no {member}: {body}");
    }
    assert_eq!(body["status"], answer.status.as_u16(), "{path}");
    assert_eq!(body["status_code"], answer.status.as_u16(), "{path}");
    assert_eq!(body["timestamp"], "2025-06-15T15:06:40Z", "{path}");
    assert_eq!(body["instance"], path.split('?').next().unwrap_or_default());
    assert!(body["errors"].is_array(), "{path}");
    let traceparent = answer.header("traceparent").expect("every answer has a trace");
    assert_eq!(traceparent.split('-').nth(1), body["trace_id"].as_str(), "{path}");
}

// contract: "Errors, one shape everywhere"
#[tokio::test]
async fn every_error_has_the_one_shape() {
    let world = World::new().await;
    let gets = [
        ("/nowhere", 404, "NOT_FOUND"),
        ("/v1/nowhere", 404, "NOT_FOUND"),
        ("/shipments/99M-ZZZZZZZZ", 404, "NOT_FOUND"),
        ("/shipments/parcel", 400, "VALIDATION_ERROR"),
        ("/shipments/%FF", 400, "VALIDATION_ERROR"),
        ("/shipments?limit=0", 400, "VALIDATION_ERROR"),
        ("/shipments?cursor=abc", 400, "VALIDATION_ERROR"),
        ("/shipments?%FF=%FF", 400, "VALIDATION_ERROR"),
        ("/events/evt_1", 400, "VALIDATION_ERROR"),
        ("/events/batch", 405, "METHOD_NOT_ALLOWED"),
        ("/auth/login", 405, "METHOD_NOT_ALLOWED"),
        ("/v1/events", 405, "METHOD_NOT_ALLOWED"),
    ];
    for (path, status, error) in gets {
        let answer = world.get(ADMIN, path).await;
        assert_shape(&answer, path);
        assert_eq!(answer.failure(), (status, error.to_owned()), "{path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{path}");
    }
}

/// Path, headers, body; status and error.
type BadPost<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

// contract: "Errors, one shape everywhere"
#[tokio::test]
async fn every_bad_body_is_refused_in_the_one_shape() {
    let world = World::new().await;
    let json_type = [("content-type", "application/json")];
    let posts: [BadPost<'_>; 12] = [
        ("/events", &[], "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/events", &[("content-type", "text/plain")], "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/events", &[("content-type", "application/x-ndjson")], "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "/events/batch",
            &[("content-type", "application/x-www-form-urlencoded")],
            "[]",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("/events", &json_type, "", 400, "INVALID_JSON"),
        ("/events", &json_type, "{\"status\": \n  nope}", 400, "INVALID_JSON"),
        ("/events", &json_type, "[]", 400, "VALIDATION_ERROR"),
        ("/events", &json_type, "{}", 400, "VALIDATION_ERROR"),
        ("/events/batch", &json_type, "{\"events\": [}", 400, "INVALID_JSON"),
        ("/events/batch", &json_type, "\"[]\"", 400, "VALIDATION_ERROR"),
        ("/shipments", &json_type, "null", 400, "VALIDATION_ERROR"),
        ("/auth/users", &json_type, "7", 400, "VALIDATION_ERROR"),
    ];
    for (path, headers, body, status, error) in posts {
        let answer = world.post_with(ADMIN, path, headers, body.to_owned()).await;
        assert_shape(&answer, path);
        assert_eq!(answer.failure(), (status, error.to_owned()), "{path} {body}");
    }
    assert_eq!(world.records(), [], "nothing of all that reached the log");
}

#[tokio::test]
async fn broken_json_is_told_where_it_breaks() {
    let world = World::new().await;
    let headers = [("content-type", "application/json")];
    let answer = world.post_with(DRIVER, "/events", &headers, "{\"status\": \n  nope}".to_owned()).await;
    assert!(answer.json()["message"].as_str().is_some_and(|text| text.contains("line 2 column 4")), "{}", answer.text);
    let deep = "[".repeat(100_000);
    let answer = world.post_with(DRIVER, "/events", &headers, deep).await;
    assert_eq!(answer.failure(), (400, "INVALID_JSON".to_owned()), "no stack is deep enough");
}

// contract: "All bad fields are reported at once"
#[tokio::test]
async fn every_bad_field_of_a_body_is_named_at_once() {
    let world = World::new().await;
    let mut body = registration();
    body["weight_kg"] = json!(0);
    body["origin_lat"] = json!("north");
    body["colour"] = json!("red");
    body["transition_policy"] = json!("loose");
    let answer = world.post(ADMIN, "/shipments", &body).await;
    assert_shape(&answer, "/shipments");
    let fields: Vec<_> = answer.fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["origin_lat", "weight_kg", "transition_policy", "colour", "client_id"]);

    let mut event = report("99M-ABC12345", "delivered", 0);
    event["timestamp"] = json!("2025-06-15T15:12:00Z");
    event["source"] = json!("Driver App");
    let answer = world.post(DRIVER, "/events", &event).await;
    let expected = [("source", "malformed"), ("timestamp", "in_future")];
    assert_eq!(answer.fields(), expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
}

// contract: "`Authorization: Bearer <JWT>` unless marked public"
#[tokio::test]
async fn a_request_without_a_valid_token_is_challenged() {
    let world = World::new().await;
    let own = world.bearer(CLIENT).await;
    let changed = format!("{}x", own);
    let (lower, two) = (own.replace("Bearer", "bearer"), own.clone() + ", " + &own);
    for (header, expected) in [
        (None, 401),
        (Some("Basic YWRtaW46YWRtaW4="), 401),
        (Some("Bearer"), 401),
        (Some("Bearer "), 401),
        (Some(changed.as_str()), 401),
        (Some(two.as_str()), 401),
        (Some(lower.as_str()), 200),
    ] {
        let mut request = Request::get("/shipments");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = world.send(request.body(Body::empty()).expect("well-formed")).await;
        assert_eq!(answer.status.as_u16(), expected, "{header:?}");
        if expected == 401 {
            assert_shape(&answer, "/shipments");
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));
        }
    }
}

/// A body that has no end, in pieces of 64 KiB, or one that never comes.
struct Trickle {
    piece: Option<Bytes>,
}

impl HttpBody for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &self.piece {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece.clone())))),
            None => Poll::Pending,
        }
    }
}

async fn post_body(world: &World, path: &str, body: Body, length: Option<usize>) -> Answer {
    let mut request = Request::post(path)
        .header("authorization", world.bearer(DRIVER).await)
        .header("content-type", "application/json");
    request = match length {
        Some(length) => request.header("content-length", length),
        None => request.header("transfer-encoding", "chunked"),
    };
    world.send(request.body(body).expect("well-formed")).await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_or_too_slow_is_cut_off() {
    let world = World::new().await;
    let announced = post_body(&world, "/events", Body::empty(), Some(2 * 1024 * 1024)).await;
    assert_shape(&announced, "/events");
    assert_eq!(announced.failure(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let endless = Trickle { piece: Some(Bytes::from(vec![b' '; 64 * 1024])) };
    let endless = post_body(&world, "/events/batch", Body::new(endless), None).await;
    assert_shape(&endless, "/events/batch");
    assert_eq!(endless.failure(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let never = post_body(&world, "/events", Body::new(Trickle { piece: None }), Some(10)).await;
    assert_shape(&never, "/events");
    assert_eq!(never.failure(), (408, "REQUEST_TIMEOUT".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn requests_that_would_need_too_much_memory_are_put_off_and_probes_are_not() {
    let world = Arc::new(World::new().await);
    // Both are known before the requests begin that hang: a request that waited for anything while they do would hold memory that they
    // need, or let their time run out.
    let admin = world.bearer(ADMIN).await;
    assert_eq!(world.get(ADMIN, "/shipments").await.status, 200);
    assert_eq!(world.get(DRIVER, "/shipments").await.status, 403);
    let hanging: Vec<_> = (0..32)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { post_body(&world, "/events", Body::new(Trickle { piece: None }), None).await })
        })
        .collect();
    let refused = async {
        loop {
            // Lets the others reach their bodies, which never come.
            let answer = world.call(admin.trim_start_matches("Bearer "), "GET", "/shipments", &Value::Null).await;
            if answer.status != 200 {
                break answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let refused = refused.await;
    assert_shape(&refused, "/shipments");
    assert_eq!((refused.failure().0, refused.header("retry-after")), (503, Some("2")));
    for probe in ["/livez", "/v1/livez", "/v1/health", "/metrics"] {
        assert_eq!(world.get(ADMIN, probe).await.status, 200, "{probe}");
    }
    for answer in hanging {
        assert_eq!(answer.await.expect("no panic").failure().0, 408);
    }
    assert_eq!(world.get(ADMIN, "/shipments").await.status, 200, "the memory is given back");
}

/// A store with a mistake in it, and one that says too much.
pub(crate) struct Faulty;

#[async_trait]
impl ShipmentReader for Faulty {
    async fn shipment(&self, _: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        panic!("an invariant of table users_private is broken");
    }

    async fn list(&self, _: &ListFilter, _: PageStart, _: u32) -> Result<Page, StoreError> {
        Err(StoreError::Corrupt("row 7 of users_private".to_owned()))
    }

    async fn events(&self, _: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        Err(StoreError::unavailable("mongodb://root:hunter2@10.0.0.1 timed out"))
    }

    async fn events_of(&self, _: TrackingNumber, _: Option<RowPosition>, _: u32) -> Result<Vec<EventRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

// contract: "500 never shows internals"
// contract: "Errors, one shape everywhere"
#[tokio::test]
async fn panics_and_failures_show_nothing_of_the_inside() {
    let world = World::with(|ports| ports.store = Arc::new(Faulty)).await;
    let id = "evt_ABC12345_0000000000000000000000";
    for (path, expected) in [
        ("/shipments/99M-ABC12345".to_owned(), (500, "INTERNAL_ERROR")),
        ("/shipments".to_owned(), (500, "INTERNAL_ERROR")),
        (format!("/events/{id}"), (503, "SERVICE_UNAVAILABLE")),
    ] {
        let answer = world.get(ADMIN, &path).await;
        assert_shape(&answer, &path);
        assert_eq!(answer.failure(), (expected.0, expected.1.to_owned()));
        for inside in ["users_private", "hunter2", "10.0.0.1", "panic"] {
            assert!(!answer.text.contains(inside), "{}", answer.text);
        }
    }
    assert_eq!(world.get(ADMIN, "/livez").await.status, 200, "the process goes on");
}

#[tokio::test]
async fn a_flood_of_bad_fields_does_not_make_a_flood_of_an_answer() {
    let world = World::new().await;
    let flood: serde_json::Map<String, Value> = (0..50_000).map(|n| (format!("f{n}"), Value::Null)).collect();
    let answer = world.post(DRIVER, "/events", &Value::Object(flood)).await;
    assert_eq!((answer.failure().0, answer.fields().len()), (400, 1_000));
}
