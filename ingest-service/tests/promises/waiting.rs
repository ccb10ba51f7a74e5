//! `Prefer: wait`: the outcome, when it is known in time and a GET shows it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment::{EventId, LogPosition, Outcome};
use shared::shipment_store::{EventRow, RowPosition, ShipmentReader, ShipmentWriter};

use crate::world::{ADMIN, Announce, CLIENT, DRIVER, OTHER_CLIENT, World, report};

async fn outcomes(announce: Announce) {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(announce);

    let picked_up = world.post_and_wait(DRIVER, &report(&number, "picked_up", 0)).await;
    assert_eq!((picked_up.status, &picked_up.json()["status"]), (StatusCode::OK, &json!("applied")));
    assert_eq!(picked_up.header("preference-applied"), Some("wait=5"));
    let shown = world.get(ADMIN, &format!("/shipments/{number}")).await.json();
    assert_eq!(shown["current_status"], "picked_up", "what was answered for is shown");

    let mut scan = report(&number, "picked_up", 1);
    scan["status"] = Value::Null;
    scan["kind"] = json!("customs");
    let scan = world.post_and_wait(DRIVER, &scan).await;
    assert_eq!((scan.status, &scan.json()["status"]), (StatusCode::OK, &json!("recorded")));

    let rejected = world.post_and_wait(DRIVER, &report(&number, "delivered", 2)).await;
    assert_eq!(rejected.failure(), (409, "INVALID_TRANSITION".to_owned()));
    assert_eq!(rejected.json()["message"], "Cannot transition from 'picked_up' to 'delivered'");
    assert_eq!((&rejected.json()["outcome"], &rejected.json()["from"]), (&json!("rejected"), &json!("picked_up")));
    assert_eq!(rejected.header("content-type"), Some("application/problem+json"));

    let conflict = world.post_and_wait(DRIVER, &report(&number, "cancelled", 0)).await;
    assert_eq!(conflict.failure(), (409, "KEY_CONFLICT".to_owned()));

    let nowhere = world.post_and_wait(DRIVER, &report("99M-ZZZZZZZZ", "picked_up", 0)).await;
    assert_eq!(nowhere.failure(), (409, "SHIPMENT_NOT_FOUND".to_owned()));

    let foreign = world.post_and_wait(OTHER_CLIENT, &report(&number, "in_warehouse", 3)).await;
    assert_eq!(foreign.failure(), (409, "FORBIDDEN".to_owned()));
    assert_eq!(foreign.json()["from"], Value::Null, "another client's status is not told: {}", foreign.text);
    let foreign = world.post_and_wait(OTHER_CLIENT, &report(&number, "delivered", 0)).await;
    assert_eq!(foreign.failure(), (409, "KEY_CONFLICT".to_owned()));
    assert_eq!(foreign.json()["from"], Value::Null, "nor in a conflict");
}

// contract: "the final outcome within N s"
// contract: "then `FORBIDDEN`"
#[tokio::test]
async fn every_outcome_is_told_to_who_waits_for_it() {
    outcomes(Announce::Yes).await;
}

#[tokio::test]
async fn every_outcome_is_told_when_all_notices_are_lost() {
    outcomes(Announce::No).await;
}

// contract: "A conflict that is sent again"
// contract: "the final outcome within N s"
#[tokio::test]
async fn a_duplicate_that_went_through_the_log_is_told_too() {
    // A window that nobody ever writes to: as if it had been emptied.
    let empty = Arc::new(shared::dedup_window::memory::MemoryWindow::new(Duration::ZERO));
    let world = World::with(|ports| ports.window = empty).await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(Announce::Yes);
    let event = report(&number, "picked_up", 0);
    assert_eq!(world.post_and_wait(DRIVER, &event).await.json()["status"], "applied");
    let again = world.post_and_wait(DRIVER, &event).await;
    assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("duplicate")));
    let conflict = report(&number, "cancelled", 0);
    assert_eq!(world.post_and_wait(DRIVER, &conflict).await.failure().0, 409);
    let again = world.post_and_wait(DRIVER, &conflict).await;
    assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("duplicate")), "of that conflict");
}

// contract: "`POST /events` | otherwise 202"
// contract: "the final outcome within N s"
#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_answered_202() {
    let world = World::new().await;
    let before = tokio::time::Instant::now();
    let answer = world.post_and_wait(DRIVER, &report("99M-ABC12345", "picked_up", 0)).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::ACCEPTED, &json!("queued")));
    assert_eq!(before.elapsed().as_secs(), 5);
    assert!(answer.header("location").is_some());
    world.store.set_away(true);
    let answer = world.post_and_wait(DRIVER, &report("99M-ABC12345", "picked_up", 1)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "a store that is away does not unmake what the log holds");
    assert_eq!(world.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_preference_that_cannot_be_understood_is_ignored() {
    let world = World::new().await;
    for preference in ["wait=soon", "respond-async", "wait"] {
        let headers = [("content-type", "application/json"), ("prefer", preference)];
        let body = report("99M-ABC12345", "picked_up", 0).to_string();
        let answer = world.post_with(DRIVER, "/events", &headers, body).await;
        assert_eq!((answer.status, answer.header("preference-applied")), (StatusCode::ACCEPTED, None), "{preference}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_without_its_state_is_not_an_answer_yet() {
    let world = Arc::new(World::new().await);
    let number = world.shipment("client_001").await;
    let waiting = {
        let (world, event) = (world.clone(), report(&number, "picked_up", 0));
        tokio::spawn(async move { world.post_and_wait(DRIVER, &event).await })
    };
    let accepted = async {
        loop {
            if let Some(record) = world.records().into_iter().find(|record| record.position.offset == 1) {
                break record;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // The processor writes the row, and dies before it writes the state.
    let record = accepted.await;
    let id: EventId = record.header("ce_id").expect("an id").parse().expect("well-formed");
    let event = shared::shipment::record::decode(&record).ok().and_then(|said| said.event()).expect("an event");
    let row = EventRow {
        event_id: id,
        position: RowPosition {
            log: LogPosition { epoch: 0, offset: record.position.offset },
            partition: record.position.partition,
        },
        released_at: None,
        refused_at: None,
        outcome: Outcome::Applied,
        outcome_reason: None,
        from: None,
        to: None,
        late: false,
        report: event.report(),
        recorded_at: event.recorded_at(),
        reporter: None,
        shipment_client_id: None,
        version: None,
    };
    let inserted = world.store.insert_events(&[row]).await.expect("in memory");
    assert_eq!(inserted, shared::shipment_store::Inserted::All);
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::ACCEPTED, &json!("queued")));
    let shown = ShipmentReader::shipment(&*world.store, number.parse().expect("well-formed")).await.expect("in memory");
    assert_eq!(shown.expect("registered").state.version, 1);

    // Nor is it one to a caller who looks it up, whether or not with the position of the event.
    let (path, at) = (format!("/events/{id}"), format!("{}:{}", record.position.partition, record.position.offset));
    let looked_up = world.get(ADMIN, &path).await;
    assert_eq!((looked_up.status, &looked_up.json()["outcome"]), (StatusCode::OK, &json!("queued")));
    let waited = world.get_with(ADMIN, &path, &[("tracking-position", &at)]).await;
    assert_eq!(
        (waited.header("tracking-position-applied"), &waited.json()["outcome"]),
        (Some("false"), &json!("queued"))
    );

    // The next processor writes the state. Nobody is told of it.
    let _processor = world.processor(Announce::No);
    let waited = world.get_with(ADMIN, &path, &[("tracking-position", &at)]).await;
    assert_eq!(
        (waited.header("tracking-position-applied"), &waited.json()["outcome"]),
        (Some("true"), &json!("applied"))
    );
    let shown = world.get(ADMIN, &format!("/shipments/{number}")).await.json();
    assert_eq!(shown["current_status"], "picked_up");
}

#[tokio::test]
async fn a_client_may_report_about_its_own_shipment() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(Announce::Yes);
    let answer = world.post_and_wait(CLIENT, &report(&number, "picked_up", 0)).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("applied")));
}
