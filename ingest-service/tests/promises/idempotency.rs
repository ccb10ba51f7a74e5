//! `Idempotency-Key`: the same request again gets the answer of the first time, and what it asks for is done once.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use shared::idempotency::REMEMBERED;
use shared::shipment::Timestamp;

use crate::world::{ADMIN, Announce, Answer, CLIENT, DRIVER, OTHER_CLIENT, World, now, registration, report};

pub(crate) const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
pub(crate) const REPLAYED: &str = "idempotent-replayed";

pub(crate) async fn post(world: &World, user: &str, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    world.post_with(user, path, &headers, body.to_string()).await
}

/// A registration under the key.
pub(crate) async fn register(world: &World) -> Answer {
    post(world, CLIENT, "/shipments", KEY, &registration()).await
}

/// An answer without what belongs to one exchange.
pub(crate) fn essence(answer: &Answer) -> (u16, Option<&str>, Option<&str>, &str) {
    (answer.status.as_u16(), answer.header("location"), answer.header("content-type"), &answer.text)
}

#[track_caller]
pub(crate) fn assert_replay(answer: &Answer, first: &Answer) {
    assert_eq!(essence(answer), essence(first));
    assert_eq!(answer.header(REPLAYED), Some("true"));
}

fn batch() -> Value {
    json!([report("99M-ABC12345", "picked_up", 0), report("99M-ABC12345", "in_warehouse", 1), {}])
}

// contract: "same body again: the first answer again"
#[tokio::test]
async fn a_registration_that_is_sent_again_is_answered_the_same_and_made_once() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let first = register(&world).await;
    assert_eq!((first.status, first.header(REPLAYED)), (StatusCode::CREATED, None), "{}", first.text);
    assert!(first.header("location").is_some_and(|path| path.starts_with("/shipments/99M-")));
    let replica = world.replica(|_| ());
    for (world, path, key) in [
        (&world, "/shipments", KEY.to_owned()),
        (&replica, "/shipments", KEY.to_owned()),
        (&replica, "/v1/shipments", KEY.to_owned()),
        (&world, "/v1/shipments", format!("\"{KEY}\"")),
    ] {
        assert_replay(&post(world, CLIENT, path, &key, &registration()).await, &first);
    }
    assert_eq!(world.records().len(), 1);
    let other = post(&world, CLIENT, "/shipments", "another-key", &registration()).await;
    assert_eq!((other.status, other.header(REPLAYED)), (StatusCode::CREATED, None));
    assert_ne!(other.json()["tracking_number"], first.json()["tracking_number"]);
}

// contract: "same body again: the first answer again"
#[tokio::test(start_paused = true)]
async fn the_first_answer_stays_also_when_things_have_moved_on() {
    let world = World::new().await;
    world.bearer(CLIENT).await;
    let first = register(&world).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "no processor shows it");
    world.process().await;
    assert_replay(&register(&world).await, &first);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_answered_the_same() {
    let world = World::new().await;
    let first = post(&world, DRIVER, "/events/batch", KEY, &batch()).await;
    assert_eq!((first.status, &first.json()["queued"]), (StatusCode::ACCEPTED, &json!(2)));
    world.process().await;
    let without = world.post(DRIVER, "/events/batch", &batch()).await;
    assert_eq!(without.json()["duplicates"], 2, "without a key it is judged anew");
    let replica = world.replica(|_| ());
    for path in ["/events/batch", "/v1/events/batch"] {
        assert_replay(&post(&replica, DRIVER, path, KEY, &batch()).await, &first);
    }
    assert_eq!(world.records().len(), 2);
}

// contract: "other body: 422"
#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    register(&world).await;
    let mut other = registration();
    other["weight_kg"] = json!(6);
    for body in [other, json!({"even": "an invalid one"}), Value::Null] {
        let answer = post(&world, CLIENT, "/shipments", KEY, &body).await;
        assert_eq!(answer.failure(), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()), "{body}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header(REPLAYED), None);
    }
    assert_eq!(world.records().len(), 1);

    let lines = report("99M-ABC12345", "picked_up", 0).to_string();
    let send = async |media| {
        let headers = [("content-type", media), ("idempotency-key", KEY)];
        world.post_with(DRIVER, "/events/batch", &headers, lines.clone()).await.status
    };
    assert_eq!(send("application/x-ndjson").await, StatusCode::ACCEPTED);
    assert_eq!(send("application/x-ndjson; charset=utf-8").await, StatusCode::ACCEPTED, "it is read in the same way");
    assert_eq!(send("application/json").await, StatusCode::UNPROCESSABLE_ENTITY, "it would be read in another way");
}

// contract: "`Idempotency-Key` header: scoped"
#[tokio::test]
async fn callers_and_routes_do_not_share_keys() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let mut numbers = Vec::new();
    let mut named = registration();
    named["client_id"] = json!("client_001");
    for user in [CLIENT, OTHER_CLIENT, ADMIN] {
        let body = if user == OTHER_CLIENT { registration() } else { named.clone() };
        let answer = post(&world, user, "/shipments", KEY, &body).await;
        assert_eq!((answer.status, answer.header(REPLAYED)), (StatusCode::CREATED, None), "{user}: {}", answer.text);
        numbers.push(answer.json()["tracking_number"].clone());
    }
    numbers.sort_by_key(ToString::to_string);
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    let answer = post(&world, CLIENT, "/events/batch", KEY, &batch()).await;
    assert_eq!((answer.status, answer.header(REPLAYED)), (StatusCode::ACCEPTED, None));
}

#[tokio::test]
async fn a_request_that_was_refused_takes_no_key() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let mut bad = registration();
    bad["weight_kg"] = json!(0);
    for _ in 0..2 {
        let refused = post(&world, CLIENT, "/shipments", KEY, &bad).await;
        assert_eq!((refused.failure().0, refused.header(REPLAYED)), (400, None));
        assert_eq!(refused.fields(), [("weight_kg".to_owned(), "out_of_range".to_owned())]);
    }
    assert_eq!(post(&world, DRIVER, "/shipments", KEY, &registration()).await.failure().0, 403);
    let refused = post(&world, DRIVER, "/events/batch", KEY, &json!([{}])).await;
    assert_eq!(refused.failure().0, 400);
    assert_eq!(register(&world).await.status, StatusCode::CREATED, "mended, it is a new request");
    assert_eq!(post(&world, DRIVER, "/events/batch", KEY, &batch()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_bad_key_is_refused_by_the_name_of_its_header() {
    let world = World::new().await;
    let too_long = "k".repeat(256);
    for (keys, code) in [
        (&[""] as &[&str], "too_short"),
        (&["\"\""], "too_short"),
        (&["two words"], "malformed"),
        (&[&too_long], "too_long"),
        (&["one", "two"], "not_allowed"),
        (&["one", "one"], "not_allowed"),
    ] {
        for path in ["/shipments", "/events/batch"] {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
            let answer = world.post_with(CLIENT, path, &headers, registration().to_string()).await;
            assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()), "{keys:?}");
            assert_eq!(answer.fields(), [("Idempotency-Key".to_owned(), code.to_owned())], "{keys:?}");
        }
    }
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn of_many_who_send_at_once_one_is_first_and_nobody_makes_a_second_shipment() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let edges = [0; 16].map(|_| Arc::new(world.replica(|_| ())));
    world.bearer(CLIENT).await;
    let racers = edges.map(|edge| tokio::spawn(async move { register(&edge).await }));
    let mut made = Vec::new();
    for racer in racers {
        let answer = racer.await.expect("no panic");
        match answer.status {
            StatusCode::CREATED => made.push(answer),
            _ => assert_eq!(answer.failure(), (409, "IDEMPOTENCY_KEY_IN_USE".to_owned())),
        }
    }
    let first = made.iter().find(|answer| answer.header(REPLAYED).is_none()).expect("one is first");
    assert_eq!(made.iter().filter(|answer| answer.header(REPLAYED).is_none()).count(), 1);
    assert_replay(&register(&world).await, first);
    assert!(made.iter().all(|answer| essence(answer) == essence(first)));
    assert_eq!(world.records().len(), 1);
}

#[tokio::test]
async fn without_a_place_for_keys_a_request_with_one_is_put_off_and_one_without_is_not() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    world.keys.set_away(true);
    for (user, path, body) in [(CLIENT, "/shipments", registration()), (DRIVER, "/events/batch", batch())] {
        let answer = post(&world, user, path, KEY, &body).await;
        assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()), "{path}");
        assert!(answer.header("retry-after").is_some() && answer.text.contains("nothing was done"), "{}", answer.text);
        assert!(!answer.text.contains("told to be away"), "what the store said is not for the caller");
    }
    assert_eq!(world.records(), []);
    assert_eq!(world.post(DRIVER, "/events/batch", &batch()).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.post(CLIENT, "/shipments", &registration()).await.status, StatusCode::CREATED);
    world.keys.set_away(false);
    assert_eq!(register(&world).await.status, StatusCode::CREATED, "nothing of the key was left behind");
}

thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A clock that [`pass`] sets forward, for the test of its thread.
pub(crate) fn clock() -> Timestamp {
    now().plus(PASSED.get())
}

/// Sets the clock to so long after the beginning of the test.
pub(crate) fn pass(duration: Duration) {
    PASSED.set(duration);
}

// contract: "`Idempotency-Key` header: scoped"
#[tokio::test]
async fn a_key_is_remembered_for_a_day_and_no_longer() {
    assert_eq!(REMEMBERED.as_secs(), 24 * 60 * 60);
    pass(Duration::ZERO);
    let world = World::at(clock).await;
    let _processor = world.processor(Announce::Yes);
    let first = register(&world).await;
    // A token lives as long as a key.
    let send_again = async || {
        let request = Request::post("/shipments")
            .header(header::AUTHORIZATION, format!("Bearer {}", world.token(CLIENT, "password123").await))
            .header("content-type", "application/json")
            .header("idempotency-key", KEY);
        world.send(request.body(Body::from(registration().to_string())).expect("well-formed")).await
    };
    pass(REMEMBERED - Duration::from_millis(1));
    assert_replay(&send_again().await, &first);
    pass(REMEMBERED);
    let second = send_again().await;
    assert_eq!((second.status, second.header(REPLAYED)), (StatusCode::CREATED, None));
    assert_ne!(second.json()["tracking_number"], first.json()["tracking_number"]);
    assert_replay(&send_again().await, &second);
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_keep_is_made_anew() {
    let world = World::new().await;
    let flood: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("f{n}"), Value::Null)).collect();
    let mut events = vec![Value::Object(flood); 19];
    events.push(report("99M-ABC12345", "picked_up", 0));
    let first = post(&world, DRIVER, "/events/batch", KEY, &json!(events)).await;
    assert_eq!((first.status, &first.json()["queued"]), (StatusCode::ACCEPTED, &json!(1)));
    assert!(first.text.len() > 1024 * 1024, "{} bytes", first.text.len());
    world.process().await;
    let again = post(&world, DRIVER, "/events/batch", KEY, &json!(events)).await;
    assert_eq!((again.status, again.header(REPLAYED)), (StatusCode::ACCEPTED, None));
    assert_eq!(again.json()["duplicates"], 1, "the event is known without the key");
    assert_eq!(post(&world, DRIVER, "/events/batch", KEY, &batch()).await.failure().0, 422, "the key is");
}

#[tokio::test]
async fn what_comes_of_keys_is_counted() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    register(&world).await;
    register(&world).await;
    post(&world, CLIENT, "/shipments", KEY, &Value::Null).await;
    world.keys.set_away(true);
    register(&world).await;
    world.post(CLIENT, "/shipments", &registration()).await;
    let text = world.registry.text().expect("encodes");
    for (result, count) in [
        ("started", 1),
        ("replayed", 1),
        ("reused", 1),
        ("unavailable", 1),
        ("in_use", 0),
        ("taken_over", 0),
        ("not_kept", 0),
    ] {
        let line = format!("shipping_idempotency_total{{result=\"{result}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
