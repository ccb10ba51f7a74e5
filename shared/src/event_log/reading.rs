//! Reading a topic from any position on, by anybody, without a group.
//!
//! # What a reader promises
//! - **No gap.** [`TopicReader::read_topic`] gives every record of its stretches, in order within each partition, as far as its limit allows, and
//!   says where to go on. A position that the topic does not hold is [`ReadFault::OutOfRange`], and never taken for another one.
//! - **Now is now.** What was acknowledged before a call of [`TopicReader::bounds_of`] stands before the ends that it gives.
//! - **Bounded.** Both end within seconds, and give no more than they were asked for.
//! - **Nothing is left behind**: no group, no commits.
//!
//! Positions have gaps; compare them, never count with them.

use async_trait::async_trait;

use super::{LogRecord, Position, Topic};

/// Why a topic cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// The topic cannot be reached, or did not answer in time. Try again later.
    #[error("the topic cannot be read: {0}")]
    Unavailable(String),
    /// A position is not held any more, or not reached yet. The bounds say which.
    #[error("a position is outside of what the topic holds")]
    OutOfRange,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is still there; `end` when nothing is.
    pub oldest: i64,
    /// One past the last record.
    pub end: i64,
}

/// A part of a partition: from one offset on until another one, which is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: i32,
    /// Its first offset.
    pub from: i64,
    /// One past its last offset.
    pub until: i64,
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// So many records at most.
    pub records: usize,
    /// After so many bytes no further record is taken.
    pub bytes: usize,
}

/// What a read gave.
#[derive(Debug, Default)]
pub struct Piece {
    /// The records, in order within each partition.
    pub records: Vec<LogRecord>,
    /// Where to go on, for each stretch in the order in which they were asked for: its `until` when it was read to its end.
    pub next: Vec<Position>,
}

/// Reads any topic. See the module for what it promises.
#[async_trait]
pub trait TopicReader: Send + Sync {
    /// What each partition of `topic` holds, by its number.
    ///
    /// # Errors
    /// The topic cannot be reached.
    async fn bounds_of(&self, topic: Topic) -> Result<Vec<Bounds>, ReadFault>;

    /// The records of these stretches of `topic`, as far as `limit` allows; of a stretch that is empty there are none.
    ///
    /// # Errors
    /// See [`ReadFault`].
    async fn read_topic(&self, topic: Topic, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, ReadFault>;
}
