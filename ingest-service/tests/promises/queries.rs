//! What callers read.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment_store::memory::MemoryStore;
use shared::shipment_store::{ListBounds, ShipmentWriter, StateWrite, StoredShipment};

use crate::world::{ADMIN, Announce, CLIENT, DRIVER, OTHER_CLIENT, World, registration, report};

// contract: "Shipment answer: `tracking_number"
// contract: "200 shipment with `status_history`"
// contract: "times RFC 3339 in UTC with `Z`"
// contract: "Shipment body (`POST /shipments`), flat"
#[tokio::test]
async fn a_shipment_is_shown_as_the_contract_writes_it() {
    let world = World::new().await;
    let mut body = registration();
    body["reference"] = json!("PO-7");
    body["metadata"] = json!({"dock": "4"});
    let number = {
        let _processor = world.processor(Announce::Yes);
        let answer = world.post(CLIENT, "/shipments", &body).await;
        answer.json()["tracking_number"].as_str().expect("a number").to_owned()
    };
    let picked_up = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await.json();
    let mut failed = report(&number, "picked_up", 9);
    failed["status"] = Value::Null;
    failed["location"] = Value::Null;
    failed["kind"] = json!("delivery_attempt_failed");
    failed["place"] = json!("Puebla");
    failed["reason"] = json!("nobody_home");
    let failed = world.post(DRIVER, "/events", &failed).await.json();
    world.process().await;

    let shown = world.get(CLIENT, &format!("/shipments/{}", number.to_lowercase())).await;
    assert_eq!(shown.status, StatusCode::OK);
    let mut shown = shown.json();
    shown["status_history"][2]["event_id"].take();
    let scan = json!({"status": null, "kind": "delivery_attempt_failed", "moved": false,
        "timestamp": "2025-06-15T12:09:00Z", "recorded_at": "2025-06-15T15:06:40Z", "source": "driver_app",
        "location": null, "place": "Puebla", "reason": "nobody_home", "event_id": failed["event_id"]});
    let created = json!({"status": "created", "kind": null, "moved": true, "timestamp": "2025-06-15T15:06:40Z",
        "recorded_at": "2025-06-15T15:06:40Z", "source": "api", "location": null, "event_id": null});
    let expected = json!({
        "tracking_number": number, "client_id": "client_001", "current_status": "picked_up",
        "origin": {"address": "Calle 5 #123, Ciudad de México", "coordinates": {"lat": 19.4326, "lng": -99.1332}},
        "destination": {"address": "Avenida Paseo #456, Puebla", "coordinates": {"lat": 19.0327, "lng": -98.2064}},
        "package": {"weight_kg": 5.5, "dimensions": {"length": 30.0, "width": 20.0, "height": 15.0},
            "content_description": "Electronics"},
        "service_type": "standard", "estimated_delivery": "2025-06-20T15:06:40Z",
        "created_at": "2025-06-15T15:06:40Z", "updated_at": "2025-06-15T15:06:40Z", "version": 3,
        "transition_policy": "strict", "last_scan": scan, "attempts": 1, "exception": null,
        "reference": "PO-7", "metadata": {"dock": "4"}, "history_truncated": 0,
        "status_history": [
            {"status": "picked_up", "kind": null, "moved": true, "timestamp": "2025-06-15T12:00:00Z",
                "recorded_at": "2025-06-15T15:06:40Z", "source": "driver_app",
                "location": {"lat": 19.4, "lng": -99.1}, "event_id": picked_up["event_id"]},
            scan,
            created,
        ],
    });
    assert_eq!(shown, expected);
}

// contract: "[…without history]"
#[tokio::test]
async fn pages_hold_every_shipment_once_by_offset_and_by_cursor() {
    let world = World::new().await;
    for _ in 0..7 {
        world.shipment("client_001").await;
    }
    let numbers = |page: &Value| {
        page["data"]
            .as_array()
            .expect("a page")
            .iter()
            .map(|shipment| shipment["tracking_number"].clone())
            .collect::<Vec<_>>()
    };
    let all = world.get(CLIENT, "/shipments").await.json();
    assert_eq!(
        all["pagination"],
        json!({"total": 7, "total_is_exact": true, "limit": 10, "offset": 0, "has_next": false, "next_cursor": null})
    );
    assert!(all["data"][0].get("status_history").is_none());
    assert_eq!(all["data"][0]["current_status"], "created");

    let (mut by_offset, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), String::new());
    for page in 0..3 {
        let path = format!("/shipments?limit=3&offset={}", page * 3);
        by_offset.extend(numbers(&world.get(CLIENT, &path).await.json()));
        let answer = world.get(CLIENT, &format!("/shipments?limit=3&cursor={cursor}")).await;
        let page = answer.json();
        let link = page["pagination"]["next_cursor"]
            .as_str()
            .map(|next| format!("</shipments?limit=3&cursor={next}>; rel=\"next\""));
        assert_eq!(answer.header("link"), link.as_deref());
        by_cursor.extend(numbers(&page));
        cursor = page["pagination"]["next_cursor"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!((by_offset, by_cursor, cursor.as_str()), (numbers(&all), numbers(&all), ""));
}

#[tokio::test]
async fn a_page_may_be_short_and_a_total_a_lower_bound_and_the_walk_goes_on() {
    let world = World::new().await;
    for _ in 0..9 {
        world.shipment("client_001").await;
    }
    let bounds = ListBounds { page: 2, total: 3, counted: 4, sorted: 1 };
    let bounded = Arc::new(MemoryStore::within(bounds));
    for StoredShipment { created, state } in world.store.all_shipments() {
        let write = StateWrite {
            tracking_number: created.tracking_number,
            created: Some(Arc::new(created)),
            state,
            parking: None,
        };
        bounded.write_states(&[write]).await.expect("in memory");
    }
    let world = World::with(|ports| ports.store = bounded).await;
    let everything = world.get(CLIENT, "/shipments").await.json();
    assert_eq!(
        (&everything["pagination"]["total"], &everything["pagination"]["total_is_exact"]),
        (&json!(9), &json!(true))
    );
    let first = world.get(CLIENT, "/shipments?limit=1").await.json();
    assert_eq!((&first["pagination"]["total"], &first["pagination"]["total_is_exact"]), (&json!(4), &json!(false)));

    let (mut found, mut pages, mut query) = (0, 0, "status=created&limit=5".to_owned());
    loop {
        let answer = world.get(CLIENT, &format!("/shipments?{query}")).await;
        let page = answer.json();
        let about = &page["pagination"];
        (found, pages) = (found + page["data"].as_array().expect("a page").len(), pages + 1);
        assert_eq!(about["has_next"], json!(answer.header("link").is_some()), "{about}");
        let Some(cursor) = about["next_cursor"].as_str() else { break };
        assert_eq!((&about["total"], &about["total_is_exact"]), (&json!(3), &json!(false)), "{about}");
        query = format!("status=created&limit=5&cursor={cursor}");
    }
    assert_eq!((found, pages), (9, 5), "two to a page");
    let none = world.get(CLIENT, "/shipments?status=delivered").await.json();
    assert_eq!(
        (&none["data"], &none["pagination"]["has_next"]),
        (&json!([]), &json!(true)),
        "not here; perhaps behind"
    );
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused_by_name() {
    let world = World::new().await;
    for client in ["client_001", "client_001", "client_002", "client_002"] {
        world.shipment(client).await;
    }
    let page = world.get(CLIENT, "/shipments?limit=1").await.json();
    let cursor = page["pagination"]["next_cursor"].as_str().expect("another page").to_owned();
    for (user, path) in [
        (CLIENT, format!("/shipments?status=created&cursor={cursor}")),
        (OTHER_CLIENT, format!("/shipments?cursor={cursor}")),
        (ADMIN, format!("/shipments?cursor={cursor}")),
        (CLIENT, "/shipments?cursor=bm9uc2Vuc2U".to_owned()),
    ] {
        let answer = world.get(user, &path).await;
        assert_eq!(answer.fields(), [("cursor".to_owned(), "malformed".to_owned())], "{path}");
    }
}

// contract: "`?status&client_id&service_type&search"
#[tokio::test]
async fn filters_hold_all_at_once() {
    let world = World::new().await;
    let first = world.shipment("client_001").await;
    world.shipment("client_001").await;
    world.shipment("client_002").await;
    world.post(DRIVER, "/events", &report(&first, "picked_up", 0)).await;
    world.process().await;
    for (query, expected) in [
        ("", 3),
        ("?status=picked_up", 1),
        ("?status=created", 2),
        ("?client_id=client_001", 2),
        ("?client_id=client_001&status=created", 1),
        ("?client_id=nobody", 0),
        ("?service_type=standard", 3),
        ("?service_type=same_day", 0),
        ("?search=99m-", 3),
        ("?created_from=2025-06-15T15:06:40Z", 3),
        ("?created_to=2025-06-15T15:06:40Z", 0),
        ("?created_from=2025-06-15T15:06:41Z", 0),
        ("?limit=1000", 3),
    ] {
        let page = world.get(ADMIN, &format!("/shipments{query}")).await.json();
        assert_eq!(page["pagination"]["total"], expected, "{query}");
    }
    let found = world.get(ADMIN, &format!("/shipments?search={first}")).await.json();
    assert_eq!((&found["pagination"]["total"], &found["data"][0]["tracking_number"]), (&json!(1), &json!(first)));
}

// contract: "`GET /events/{event_id}` | 200"
#[tokio::test]
async fn the_outcome_of_an_event_can_be_looked_up() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let posted = world.post(DRIVER, "/events", &report(&number, "delivered", 0)).await;
    let path = posted.header("location").expect("a location").to_owned();
    let queued = world.get(ADMIN, &path).await.json();
    assert_eq!((&queued["outcome"], &queued["tracking_number"]), (&json!("queued"), &json!(number)));
    world.process().await;
    let decided = world.get(ADMIN, &path).await.json();
    let record =
        world.records().into_iter().find(|record| record.header("ce_id") == posted.json()["event_id"].as_str());
    let position = record.expect("it is in the log").position;
    let expected = json!({"event_id": posted.json()["event_id"], "tracking_number": number, "outcome": "rejected",
        "reason": "INVALID_TRANSITION", "from": "created", "to": "delivered", "timestamp": "2025-06-15T12:00:00Z",
        "recorded_at": "2025-06-15T15:06:40Z", "partition": position.partition, "offset": position.offset});
    assert_eq!(decided, expected);
}

// contract: "it is not applied, never dropped silently"
#[tokio::test]
async fn a_conflict_and_the_event_that_it_conflicts_with_are_told_apart() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let first = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    let second = world.post(DRIVER, "/events", &report(&number, "cancelled", 0)).await;
    world.process().await;
    for (posted, outcome, reason) in [(first, "applied", Value::Null), (second, "conflict", json!("KEY_CONFLICT"))] {
        let shown = world.get(CLIENT, posted.header("location").expect("a location")).await.json();
        assert_eq!((&shown["outcome"], &shown["reason"]), (&json!(outcome), &reason));
    }
}

// contract: "`GET /events/{event_id}` | 404"
#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_sent_is_404_as_soon_as_the_log_is_decided() {
    let world = World::new().await;
    let nobody_s = "/events/evt_ABC12345_0000000000000000000000";
    assert_eq!(world.get(ADMIN, nobody_s).await.failure().0, 404, "the log is empty");
    world.post(DRIVER, "/events", &report("99M-ABC12345", "picked_up", 0)).await;
    let perhaps = world.get(ADMIN, nobody_s).await;
    assert_eq!(perhaps.json()["outcome"], "queued", "it might be the record that is not decided yet");
    world.process().await;
    assert_eq!(world.get(ADMIN, nobody_s).await.failure().0, 404);
}
