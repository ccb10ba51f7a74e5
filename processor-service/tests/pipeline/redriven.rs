//! Dead letters that an operator puts back into the log.

use std::sync::Arc;

use shared::dead_letters::{DeadLetters, Filter, REPLAY_OF, RedriveReport, RedriveRequest, Selection};
use shared::event_log::{NewRecord, Topic};
use shared::shipment::{Outcome, Status, record};

use crate::world::{World, changed, created, now, number, reported, whole_life};

fn letters(world: &World) -> DeadLetters {
    let log = Arc::new(world.log.clone());
    DeadLetters::new(log.clone(), log, world.operators.clone(), "shipments.events", now)
}

/// Redrives all letters of a reason and waits until what came of it is durable.
async fn redrive(world: &World, reason: &str) -> RedriveReport {
    let filter = Filter { reason: Some(reason.to_owned()), ..Filter::default() };
    let selection = Selection::Matching(filter, None);
    let request = RedriveRequest { selection, limit: 100, dry_run: false, by: "ana".to_owned() };
    let report = letters(world).redrive(&request).await.expect("the log is there");
    let positions: Vec<_> = report.letters.iter().filter_map(|letter| letter.redriven_to).collect();
    let running = world.start();
    world.settled(&positions).await;
    running.stop().await;
    report
}

#[tokio::test]
async fn what_the_store_refused_is_applied_when_it_is_redriven_and_then_no_more() {
    let world = World::new();
    world.store.refuse(number(2));
    let life = whole_life(number(2));
    world.apply(&life).await;
    assert_eq!(world.row(&life[0]).await.outcome, Outcome::DeadLettered);
    world.store.refuse_nothing();

    let report = redrive(&world, "STORE_REFUSED").await;
    assert_eq!((report.selected, report.redriven), (5, 5));
    assert_eq!(world.shipment(number(2)).await.state.current_status, Status::Delivered);
    for event in &life {
        let row = world.row(event).await;
        assert_eq!(
            (row.outcome, row.outcome_reason),
            (Outcome::Applied, None),
            "the row tells the outcome that counts"
        );
    }
    let (rows, shipment, changes) = (world.store.all_rows(), world.shipment(number(2)).await, world.changes());
    assert_eq!(changes.len(), 5);

    redrive(&world, "STORE_REFUSED").await;
    assert_eq!(world.store.all_rows(), rows, "a second time changes nothing");
    assert_eq!(world.shipment(number(2)).await, shipment);
    assert_eq!(world.changes(), changes);
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 5, "and makes no new letters");
}

#[tokio::test]
async fn what_the_store_refuses_again_is_a_dead_letter_again_and_its_row_says_so() {
    let world = World::new();
    world.store.refuse(number(2));
    let life = whole_life(number(2));
    world.apply(&life).await;
    redrive(&world, "STORE_REFUSED").await;
    let letters = world.log.records(Topic::DeadLetters);
    assert_eq!(letters.len(), 10);
    assert_eq!(letters.iter().filter(|letter| letter.header(REPLAY_OF).is_some()).count(), 5);
    for event in &life {
        assert_eq!(world.row(event).await.outcome, Outcome::DeadLettered);
    }
    world.store.refuse_nothing();
    redrive(&world, "STORE_REFUSED").await;
    assert_eq!(world.shipment(number(2)).await.state.current_status, Status::Delivered);
}

#[tokio::test]
async fn a_sender_that_repeats_what_the_store_refused_makes_no_new_letter() {
    let world = World::new();
    world.store.refuse(number(2));
    let life = whole_life(number(2));
    world.apply(&life).await;
    world.apply(&life).await;
    assert_eq!(
        world.log.records(Topic::DeadLetters).len(),
        5,
        "it was judged once; only an operator has it judged again"
    );
}

/// The row of a redriven event stands at the redriven record; those before it come again when commits are lost, and the state says nothing of them.
// contract: "has exactly one final outcome"
#[tokio::test]
async fn what_was_redriven_and_rejected_is_no_new_event_when_its_first_records_come_again() {
    let world = World::new();
    let (creation, jump) = (created(number(1)), reported(number(1), "delivered", 1));
    let other = changed(number(1), "cancelled", 1, |_| ());
    world.store.refuse_event(jump.event_id());
    world.apply(&[creation, jump.clone()]).await;
    world.store.refuse_nothing();
    world.apply(&[jump.clone(), other.clone()]).await;
    redrive(&world, "STORE_REFUSED").await;
    assert_eq!(world.row(&jump).await.outcome, Outcome::Rejected);
    assert_eq!(world.row(&other).await.outcome, Outcome::Conflict);
    let (rows, shipment) = (world.store.all_rows(), world.shipment(number(1)).await);

    let again = world.with_everything_else_lost();
    let records = world.log.records(Topic::Events).into_iter().map(|record| NewRecord {
        key: record.key,
        partition: Some(record.position.partition),
        value: record.value,
        headers: record.headers,
        timestamp: Some(record.timestamp),
    });
    let positions = again.append(records.collect()).await;
    let running = again.start();
    again.settled(&positions).await;
    running.stop().await;
    assert_eq!(again.store.all_rows(), rows);
    assert_eq!(again.shipment(number(1)).await, shipment);
}

#[tokio::test]
async fn a_conflict_that_is_redriven_stays_the_conflict_that_it_was() {
    let world = World::new();
    let life = whole_life(number(1));
    let other = changed(number(1), "cancelled", 1, |_| ());
    world.apply(&[&life[..], std::slice::from_ref(&other)].concat()).await;
    assert_eq!(world.row(&other).await.outcome, Outcome::Conflict);
    let rows = world.store.all_rows();
    let report = redrive(&world, "KEY_CONFLICT").await;
    assert!(report.letters[0].note.expect("told").contains("conflict"));
    assert_eq!(world.store.all_rows(), rows);
    assert_eq!(world.log.records(Topic::DeadLetters).len(), 1);
}

#[tokio::test]
async fn poison_that_is_redriven_is_judged_as_what_it_is_now() {
    let world = World::new();
    world.apply(&whole_life(number(1))[..1]).await;
    let good = reported(number(1), "picked_up", 1);
    // What a processor that could not read it would have made of it.
    let mut letter = record::encode(&good, None);
    letter.headers.extend(
        [
            ("dlq.error.class", "NO_JSON"),
            ("dlq.topic", "shipments.events"),
            ("dlq.partition", "0"),
            ("dlq.offset", "7"),
        ]
        .map(|(name, value)| shared::event_log::Header::text(name, value)),
    );
    world.log_dead_letter(letter).await;
    redrive(&world, "NO_JSON").await;
    assert_eq!(world.history(number(1)).await, ["created", "picked_up"]);
    redrive(&world, "NO_JSON").await;
    assert_eq!(world.history(number(1)).await, ["created", "picked_up"], "once");
}

impl World {
    async fn log_dead_letter(&self, letter: NewRecord) {
        use shared::event_log::EventAppender;
        self.log.append(Topic::DeadLetters, vec![letter]).await.all().expect("the log is there");
    }
}
