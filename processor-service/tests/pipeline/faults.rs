//! What stays true when something breaks.

use shared::event_log::Topic;
use shared::shipment::{Outcome, RejectReason, Status};
use shared::shipment_store::EventRow;

use crate::world::{Running, World, created, number, reported, whole_life};

/// Waits until the lane has met this failure so often: then it has counted it.
async fn has_met(running: &Running, reason: &str, times: u32) {
    let counter = format!("shipping_events_errors_total{{reason=\"{reason}\"}} ");
    let counted = || {
        let text = running.registry.text().expect("encodes");
        text.lines().find_map(|line| line.strip_prefix(&counter)?.parse().ok()).unwrap_or(0)
    };
    let met = async {
        while counted() < times {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, met).await.expect("the lane tries");
}

// contract: "`shipping_http_requests_total{method,url,code}`"
#[tokio::test]
async fn a_store_that_is_away_delays_events_and_loses_none() {
    let world = World::new();
    world.store.set_away(true);
    let running = world.start();
    let life = whole_life(number(1));
    let positions = world.append_events(&life).await;
    has_met(&running, "store_unavailable", 1).await;
    assert!(world.store.all_rows().is_empty());
    world.store.set_away(false);
    world.settled(&positions).await;
    running.stop().await;
    assert_eq!(world.shipment(number(1)).await.state.current_status, Status::Delivered);
    assert!(world.log.records(Topic::DeadLetters).is_empty(), "an outage dead-letters nothing");
}

// contract: "has exactly one final outcome"
#[tokio::test]
async fn a_write_that_happened_although_it_failed_counts_once() {
    for failing_writes in 1..=3 {
        let world = World::new();
        world.store.fail_after_write(failing_writes);
        let life = whole_life(number(1));
        world.apply(&life).await;
        assert_eq!(world.history(number(1)).await.len(), 5, "{failing_writes} failing writes");
        assert_eq!(world.store.all_rows().len(), 5);
        let expected: Vec<_> = life.iter().map(|event| event.event_id().to_string()).collect();
        assert_eq!(world.changes(), expected, "a change that was not published yet is published out of its row");
    }
}

// contract: "A shipment is judged by one policy for its whole life"
// contract: "a duplicate is never applied twice"
#[tokio::test]
async fn records_that_come_again_change_nothing() {
    let world = World::new();
    let life = whole_life(number(1));
    world.apply(&life).await;
    let (shipments, rows) = (world.store.all_shipments(), world.store.all_rows());
    let again = world.with_everything_else_lost();
    again.apply(&life).await;
    assert_eq!(again.store.all_shipments(), shipments);
    assert_eq!(again.store.all_rows(), rows);
    assert_eq!(again.changes().len(), 5, "changes are published at least once, also by who comes after a crash");
}

// contract: "what became of an accepted event"
#[tokio::test]
async fn what_the_store_refuses_is_dead_lettered_and_found_and_the_others_go_on() {
    let world = World::new();
    world.store.refuse(number(2));
    let (good, bad) = (whole_life(number(1)), whole_life(number(2)));
    let mixed: Vec<_> = good.iter().zip(&bad).flat_map(|(good, bad)| [good.clone(), bad.clone()]).collect();
    world.apply(&mixed).await;
    assert_eq!(world.shipment(number(1)).await.state.current_status, Status::Delivered);
    for event in &bad {
        let row = world.row(event).await;
        assert_eq!((row.outcome, row.outcome_reason), (Outcome::DeadLettered, Some(RejectReason::StoreRefused)));
    }
    let letters = world.log.records(Topic::DeadLetters);
    assert_eq!(letters.len(), bad.len());
    assert!(letters.iter().all(|letter| letter.header("dlq.error.class") == Some("STORE_REFUSED")));
}

// contract: "it is not applied, never dropped silently"
#[tokio::test]
async fn a_conflict_whose_dead_letter_was_not_taken_is_dead_lettered_when_its_batch_comes_again() {
    let world = World::new();
    let conflict = [reported(number(1), "picked_up", 1), reported(number(1), "cancelled", 1)];
    let events = [&[created(number(1))], &conflict[..], &[reported(number(1), "in_warehouse", 2)]].concat();
    let positions = world.append_events(&events).await;
    world.log.set_away(true);
    let running = world.start();
    has_met(&running, "log_unavailable", 1).await;
    world.log.set_away(false);
    world.settled(&positions).await;
    running.stop().await;
    assert_eq!(world.history(number(1)).await, ["created", "picked_up", "in_warehouse"]);
    let letters = world.log.records(Topic::DeadLetters);
    let classes: Vec<_> = letters.iter().filter_map(|letter| letter.header("dlq.error.class")).collect();
    assert_eq!(classes, ["KEY_CONFLICT"]);
}

#[tokio::test]
async fn a_dead_letter_is_written_once_however_often_its_batch_is_tried() {
    let world = World::new();
    world.store.set_states_away(true);
    let mut poison = shared::shipment::record::encode(&reported(number(1), "picked_up", 1), None);
    poison.value = None;
    let records = vec![shared::shipment::record::encode(&created(number(1)), None), poison];
    let positions = world.append(records).await;
    let running = world.start();
    has_met(&running, "store_unavailable", 3).await;
    world.store.set_states_away(false);
    world.settled(&positions).await;
    running.stop().await;
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 1);
    assert_eq!(world.history(number(1)).await, ["created"]);
}

// contract: "A conflict that is sent again"
#[tokio::test]
async fn what_the_store_refuses_comes_to_the_same_end_in_one_batch_and_in_several() {
    let (first, other) = (reported(number(1), "picked_up", 1), reported(number(1), "cancelled", 1));
    let events = [first.clone(), first.clone(), other.clone(), other.clone()];
    let [together, apart] = [World::new(), World::new()];
    for world in [&together, &apart] {
        world.store.refuse(number(1));
    }
    together.apply(&events).await;
    for event in &events {
        apart.apply(std::slice::from_ref(event)).await;
    }
    assert_eq!(together.store.all_rows(), apart.store.all_rows());
    let outcomes = (together.row(&first).await.outcome, together.row(&other).await.outcome);
    assert_eq!(
        outcomes,
        (Outcome::DeadLettered, Outcome::Conflict),
        "the conflict stands beside the first, not in its place"
    );
    for world in [&together, &apart] {
        assert_eq!(world.log.records(Topic::DeadLetters).len(), 2, "the same event again is a duplicate");
    }
}

#[tokio::test]
async fn what_follows_a_refused_event_is_judged_without_it_in_one_batch_and_in_several() {
    let (creation, first) = (created(number(1)), created(number(2)));
    let (after, step, jump) = (
        reported(number(1), "picked_up", 1),
        reported(number(2), "picked_up", 1),
        reported(number(2), "in_warehouse", 2),
    );
    let events = [creation.clone(), after.clone(), first, step.clone(), jump.clone()];
    let [together, apart] = [World::new(), World::new()];
    for world in [&together, &apart] {
        for refused in [&creation, &step] {
            world.store.refuse_event(refused.event_id());
        }
    }
    together.apply(&events).await;
    for event in &events {
        apart.apply(std::slice::from_ref(event)).await;
    }
    assert_eq!(together.store.all_rows(), apart.store.all_rows());
    assert_eq!(together.store.all_shipments(), apart.store.all_shipments());
    let found = |row: EventRow| (row.outcome, row.outcome_reason);
    assert_eq!(found(together.row(&creation).await), (Outcome::DeadLettered, Some(RejectReason::StoreRefused)));
    assert_eq!(found(together.row(&after).await), (Outcome::Rejected, Some(RejectReason::ShipmentNotFound)));
    assert_eq!(found(together.row(&step).await), (Outcome::DeadLettered, Some(RejectReason::StoreRefused)));
    assert_eq!(found(together.row(&jump).await), (Outcome::Rejected, Some(RejectReason::InvalidTransition)));
}

#[tokio::test]
async fn a_changes_topic_that_is_away_holds_the_lane_up_and_the_changes_come_out_of_the_rows() {
    let world = World::new();
    let life = whole_life(number(1));
    let positions = world.append_events(&life).await;
    world.log.set_away(true);
    let running = world.start();
    let written = async {
        while world.store.all_shipments().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, written).await.expect("the states are written first");
    assert!(world.changes().is_empty());
    assert!(positions.iter().all(|position| world.log.committed(position.partition) == 0), "nothing is committed");
    world.log.set_away(false);
    world.settled(&positions).await;
    running.stop().await;
    assert_eq!(world.changes().len(), 5);
}
