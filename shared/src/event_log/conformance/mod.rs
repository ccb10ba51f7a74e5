//! What every log must do: one suite for memory, SQLite and Kafka.
//!
//! Each promise gets a new log and panics when the log breaks it. [`every_promise_is_kept`] runs all of them, at the same
//! time, each on a thread that bears the promise's name.

mod appending;
mod recorder;
pub mod replaying;
mod subscribing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::{EventAppender, EventSubscriber, LogRecord, NewRecord, Position, Topic};

pub use recorder::{Recorder, State};

/// Longest time that something which must happen may take. To join a group of a busy real broker takes seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A new, empty log. What the closures hold (a directory, say) lives as long as the test.
pub struct LogUnderTest {
    /// How many partitions each of its topics has; more than one, unless it can have no more (SQLite): then the promises
    /// between partitions hold of themselves.
    pub partitions: i32,
    /// Writes to it.
    pub appender: Arc<dyn EventAppender>,
    /// A new member of always the same group.
    pub subscriber: Box<dyn Fn() -> Box<dyn EventSubscriber> + Send + Sync>,
    /// All records that a topic holds: by partition, then by offset.
    pub read: Box<dyn Fn(Topic) -> Vec<LogRecord> + Send + Sync>,
}

type Promise = (&'static str, fn(&Bench));

const PROMISES: &[Promise] = &[
    ("a_key_has_one_partition_which_is_that_of_murmur2", appending::a_key_has_one_partition),
    ("order_holds_within_a_call_and_between_calls", appending::order_holds_within_and_between_calls),
    ("records_come_back_byte_for_byte", appending::records_come_back_byte_for_byte),
    ("a_record_without_a_time_gets_the_time_of_its_append", appending::a_record_without_a_time_gets_one),
    ("a_named_partition_wins_over_the_key", appending::a_named_partition_wins_over_the_key),
    ("end_of_is_one_past_the_last_record", appending::end_of_is_one_past_the_last_record),
    ("an_append_may_hold_five_thousand_records", appending::an_append_may_hold_five_thousand_records),
    ("topics_are_apart", appending::topics_are_apart),
    ("a_reachable_log_passes_its_check", appending::a_reachable_log_passes_its_check),
    ("everything_is_offered_from_the_beginning_in_order", subscribing::everything_is_offered_in_order),
    ("a_new_run_continues_at_what_was_durable", subscribing::a_new_run_continues_at_what_was_durable),
    ("what_becomes_durable_while_revoked_is_committed", subscribing::what_becomes_durable_while_revoked_is_committed),
    ("a_refused_record_is_offered_again_before_any_other", subscribing::a_refused_record_is_offered_again),
    ("one_full_partition_does_not_hold_up_the_others", subscribing::one_full_partition_does_not_hold_up_the_others),
    ("what_is_durable_is_asked_for_and_alive_is_said_while_it_runs", subscribing::it_shows_that_it_is_alive),
    ("the_lag_is_what_lies_behind_the_committed_offset", subscribing::the_lag_is_what_lies_behind_the_commit),
    ("a_stop_ends_a_run_whose_consumer_is_full", subscribing::a_stop_ends_a_run_whose_consumer_is_full),
];

/// Runs the whole suite on logs that `new_log` makes; it is called within a Tokio runtime.
///
/// # Panics
/// A promise is broken. The name of the thread says which.
pub fn every_promise_is_kept(new_log: &(dyn Fn() -> LogUnderTest + Sync)) {
    let runtime = runtime();
    let broken: Vec<&str> = std::thread::scope(|scope| {
        let run = |&(name, promise): &Promise| {
            let runtime = &runtime;
            let check = move || promise(&Bench::new(runtime, new_log));
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, check);
            (name, thread.expect("a thread can be started"))
        };
        let threads: Vec<_> = PROMISES.iter().map(run).collect();
        threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect()
    });
    assert!(broken.is_empty(), "broken promises: {broken:?}");
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime can be started")
}

/// A log and the runtime that drives its appender.
struct Bench<'a> {
    runtime: &'a Runtime,
    log: LogUnderTest,
}

impl<'a> Bench<'a> {
    fn new(runtime: &'a Runtime, new_log: &dyn Fn() -> LogUnderTest) -> Self {
        let log = {
            let _entered = runtime.enter();
            new_log()
        };
        assert!(log.partitions > 0, "the suite needs a partition");
        Self { runtime, log }
    }

    /// Appends to a topic; all must be accepted.
    fn append_to(&self, topic: Topic, records: Vec<NewRecord>) -> Vec<Position> {
        let count = records.len();
        let appended = self.runtime.block_on(self.log.appender.append(topic, records));
        let positions = appended.all().expect("a reachable log accepts records");
        assert_eq!(positions.len(), count, "one position for each record");
        positions
    }

    /// Appends to the events; all must be accepted.
    fn append(&self, records: Vec<NewRecord>) -> Vec<Position> {
        self.append_to(Topic::Events, records)
    }

    /// Appends the records `range` of [`record`], a hundred with each call.
    fn append_numbered(&self, range: std::ops::Range<usize>) -> Vec<Position> {
        let records: Vec<NewRecord> = range.map(record).collect();
        records.chunks(100).flat_map(|chunk| self.append(chunk.to_vec())).collect()
    }

    fn read(&self, topic: Topic) -> Vec<LogRecord> {
        (self.log.read)(topic)
    }
}

/// Record number `n`: its key is one of 23, its value tells the number.
fn record(n: usize) -> NewRecord {
    NewRecord {
        key: Some(format!("99M-KEY{:02}", n % 23).into()),
        partition: None,
        value: Some(format!("{n}").into()),
        headers: Vec::new(),
        timestamp: None,
    }
}

/// The number of a record that [`record`] made.
fn number(record: &LogRecord) -> usize {
    let text = record.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok()).expect("the value is a number")
}

/// The records of each partition, in the order in which they came; panics unless their offsets grow.
fn by_partition(records: &[LogRecord]) -> BTreeMap<i32, Vec<&LogRecord>> {
    let mut partitions: BTreeMap<i32, Vec<&LogRecord>> = BTreeMap::new();
    for record in records {
        let before = partitions.entry(record.position.partition).or_default();
        if let Some(last) = before.last() {
            assert!(last.position < record.position, "{:?} came after {:?}", record.position, last.position);
        }
        before.push(record);
    }
    partitions
}

/// The records `range` as they stand on each partition when each was appended at its place in `positions`.
fn expected(range: std::ops::Range<usize>, positions: &[Position]) -> BTreeMap<i32, Vec<(i64, Bytes)>> {
    assert_eq!(range.len(), positions.len());
    let mut partitions: BTreeMap<i32, Vec<(i64, Bytes)>> = BTreeMap::new();
    for (n, position) in range.zip(positions) {
        partitions.entry(position.partition).or_default().push((position.offset, n.to_string().into()));
    }
    partitions
}

/// Offsets and values of each partition, in the order in which they came.
fn offsets_and_values(records: &[LogRecord]) -> BTreeMap<i32, Vec<(i64, Bytes)>> {
    let of = |record: &&LogRecord| (record.position.offset, record.value.clone().unwrap_or_default());
    by_partition(records)
        .into_iter()
        .map(|(partition, records)| (partition, records.iter().map(of).collect()))
        .collect()
}
