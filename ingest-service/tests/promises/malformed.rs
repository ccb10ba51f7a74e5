//! Input that is broken, ambiguous or beyond all bounds: refused, and told what and where.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::errors::assert_shape;
use crate::world::{ADMIN, Answer, CLIENT, DRIVER, World, registration, report};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// `body` with `members` behind its own.
fn with(body: &Value, members: &str) -> String {
    let text = body.to_string();
    format!("{},{members}}}", &text[..text.len() - 1])
}

fn refused(answer: &Answer, path: &str, fields: &[(&str, &str)]) {
    assert_shape(answer, path);
    assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()), "{path}: {}", answer.text);
    let expected: Vec<_> = fields.iter().map(|&(field, code)| (field.to_owned(), code.to_owned())).collect();
    assert_eq!(answer.fields(), expected, "{path}");
}

#[tokio::test]
async fn a_member_that_stands_there_twice_is_refused_by_its_name() {
    let world = World::new().await;
    let event = report("99M-ABC12345", "picked_up", 0);
    let twice = with(&event, r#""source":"another","location":{"lat":1,"lat":2,"lng":3}"#);
    let answer = world.post_with(DRIVER, "/events", &JSON, twice).await;
    refused(&answer, "/events", &[("source", "duplicate"), ("location.lat", "duplicate"), ("location", "duplicate")]);
    let twice = with(&registration(), r#""recipient":{"name":"Ana","email":"a@b.mx","name":"Eva"}"#);
    refused(
        &world.post_with(CLIENT, "/shipments", &JSON, twice).await,
        "/shipments",
        &[("recipient.name", "duplicate")],
    );
    let twice = r#"{"username":"ana","password":"password123","role":"source","role":"admin"}"#.to_owned();
    refused(&world.post_with(ADMIN, "/auth/users", &JSON, twice).await, "/auth/users", &[("role", "duplicate")]);
    let twice = r#"{"username":"admin_user","username":"ana","password":"password123"}"#.to_owned();
    refused(&world.post_with(ADMIN, "/auth/login", &JSON, twice).await, "/auth/login", &[("username", "duplicate")]);
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn in_a_batch_it_is_one_bad_item_in_each_form() {
    let event = report("99M-ABC12345", "picked_up", 0);
    let twice = with(&event, r#""location":{"lat":1,"lng":2,"lng":3}"#);
    let lines = [("content-type", "application/x-ndjson")];
    for (headers, body) in [
        (JSON, format!("{{\"events\":[{event},{twice}]}}")),
        (JSON, format!("[{event},{twice}]")),
        (lines, format!("{event}\n{twice}")),
    ] {
        let world = World::new().await;
        let answer = world.post_with(DRIVER, "/events/batch", &headers, body).await;
        let json = answer.json();
        assert_eq!((answer.status.as_u16(), &json["queued"], &json["rejected"]), (202, &json!(1), &json!(1)));
        let errors = &json["items"][1]["error"]["errors"];
        assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!("location.lng"), &json!("duplicate")), "{json}");
        assert_eq!(world.records().len(), 1);
    }
    let world = World::new().await;
    let answer = world.post_with(DRIVER, "/events/batch", &JSON, format!("[{twice}]")).await;
    let fields = [("events[0].location.lng", "duplicate"), ("events[0].location", "duplicate")];
    refused(&answer, "/events/batch", &fields);
    let answer = world.post_with(DRIVER, "/events/batch", &JSON, "{\"events\":[],\"events\":[{}]}".to_owned()).await;
    refused(&answer, "/events/batch", &[("events", "duplicate")]);
}

#[tokio::test]
async fn a_number_beyond_all_bounds_is_told_by_its_name() {
    let world = World::new().await;
    let mut event = report("99M-ABC12345", "picked_up", 0);
    event.as_object_mut().expect("an object").remove("location");
    for number in ["1e400", "-1e400", &"9".repeat(400), "1e5", "99999999999999999999", "-181"] {
        let body = with(&event, &format!("\"location\":{{\"lat\":1,\"lng\":{number}}}"));
        refused(
            &world.post_with(DRIVER, "/events", &JSON, body.clone()).await,
            "/events",
            &[("location.lng", "out_of_range")],
        );
        let answer = world.post_with(DRIVER, "/events/batch", &JSON, format!("[{body}]")).await;
        refused(&answer, "/events/batch", &[("events[0].location.lng", "out_of_range")]);
    }
    for (parameters, fields) in [
        ("offset=18446744073709551616", [("offset", "out_of_range")]),
        ("offset=1e3", [("offset", "malformed")]),
        ("limit=-1", [("limit", "malformed")]),
        ("limit=0", [("limit", "out_of_range")]),
    ] {
        refused(&world.get(ADMIN, &format!("/shipments?{parameters}")).await, "/shipments", &fields);
    }
    let largest = world.get(ADMIN, "/shipments?limit=18446744073709551616").await;
    assert_eq!(largest.json()["pagination"]["limit"], 100, "as every limit above it");
}

#[tokio::test]
async fn text_that_is_none_is_refused_wherever_it_stands() {
    let world = World::new().await;
    let event = report("99M-ABC12345", "picked_up", 0);
    for text in [r"\ud800", r"\udc00\ud800", "\u{1}", r"\x", r"\u00"] {
        let answer = world.post_with(DRIVER, "/events", &JSON, with(&event, &format!("\"notes\":\"{text}\""))).await;
        assert_eq!(answer.failure(), (400, "INVALID_JSON".to_owned()), "{text}");
    }
    let mut bytes = with(&event, "\"notes\":\"_\"").into_bytes();
    let place = bytes.iter().rposition(|&byte| byte == b'_').expect("it is there");
    bytes[place] = 0xff;
    let request = Request::post("/events").header("content-type", "application/json");
    let request = request.header("authorization", world.bearer(DRIVER).await).body(Body::from(bytes));
    assert_eq!(world.send(request.expect("well-formed")).await.failure(), (400, "INVALID_JSON".to_owned()));
    let nul = with(&event, r#""notes":"a\u0000b""#);
    refused(&world.post_with(DRIVER, "/events", &JSON, nul).await, "/events", &[("notes", "malformed")]);

    for (path, field) in [("/shipments/%FF", "tracking_number"), ("/events/%C3%28", "event_id")] {
        refused(&world.get(ADMIN, path).await, path, &[(field, "malformed")]);
    }
    for (parameters, field) in [
        ("client_id=%FF", "client_id"),
        ("client_id=%00", "client_id"),
        ("client_id=%", "client_id"),
        ("search=99M%2", "search"),
        ("limit=%zz", "limit"),
        ("%FF=1", "%FF"),
    ] {
        refused(&world.get(ADMIN, &format!("/shipments?{parameters}")).await, "/shipments", &[(field, "malformed")]);
    }
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn headers_that_are_no_text_count_as_absent_or_wrong_and_break_nothing() {
    let world = World::new().await;
    let bearer = world.bearer(ADMIN).await;
    for (name, status) in [("accept", 200), ("prefer", 200), ("traceparent", 200), ("authorization", 401)] {
        let mut request = Request::get("/shipments").header(name, &b"\xff\xfe"[..]);
        if name != "authorization" {
            request = request.header("authorization", &bearer);
        }
        let answer = world.send(request.body(Body::empty()).expect("well-formed")).await;
        assert_eq!(answer.status.as_u16(), status, "{name}");
        assert!(answer.header("traceparent").is_some_and(|trace| trace.len() == 55), "{name}");
    }
    let request = Request::post("/events").header("authorization", &bearer).header("content-type", &b"\xff"[..]);
    let answer = world.send(request.body(Body::from("{}")).expect("well-formed")).await;
    assert_eq!(answer.failure(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_that_and_not_as_bad_json() {
    let world = World::new().await;
    for (coding, status) in [("gzip", 415), ("br", 415), ("identity, gzip", 415), ("identity", 202), ("Identity", 202)]
    {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let event = report("99M-ABC12345", "picked_up", 0).to_string();
        assert_eq!(world.post_with(DRIVER, "/events", &headers, event).await.status, status, "{coding}");
    }
}
