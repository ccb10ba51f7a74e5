//! What the owner of partitions is to its subscriber: a bounded queue for each lane, and the bookkeeping that says when a
//! partition's records are durable and when nothing of it is in flight any more.
//!
//! The subscriber's thread calls in through [`PartitionConsumer`]; the lanes take batches and report them finished. A partition
//! has a *generation* that changes whenever it is assigned or revoked: what a lane finishes for an older generation
//! marks no offset, and what it remembers from one is not used again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use shared::event_log::{DRAIN_DEADLINE, LogRecord, Offer, PartitionConsumer, Position};
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// Most records of one batch (design section 3): enough that the cost of a commit to disk is shared by thousands, few
/// enough that one command stays far below 16 MiB and a crash repeats little.
pub const BATCH_RECORDS: usize = 2_000;
/// Most bytes of one batch.
pub const BATCH_BYTES: usize = 4 << 20;
/// A batch with fewer records waits a moment for more …
pub const SMALL_BATCH: usize = 200;
/// … but not longer than this, counted from when the first of them came: those that came while the lane was at work have waited enough.
pub const LINGER: Duration = Duration::from_millis(2);
/// Most records that wait for one lane: two batches, so that the next is there when one is done.
const QUEUE_RECORDS: usize = 2 * BATCH_RECORDS;
/// Most bytes that wait for one lane.
const QUEUE_BYTES: usize = 2 * BATCH_BYTES;

/// Counts up whenever a partition is assigned or revoked.
pub type Generation = u64;

/// The lanes' queues. A partition always goes to the same lane.
pub struct Lanes {
    queues: Vec<Arc<LaneQueue>>,
    metrics: Arc<Metrics>,
    started: Instant,
    /// Milliseconds after `started` at which the subscriber was last heard of, plus one; 0 for never.
    heard: AtomicU64,
}

/// The queue of one lane.
pub struct LaneQueue {
    index: usize,
    inner: Mutex<Inner>,
    arrived: Notify,
    changed: Condvar,
    /// How many records wait, for the metric.
    depth: IntGauge,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<LogRecord>,
    /// When the queue was last empty and something came.
    waiting_since: Option<tokio::time::Instant>,
    bytes: usize,
    in_flight: HashSet<i32>,
    partitions: HashMap<i32, Partition>,
    beat: Option<Instant>,
    closed: bool,
}

#[derive(Default)]
struct Partition {
    generation: Generation,
    owned: bool,
    /// One past the last durable record, when that is news.
    durable: Option<i64>,
}

/// Records that a lane works on, and the generations of their partitions.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, in order within each partition.
    pub records: Vec<LogRecord>,
    /// The generation of each of their partitions.
    pub generations: HashMap<i32, Generation>,
}

impl Batch {
    /// The last position of each partition.
    #[must_use]
    pub fn ends(&self) -> Vec<Position> {
        let mut ends = HashMap::new();
        for record in &self.records {
            ends.insert(record.position.partition, record.position.offset);
        }
        ends.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
    }
}

impl Lanes {
    /// `count` empty queues.
    #[must_use]
    pub fn new(count: usize, metrics: Arc<Metrics>) -> Self {
        let queue = |index| Arc::new(LaneQueue::new(index, metrics.queue_depth(index)));
        let queues = (0..count.max(1)).map(queue).collect();
        Self { queues, metrics, started: Instant::now(), heard: AtomicU64::new(0) }
    }

    pub(crate) fn queue(&self, index: usize) -> Arc<LaneQueue> {
        self.queues[index].clone()
    }

    fn of(&self, partition: i32) -> &LaneQueue {
        let lane = usize::try_from(partition).unwrap_or(0) % self.queues.len();
        &self.queues[lane]
    }

    /// The partitions that are ours.
    pub(crate) fn owned(&self) -> Vec<i32> {
        let owned = |queue: &Arc<LaneQueue>| {
            let inner = queue.inner();
            let ours = inner.partitions.iter().filter(|(_, known)| known.owned);
            ours.map(|(&partition, _)| partition).collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(owned).collect()
    }

    /// Lets the lanes end when their queues are empty.
    pub(crate) fn close(&self) {
        for queue in &self.queues {
            queue.inner().closed = true;
            queue.arrived.notify_one();
        }
    }

    /// [`PartitionConsumer::revoked`] with a patience of the caller's own.
    pub fn revoked_within(&self, partitions: &[i32], patience: Duration) {
        let deadline = Instant::now() + patience;
        for queue in &self.queues {
            queue.forget(partitions);
        }
        for &partition in partitions {
            if !self.of(partition).drained(partition, deadline) {
                tracing::warn!(partition, "a revoked partition did not drain in time; its new owner repeats the batch");
            }
            self.metrics.forget_lag(partition);
        }
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
        let stuck = |queue: &Arc<LaneQueue>| queue.inner().beat.map_or(Duration::ZERO, |beat| beat.elapsed());
        self.queues.iter().map(stuck).max().unwrap_or_default()
    }
}

impl PartitionConsumer for Lanes {
    fn assigned(&self, partitions: &[i32]) {
        // A subscriber that lost a partition without a word offers its records again, from the committed offset on.
        for queue in &self.queues {
            queue.forget(partitions);
        }
        for &partition in partitions {
            let mut inner = self.of(partition).inner();
            let known = inner.partitions.entry(partition).or_default();
            known.generation += 1;
            known.owned = true;
            known.durable = None;
        }
    }

    fn offer(&self, record: LogRecord) -> Offer {
        self.of(record.position.partition).offer(record)
    }

    fn wait_for_room(&self, partition: i32, patience: Duration) -> bool {
        let queue = self.of(partition);
        let (inner, _) = queue
            .changed
            .wait_timeout_while(queue.inner(), patience, |inner| inner.is_full())
            .unwrap_or_else(PoisonError::into_inner);
        !inner.is_full()
    }

    fn durable(&self) -> Vec<Position> {
        let mut durable = Vec::new();
        for queue in &self.queues {
            for (&partition, known) in &mut queue.inner().partitions {
                durable.extend(known.durable.take().map(|offset| Position { partition, offset }));
            }
        }
        durable
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

impl Inner {
    fn is_full(&self) -> bool {
        self.waiting.len() >= QUEUE_RECORDS || self.bytes >= QUEUE_BYTES
    }
}

impl LaneQueue {
    fn new(index: usize, depth: IntGauge) -> Self {
        let inner = Mutex::default();
        Self { index, inner, arrived: Notify::new(), changed: Condvar::new(), depth }
    }

    /// Shows how many records wait.
    fn show_depth(&self, inner: &Inner) {
        self.depth.set(i64::try_from(inner.waiting.len()).unwrap_or(i64::MAX));
    }

    /// Which lane it is.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, record: LogRecord) -> Offer {
        let mut inner = self.inner();
        if !inner.partitions.get(&record.position.partition).is_some_and(|partition| partition.owned) {
            return Offer::Taken; // a straggler of a revoked partition: its new owner gets it
        }
        if inner.is_full() {
            return Offer::Full(Box::new(record));
        }
        inner.bytes += record.size();
        inner.waiting.push_back(record);
        self.show_depth(&inner);
        if inner.waiting.len() == 1 {
            inner.waiting_since = Some(tokio::time::Instant::now());
        }
        // A lane that lingers is woken by its timer, or when the batch has stopped being small.
        if inner.waiting.len() == 1 || inner.waiting.len() == SMALL_BATCH {
            self.arrived.notify_one();
        }
        Offer::Taken
    }

    fn forget(&self, partitions: &[i32]) {
        let mut inner = self.inner();
        for partition in partitions {
            // From now on nothing of it is taken; what is in flight still counts until the partition is given up.
            if let Some(known) = inner.partitions.get_mut(partition) {
                known.owned = false;
            }
        }
        inner.waiting.retain(|record| !partitions.contains(&record.position.partition));
        inner.bytes = inner.waiting.iter().map(LogRecord::size).sum();
        self.show_depth(&inner);
        self.changed.notify_all();
    }

    /// Waits until nothing of `partition` is in flight, and gives it up either way.
    fn drained(&self, partition: i32, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut inner, timeout) = self
            .changed
            .wait_timeout_while(self.inner(), patience, |inner| inner.in_flight.contains(&partition))
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.partitions.get_mut(&partition) {
            known.generation += 1;
            known.owned = false;
        }
        !timeout.timed_out()
    }

    /// The next batch, as soon as there is one; `None` when the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Batch> {
        loop {
            let (waiting, since) = {
                let inner = self.inner();
                if inner.closed && inner.waiting.is_empty() {
                    return None;
                }
                (inner.waiting.len(), inner.waiting_since)
            };
            if waiting == 0 {
                self.arrived.notified().await;
                continue;
            }
            if waiting < SMALL_BATCH {
                // More may be on the way; either enough arrive or the moment is over.
                let enough = async {
                    while self.inner().waiting.len() < SMALL_BATCH && !self.inner().closed {
                        self.arrived.notified().await;
                    }
                };
                let over = since.map_or_else(tokio::time::Instant::now, |since| since + LINGER);
                let moment_over = tokio::time::timeout_at(over, enough).await.is_err();
                tracing::trace!(moment_over, "a small batch waited");
            }
            if let Some(batch) = self.cut() {
                return Some(batch);
            }
        }
    }

    fn cut(&self) -> Option<Batch> {
        let mut inner = self.inner();
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.records.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(record) = inner.waiting.pop_front() else { break };
            bytes += record.size();
            let partition = record.position.partition;
            let generation = inner.partitions.get(&partition).map_or(0, |known| known.generation);
            batch.generations.insert(partition, generation);
            inner.in_flight.insert(partition);
            batch.records.push(record);
        }
        inner.bytes -= bytes.min(inner.bytes);
        inner.beat = Some(Instant::now());
        self.show_depth(&inner);
        self.changed.notify_all();
        (!batch.records.is_empty()).then_some(batch)
    }

    /// The lane is still at it.
    pub(crate) fn beat(&self) {
        self.inner().beat = Some(Instant::now());
    }

    /// Whether any partition of `batch` is still ours.
    pub(crate) fn owns_any_of(&self, batch: &Batch) -> bool {
        let inner = self.inner();
        batch.generations.iter().any(|(partition, generation)| {
            inner.partitions.get(partition).is_some_and(|known| known.owned && known.generation == *generation)
        })
    }

    /// Everything of `batch` is durable: its offsets may be committed.
    pub(crate) fn finished(&self, batch: &Batch) {
        let mut inner = self.inner();
        for end in batch.ends() {
            let current = batch.generations.get(&end.partition).copied();
            if let Some(known) = inner.partitions.get_mut(&end.partition)
                && Some(known.generation) == current
            {
                known.durable = Some(end.offset + 1);
            }
        }
        self.release(&mut inner);
    }

    /// The batch was given up: its records are offered again, to this member or another.
    pub(crate) fn abandoned(&self) {
        self.release(&mut self.inner());
    }

    fn release(&self, inner: &mut Inner) {
        inner.in_flight.clear();
        inner.beat = None;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
