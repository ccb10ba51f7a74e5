//! The feed of changes: the topic `shipments.changes`, read from any position on, by anybody, without a group.
//!
//! The topic holds one record for each applied change ([`Change`]), keyed by tracking number. So all changes of one shipment stand on one
//! partition, in the order in which they were applied; between shipments no order is promised. Records are kept for
//! [`CHANGES_KEPT`](crate::event_log::CHANGES_KEPT) and then go, oldest first.
//!
//! # What a feed promises
//! - **No gap.** [`ChangeFeed::read`] and [`Tail::next`] give every record from the asked position on, in order within each partition. A
//!   position that the topic does not hold any more (or has not reached, as after the topic was made anew) is never taken for another one: it
//!   is [`FeedError::OutOfRange`].
//! - **Another life is told.** A topic that was made anew gives the same positions to other records. [`ChangeFeed::later_before`] tells one life from
//!   the other.
//! - **Now is now.** [`ChangeFeed::bounds`] takes the question to the topic: whatever was acknowledged before the call stands before the `end` that
//!   it gives. Who takes an end and follows from there misses nothing that comes later.
//! - **Bounded.** A read gives no more than it was asked for, and ends within [`READ_DEADLINE`]. A tail holds a few chunks and no more; while
//!   nobody calls [`Tail::next`], it stands still.
//! - **Outages pass.** A tail outlives one and goes on where it was. A question or a read is refused instead
//!   ([`FeedError::Unavailable`]).
//! - **Nothing is left behind**: no group, no commits. What ends with the process was never there.
//!
//! # What it does not promise
//! A change may stand in the topic twice: a processor that was killed between publishing and committing publishes it again, the same to the
//! byte, behind later ones. Whoever acts on changes remembers their `event_id`; the `version` grows with each change of a shipment.
//!
//! Positions have gaps; compare them, never count with them.

mod change;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;

use crate::event_log::{LogRecord, Position};
use crate::shipment::TrackingNumber;

pub use change::{Change, Unreadable};

pub use crate::event_log::{Bounds, Piece, ReadFault as FeedError, ReadLimit, Stretch};

/// Longest time that a read may take: shorter than what callers of an answer wait, long enough for a fail-over of a leader.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Longest time that the question for the bounds may take.
pub const BOUNDS_DEADLINE: Duration = Duration::from_secs(4);
/// Most records that a tail gives at once: what came meanwhile, when much comes.
pub const TAIL_CHUNK: usize = 500;

/// Reads the changes. See the module for what it promises.
#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// The partition on which the changes of a shipment stand.
    fn partition_of(&self, number: TrackingNumber) -> i32;

    /// What each partition holds, by its number.
    ///
    /// # Errors
    /// The topic cannot be reached.
    async fn bounds(&self) -> Result<Vec<Bounds>, FeedError>;

    /// The records of these stretches, as far as `limit` allows; of a stretch that is empty there are none.
    ///
    /// # Errors
    /// See [`FeedError`].
    async fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError>;

    /// Whether a record before one of these positions bears a later time than `time` (milliseconds since the epoch). Who was there at that time
    /// and at these positions learns so whether the topic was made anew since. On a partition times grow, but for what clocks differ; so an
    /// adapter may look at the last record before a position only.
    ///
    /// # Errors
    /// The topic cannot be reached.
    async fn later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError>;

    /// Follows the partitions of `from` from these positions on.
    ///
    /// # Errors
    /// See [`FeedError`]. A position that is out of range may also be found by the first [`Tail::next`].
    async fn follow(&self, from: &[Position]) -> Result<Box<dyn Tail>, FeedError>;
}

/// Waits at the end of the topic for what comes.
#[async_trait]
pub trait Tail: Send {
    /// The next records, one at least and at most [`TAIL_CHUNK`]; waits for them. A call that is dropped loses none.
    ///
    /// # Errors
    /// See [`FeedError`]. The tail is of no use afterwards.
    async fn next(&mut self) -> Result<Vec<LogRecord>, FeedError>;
}
