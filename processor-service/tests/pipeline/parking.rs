//! Events behind a dead letter of their shipment: parked, and judged in their order when it is repaired or given up.

use std::sync::Arc;

use bytes::Bytes;
use shared::dead_letters::{DeadLetters, Filter, REPLAY_OF, RedriveRequest, Selection};
use shared::event_log::{Header, NewRecord, Position, Topic};
use shared::shipment::{Event, Outcome, RejectReason, TrackingNumber, record};

use crate::world::{World, changed, created_with, now, number, reported, whole_life};

/// The life of a shipment that parks for so long.
fn parking_life(number: TrackingNumber, seconds: u32) -> Vec<Event> {
    let mut life = whole_life(number);
    life[0] = created_with(number, |body| body["park_seconds"] = seconds.into());
    life
}

/// A record that nobody can read, `seconds` ago.
fn unreadable(event: &Event, seconds: i64) -> NewRecord {
    let timestamp = Some(now().as_millis() - seconds * 1_000);
    NewRecord { value: Some(Bytes::from_static(b"{")), timestamp, ..record::encode(event, None) }
}

/// What an operator writes who has mended the record at `of`.
fn mended(event: &Event, of: Position) -> NewRecord {
    let mut record = record::encode(event, None);
    record.headers.push(Header::text(REPLAY_OF, format!("shipments.events/{}/{}", of.partition, of.offset)));
    record
}

async fn outcomes(world: &World, events: &[Event]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for event in events {
        outcomes.push(world.row(event).await.outcome);
    }
    outcomes
}

/// Applies these records in batches of their own.
async fn apply(world: &World, records: Vec<NewRecord>) -> Vec<Position> {
    let positions = world.append(records).await;
    let running = world.start();
    world.settled(&positions).await;
    running.stop().await;
    positions
}

/// A life whose second step is unreadable: the poison's position, and its life.
async fn held_up(world: &World, seconds: u32) -> (Position, Vec<Event>) {
    let life = parking_life(number(1), seconds);
    let mut records: Vec<_> = life.iter().map(|event| record::encode(event, None)).collect();
    records[2] = unreadable(&life[2], 0);
    let positions = apply(world, records).await;
    (positions[2], life)
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.event_id().to_string()).collect()
}

#[tokio::test]
async fn events_wait_behind_a_dead_letter_and_a_redrive_restores_their_order() {
    let world = World::new();
    let (letter, life) = held_up(&world, 3_600).await;
    assert_eq!(outcomes(&world, &life[3..]).await, [Outcome::Parked, Outcome::Parked]);
    assert_eq!(world.history(number(1)).await, ["created", "picked_up"]);
    assert_eq!(world.changes(), ids(&life[..2]));
    use shared::dedup_window::DedupWindow;
    let known = world.window.look_up(&[life[3].dedup_key()]).await.expect("reachable");
    assert_eq!(known, [None], "it has no final outcome yet");
    world.apply(&life[3..]).await;
    assert_eq!(world.store.all_rows().len(), 4, "what is sent again is a duplicate");

    let to = apply(&world, vec![mended(&life[2], letter)]).await;
    assert_eq!(outcomes(&world, &life).await, [Outcome::Applied; 5]);
    assert_eq!(world.changes(), ids(&life), "as if nothing had happened");
    let clean = World::new();
    clean.apply(&parking_life(number(1), 3_600)).await;
    let (mut found, expected) = (world.shipment(number(1)).await, clean.shipment(number(1)).await);
    found.state.position = expected.state.position;
    assert_eq!(found, expected);
    let row = world.row(&life[4]).await;
    assert_eq!(row.released_at.map(|position| position.offset), Some(to[0].offset));
    assert_eq!(row.position.log.offset, letter.offset + 2, "it keeps its place in the log");
    world.apply(&life[3..]).await;
    assert_eq!(world.changes(), ids(&life), "and stays known");
}

#[tokio::test]
async fn what_the_store_refused_holds_up_what_follows_until_it_is_redriven() {
    let world = World::new();
    let life = parking_life(number(1), 3_600);
    world.store.refuse_event(life[2].event_id());
    world.apply(&life).await;
    let parked = [Outcome::Applied, Outcome::Applied, Outcome::DeadLettered, Outcome::Parked, Outcome::Parked];
    assert_eq!(outcomes(&world, &life).await, parked);
    redrive(&world).await;
    assert_eq!(outcomes(&world, &life).await, parked, "refused again: its place is kept");
    world.store.refuse_nothing();
    redrive(&world).await;
    assert_eq!(outcomes(&world, &life).await, [Outcome::Applied; 5]);
    assert_eq!(world.changes(), ids(&life));
    redrive(&world).await;
    assert_eq!(world.changes(), ids(&life), "once");
}

/// Redrives all dead letters as an operator does.
async fn redrive(world: &World) {
    let log = Arc::new(world.log.clone());
    let letters = DeadLetters::new(log.clone(), log, world.operators.clone(), "shipments.events", now);
    let selection = Selection::Matching(Filter::default(), None);
    let request = RedriveRequest { selection, limit: 100, dry_run: false, by: "ana".to_owned() };
    let report = letters.redrive(&request).await.expect("the log is there");
    let positions: Vec<_> = report.letters.iter().filter_map(|letter| letter.redriven_to).collect();
    assert!(!positions.is_empty());
    let running = world.start();
    world.settled(&positions).await;
    running.stop().await;
}

#[tokio::test]
async fn a_conflict_holds_nothing_up() {
    let world = World::new();
    let life = parking_life(number(1), 3_600);
    world.apply(&[&life[..2], &[reported(number(1), "cancelled", 1)]].concat()).await;
    world.apply(&life[2..]).await;
    assert_eq!(outcomes(&world, &life).await, [Outcome::Applied; 5]);
}

// contract: "A dead letter from before its shipment is there"
#[tokio::test]
async fn a_registration_that_nobody_can_read_parks_nothing() {
    let world = World::new();
    let life = parking_life(number(1), 3_600);
    let mut records: Vec<_> = life.iter().map(|event| record::encode(event, None)).collect();
    records[0] = unreadable(&life[0], 0);
    apply(&world, records).await;
    let row = world.row(&life[1]).await;
    assert_eq!((row.outcome, row.outcome_reason), (Outcome::Rejected, Some(RejectReason::ShipmentNotFound)));
}

#[tokio::test]
async fn without_park_seconds_later_events_are_judged_without_the_dead_letter() {
    let world = World::new();
    let mut records: Vec<_> = whole_life(number(1)).iter().map(|event| record::encode(event, None)).collect();
    records[1] = unreadable(&whole_life(number(1))[1], 0);
    apply(&world, records).await;
    let row = world.row(&whole_life(number(1))[2]).await;
    assert_eq!((row.outcome, row.outcome_reason), (Outcome::Rejected, Some(RejectReason::InvalidTransition)));
    let state = world.shipment(number(1)).await.state;
    assert_eq!((state.position.offset, state.parked), (0, Vec::new()));
}

/// Waits until what is parked of shipment 1 is released.
async fn released(world: &World) {
    let released = async {
        while !world.shipment(number(1)).await.state.parked.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, released).await.expect("it is released in time");
}

#[tokio::test]
async fn a_dead_letter_that_nobody_repairs_is_given_up_in_time_also_by_who_comes_later() {
    let world = World::new();
    let life = parking_life(number(1), 5);
    let mut records: Vec<_> = life.iter().map(|event| record::encode(event, None)).collect();
    records[2] = unreadable(&life[2], 5);
    let other = parking_life(number(2), 6);
    records.extend([record::encode(&other[0], None), unreadable(&other[1], 5), record::encode(&other[2], None)]);
    apply(&world, records).await;
    // That one may have ended before it looked. Everything but the store and the log is lost.
    let running = world.start();
    released(&world).await;
    running.stop().await;
    let rejected = Outcome::Rejected;
    let expected = [Outcome::Applied, Outcome::Applied, rejected, rejected];
    let known = [&life[..2], &life[3..]].concat();
    assert_eq!(outcomes(&world, &known).await, expected, "judged without it");
    assert_eq!(world.row(&other[2]).await.outcome, Outcome::Parked, "not due yet");
    let said = |record: &&shared::event_log::LogRecord| record.header("ce_type") == Some(record::RELEASED_TYPE);
    assert_eq!(world.log.records(Topic::Events).iter().filter(said).count(), 1, "said once, and of who is due only");
}

#[tokio::test]
async fn a_release_that_was_cut_off_behind_its_states_is_published_by_who_comes_next() {
    let world = World::new();
    let (letter, life) = held_up(&world, 3_600).await;
    let positions = world.append(vec![mended(&life[2], letter)]).await;
    world.log.set_away(true);
    let running = world.start();
    released(&world).await;
    assert_eq!(world.changes(), ids(&life[..2]), "the changes topic is away");
    running.crash().await;
    world.log.set_away(false);
    let running = world.start();
    world.settled(&positions).await;
    world.published(life.len()).await;
    running.stop().await;
    assert_eq!(world.changes(), ids(&life), "all of them, in their order");
}

#[tokio::test]
async fn a_release_that_was_cut_off_behind_its_rows_is_repeated() {
    let world = World::new();
    let (letter, life) = held_up(&world, 3_600).await;
    world.store.set_states_away(true);
    let positions = world.append(vec![mended(&life[2], letter)]).await;
    let running = world.start();
    let rows = async {
        while world.row(&life[4]).await.outcome == Outcome::Parked {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, rows).await.expect("the rows are written");
    assert_eq!(world.history(number(1)).await, ["created", "picked_up"]);
    running.crash().await;
    let rows = world.store.all_rows();
    world.store.set_states_away(false);
    let running = world.start();
    world.settled(&positions).await;
    running.stop().await;
    assert_eq!(world.store.all_rows(), rows);
    assert_eq!(world.changes(), ids(&life));
    assert_eq!(world.shipment(number(1)).await.state.version, 5);
}

/// The row of a redriven event stands at the redriven record. When the states were lost, the record that the store refused is judged once more.
#[tokio::test]
async fn what_waits_behind_a_refused_record_waits_again_when_its_redrive_was_cut_off_behind_the_rows() {
    let world = World::new();
    let life = parking_life(number(1), 3_600);
    world.apply(&life[..2]).await;
    let before = world.shipment(number(1)).await.state;
    world.store.refuse_event(life[2].event_id());
    world.apply(&life[2..]).await;
    redrive(&world).await; // in vain
    world.store.refuse_nothing();
    redrive(&world).await;
    let (rows, shipment) = (world.store.all_rows(), world.shipment(number(1)).await);
    assert_eq!(world.history(number(1)).await.len(), 5);

    world.store.corrupt(number(1), |stored| stored.state = before);
    let again = world.with_everything_else_lost();
    for record in world.log.records(Topic::Events) {
        let timestamp = Some(record.timestamp);
        let (key, partition) = (record.key, Some(record.position.partition));
        let record = NewRecord { key, partition, value: record.value, headers: record.headers, timestamp };
        apply(&again, vec![record]).await;
    }
    assert_eq!(again.shipment(number(1)).await, shipment, "whatever the batches were");
    assert_eq!(again.store.all_rows(), rows);
}

#[tokio::test]
async fn a_redriven_record_that_is_a_conflict_holds_nothing_up_whether_the_store_takes_its_row_or_not() {
    for is_refused in [false, true] {
        let world = World::new();
        let (letter, life) = held_up(&world, 3_600).await;
        let other = changed(number(1), "cancelled", 3, |_| ());
        if is_refused {
            world.store.refuse_event(other.event_id());
        }
        apply(&world, vec![mended(&other, letter)]).await;
        assert_eq!(world.row(&other).await.outcome, Outcome::Conflict);
        assert_eq!(outcomes(&world, &life[3..]).await, [Outcome::Rejected, Outcome::Rejected], "judged without it");
    }
}
