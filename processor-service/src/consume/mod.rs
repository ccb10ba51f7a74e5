//! What the owner of partitions is to its subscriber: one bounded queue that the lanes share, and the bookkeeping that says when a
//! partition's records are durable and when nothing of it is in flight any more.
//!
//! The subscriber's thread calls in through [`PartitionConsumer`]; the lanes take batches and report how far they are. A lane takes whatever
//! waits of strands that no other lane has. So little load makes one lane work with batches as large as can be, for a batch costs as much as
//! a hundred events; and much load makes all of them work.
//!
//! A partition has a *generation* that changes whenever it is assigned or revoked: what a lane finishes for an older generation
//! marks no offset, and what is remembered from one is not used again.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use shared::event_log::murmur2::partition_of;
use shared::event_log::{DRAIN_DEADLINE, LogRecord, Offer, PartitionConsumer, Position};
use tokio::sync::Notify;

use crate::cache::Cache;
use crate::metrics::Metrics;
use queue::{Queue, Stage, Turn};

/// Most records of one batch (design section 3): enough that the cost of a commit to disk is shared by thousands, few
/// enough that one command stays far below 16 MiB and a crash repeats little.
pub const BATCH_RECORDS: usize = 2_000;
/// Most bytes of one batch.
pub const BATCH_BYTES: usize = 4 << 20;
/// The same where keys are told apart, and one file is the store: a batch writes nearly every page of an index and of the states anew, and
/// waits for three syncs, however large it is. Four times as many records cost the file half as many bytes each.
pub const BATCH_OF_KEYS_RECORDS: usize = 8_000;
/// And so many bytes.
pub const BATCH_OF_KEYS_BYTES: usize = 16 << 20;
/// A batch with fewer records waits a moment for more …
pub const SMALL_BATCH: usize = 200;
/// … but not longer than this, counted from when the first of them came: those that came while the lane was at work have waited enough.
pub const LINGER: Duration = Duration::from_millis(2);
/// … or, while another lane is at work, which takes them too when it is done before, than a small batch has taken of late: at least this …
pub const OTHERS_AT_WORK: Duration = Duration::from_millis(10);
/// … and at most this. A machine that is busy makes batches take longer; to answer that with more and smaller ones would make it busier.
pub const BUSY_OTHERS_AT_WORK: Duration = Duration::from_millis(50);
/// So many batches wait at most, in records and in bytes: lanes are done one after the other, and the subscriber has fetched what follows.
const QUEUE_BATCHES: usize = 2;
/// So many of a strand are taken although others fill the queue: what a lane can't write must not hold up the others.
const RESERVED: usize = 100;
/// And so many bytes.
const RESERVED_BYTES: usize = 64 << 10;
/// Shares of a partition whose keys are told apart: several for each lane, so that the load of each is about the same.
const SHARES: i32 = 16;

/// Counts up whenever a partition is assigned or revoked.
pub type Generation = u64;

/// What is applied in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strands {
    /// A partition: it is in one lane at a time.
    Partitions,
    /// A key: one partition can be in several lanes, for a log that has only one. What is durable of it is what all lanes have finished,
    /// up to the first record that one of them has not.
    Keys,
}

/// How much at once.
#[derive(Clone, Copy, Debug)]
struct Most {
    records: usize,
    bytes: usize,
}

impl Most {
    fn is_reached(self, records: usize, bytes: usize) -> bool {
        records >= self.records || bytes >= self.bytes
    }

    fn times(self, count: usize) -> Self {
        Self { records: count * self.records, bytes: count * self.bytes }
    }
}

impl Strands {
    /// Most of one batch.
    fn batch(self) -> Most {
        match self {
            Self::Partitions => Most { records: BATCH_RECORDS, bytes: BATCH_BYTES },
            Self::Keys => Most { records: BATCH_OF_KEYS_RECORDS, bytes: BATCH_OF_KEYS_BYTES },
        }
    }
}

/// Records that a lane works on, and the generations of their partitions.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, in order within each strand.
    pub records: Vec<LogRecord>,
    /// The generation of each of their partitions.
    pub generations: HashMap<i32, Generation>,
}

/// What the lanes share.
pub struct Lanes {
    queue: Mutex<Queue>,
    arrived: Notify,
    changed: Condvar,
    strands: Strands,
    /// For each lane when it last showed a sign of life, if it has work.
    beats: Vec<Mutex<Option<Instant>>>,
    cache: Mutex<Cache>,
    metrics: Arc<Metrics>,
    /// How many records wait.
    depth: IntGauge,
    started: Instant,
    /// Milliseconds after `started` at which the subscriber was last heard of, plus one; 0 for never.
    heard: AtomicU64,
}

impl Lanes {
    /// An empty queue for `count` lanes.
    #[must_use]
    pub fn new(count: usize, strands: Strands, metrics: Arc<Metrics>) -> Self {
        Self {
            queue: Mutex::new(Queue::new(count.max(1), strands.batch())),
            arrived: Notify::new(),
            changed: Condvar::new(),
            strands,
            beats: (0..count.max(1)).map(|_| Mutex::default()).collect(),
            cache: Mutex::default(),
            depth: metrics.queue_depth(),
            metrics,
            started: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of shipments. Nobody may wait for anything while they hold it.
    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat_of(&self, lane: usize) -> MutexGuard<'_, Option<Instant>> {
        self.beats[lane].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, record: &LogRecord) -> i32 {
        match (self.strands, record.key.as_deref()) {
            (Strands::Keys, Some(key)) => partition_of(key, SHARES),
            // Without a key it is about no shipment.
            (Strands::Keys, None) | (Strands::Partitions, _) => 0,
        }
    }

    fn show_depth(&self, queue: &Queue) {
        self.depth.set(i64::try_from(queue.depth()).unwrap_or(i64::MAX));
    }

    /// The next batch for `lane`, as soon as there is one; `None` when the queue is closed and nothing is left for it.
    pub(crate) async fn take(&self, lane: usize) -> Option<Batch> {
        loop {
            let turn = {
                let mut queue = self.queue();
                let turn = queue.turn(lane, tokio::time::Instant::now());
                if matches!(turn, Turn::End) || (matches!(turn, Turn::Work(_)) && queue.is_left_over()) {
                    self.arrived.notify_one(); // another lane
                }
                self.show_depth(&queue);
                turn
            };
            match turn {
                Turn::Work(batch) => {
                    self.beat(lane);
                    self.changed.notify_all();
                    return Some(batch);
                }
                Turn::Wait(None) => self.arrived.notified().await,
                Turn::Wait(Some(due)) => {
                    let moment_over = tokio::time::timeout_at(due, self.arrived.notified()).await.is_err();
                    tracing::trace!(moment_over, "a small batch waited");
                }
                Turn::End => return None,
            }
        }
    }

    /// The lane is still at it.
    pub(crate) fn beat(&self, lane: usize) {
        *self.beat_of(lane) = Some(Instant::now());
    }

    /// A reader finds what the batch of `lane` did; the last positions of its partitions up to which that is so, and with them.
    pub(crate) fn shown(&self, lane: usize, batch: &Batch) -> Vec<Position> {
        let mut queue = self.queue();
        queue.reach(lane, Stage::Shown);
        let reached =
            |&partition: &i32| Some(Position { partition, offset: queue.reached(partition, Stage::Shown)? - 1 });
        batch.generations.keys().filter_map(reached).collect()
    }

    /// Everything of the batch of `lane` is durable: its offsets may be committed.
    pub(crate) fn finished(&self, lane: usize) {
        self.queue().finish(lane, tokio::time::Instant::now());
        self.rest(lane);
    }

    /// The batch of `lane` was given up: its records are offered again, to this member or another.
    pub(crate) fn abandoned(&self, lane: usize) {
        self.queue().give_up(lane);
        self.rest(lane);
    }

    fn rest(&self, lane: usize) {
        *self.beat_of(lane) = None;
        self.changed.notify_all();
    }

    /// Whether any partition of `batch` is still ours.
    pub(crate) fn owns_any_of(&self, batch: &Batch) -> bool {
        self.queue().owns_any_of(batch)
    }

    /// The partitions that are ours.
    pub(crate) fn owned(&self) -> Vec<i32> {
        self.queue().owned()
    }

    /// Lets the lanes end when the queue is empty.
    pub(crate) fn close(&self) {
        self.queue().close();
        self.arrived.notify_one(); // who ends wakes the next one
    }

    /// [`PartitionConsumer::revoked`] with a patience of the caller's own.
    pub fn revoked_within(&self, partitions: &[i32], patience: Duration) {
        let deadline = Instant::now() + patience;
        self.forget(partitions);
        for &partition in partitions {
            let patience = deadline.saturating_duration_since(Instant::now());
            let waited = self.changed.wait_timeout_while(self.queue(), patience, |queue| !queue.is_drained(partition));
            let (mut queue, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue.hand_over(partition);
            if timeout.timed_out() {
                tracing::warn!(partition, "a revoked partition did not drain in time; its new owner repeats the batch");
            }
            self.metrics.forget_lag(partition);
        }
    }

    fn forget(&self, partitions: &[i32]) {
        let mut queue = self.queue();
        for &partition in partitions {
            queue.forget(partition);
        }
        self.show_depth(&queue);
        self.changed.notify_all();
    }

    /// How long ago the subscriber was last heard of.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(heard)))
    }

    /// How long the slowest lane has shown no sign of life while it had work.
    #[must_use]
    pub fn stuck(&self) -> Duration {
        let stuck = |lane| self.beat_of(lane).map_or(Duration::ZERO, |beat| beat.elapsed());
        (0..self.beats.len()).map(stuck).max().unwrap_or_default()
    }
}

impl PartitionConsumer for Lanes {
    fn assigned(&self, partitions: &[i32]) {
        // A subscriber that lost a partition without a word offers its records again, from the committed offset on.
        self.forget(partitions);
        let mut queue = self.queue();
        for &partition in partitions {
            queue.begin(partition);
        }
    }

    fn offer(&self, record: LogRecord) -> Offer {
        let share = self.share(&record);
        let mut queue = self.queue();
        let (offer, is_news) = queue.offer(record, share, tokio::time::Instant::now());
        self.show_depth(&queue);
        drop(queue);
        if is_news {
            self.arrived.notify_one();
        }
        offer
    }

    fn wait_for_room(&self, partition: i32, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.queue(), patience, |queue| !queue.has_room(partition));
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.has_room(partition)
    }

    fn durable(&self) -> Vec<Position> {
        self.queue().take_news()
    }

    fn revoked(&self, partitions: &[i32]) {
        self.revoked_within(partitions, DRAIN_DEADLINE);
    }

    fn lag(&self, partition: i32, records: i64) {
        self.metrics.lag(partition, records);
    }

    fn alive(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now.saturating_add(1), Ordering::Relaxed);
    }
}
