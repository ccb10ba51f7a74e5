//! `GET /shipments/{tracking_number}/events`.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::event_log::{EventAppender, LogRecord, NewRecord, Topic};

use crate::world::{ADMIN, Announce, CLIENT, DRIVER, OTHER_CLIENT, World, registration, report};

async fn events(world: &World, user: &str, number: &str) -> Vec<Value> {
    let answer = world.get(user, &format!("/shipments/{number}/events?limit=100")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["data"].as_array().expect("a page").clone()
}

// contract: "every event about it with its outcome, in log order"
#[tokio::test]
async fn every_event_is_shown_with_its_outcome_in_log_order() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let mut scan = report(&number, "picked_up", 3);
    scan["status"] = Value::Null;
    scan["kind"] = json!("exception");
    for (name, value) in
        [("place", "Hub 7"), ("code", "X-1"), ("reason", "wet"), ("notes", "soaked"), ("source_event_id", "A/1")]
    {
        scan[name] = json!(value);
    }
    let sent =
        [report(&number, "picked_up", 9), report(&number, "delivered", 1), report(&number, "cancelled", 9), scan];
    let mut ids = Vec::new();
    for event in &sent {
        ids.push(world.post(DRIVER, "/events", event).await.json()["event_id"].clone());
    }
    world.post(DRIVER, "/events", &sent[0]).await; // a duplicate is not stored twice
    world.process().await;

    let shown = events(&world, ADMIN, &number).await;
    let told = |event: &Value| [&event["outcome"], &event["reason"], &event["from"], &event["to"]].map(Clone::clone);
    let outcomes: Vec<_> = shown.iter().map(told).collect();
    assert_eq!(
        outcomes,
        [
            ["applied".into(), Value::Null, Value::Null, "created".into()],
            ["applied".into(), Value::Null, "created".into(), "picked_up".into()],
            ["rejected".into(), "INVALID_TRANSITION".into(), "picked_up".into(), "delivered".into()],
            ["conflict".into(), "KEY_CONFLICT".into(), "picked_up".into(), "cancelled".into()],
            ["recorded".into(), Value::Null, "picked_up".into(), "picked_up".into()],
        ]
    );
    assert_eq!(shown[1..].iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>(), ids);
    assert_eq!((&shown[0]["source"], &shown[0]["status"]), (&json!("api"), &json!("created")), "its registration");
    let offsets: Vec<_> = shown.iter().map(|event| event["offset"].as_i64().expect("an offset")).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
    let expected = json!({
        "event_id": ids[3], "outcome": "recorded", "reason": null, "from": "picked_up", "to": "picked_up",
        "status": null, "kind": "exception", "timestamp": "2025-06-15T12:03:00Z",
        "recorded_at": "2025-06-15T15:06:40Z", "source": "driver_app", "location": {"lat": 19.4, "lng": -99.1},
        "place": "Hub 7", "code": "X-1", "reported_reason": "wet", "notes": "soaked", "source_event_id": "A/1",
        "reporter": {"sub": DRIVER, "role": "source"}, "partition": shown[0]["partition"], "offset": offsets[4],
    });
    assert_eq!(shown[4], expected);
    let mut without_reporter = expected;
    without_reporter.as_object_mut().expect("an object").remove("reporter");
    let owners = events(&world, CLIENT, &number).await;
    assert_eq!(owners[4], without_reporter, "a client is not told who of another house scanned");
    assert!(owners[1].get("place").is_none() && owners[1].get("reported_reason").is_none(), "{}", owners[1]);
}

#[tokio::test]
async fn a_scan_that_came_late_says_so_and_one_of_a_carrier_keeps_its_words() {
    let world = World::new().await;
    let mut body = registration();
    body["client_id"] = json!("client_001");
    body["transition_policy"] = json!("field");
    let processor = world.processor(Announce::Yes);
    let registered = world.post(ADMIN, "/shipments", &body).await;
    drop(processor);
    let number = registered.json()["tracking_number"].as_str().expect("a number").to_owned();
    world.post(DRIVER, "/events", &report(&number, "delivered", 9)).await;
    world.post(DRIVER, "/events", &report(&number, "picked_up", 1)).await;
    let scan =
        json!({"tracking_number": number, "code": "BDE/01", "text": "Objeto entregue", "time": "2025-06-14 12:04"});
    for user in [DRIVER, OTHER_CLIENT] {
        let answer = world.post(user, "/carriers/correios_br/events", &scan).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    world.process().await;
    let shown = events(&world, CLIENT, &number).await;
    let late: Vec<_> = shown.iter().map(|event| event.get("late").cloned()).collect();
    assert_eq!(late, [None, None, Some(json!(true)), Some(json!(true))], "only a late one has the member");
    assert_eq!(shown[3]["carrier"]["text"], "Objeto entregue");
    assert!(shown[2].get("carrier").is_none(), "{}", shown[2]);
}

// contract: "`GET /shipments/{tracking_number}/events` | `?limit&cursor`"
// contract: "the whole is in `GET /shipments/{n}/events`"
#[tokio::test]
async fn pages_hold_every_event_once_and_link_to_the_next() {
    let world = World::new().await;
    let (number, other) = (world.shipment("client_001").await, world.shipment("client_001").await);
    for minute in 0..12 {
        world.post(DRIVER, "/events", &report(&number, "in_transit", minute)).await;
        world.post(DRIVER, "/events", &report(&other, "in_transit", minute)).await;
    }
    world.process().await;
    let all = events(&world, CLIENT, &number).await;
    assert_eq!(all.len(), 13);

    let first = world.get(CLIENT, &format!("/shipments/{number}/events")).await.json();
    assert_eq!(first["pagination"]["limit"], 10, "as for lists");
    assert_eq!(first["data"].as_array().map(Vec::as_slice), Some(&all[..10]));
    let (mut walked, mut path) = (Vec::new(), format!("/v1/shipments/{number}/events?limit=5"));
    loop {
        let page = world.get(CLIENT, &path).await;
        walked.extend(page.json()["data"].as_array().expect("a page").clone());
        let pagination = page.json()["pagination"].clone();
        let cursor = pagination["next_cursor"].as_str();
        assert_eq!(pagination["has_next"], json!(cursor.is_some()), "{pagination}");
        let Some(cursor) = cursor else {
            assert_eq!(page.header("link"), None);
            break;
        };
        let link = format!("</v1/shipments/{number}/events?limit=5&cursor={cursor}>; rel=\"next\"");
        assert_eq!(page.header("link"), Some(link.as_str()));
        path = format!("/v1/shipments/{number}/events?limit=5&cursor={cursor}");
        // What comes meanwhile stands behind.
        if walked.len() == 5 {
            world.post(DRIVER, "/events", &report(&number, "in_transit", 50)).await;
            world.process().await;
        }
    }
    assert_eq!(walked[..13], all);
    assert_eq!(walked.len(), 14);

    let cursor = first["pagination"]["next_cursor"].as_str().expect("another page");
    for (path, field) in [
        (format!("/shipments/{other}/events?cursor={cursor}"), "cursor"),
        (format!("/shipments?cursor={cursor}"), "cursor"),
        (format!("/shipments/{number}/events?limit=0"), "limit"),
        (format!("/shipments/{number}/events?limit=x"), "limit"),
        (format!("/shipments/{number}/events?status=created"), "status"),
        ("/shipments/parcel/events".to_owned(), "tracking_number"),
    ] {
        let answer = world.get(CLIENT, &path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.fields().first().map(|(field, _)| field.as_str()), Some(field), "{path}");
    }
    let many = world.get(CLIENT, &format!("/shipments/{number}/events?limit=5000")).await.json();
    assert_eq!(many["pagination"], json!({"limit": 100, "has_next": false, "next_cursor": null}));
}

#[tokio::test]
async fn an_owner_learns_that_another_client_s_event_was_refused_and_nothing_else_of_it() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    // No event id holds an L or a U.
    let foreign = |minute: u32| {
        let mut event = report(&number, "delivered", minute);
        for (name, value) in [
            ("source", "lulu_internal"),
            ("place", "Lulu yard"),
            ("code", "LULU-9"),
            ("reason", "lulu"),
            ("notes", "lulu secret"),
            ("source_event_id", "lulu-77"),
        ] {
            event[name] = json!(value);
        }
        event
    };
    let mut key_taken = report(&number, "picked_up", 7);
    key_taken["notes"] = json!("lulu secret");
    world.post(DRIVER, "/events", &report(&number, "picked_up", 7)).await;
    world.post(OTHER_CLIENT, "/events", &foreign(1)).await;
    world.post(OTHER_CLIENT, "/events", &key_taken).await;
    world.post(CLIENT, "/events", &report(&number, "delivered", 8)).await;
    world.process().await;

    let answer = world.get(CLIENT, &format!("/shipments/{number}/events")).await;
    assert!(!answer.text.to_lowercase().contains("lulu"), "{}", answer.text);
    assert!(!answer.text.contains(OTHER_CLIENT) && !answer.text.contains("client_002"), "{}", answer.text);
    let shown = answer.json();
    for (index, (outcome, reason)) in [(2, ("rejected", "FORBIDDEN")), (3, ("conflict", "KEY_CONFLICT"))] {
        let event = &shown["data"][index];
        assert_eq!((&event["outcome"], &event["reason"]), (&json!(outcome), &json!(reason)));
        for member in ["to", "status", "kind", "timestamp", "source", "location"] {
            assert_eq!(event[member], Value::Null, "{member}: {event}");
        }
        assert!(event["recorded_at"].is_string() && event["offset"].is_i64(), "{event}");
    }
    let own = &shown["data"][4];
    assert_eq!((&own["reason"], &own["source"]), (&json!("INVALID_TRANSITION"), &json!("driver_app")));
    assert_eq!(own["reporter"], json!({"sub": CLIENT, "role": "client", "client_id": "client_001"}), "its own user");
    let whole = events(&world, ADMIN, &number).await;
    assert_eq!((&whole[2]["notes"], &whole[2]["reporter"]["client_id"]), (&json!("lulu secret"), &json!("client_002")));
}

#[tokio::test]
async fn an_owner_sees_what_was_reported_before_the_shipment_was_there() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let number = elsewhere.shipment("client_001").await;
    world.post(DRIVER, "/events", &report(&number, "picked_up", 1)).await;
    world.post(OTHER_CLIENT, "/events", &report(&number, "picked_up", 2)).await;
    world.process().await;
    let path = format!("/shipments/{number}/events");
    assert_eq!(world.get(ADMIN, &path).await.failure().0, 404, "there is no shipment yet");

    // Its registration comes last, as in a log that was repaired.
    let LogRecord { key, value, headers, .. } = elsewhere.records().remove(0);
    let registration = NewRecord { key, partition: None, value, headers, timestamp: None };
    world.log.append(Topic::Events, vec![registration]).await.all().expect("in memory");
    world.process().await;
    let shown = events(&world, CLIENT, &number).await;
    let reasons: Vec<_> = shown.iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons, [json!("SHIPMENT_NOT_FOUND"), json!("SHIPMENT_NOT_FOUND"), Value::Null]);
    assert_eq!((&shown[0]["status"], &shown[0]["from"]), (&json!("picked_up"), &Value::Null));
    assert_eq!(shown[1]["status"], Value::Null, "another client's");
}
