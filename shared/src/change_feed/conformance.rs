//! What every feed must do: one suite for memory, SQLite and Kafka.
//!
//! Each promise gets a new topic and panics when the feed breaks it. [`every_promise_is_kept`] runs all of them, at the same time, each on
//! a thread that bears the promise's name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::{Bounds, ChangeFeed, FeedError, Piece, ReadLimit, Stretch, TAIL_CHUNK, Tail};
use crate::event_log::{EventAppender, LogRecord, NewRecord, Position, Topic, TopicReader};
use crate::shipment::TrackingNumber;

/// Longest time that something which must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than any test appends.
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
/// How many shipments the records are about.
const SHIPMENTS: usize = 23;

/// A new, empty topic of changes. What the closures hold (a directory, say) lives as long as the test.
pub struct FeedUnderTest {
    /// How many partitions it has; more than one, unless it can have no more (SQLite).
    pub partitions: i32,
    /// Writes to it.
    pub appender: Arc<dyn EventAppender>,
    /// Reads it.
    pub feed: Arc<dyn ChangeFeed>,
    /// Reads it, and the other topics of the same log.
    pub reader: Arc<dyn TopicReader>,
    /// Throws away what stands before a position, as the log does with records that are older than it keeps them.
    pub forget: Box<dyn Fn(Position) + Send + Sync>,
}

type Promise = (&'static str, fn(&Bench));
type ByPartition = BTreeMap<i32, Vec<(i64, Bytes)>>;

const PROMISES: &[Promise] = &[
    ("the_changes_of_a_shipment_stand_on_its_partition", the_changes_of_a_shipment_stand_on_its_partition),
    ("bounds_say_what_is_there_now", bounds_say_what_is_there_now),
    ("a_read_gives_its_stretches_and_nothing_else", a_read_gives_its_stretches_and_nothing_else),
    ("a_read_stops_at_its_limit_and_says_where_to_go_on", a_read_stops_at_its_limit_and_says_where_to_go_on),
    ("readers_do_not_disturb_each_other", readers_do_not_disturb_each_other),
    ("a_position_that_is_not_there_is_out_of_range", a_position_that_is_not_there_is_out_of_range),
    ("another_life_of_the_topic_is_told_by_its_times", another_life_of_the_topic_is_told_by_its_times),
    ("a_tail_gives_what_is_there_and_what_comes", a_tail_gives_what_is_there_and_what_comes),
    ("who_follows_from_the_end_misses_nothing_that_comes_later", who_follows_from_the_end_misses_nothing),
    ("a_tail_that_nobody_reads_stands_still_and_loses_nothing", a_tail_that_nobody_reads_loses_nothing),
    ("a_dropped_call_loses_nothing", a_dropped_call_loses_nothing),
    ("every_topic_is_read_for_itself", every_topic_is_read_for_itself),
];

/// Runs the whole suite on topics that `new_feed` makes; it is called within a Tokio runtime.
///
/// # Panics
/// A promise is broken. The name of the thread says which.
pub fn every_promise_is_kept(new_feed: &(dyn Fn() -> FeedUnderTest + Sync)) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime can be started");
    let broken: Vec<&str> = std::thread::scope(|scope| {
        let run = |&(name, promise): &Promise| {
            let runtime = &runtime;
            let check = move || {
                let topic = {
                    let _entered = runtime.enter();
                    new_feed()
                };
                promise(&Bench { runtime, topic });
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, check);
            (name, thread.expect("a thread can be started"))
        };
        let threads: Vec<_> = PROMISES.iter().map(run).collect();
        threads.into_iter().filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect()
    });
    assert!(broken.is_empty(), "broken promises: {broken:?}");
}

/// Record number `n`: it is about one of [`SHIPMENTS`] shipments, its value tells the number.
#[must_use]
pub fn record(n: usize) -> NewRecord {
    NewRecord { timestamp: None, ..NewRecord::keyed(shipment(n), n.to_string().into(), Vec::new()) }
}

fn shipment(n: usize) -> TrackingNumber {
    format!("99M-KEY{:03}", n % SHIPMENTS).parse().expect("well-formed")
}

/// A topic and the runtime that drives what works on it.
struct Bench<'a> {
    runtime: &'a Runtime,
    topic: FeedUnderTest,
}

impl Bench<'_> {
    /// Waits for something, but not for ever.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it takes too long") })
    }

    /// Appends the records `range`; gives what then stands on each partition of them.
    fn append(&self, range: std::ops::Range<usize>) -> ByPartition {
        let mut partitions = ByPartition::new();
        self.append_to(Topic::Changes, range, &mut partitions);
        partitions
    }

    fn append_to(&self, topic: Topic, range: std::ops::Range<usize>, partitions: &mut ByPartition) {
        for chunk in range.collect::<Vec<_>>().chunks(500) {
            let appended = self.topic.appender.append(topic, chunk.iter().map(|&n| record(n)).collect());
            let positions = self.wait(appended).all().expect("a reachable log accepts records");
            for (n, Position { partition, offset }) in chunk.iter().zip(positions) {
                partitions.entry(partition).or_default().push((offset, n.to_string().into()));
            }
        }
    }

    fn bounds(&self) -> Vec<Bounds> {
        let bounds = self.wait(self.topic.feed.bounds()).expect("a reachable topic knows its bounds");
        assert_eq!(bounds.len(), usize::try_from(self.topic.partitions).expect("a few"));
        bounds
    }

    fn ends(&self) -> Vec<Position> {
        let positions = (0..).zip(self.bounds());
        positions.map(|(partition, Bounds { end, .. })| Position { partition, offset: end }).collect()
    }

    /// Everything that is there.
    fn all(&self) -> Vec<Stretch> {
        let stretches = (0..).zip(self.bounds());
        stretches.map(|(partition, Bounds { oldest, end })| Stretch { partition, from: oldest, until: end }).collect()
    }

    fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Piece {
        self.wait(self.topic.feed.read(stretches, limit)).expect("a reachable topic can be read")
    }

    fn follow(&self, from: &[Position]) -> Box<dyn Tail> {
        self.wait(self.topic.feed.follow(from)).expect("a reachable topic can be followed")
    }

    /// The next `count` records of a tail, and no more.
    fn take(&self, tail: &mut dyn Tail, count: usize) -> ByPartition {
        let mut records = Vec::new();
        while records.len() < count {
            let chunk = self.wait(tail.next()).expect("it goes on");
            assert!((1..=TAIL_CHUNK).contains(&chunk.len()), "{} records in a chunk", chunk.len());
            records.extend(chunk);
        }
        assert_eq!(records.len(), count, "no more than that");
        by_partition(&records)
    }
}

/// Offsets and values of each partition, in the order in which they came; panics unless the offsets grow.
fn by_partition(records: &[LogRecord]) -> ByPartition {
    let mut partitions = ByPartition::new();
    for LogRecord { position, value, .. } in records {
        let before = partitions.entry(position.partition).or_default();
        assert!(before.last().is_none_or(|(last, _)| *last < position.offset), "{position:?} out of order");
        before.push((position.offset, value.clone().unwrap_or_default()));
    }
    partitions
}

fn the_changes_of_a_shipment_stand_on_its_partition(bench: &Bench) {
    bench.append(0..SHIPMENTS * 3);
    let records = bench.read(&bench.all(), ALL).records;
    assert_eq!(records.len(), SHIPMENTS * 3);
    for record in records {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).expect("a tracking number");
        let number = key.parse().expect("a tracking number");
        assert_eq!(record.position.partition, bench.topic.feed.partition_of(number), "{key}");
    }
}

fn bounds_say_what_is_there_now(bench: &Bench) {
    let begin = bench.bounds();
    assert!(begin.iter().all(|bounds| bounds.oldest == bounds.end), "nothing is there: {begin:?}");
    for round in 0..5 {
        let appended = bench.append(round * 40..(round + 1) * 40);
        let bounds = bench.bounds();
        for (partition, records) in &appended {
            let (last, _) = records.last().expect("has some");
            assert_eq!(bounds[usize::try_from(*partition).expect("from 0")].end, last + 1, "partition {partition}");
        }
    }
    let all = bench.all();
    let filled = all.iter().find(|stretch| stretch.until - stretch.from > 3).expect("one has more");
    let oldest = Position { partition: filled.partition, offset: filled.until - 2 };
    (bench.topic.forget)(oldest);
    let bounds = bench.bounds()[usize::try_from(filled.partition).expect("from 0")];
    assert_eq!(bounds, Bounds { oldest: oldest.offset, end: filled.until });
}

fn a_read_gives_its_stretches_and_nothing_else(bench: &Bench) {
    let appended = bench.append(0..700);
    let whole = bench.read(&bench.all(), ALL);
    assert_eq!(by_partition(&whole.records), appended);
    assert_eq!(whole.next, bench.ends(), "it goes on at the ends");
    assert!(bench.read(&[], ALL).records.is_empty());

    let inner = |stretch: &Stretch| Stretch { from: stretch.from + 1, until: stretch.until - 2, ..*stretch };
    let inner: Vec<Stretch> = bench.all().iter().filter(|all| all.until - all.from > 5).map(inner).collect();
    let piece = bench.read(&inner, ALL);
    let read = by_partition(&piece.records);
    assert_eq!(read.len(), inner.len());
    for (stretch, next) in inner.iter().zip(&piece.next) {
        let records = &appended[&stretch.partition];
        assert_eq!(read[&stretch.partition], records[1..records.len() - 2], "partition {}", stretch.partition);
        assert_eq!(*next, Position { partition: stretch.partition, offset: stretch.until });
    }
    let empty = Stretch { until: inner[0].from, ..inner[0] };
    let nothing = bench.read(&[empty], ALL);
    assert!(nothing.records.is_empty());
    assert_eq!(nothing.next, [Position { partition: empty.partition, offset: empty.from }]);
}

fn a_read_stops_at_its_limit_and_says_where_to_go_on(bench: &Bench) {
    let appended = bench.append(0..300);
    for limit in [ReadLimit { records: 7, ..ALL }, ReadLimit { bytes: 90, ..ALL }, ReadLimit { bytes: 1, ..ALL }] {
        let (mut stretches, mut records) = (bench.all(), Vec::new());
        while stretches.iter().any(|stretch| stretch.from < stretch.until) {
            let piece = bench.read(&stretches, limit);
            assert!((1..=limit.records).contains(&piece.records.len()), "{limit:?}: {}", piece.records.len());
            let before = piece.records.iter().rev().skip(1).map(LogRecord::size).sum::<usize>();
            assert!(before < limit.bytes, "{limit:?}: {before} bytes before the last one");
            for (stretch, next) in stretches.iter_mut().zip(piece.next) {
                assert_eq!(stretch.partition, next.partition);
                stretch.from = next.offset;
            }
            records.extend(piece.records);
        }
        assert_eq!(by_partition(&records), appended, "{limit:?}");
    }
}

fn readers_do_not_disturb_each_other(bench: &Bench) {
    let appended = bench.append(0..2_000);
    let all = bench.all();
    for limit in [ALL, ReadLimit { records: 40, ..ALL }] {
        let readers = (0..6).map(|_| {
            let (feed, all) = (Arc::clone(&bench.topic.feed), all.clone());
            bench.runtime.spawn(async move { feed.read(&all, limit).await })
        });
        for reader in readers.collect::<Vec<_>>() {
            let piece = bench.wait(reader).expect("does not panic").expect("reads");
            assert_eq!(piece.records.len(), limit.records.min(2_000));
            for (partition, records) in by_partition(&piece.records) {
                assert_eq!(records, appended[&partition][..records.len()], "from the beginning on");
            }
        }
    }
}

fn a_position_that_is_not_there_is_out_of_range(bench: &Bench) {
    bench.append(0..200);
    let filled = *bench.all().iter().find(|all| all.until - all.from > 5).expect("one has more");
    let Stretch { partition, from, until } = filled;
    (bench.topic.forget)(Position { partition, offset: from + 3 });
    let read = |from, until| bench.wait(bench.topic.feed.read(&[Stretch { partition, from, until }], ALL));
    assert_eq!(read(from + 2, until).expect_err("it is gone"), FeedError::OutOfRange);
    assert_eq!(read(until + 10, until + 20).expect_err("it is not reached"), FeedError::OutOfRange);
    assert_eq!(read(from + 3, until).expect("it is there").records.first().expect("one").position.offset, from + 3);
    for offset in [from + 2, until + 10] {
        let followed = bench.wait(async {
            let mut tail = bench.topic.feed.follow(&[Position { partition, offset }]).await?;
            tail.next().await
        });
        assert_eq!(followed.expect_err("not there"), FeedError::OutOfRange, "{offset}");
    }
    bench.read(&[Stretch { from: from + 3, ..filled }], ALL);
}

fn another_life_of_the_topic_is_told_by_its_times(bench: &Bench) {
    let later = |positions: &[Position], time: i64| {
        bench.wait(bench.topic.feed.later_before(positions, time)).expect("a reachable topic can be asked")
    };
    assert!(!later(&bench.ends(), 0), "nothing is there");
    bench.append(0..200);
    let (all, ends) = (bench.all(), bench.ends());
    let times = |stretch: &Stretch| -> Vec<i64> {
        bench.read(&[*stretch], ALL).records.iter().map(|record| record.timestamp).collect()
    };
    let newest = all.iter().flat_map(times).max().expect("there are some");
    assert!(!later(&ends, newest), "all of them were there at that time");
    assert!(later(&ends, newest - 1), "one was not");
    assert!(later(&ends, 0));
    let begins: Vec<_> = all.iter().map(|all| Position { partition: all.partition, offset: all.from }).collect();
    assert!(!later(&begins, 0), "before them is nothing");
    let filled = all.iter().find(|all| all.until - all.from > 5).expect("one has more");
    let (first, second) = (times(filled)[0], Position { partition: filled.partition, offset: filled.from + 1 });
    assert!(!later(&[second], first), "what stands behind a position does not count");
    assert!(later(&[second], first - 1));
    let beyond = Position { offset: filled.until + 100, ..second };
    assert!(!later(&[beyond], newest), "a position that is not reached");
}

fn a_tail_gives_what_is_there_and_what_comes(bench: &Bench) {
    let first = bench.append(0..100);
    let middle = |(&partition, records): (&i32, &Vec<(i64, Bytes)>)| {
        let (offset, _) = records[records.len() / 2];
        (partition, offset)
    };
    let begins: BTreeMap<i32, i64> = first.iter().map(middle).collect();
    let follow = |end: Position| Position { offset: *begins.get(&end.partition).unwrap_or(&end.offset), ..end };
    let from: Vec<Position> = bench.ends().into_iter().map(follow).collect();
    let mut tail = bench.follow(&from);
    let behind = |(partition, records): (i32, Vec<(i64, Bytes)>)| {
        let behind: Vec<_> = records.into_iter().filter(|(offset, _)| *offset >= begins[&partition]).collect();
        (partition, behind)
    };
    let there: ByPartition = first.into_iter().map(behind).collect();
    assert_eq!(bench.take(&mut *tail, there.values().map(Vec::len).sum()), there);
    for round in 0..3 {
        let next = bench.append(100 + round * 50..150 + round * 50);
        assert_eq!(bench.take(&mut *tail, 50), next, "round {round}");
    }
}

fn who_follows_from_the_end_misses_nothing(bench: &Bench) {
    for round in 0..5 {
        bench.append(round * 20..round * 20 + 10);
        let ends = bench.ends();
        let later = bench.append(round * 20 + 10..round * 20 + 20);
        let mut tail = bench.follow(&ends);
        assert_eq!(bench.take(&mut *tail, 10), later, "round {round}: those that came later, and no others");
    }
}

fn a_tail_that_nobody_reads_loses_nothing(bench: &Bench) {
    let mut tail = bench.follow(&bench.ends());
    let appended = bench.append(0..10 * TAIL_CHUNK);
    assert_eq!(bench.take(&mut *tail, 10 * TAIL_CHUNK), appended);
}

fn a_dropped_call_loses_nothing(bench: &Bench) {
    let mut tail = bench.follow(&bench.ends());
    let (mut appended, mut records) = (ByPartition::new(), Vec::new());
    for n in 0..40 {
        for (partition, record) in bench.append(n..n + 1) {
            appended.entry(partition).or_default().extend(record);
        }
        // Whether it is there yet or not: the call is dropped at once.
        let polled = bench.runtime.block_on(async { tokio::time::timeout(Duration::ZERO, tail.next()).await });
        records.extend(polled.ok().into_iter().flat_map(|chunk| chunk.expect("it goes on")));
    }
    while records.len() < 40 {
        records.extend(bench.wait(tail.next()).expect("it goes on"));
    }
    assert_eq!(by_partition(&records), appended);
}

fn every_topic_is_read_for_itself(bench: &Bench) {
    let reader = &bench.topic.reader;
    for (topic, range) in Topic::ALL.into_iter().zip([0..90, 200..310, 400..530]) {
        let mut appended = ByPartition::new();
        bench.append_to(topic, range, &mut appended);
        let bounds = bench.wait(reader.bounds_of(topic)).expect("a reachable topic knows its bounds");
        let stretch = |(partition, Bounds { oldest, end })| Stretch { partition, from: oldest, until: end };
        let all: Vec<Stretch> = (0..).zip(bounds).map(stretch).collect();
        let piece = bench.wait(reader.read_topic(topic, &all, ALL)).expect("a reachable topic can be read");
        assert_eq!(by_partition(&piece.records), appended, "{topic:?}");
        assert!(all.iter().zip(&piece.next).all(|(all, next)| next.offset == all.until), "{topic:?}");
        let few = bench.wait(reader.read_topic(topic, &all, ReadLimit { records: 7, ..ALL })).expect("can be read");
        assert_eq!(few.records.len(), 7, "{topic:?}");
        let beyond = Stretch { from: all[0].until + 10, until: all[0].until + 20, ..all[0] };
        let read = bench.wait(reader.read_topic(topic, &[beyond], ALL));
        assert_eq!(read.expect_err("it is not reached"), FeedError::OutOfRange, "{topic:?}");
    }
}
