//! The log in memory, for tests. It can be told to be away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::murmur2::partition_of;
use super::replay::{EventReplay, Held, Offsets, ReplayError, ReplayInParts, Stretch};
use super::{
    AppendError, Appended, COMMIT_INTERVAL, EventAppender, EventSubscriber, LogRecord, NewRecord, Offer,
    PartitionConsumer, Position, SubscribeError, Topic,
};
use crate::projection::Generation;
use crate::shipment::Timestamp;

/// How often a subscriber with nothing to do looks around.
const IDLE: Duration = Duration::from_millis(5);
/// Records that a replay reads at once.
const READ_AT_ONCE: usize = 1_000;

/// A log. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    partitions: i32,
    inner: Mutex<Inner>,
    news: Condvar,
    /// Told when changes were appended.
    changes: watch::Sender<()>,
    away: AtomicBool,
    now: fn() -> i64,
}

#[derive(Default)]
struct Inner {
    records: HashMap<(Topic, i32), Kept>,
    committed: HashMap<(Generation, i32), i64>,
    members: HashMap<Generation, usize>,
}

/// What a partition still holds.
#[derive(Default)]
struct Kept {
    oldest: i64,
    records: Vec<LogRecord>,
}

impl Kept {
    fn end(&self) -> i64 {
        self.oldest + i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    /// Those from `offset` on.
    fn from(&self, offset: i64) -> &[LogRecord] {
        let skipped = usize::try_from(offset - self.oldest).unwrap_or(0);
        self.records.get(skipped..).unwrap_or_default()
    }
}

impl MemoryLog {
    /// An empty log whose records get their time from `now` (milliseconds since the epoch).
    #[must_use]
    pub fn new(partitions: i32, now: fn() -> i64) -> Self {
        let (inner, news, away) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { partitions, inner, news, changes: watch::Sender::default(), away, now }) }
    }

    /// Makes the log unreachable for appenders, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// All records of a topic: by partition, then by offset.
    #[must_use]
    pub fn records(&self, topic: Topic) -> Vec<LogRecord> {
        let inner = self.inner();
        let of = |partition| inner.records.get(&(topic, partition)).map_or(&[][..], |kept| kept.records.as_slice());
        (0..self.shared.partitions).flat_map(of).cloned().collect()
    }

    /// Throws away what stands before `oldest` on its partition, as a log does with records that are older than it keeps them.
    pub fn forget(&self, topic: Topic, oldest: Position) {
        let mut inner = self.inner();
        let kept = inner.records.entry((topic, oldest.partition)).or_default();
        let left = kept.from(oldest.offset).to_vec();
        *kept = Kept { oldest: oldest.offset.clamp(kept.oldest, kept.end()), records: left };
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.shared.partitions
    }

    /// The oldest offset that a partition holds, and its end.
    pub(crate) fn held_offsets(&self, topic: Topic, partition: i32) -> (i64, i64) {
        self.inner().records.get(&(topic, partition)).map_or((0, 0), |kept| (kept.oldest, kept.end()))
    }

    /// The records of a partition from a position on, at most `most` of them.
    pub(crate) fn records_from(&self, topic: Topic, from: Position, most: usize) -> Vec<LogRecord> {
        let inner = self.inner();
        let kept = inner.records.get(&(topic, from.partition)).map(|kept| kept.from(from.offset));
        kept.unwrap_or_default().iter().take(most).cloned().collect()
    }

    /// Changes whenever changes were appended.
    pub(crate) fn news_of_changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }

    /// The next offset that a subscriber would begin with.
    #[must_use]
    pub fn committed(&self, partition: i32) -> i64 {
        self.committed_by(Generation::FIRST, partition)
    }

    /// The next offset that a subscriber of a generation's group would begin with.
    #[must_use]
    pub fn committed_by(&self, generation: Generation, partition: i32) -> i64 {
        self.inner().committed.get(&(generation, partition)).copied().unwrap_or(0)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, generation: Generation, positions: &[Position]) {
        let mut inner = self.inner();
        for position in positions {
            inner.committed.insert((generation, position.partition), position.offset);
        }
    }

    fn partition(&self, record: &NewRecord) -> i32 {
        match (record.partition, &record.key) {
            (Some(partition), _) => partition.rem_euclid(self.shared.partitions),
            (None, Some(key)) => partition_of(key, self.shared.partitions),
            (None, None) => 0,
        }
    }
}

#[async_trait]
impl EventAppender for MemoryLog {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        if let Err(error) = self.check().await {
            return Appended::nothing(error);
        }
        let mut inner = self.inner();
        let mut positions = Vec::with_capacity(records.len());
        for record in records {
            let partition = self.partition(&record);
            let kept = inner.records.entry((topic, partition)).or_default();
            let position = Position { partition, offset: kept.end() };
            kept.records.push(record.at(position, (self.shared.now)()));
            positions.push(position);
        }
        drop(inner);
        self.shared.news.notify_all();
        if topic == Topic::Changes {
            self.shared.changes.send_replace(());
        }
        Appended { positions, refused: None }
    }

    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError> {
        self.check().await?;
        let partition = partition_of(key, self.shared.partitions);
        Ok(Position { partition, offset: self.held_offsets(topic, partition).1 })
    }

    async fn check(&self) -> Result<(), AppendError> {
        if self.shared.away.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable("told to be away".to_owned()));
        }
        Ok(())
    }

    async fn flush(&self) {}
}

/// The one member of the group of the first generation: it owns all partitions.
pub struct MemorySubscriber(pub MemoryLog);

impl EventSubscriber for MemorySubscriber {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        Box::new(Member { log: self.0, generation: Generation::FIRST }).run(consumer, stop)
    }
}

/// The one member of a generation's group.
struct Member {
    log: MemoryLog,
    generation: Generation,
}

impl EventSubscriber for Member {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        let Self { log, generation } = *self;
        let partitions: Vec<i32> = (0..log.shared.partitions).collect();
        *log.inner().members.entry(generation).or_default() += 1;
        consumer.assigned(&partitions);
        let mut next: HashMap<i32, i64> = partitions.iter().map(|&p| (p, log.committed_by(generation, p))).collect();
        let mut committed_at = Instant::now();
        while !stop.is_cancelled() {
            consumer.alive();
            let mut offered = false;
            for &partition in &partitions {
                offered |= offer_new(&log, consumer, partition, next.entry(partition).or_default());
            }
            if committed_at.elapsed() >= COMMIT_INTERVAL {
                log.commit(generation, &consumer.durable());
                committed_at = Instant::now();
                for &partition in &partitions {
                    let (_, end) = log.held_offsets(Topic::Events, partition);
                    consumer.lag(partition, end - log.committed_by(generation, partition));
                }
            }
            if !offered {
                let waited = log.shared.news.wait_timeout(log.inner(), IDLE);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
        consumer.revoked(&partitions);
        log.commit(generation, &consumer.durable());
        *log.inner().members.entry(generation).or_default() -= 1;
        Ok(())
    }
}

#[async_trait]
impl EventReplay for MemoryLog {
    async fn held(&self) -> Result<Held, ReplayError> {
        let mut held = Held::default();
        for partition in 0..self.shared.partitions {
            let (begin, end) = self.held_offsets(Topic::Events, partition);
            held.begin.insert(partition, begin);
            held.end.insert(partition, end);
        }
        Ok(held)
    }

    async fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError> {
        let first = |partition| {
            let (begin, end) = self.held_offsets(Topic::Events, partition);
            let records = self.records_from(Topic::Events, Position { partition, offset: begin }, usize::MAX);
            let first = records.iter().find(|record| record.timestamp >= time.as_millis());
            first.map_or(end, |record| record.position.offset)
        };
        Ok((0..self.shared.partitions).map(|partition| (partition, first(partition))).collect())
    }

    async fn committed(&self, generation: Generation) -> Result<Offsets, ReplayError> {
        let inner = self.inner();
        let own = inner.committed.iter().filter(|((of, _), _)| *of == generation);
        Ok(own.map(|((_, partition), offset)| (*partition, *offset)).collect())
    }

    async fn commit(&self, generation: Generation, offsets: &Offsets) -> Result<(), ReplayError> {
        if EventReplay::has_members(self, generation).await? {
            return Err(ReplayError("the group has members".to_owned()));
        }
        let positions: Vec<_> = offsets.iter().map(|(&partition, &offset)| Position { partition, offset }).collect();
        Self::commit(self, generation, &positions);
        Ok(())
    }

    async fn has_members(&self, generation: Generation) -> Result<bool, ReplayError> {
        Ok(self.inner().members.get(&generation).is_some_and(|&members| members > 0))
    }

    async fn forget(&self, generation: Generation) -> Result<(), ReplayError> {
        if EventReplay::has_members(self, generation).await? {
            return Err(ReplayError("the group has members".to_owned()));
        }
        self.inner().committed.retain(|(of, _), _| *of != generation);
        Ok(())
    }

    fn member(&self, generation: Generation) -> Box<dyn EventSubscriber> {
        Box::new(Member { log: self.clone(), generation })
    }

    fn replay(&self, stretch: Stretch) -> Box<dyn EventSubscriber> {
        let (log, committing, generation) = (self.clone(), self.clone(), stretch.commit);
        let read = move |partition, from: i64| {
            let (begin, _) = log.held_offsets(Topic::Events, partition);
            let from = Position { partition, offset: from.max(begin) };
            Ok(log.records_from(Topic::Events, from, READ_AT_ONCE))
        };
        let commit = move |offsets: &Offsets| {
            let positions: Vec<_> =
                offsets.iter().map(|(&partition, &offset)| Position { partition, offset }).collect();
            if let Some(generation) = generation {
                committing.commit(generation, &positions);
            }
            Ok(())
        };
        Box::new(ReplayInParts { stretch, read: Box::new(read), commit: Box::new(commit) })
    }
}

/// Offers the records of `partition` from `next` on; says whether there were any.
fn offer_new(log: &MemoryLog, consumer: &dyn PartitionConsumer, partition: i32, next: &mut i64) -> bool {
    let records = log.records_from(Topic::Events, Position { partition, offset: *next }, usize::MAX);
    if records.is_empty() {
        return false;
    }
    for record in records {
        let offset = record.position.offset;
        if matches!(consumer.offer(record), Offer::Full(_)) {
            consumer.wait_for_room(partition, IDLE);
            return true;
        }
        *next = offset + 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::conformance::{LogUnderTest, every_promise_is_kept};

    #[test]
    fn it_keeps_every_promise_of_a_log() {
        every_promise_is_kept(&|| {
            let log = MemoryLog::new(5, || crate::clock::system().as_millis());
            let (read, subscribed) = (log.clone(), log.clone());
            LogUnderTest {
                partitions: 5,
                appender: Arc::new(log),
                subscriber: Box::new(move || Box::new(MemorySubscriber(subscribed.clone()))),
                read: Box::new(move |topic| read.records(topic)),
            }
        });
    }

    #[tokio::test]
    async fn its_past_keeps_every_promise() {
        let log = MemoryLog::new(5, || crate::clock::system().as_millis());
        crate::event_log::conformance::replaying::run(&log, &log).await;
    }
}
