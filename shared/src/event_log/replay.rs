//! Port: the log's past, and the offsets of the consumer group of each generation of the projection ([`crate::projection`]).
//!
//! # What a replay promises
//! - It offers every record of its stretch, in order within each partition, and no other, and ends by itself when all of them are durable.
//! - It is no member of a group: it takes partitions from nobody. When it has a generation, it commits what is durable as that one's group.
//! - Back-pressure is that of a subscriber: what was not taken is offered again.
//!
//! # What the offsets promise
//! - [`EventReplay::committed`] is what the group has committed, and final when [`EventReplay::has_members`] said *no* before and nobody
//!   joined since.
//! - [`EventReplay::commit`] is refused while the group has members.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{COMMIT_INTERVAL, EventSubscriber, LogRecord, Offer, PartitionConsumer, Position, SubscribeError};
use crate::projection::Generation;
use crate::shipment::Timestamp;

/// An offset for each of some partitions.
pub type Offsets = BTreeMap<i32, i64>;

/// How long a replay waits for room, or for records to become durable, before it looks after its other duties.
const TICK: Duration = Duration::from_millis(10);

/// The log, or its groups, could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log cannot be asked: {0}")]
pub struct ReplayError(pub String);

/// A stretch of the topic of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Where to begin; a partition that is not named is read from its first record on.
    pub from: Offsets,
    /// Where to end: one past the last record. A partition that is not named is not read.
    pub to: Offsets,
    /// As whose group to commit what is durable.
    pub commit: Option<Generation>,
}

/// What the topic of events holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The first offset of each partition.
    pub begin: Offsets,
    /// One past the last record of each partition.
    pub end: Offsets,
}

/// See the module.
#[async_trait]
pub trait EventReplay: Send + Sync {
    /// What the topic of events holds now.
    ///
    /// # Errors
    /// The log is away.
    async fn held(&self) -> Result<Held, ReplayError>;

    /// For each partition the offset of the first record that has this time or a later one; its end when there is none.
    ///
    /// # Errors
    /// The log is away.
    async fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError>;

    /// What the group of a generation has committed; partitions without a commit are left out.
    ///
    /// # Errors
    /// The log is away.
    async fn committed(&self, generation: Generation) -> Result<Offsets, ReplayError>;

    /// Commits as the group of a generation, which must have no members.
    ///
    /// # Errors
    /// The log is away, or the group has members.
    async fn commit(&self, generation: Generation, offsets: &Offsets) -> Result<(), ReplayError>;

    /// Whether the group of a generation has members.
    ///
    /// # Errors
    /// The log is away, or does not say.
    async fn has_members(&self, generation: Generation) -> Result<bool, ReplayError>;

    /// Forgets the group of a generation, when it has no members. Safe to repeat.
    ///
    /// # Errors
    /// The log is away, or the group has members.
    async fn forget(&self, generation: Generation) -> Result<(), ReplayError>;

    /// A new member of the group of a generation.
    fn member(&self, generation: Generation) -> Box<dyn EventSubscriber>;

    /// Reads a stretch.
    fn replay(&self, stretch: Stretch) -> Box<dyn EventSubscriber>;
}

/// What was offered and what of it is durable, and the commits of a replay.
pub(super) struct Progress {
    /// One past the last record that was taken.
    taken: Offsets,
    durable: Offsets,
    uncommitted: Offsets,
    committed_at: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let (taken, durable, uncommitted) = (Offsets::new(), Offsets::new(), Offsets::new());
        Self { taken, durable, uncommitted, committed_at: Instant::now() }
    }

    /// Offers one record until it is taken; `false` when `stop` was cancelled before.
    pub(super) fn offer(
        &mut self,
        consumer: &dyn PartitionConsumer,
        record: LogRecord,
        stop: &CancellationToken,
        commit: &mut dyn FnMut(&Offsets) -> Result<(), String>,
    ) -> bool {
        let Position { partition, offset } = record.position;
        let mut offered = consumer.offer(record);
        while let Offer::Full(record) = offered {
            if stop.is_cancelled() {
                return false;
            }
            consumer.wait_for_room(partition, TICK);
            self.tick(consumer, commit);
            offered = consumer.offer(*record);
        }
        self.taken.insert(partition, offset + 1);
        true
    }

    /// What has to be done from time to time.
    pub(super) fn tick(
        &mut self,
        consumer: &dyn PartitionConsumer,
        commit: &mut dyn FnMut(&Offsets) -> Result<(), String>,
    ) {
        consumer.alive();
        self.collect(consumer);
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit(commit);
        }
    }

    fn collect(&mut self, consumer: &dyn PartitionConsumer) {
        for Position { partition, offset } in consumer.durable() {
            self.durable.insert(partition, offset);
            self.uncommitted.insert(partition, offset);
        }
    }

    fn commit(&mut self, commit: &mut dyn FnMut(&Offsets) -> Result<(), String>) {
        self.committed_at = Instant::now();
        if self.uncommitted.is_empty() {
            return;
        }
        match commit(&self.uncommitted) {
            Ok(()) => self.uncommitted.clear(),
            // With the next one. Until then a kill repeats work, nothing else.
            Err(error) => tracing::warn!(error, "the offsets of a replay were not committed"),
        }
    }

    /// Waits until everything that was taken is durable, or `stop`; commits and gives the partitions up.
    pub(super) fn finish(
        mut self,
        consumer: &dyn PartitionConsumer,
        partitions: &[i32],
        stop: &CancellationToken,
        commit: &mut dyn FnMut(&Offsets) -> Result<(), String>,
    ) {
        let is_durable = |progress: &Self| {
            progress.taken.iter().all(|(partition, taken)| progress.durable.get(partition) >= Some(taken))
        };
        while !is_durable(&self) && !stop.is_cancelled() {
            self.tick(consumer, commit);
            // Nothing tells when a batch is done; a batch takes longer than this.
            std::thread::sleep(TICK);
        }
        consumer.revoked(partitions);
        self.collect(consumer);
        self.commit(commit);
    }
}

/// Reads records of a partition from an offset on: as many as are read at once, none at the end.
pub(super) type ReadPart = Box<dyn FnMut(i32, i64) -> Result<Vec<LogRecord>, String> + Send>;
/// Commits.
pub(super) type Commit = Box<dyn FnMut(&Offsets) -> Result<(), String> + Send>;

/// The replay of a log that is read a part at a time.
pub(super) struct ReplayInParts {
    pub(super) stretch: Stretch,
    pub(super) read: ReadPart,
    pub(super) commit: Commit,
}

impl EventSubscriber for ReplayInParts {
    fn run(
        mut self: Box<Self>,
        consumer: &dyn PartitionConsumer,
        stop: &CancellationToken,
    ) -> Result<(), SubscribeError> {
        let partitions: Vec<i32> = self.stretch.to.keys().copied().collect();
        consumer.assigned(&partitions);
        let mut progress = Progress::new();
        let mut open: Offsets =
            partitions.iter().map(|p| (*p, self.stretch.from.get(p).copied().unwrap_or_default())).collect();
        while !open.is_empty() && !stop.is_cancelled() {
            for (partition, next) in open.clone() {
                let end = self.stretch.to[&partition];
                let records = if next < end { (self.read)(partition, next) } else { Ok(Vec::new()) };
                let mut records = records.map_err(SubscribeError::Fatal)?;
                records.retain(|record| record.position.offset < end);
                match records.last() {
                    Some(last) => drop(open.insert(partition, last.position.offset + 1)),
                    None => drop(open.remove(&partition)),
                }
                for record in records {
                    if !progress.offer(consumer, record, stop, &mut self.commit) {
                        break;
                    }
                }
            }
            progress.tick(consumer, &mut self.commit);
        }
        progress.finish(consumer, &partitions, stop, &mut self.commit);
        Ok(())
    }
}
