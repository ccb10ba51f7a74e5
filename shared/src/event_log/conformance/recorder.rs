//! A consumer that writes down what it is offered and checks, as it goes, how.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{LogUnderTest, PATIENCE};
use crate::event_log::{LogRecord, Offer, PartitionConsumer, Position};

/// Takes records unless told not to. It panics, on the subscriber's thread, when it is offered something that it must not be
/// offered.
#[derive(Default)]
pub struct Recorder {
    state: Mutex<State>,
    news: Condvar,
}

/// What a [`Recorder`] has seen.
#[derive(Default)]
pub struct State {
    /// The records that it took, in order.
    pub taken: Vec<LogRecord>,
    /// The partitions that are its own now.
    pub assigned: BTreeSet<i32>,
    /// All partitions that were ever revoked.
    pub revoked: BTreeSet<i32>,
    /// How many records it did not take.
    pub refused: usize,
    /// When `alive` was said.
    pub alive: Vec<Instant>,
    /// How often it was asked what is durable.
    pub asked: usize,
    /// The newest lag of each partition.
    pub lag: BTreeMap<i32, i64>,
    full: BTreeSet<i32>,
    /// Of every so many offers one is refused; 0 for none.
    refuse_every: usize,
    offers: usize,
    /// The record of each partition that was refused last, until it is taken.
    owed: HashMap<i32, LogRecord>,
    durable: BTreeMap<i32, i64>,
    durable_when_revoked: bool,
}

impl Recorder {
    /// From now on records of these partitions are refused, and of no others.
    pub fn set_full(&self, partitions: impl IntoIterator<Item = i32>) {
        self.change(|state| state.full = partitions.into_iter().collect());
    }

    /// From now on one of `every` offers is refused (0: none), although there is room at once.
    pub fn refuse_every(&self, every: usize) {
        self.change(|state| state.refuse_every = every);
    }

    /// Makes the records before these positions durable.
    pub fn make_durable(&self, positions: &[Position]) {
        self.change(|state| {
            state.durable.extend(positions.iter().map(|position| (position.partition, position.offset)))
        });
    }

    /// Everything that was taken becomes durable while its partition is revoked, and not before.
    pub fn make_durable_when_revoked(&self) {
        self.change(|state| state.durable_when_revoked = true);
    }

    /// Waits until `condition` holds and gives what it gives.
    ///
    /// # Panics
    /// It does not come to hold.
    pub fn wait<T>(&self, what: &str, mut condition: impl FnMut(&State) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(found) = condition(&state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for: {what}; {} records taken", state.taken.len());
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `count` records are taken and gives them.
    ///
    /// # Panics
    /// They do not come, or more come.
    pub fn wait_for_records(&self, count: usize) -> Vec<LogRecord> {
        let what = format!("{count} records");
        let taken = self.wait(&what, |state| (state.taken.len() >= count).then(|| state.taken.clone()));
        assert_eq!(taken.len(), count, "no more than that");
        taken
    }

    /// Waits until a record was refused.
    ///
    /// # Panics
    /// None is offered.
    pub fn wait_for_refusals(&self, count: usize) {
        self.wait("a refused record", |state| (state.refused >= count).then_some(()));
    }

    /// Runs a new member of the group of `log` while `during` runs, then stops it. What the member promises of its end is checked.
    ///
    /// # Panics
    /// The run fails, or does not end as promised.
    pub fn run<T>(&self, log: &LogUnderTest, during: impl FnOnce() -> T) -> T {
        let (subscriber, stop) = ((log.subscriber)(), CancellationToken::new());
        let result = std::thread::scope(|scope| {
            // Also when `during` panics: else the scope waits for the thread for ever.
            let _stopping = stop.clone().drop_guard();
            let thread = scope.spawn(|| subscriber.run(self, &stop));
            let result = during();
            stop.cancel();
            let ended = thread.join().expect("the consumer was offered what it must not be offered");
            ended.expect("a stopped run is no failure");
            result
        });
        let state = self.state();
        assert!(state.assigned.is_empty(), "still assigned at the end: {:?}", state.assigned);
        result
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.news.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the record is taken. Panics when it was not its turn.
    fn takes(&mut self, record: &LogRecord) -> bool {
        let partition = record.position.partition;
        assert!(self.assigned.contains(&partition), "{:?} of a partition that is not ours", record.position);
        if let Some(owed) = self.owed.get(&partition) {
            assert_eq!(owed, record, "the record that was refused is offered first");
        }
        self.offers += 1;
        let by_turn = self.refuse_every > 0 && self.offers.is_multiple_of(self.refuse_every);
        !by_turn && !self.full.contains(&partition)
    }
}

impl PartitionConsumer for Recorder {
    fn assigned(&self, partitions: &[i32]) {
        self.change(|state| {
            state.assigned.extend(partitions);
            // Whatever was known about them is stale.
            state.owed.retain(|partition, _| !partitions.contains(partition));
        });
    }

    fn offer(&self, record: LogRecord) -> Offer {
        let mut state = self.state();
        let partition = record.position.partition;
        let taken = state.takes(&record);
        let answer = if taken {
            state.owed.remove(&partition);
            state.taken.push(record);
            Offer::Taken
        } else {
            state.owed.insert(partition, record.clone());
            state.refused += 1;
            Offer::Full(Box::new(record))
        };
        drop(state);
        self.news.notify_all();
        answer
    }

    fn wait_for_room(&self, partition: i32, patience: Duration) -> bool {
        let full = |state: &mut State| state.full.contains(&partition);
        let waited = self.news.wait_timeout_while(self.state(), patience, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn durable(&self) -> Vec<Position> {
        let mut durable = BTreeMap::new();
        self.change(|state| {
            state.asked += 1;
            durable = std::mem::take(&mut state.durable);
        });
        durable.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
    }

    fn revoked(&self, partitions: &[i32]) {
        self.change(|state| {
            let revoked = |partition: &i32| partitions.contains(partition);
            if state.durable_when_revoked {
                let ours = state.taken.iter().filter(|record| revoked(&record.position.partition));
                let ends =
                    ours.map(|record| (record.position.partition, record.position.offset + 1)).collect::<Vec<_>>();
                state.durable.extend(ends);
            }
            state.assigned.retain(|partition| !revoked(partition));
            state.owed.retain(|partition, _| !revoked(partition));
            state.revoked.extend(partitions);
        });
    }

    fn lag(&self, partition: i32, records: i64) {
        self.change(|state| {
            state.lag.insert(partition, records);
        });
    }

    fn alive(&self) {
        self.change(|state| state.alive.push(Instant::now()));
    }
}
