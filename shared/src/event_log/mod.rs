//! The log: the source of truth, an ordered sequence of records on each partition of each topic.
//!
//! # What an appender promises
//! - **Durable before acknowledged.** A [`Position`] is returned only for a record that the log holds: acknowledged by all
//!   in-sync replicas (Kafka, `acks=all`) or on disk (SQLite, after the commit).
//! - **One partition for one key.** Records with the same key go to the same partition, the one that Kafka's murmur2
//!   partitioner gives. A record without a key may name its partition.
//! - **Order within a call, and between calls that follow one another**: two records of one key that are appended one
//!   after the other stand in that order.
//! - **A prefix or nothing.** [`Appended`] says how many of the records, from the first on, are held. After the first refused one
//!   all later ones count as refused too. A refused record may still have reached the log (the answer was lost); to
//!   send it again is safe, since the processor knows it by its key.
//! - **No waiting room.** An append ends within [`APPEND_DEADLINE`], with an error when the log is away. Nothing is kept to be
//!   sent later behind the caller's back.
//!
//! # What a subscriber promises
//! - Every record of a partition that this member owns is offered, in order, from the group's committed offset on (from
//!   the first record when there is none). After a crash records are offered again from the committed offset: at
//!   least once, never a gap.
//! - At most one member of a group is *told* to own a partition at a time. A member that lost it without knowing (a
//!   zombie) may still be working on its records; whoever writes must be safe against that.
//! - Only what [`PartitionConsumer::durable`] returned is committed. A failed commit is normal: it is tried again with the next one.
//! - When a partition is revoked, the subscriber calls [`PartitionConsumer::revoked`], waits for it, commits what became durable and only then
//!   lets go.
//! - Back-pressure: a record that was not taken is offered again; no other record of its partition overtakes it.
//!
//! Positions have gaps; compare them, never count with them.

mod reading;
mod record;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
pub mod murmur2;
pub mod replay;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use reading::{Bounds, Piece, ReadFault, ReadLimit, Stretch, TopicReader};
pub use record::{Header, LogRecord, NewRecord, Position, Topic};

/// What the topic of events is called when nothing else is said (contract section 5).
pub const DEFAULT_TOPIC: &str = "shipments.events";
/// What the processors' consumer group is called when nothing else is said.
pub const DEFAULT_GROUP: &str = "processor-service";
/// Longest time that an append may take before it is refused: the contract promises a 503 within ten seconds.
pub const APPEND_DEADLINE: Duration = Duration::from_secs(8);
/// How often durable offsets are committed. A crash repeats at most this much work.
pub const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// How long changes are kept: who comes later reads the events.
pub const CHANGES_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest time that a revoked partition may take to drain.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Why records were refused.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log cannot be reached, or did not acknowledge in time. Try again later.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// Our own send queue is full. Try again later.
    #[error("the send queue is full")]
    QueueFull,
    /// The log refuses this record and will refuse it again.
    #[error("the log refused the record: {0}")]
    Refused(String),
}

/// What became of the records of one append: the first `positions.len()` of them are held by the log.
#[derive(Debug)]
pub struct Appended {
    /// Where the accepted ones stand, in the order in which they were given.
    pub positions: Vec<Position>,
    /// Why the others, if there are any, were refused.
    pub refused: Option<AppendError>,
}

impl Appended {
    /// Nothing was accepted.
    #[must_use]
    pub fn nothing(error: AppendError) -> Self {
        Self { positions: Vec::new(), refused: Some(error) }
    }

    /// The positions, when all were accepted.
    ///
    /// # Errors
    /// Why one was refused.
    pub fn all(self) -> Result<Vec<Position>, AppendError> {
        match self.refused {
            None => Ok(self.positions),
            Some(error) => Err(error),
        }
    }
}

/// Writes to the log.
#[async_trait]
pub trait EventAppender: Send + Sync {
    /// Appends `records` in their order.
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended;

    /// One past the last record of the partition of `key`, as of now.
    ///
    /// # Errors
    /// The log cannot be reached.
    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError>;

    /// Whether the log can be reached, within two seconds.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> Result<(), AppendError>;

    /// Waits until everything that was handed over has been acknowledged or refused. For shutdown.
    async fn flush(&self);
}

/// Whether a record was taken.
#[derive(Debug)]
pub enum Offer {
    /// It is the consumer's now.
    Taken,
    /// There is no room; here it is back.
    Full(Box<LogRecord>),
}

/// What the processor is to its subscriber. All methods are called on the subscriber's own thread, which owns the
/// connection to the log: `revoked` and `wait_for_room` may block it, the others must not.
pub trait PartitionConsumer: Send + Sync {
    /// These partitions are ours from now on. Whatever was known about them is stale.
    fn assigned(&self, partitions: &[i32]);

    /// Takes a record, unless there is no room.
    fn offer(&self, record: LogRecord) -> Offer;

    /// Waits until there is room for a record of `partition`; `false` when there still is none after `patience`.
    fn wait_for_room(&self, partition: i32, patience: Duration) -> bool;

    /// What became durable since the last call: for each partition with news, the offset to commit (one past the
    /// last durable record).
    fn durable(&self) -> Vec<Position>;

    /// Throws away what was offered and not begun of these partitions, and waits until what was begun is durable, at
    /// most [`DRAIN_DEADLINE`].
    fn revoked(&self, partitions: &[i32]);

    /// How many records of `partition` are in the log and not yet committed.
    fn lag(&self, partition: i32, records: i64);

    /// The subscriber is alive and the group knows it. Called at least once a second while that is so.
    fn alive(&self);
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// It cannot go on; the process must end and be started again.
    #[error("the subscription failed: {0}")]
    Fatal(String),
}

/// Reads the log as a member of a consumer group.
pub trait EventSubscriber: Send {
    /// Offers the records of `shipments.events` to `consumer` until `stop` is cancelled; then drains, commits and leaves the
    /// group. Blocks: call it on a thread of its own.
    ///
    /// # Errors
    /// The subscription cannot go on.
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError>;
}
