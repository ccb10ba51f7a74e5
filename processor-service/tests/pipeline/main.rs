//! What the pipeline promises, on the memory adapters.

mod faults;
mod field;
mod metrics;
mod parking;
mod port;
mod rebuilds;
mod redriven;
mod rollback;
mod storm;
mod world;

use shared::event_log::{EventAppender, NewRecord, Topic};
use shared::shipment::{Outcome, RejectReason, Status};

use crate::world::{World, changed, created, number, reported, sent_by_client, whole_life};

// contract: "one record for each applied change"
#[tokio::test]
async fn a_parcel_walks_from_created_to_delivered() {
    let (world, life) = (World::new(), whole_life(number(1)));
    world.apply(&life).await;

    let shipment = world.shipment(number(1)).await;
    assert_eq!((shipment.state.current_status, shipment.state.version), (Status::Delivered, 5));
    assert_eq!(world.history(number(1)).await, ["created", "picked_up", "in_warehouse", "in_transit", "delivered"]);
    let row = world.row(&life[2]).await;
    assert_eq!((row.outcome, row.from, row.to), (Outcome::Applied, Some(Status::PickedUp), Some(Status::InWarehouse)));
    assert_eq!((row.version, row.shipment_client_id.as_deref()), (Some(3), Some("client_001")));

    let expected: Vec<_> = life.iter().map(|event| event.event_id().to_string()).collect();
    assert_eq!(world.changes(), expected, "one change for each applied event, in order");
    use shared::dedup_window::DedupWindow;
    let remembered = world.window.look_up(&[life[1].dedup_key()]).await.expect("reachable");
    assert_eq!(remembered, [Some((life[1].event_id(), Outcome::Applied))]);
}

// contract: "Same key, same payload: `duplicate`"
// contract: "Same key, other payload"
// contract: "it is not applied, never dropped silently"
// contract: "A conflict that is sent again"
#[tokio::test]
async fn the_same_event_counts_once_and_another_payload_under_its_key_is_a_conflict() {
    let world = World::new();
    let first = reported(number(1), "picked_up", 1);
    let other = reported(number(1), "cancelled", 1);
    // The second round comes in a later batch: what the batch knows and what the store knows must agree.
    for _ in 0..2 {
        world.apply(&[created(number(1)), first.clone(), first.clone(), other.clone(), other.clone()]).await;
    }
    assert_eq!(world.history(number(1)).await, ["created", "picked_up"]);
    assert_eq!(world.row(&first).await.outcome, Outcome::Applied);
    let conflict = world.row(&other).await;
    assert_eq!((conflict.outcome, conflict.outcome_reason), (Outcome::Conflict, Some(RejectReason::KeyConflict)));
    let letters = world.log.records(Topic::DeadLetters);
    let classes: Vec<_> = letters.iter().filter_map(|letter| letter.header("dlq.error.class")).collect();
    assert_eq!(classes, ["KEY_CONFLICT"], "a conflict that is sent again is a duplicate of that conflict");
    assert_eq!(world.changes().len(), 2);
}

// contract: "then `SHIPMENT_NOT_FOUND`"
// contract: "These are the reasons of a `rejected` outcome"
#[tokio::test]
async fn events_are_judged_in_the_order_of_the_contract() {
    let world = World::new();
    let foreign = |minute| sent_by_client(reported(number(1), "picked_up", minute), "client_002");
    let own = sent_by_client(reported(number(1), "picked_up", 3), "client_001");
    let unknown = sent_by_client(reported(number(2), "picked_up", 1), "client_002");
    let impossible = reported(number(1), "delivered", 4);
    let scan = changed(number(1), "in_transit", 5, |body| {
        body["status"] = serde_json::Value::Null;
        body["kind"] = "delivery_attempt_failed".into();
        body["reason"] = "recipient_absent".into();
    });
    let events = [created(number(1)), foreign(2), own, unknown.clone(), impossible.clone(), scan.clone()];
    world.apply(&events).await;

    let rejected = async |event| {
        let row = world.row(event).await;
        assert_eq!(row.outcome, Outcome::Rejected);
        row.outcome_reason
    };
    assert_eq!(rejected(&events[1]).await, Some(RejectReason::Forbidden));
    assert_eq!(rejected(&unknown).await, Some(RejectReason::ShipmentNotFound));
    assert_eq!(rejected(&impossible).await, Some(RejectReason::InvalidTransition));
    assert_eq!(world.row(&scan).await.outcome, Outcome::Recorded);
    let state = world.shipment(number(1)).await.state;
    assert_eq!((state.current_status, state.attempts), (Status::PickedUp, 1));
    assert_eq!(world.history(number(1)).await, ["created", "picked_up", "delivery_attempt_failed"]);
    assert_eq!(world.changes().len(), 2, "a recorded scan moved nothing");
}

// contract: "dead letters: original key, value"
// contract: "and `shipping_event_end_to_end_seconds`"
#[tokio::test]
async fn poison_goes_to_the_dead_letters_byte_for_byte_and_the_lane_goes_on() {
    let world = World::new();
    let running = world.start();
    let life = whole_life(number(1));
    let key = bytes::Bytes::copy_from_slice(number(1).as_str().as_bytes());
    let mut poison = shared::shipment::record::encode(&life[1], None);
    poison.value = Some(bytes::Bytes::from_static(b"\xff\x00{not json"));
    poison.timestamp = Some(1_234_567);
    let nameless = NewRecord { key: Some(key), partition: None, value: None, headers: Vec::new(), timestamp: None };
    let first = world.append_events(&life[..1]).await;
    let poisoned = world.append(vec![poison.clone(), nameless]).await;
    let rest = world.append_events(&life[1..]).await;
    world.settled(&[first, poisoned.clone(), rest].concat()).await;
    let registry = running.registry.clone();
    running.stop().await;
    let metrics = registry.text().expect("encodes");
    assert!(metrics.contains("shipping_dead_letters_total{reason=\"NO_JSON\"} 1"), "{metrics}");

    assert_eq!(world.shipment(number(1)).await.state.current_status, Status::Delivered);
    let letters = world.log.records(Topic::DeadLetters);
    assert_eq!(letters.len(), 2);
    let letter = &letters[0];
    assert_eq!((&letter.key, &letter.value, letter.timestamp), (&poison.key, &poison.value, 1_234_567));
    assert_eq!(letter.position.partition, poisoned[0].partition, "it stays on its partition");
    assert_eq!(letter.headers[..poison.headers.len()], poison.headers);
    assert_eq!(letter.header("dlq.error.class"), Some("NO_JSON"));
    assert_eq!(letter.header("dlq.topic"), Some("shipments.events"));
    assert_eq!(letter.header("dlq.offset"), Some(poisoned[0].offset.to_string().as_str()));
    assert_eq!(letter.header("dlq.attempts"), Some("1"));
    assert_eq!(letters[1].header("dlq.error.class"), Some("NO_VALUE"));
}

#[tokio::test]
async fn a_stopped_processor_has_committed_what_it_applied_and_the_next_one_goes_on() {
    let world = World::new();
    let life = whole_life(number(1));
    world.apply(&life[..3]).await;
    let end = world.log.end_of(Topic::Events, number(1).as_str().as_bytes()).await.expect("reachable");
    assert_eq!(world.log.committed(end.partition), end.offset, "everything applied is committed");
    world.apply(&life[3..]).await;
    assert_eq!(world.history(number(1)).await.len(), 5);
    assert_eq!(world.changes().len(), 5, "nothing was published twice");
}
