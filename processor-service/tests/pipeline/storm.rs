//! A storm of dead letters.

use shared::event_log::{NewRecord, Position, Topic};
use shared::operator_log::{Act, Entry, OperatorLog};
use shared::shipment::record;

use crate::world::{PATIENCE, Running, World, changed, created, now, number, whole_life};

fn poison(n: usize) -> NewRecord {
    let good = record::encode(&created(number(n)), None);
    NewRecord { value: Some("no JSON".into()), ..good }
}

fn encoded(events: &[shared::shipment::Event]) -> Vec<NewRecord> {
    events.iter().map(|event| record::encode(event, None)).collect()
}

/// Waits until the processor says whether it stands.
async fn stands(running: &Running, open: bool) {
    let line = format!("shipping_dlq_storm_open {}", i32::from(open));
    let said = async {
        while !running.registry.text().expect("encodes").lines().any(|found| found == line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("it says so");
}

async fn say_continue(world: &World) {
    let entry =
        Entry { at: now(), by: "ana".to_owned(), act: Act::DeadLetterStormContinued, details: serde_json::json!({}) };
    world.operators.write(&entry).await.expect("written");
}

fn committed(world: &World, positions: &[Position]) -> usize {
    positions.iter().filter(|position| world.log.committed(position.partition) > position.offset).count()
}

#[tokio::test]
async fn a_storm_stops_the_processor_before_it_buries_anything_until_an_operator_says_so() {
    let world = World::new();
    let healthy = world.append(encoded(&whole_life(number(1)))).await;
    let running = world.start();
    world.settled(&healthy).await;
    // All at once, so that the lanes find whole batches of them; then healthy ones behind them.
    let storm = world.append((0..4_000).map(poison).collect()).await;
    let behind = world.append(encoded(&whole_life(number(5_000)))).await;
    stands(&running, true).await;
    let letters = world.log.records(Topic::DeadLetters).len();
    assert!(letters < 500, "less than a window: {letters}");
    assert_eq!(committed(&world, &behind), 0, "nothing behind it is committed");
    assert_eq!(world.store.all_shipments().len(), 1, "nor judged");
    let trouble = running.storm.get().expect("it says why");
    assert!(trouble.contains("dead-letters continue"), "and what to do: {trouble}");

    say_continue(&world).await;
    world.settled(&[storm, behind.clone()].concat()).await;
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 4_000, "the whole storm is let through, each record once");
    stands(&running, false).await;
    assert_eq!(running.storm.get(), None);
    running.stop().await;
    assert_eq!(committed(&world, &behind), behind.len());
}

#[tokio::test]
async fn a_processor_that_stands_at_a_storm_stops_in_an_orderly_way_and_the_next_one_stands_there_too() {
    let world = World::new();
    world.append((0..4_000).map(poison).collect()).await;
    for _ in 0..2 {
        let running = world.start();
        stands(&running, true).await;
        running.stop().await;
    }
    assert!(world.log.records(Topic::DeadLetters).len() < 1_000);
    let committed: i64 = (0..4).map(|partition| world.log.committed(partition)).sum();
    assert!(committed < 1_000, "{committed}");
}

#[tokio::test]
async fn what_any_sender_can_cause_is_no_storm() {
    let world = World::new();
    let other = |second: i64| {
        changed(number(1), "cancelled", 1, |body| body["notes"] = serde_json::json!(format!("number {second}")))
    };
    let conflicts: Vec<_> = (0..1_500).map(other).collect();
    let positions = world.append(encoded(&[&whole_life(number(1))[..], &conflicts].concat())).await;
    let running = world.start();
    world.settled(&positions).await;
    assert_eq!(running.storm.get(), None);
    running.stop().await;
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 1_500);
}

#[tokio::test]
async fn a_few_bad_records_among_many_are_buried_without_a_word() {
    let world = World::new();
    let mut records = Vec::new();
    for n in 0..1_000 {
        records.push(record::encode(&created(number(n)), None));
        if n % 4 == 0 {
            records.push(poison(n));
        }
    }
    let positions = world.append(records).await;
    let running = world.start();
    world.settled(&positions).await;
    assert_eq!(running.storm.get(), None);
    running.stop().await;
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 250);
}
