//! Attempts under an `Idempotency-Key` that end, or seem to end, in the middle. Whoever comes next must get an answer, and there must be one
//! shipment. An instance that dies is one whose log never comes back from an append, before the record was taken or after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::json;
use shared::event_log::memory::MemoryLog;
use shared::event_log::{AppendError, Appended, EventAppender, NewRecord, Position, Topic};
use shared::idempotency::LEASE;
use shared::idempotency::memory::MemoryKeys;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::idempotency::{KEY, REPLAYED, assert_replay, clock, essence, pass, post, register};
use crate::world::{Announce, Answer, CLIENT, DRIVER, World, report};

/// Longest time until an attempt that goes on by itself has its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What goes wrong with an append.
enum Fault {
    /// It stops before the record is taken.
    StopsBefore,
    /// It stops after the record was taken.
    StopsAfter,
    /// It takes the records and does not say so.
    SaysNothing,
    /// It takes the first record and no more.
    TakesOne,
    /// Meanwhile the place where keys are kept goes away.
    LosesKeys(Arc<MemoryKeys>),
}

/// A log with which something goes wrong, as often as is said.
struct Faulty {
    log: MemoryLog,
    fault: Fault,
    times: AtomicU32,
    stopped: Semaphore,
    go_on: Semaphore,
}

impl Faulty {
    fn new(world: &World, fault: Fault, times: u32) -> Arc<Self> {
        let (stopped, go_on) = (Semaphore::new(0), Semaphore::new(0));
        Arc::new(Self { log: world.log.clone(), fault, times: AtomicU32::new(times), stopped, go_on })
    }

    /// Where an append stops until it is let go on.
    async fn stop_here(&self) {
        self.stopped.add_permits(1);
        self.go_on.acquire().await.expect("never closed").forget();
    }

    async fn has_stopped(&self) {
        self.stopped.acquire().await.expect("never closed").forget();
    }

    fn let_one_go_on(&self) {
        self.go_on.add_permits(1);
    }
}

#[async_trait]
impl EventAppender for Faulty {
    async fn append(&self, topic: Topic, mut records: Vec<NewRecord>) -> Appended {
        let lost = AppendError::Unavailable("the acknowledgement was lost".to_owned());
        let faulty = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        match &self.fault {
            Fault::StopsBefore if faulty => self.stop_here().await,
            Fault::TakesOne if faulty => records.truncate(1),
            Fault::LosesKeys(keys) if faulty => keys.set_away(true),
            _ => {}
        }
        let appended = self.log.append(topic, records).await;
        match &self.fault {
            Fault::StopsAfter if faulty => self.stop_here().await,
            Fault::SaysNothing if faulty => return Appended::nothing(lost),
            Fault::TakesOne if faulty => return Appended { refused: Some(lost), ..appended },
            _ => {}
        }
        appended
    }

    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError> {
        self.log.end_of(topic, key).await
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

/// A world in which one instance has stopped in the middle of what `send` asks for.
async fn stopped<F>(fault: Fault, send: impl Fn(Arc<World>) -> F) -> (World, Arc<Faulty>, JoinHandle<Answer>)
where
    F: Future<Output = Answer> + Send + 'static,
{
    pass(Duration::ZERO);
    let world = World::at(clock).await;
    let log = Faulty::new(&world, fault, u32::MAX);
    let stopping = world.replica(|ports| ports.log = log.clone());
    let attempt = tokio::spawn(send(Arc::new(stopping)));
    log.has_stopped().await;
    (world, log, attempt)
}

async fn stopped_registration(fault: Fault) -> (World, Arc<Faulty>, JoinHandle<Answer>) {
    stopped(fault, |world| async move { register(&world).await }).await
}

/// All records are of one shipment, the same to the byte; it is there, once.
async fn assert_one_shipment(world: &World, answer: &Answer, records: usize) {
    let number = answer.json()["tracking_number"].as_str().expect("a number").to_owned();
    let found = world.records();
    assert_eq!(found.len(), records);
    for record in &found {
        assert_eq!(record.key.as_deref(), Some(number.as_bytes()));
        assert_eq!((&record.value, record.header("ce_id")), (&found[0].value, found[0].header("ce_id")));
    }
    world.process().await;
    let shipments = world.store.all_shipments();
    assert_eq!(shipments.len(), 1);
    assert_eq!(shipments[0].created.tracking_number.as_str(), number);
    assert_eq!(shipments[0].created.created_at.to_string(), answer.json()["created_at"].as_str().expect("a time"));
    assert_eq!(world.store.all_rows().len(), 1, "the record that came again is no event of its own");
}

// contract: "still running: 409"
#[tokio::test]
async fn while_the_first_one_runs_others_are_told_so() {
    let (world, log, first) = stopped_registration(Fault::StopsBefore).await;
    let _processor = world.processor(Announce::Yes);
    for passed in [Duration::ZERO, LEASE - Duration::from_millis(1)] {
        pass(passed);
        let other = register(&world).await;
        assert_eq!(other.failure(), (409, "IDEMPOTENCY_KEY_IN_USE".to_owned()));
        assert_eq!(other.header("content-type"), Some("application/problem+json"));
        assert_eq!((other.header("retry-after"), other.header(REPLAYED)), (Some("2"), None));
    }
    log.let_one_go_on();
    let first = first.await.expect("no panic");
    assert_eq!(first.status, StatusCode::CREATED);
    assert_replay(&register(&world).await, &first);
    assert_one_shipment(&world, &first, 1).await;
}

#[tokio::test]
async fn after_a_crash_before_the_record_the_next_one_registers_the_shipment_that_was_decided() {
    let (world, _log, _dead) = stopped_registration(Fault::StopsBefore).await;
    let _processor = world.processor(Announce::Yes);
    pass(LEASE);
    let answer = register(&world).await;
    assert_eq!((answer.status, answer.header(REPLAYED)), (StatusCode::CREATED, None), "{}", answer.text);
    assert_replay(&register(&world).await, &answer);
    assert_one_shipment(&world, &answer, 1).await;
}

#[tokio::test]
async fn after_a_crash_behind_the_record_the_next_one_answers_for_the_same_shipment() {
    let (world, _log, _dead) = stopped_registration(Fault::StopsAfter).await;
    let _processor = world.processor(Announce::Yes);
    assert_eq!(register(&world).await.failure().0, 409);
    pass(LEASE);
    let answer = register(&world).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_replay(&register(&world).await, &answer);
    assert_one_shipment(&world, &answer, 2).await;
}

#[tokio::test]
async fn a_crash_of_the_next_one_too_changes_nothing() {
    let (world, log, _dead) = stopped_registration(Fault::StopsAfter).await;
    let _processor = world.processor(Announce::Yes);
    pass(LEASE);
    let second = world.replica(|ports| ports.log = log.clone());
    let _dead_too = tokio::spawn(async move { register(&second).await });
    log.has_stopped().await;
    assert_eq!(register(&world).await.failure().0, 409, "the second one has a lease of its own");
    pass(LEASE * 2);
    let answer = register(&world).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_one_shipment(&world, &answer, 3).await;
}

#[tokio::test]
async fn one_that_was_slow_and_not_dead_gives_the_answer_of_who_took_over() {
    for fault in [Fault::StopsBefore, Fault::StopsAfter] {
        let (world, log, slow) = stopped_registration(fault).await;
        let _processor = world.processor(Announce::Yes);
        pass(LEASE);
        let answer = register(&world).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        log.let_one_go_on();
        assert_replay(&slow.await.expect("no panic"), &answer);
        assert_one_shipment(&world, &answer, 2).await;
    }
}

#[tokio::test]
async fn one_that_took_over_gives_the_answer_of_a_slow_one_that_was_faster_in_the_end() {
    let (world, log, slow) = stopped_registration(Fault::StopsAfter).await;
    let _processor = world.processor(Announce::Yes);
    pass(LEASE);
    let second = world.replica(|ports| ports.log = log.clone());
    let second = tokio::spawn(async move { register(&second).await });
    log.has_stopped().await;
    log.let_one_go_on(); // the first one was there first
    let first = slow.await.expect("no panic");
    assert_eq!((first.status, first.header(REPLAYED)), (StatusCode::CREATED, None));
    log.let_one_go_on();
    assert_replay(&second.await.expect("no panic"), &first);
    assert_one_shipment(&world, &first, 2).await;
}

#[tokio::test]
async fn a_batch_that_was_cut_off_is_carried_out_again_and_the_first_answer_that_is_kept_counts() {
    let number = World::new().await.shipment("client_001").await;
    let events = json!([report(&number, "picked_up", 0), report(&number, "in_warehouse", 1)]);
    let send = |world: Arc<World>| {
        let events = events.clone();
        async move { post(&world, DRIVER, "/events/batch", KEY, &events).await }
    };
    let (world, log, slow) = stopped(Fault::StopsAfter, send).await;
    world.process().await;
    pass(LEASE);
    let answer = post(&world, DRIVER, "/events/batch", KEY, &events).await;
    assert_eq!((answer.status, &answer.json()["duplicates"]), (StatusCode::ACCEPTED, &json!(2)), "{}", answer.text);
    assert_eq!(world.records().len(), 2, "the window knows what was decided");
    log.let_one_go_on();
    let slow = slow.await.expect("no panic");
    assert_replay(&slow, &answer);
    assert_replay(&post(&world, DRIVER, "/events/batch", KEY, &events).await, &answer);
}

#[tokio::test]
async fn a_caller_who_hangs_up_finds_the_answer_when_it_comes_back() {
    let (world, log, first) = stopped_registration(Fault::StopsAfter).await;
    let _processor = world.processor(Announce::Yes);
    first.abort();
    assert!(first.await.is_err_and(|ended| ended.is_cancelled()));
    log.let_one_go_on();
    let asking = async {
        loop {
            let answer = register(&world).await;
            match answer.status {
                StatusCode::CONFLICT => tokio::task::yield_now().await,
                _ => break answer,
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.expect("the attempt goes on without its caller");
    assert_eq!((answer.status, answer.header(REPLAYED)), (StatusCode::CREATED, Some("true")), "{}", answer.text);
    assert_one_shipment(&world, &answer, 1).await;
}

#[tokio::test]
async fn a_registration_whose_acknowledgement_was_lost_is_gone_on_with_at_once() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let log = Faulty::new(&world, Fault::SaysNothing, 2);
    let world = world.replica(|ports| ports.log = log);
    for _ in 0..2 {
        let put_off = register(&world).await;
        assert_eq!(put_off.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
        assert!(put_off.header("retry-after").is_some());
    }
    let other = post(&world, CLIENT, "/shipments", KEY, &json!({})).await;
    assert_eq!(other.failure().0, 422, "something may have been done under the key");
    let answer = register(&world).await;
    assert_eq!((answer.status, answer.header(REPLAYED)), (StatusCode::CREATED, None), "{}", answer.text);
    assert_replay(&register(&world).await, &answer);
    assert_one_shipment(&world, &answer, 3).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_not_given() {
    pass(Duration::ZERO);
    let world = World::at(clock).await;
    let _processor = world.processor(Announce::Yes);
    let log = Faulty::new(&world, Fault::LosesKeys(world.keys.clone()), 1);
    let put_off = register(&world.replica(|ports| ports.log = log)).await;
    assert_eq!(put_off.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()), "{}", put_off.text);
    world.keys.set_away(false);
    pass(LEASE);
    let answer = register(&world).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_one_shipment(&world, &answer, 2).await;
}

#[tokio::test]
async fn the_rest_of_a_batch_can_be_sent_again_under_its_key() {
    let world = World::new().await;
    let log = Faulty::new(&world, Fault::TakesOne, 1);
    let world = world.replica(|ports| ports.log = log);
    let events = json!([report("99M-ABC12345", "picked_up", 0), report("99M-ABC12345", "in_warehouse", 1)]);
    let partial = post(&world, DRIVER, "/events/batch", KEY, &events).await;
    assert_eq!((partial.status, &partial.json()["rejected"]), (StatusCode::ACCEPTED, &json!(1)));
    let whole = post(&world, DRIVER, "/events/batch", KEY, &events).await;
    assert_eq!((whole.header(REPLAYED), &whole.json()["rejected"]), (None, &json!(0)), "{}", whole.text);
    assert_replay(&post(&world, DRIVER, "/events/batch", KEY, &events).await, &whole);
    assert_ne!(essence(&partial), essence(&whole));
}
