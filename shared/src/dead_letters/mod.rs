//! What operators see of dead letters and do about them.
//!
//! The dead-letter topic is the truth; nothing is kept beside it. A letter is its original record byte for byte, with headers `dlq.*` that say
//! where it stood and what was wrong with it (contract section 5); its [`LetterId`] is its place in the topic.
//!
//! - [`DeadLetters::list`] walks the topic from its newest letters back, as far as [`LOOKED_AT`] letters in one call; a page may therefore be short
//!   and still have a next one.
//! - [`DeadLetters::show`] gives one letter whole, and the records that stood around its original.
//! - [`DeadLetters::redrive`] appends the originals to the topic of events again, each shipment's in their order. Whatever they come to is
//!   decided there, by their identity: a second redrive of the same letter changes nothing.
//!
//! What is deliberately absent: an index of letters, a mark at those that were redriven (the log says so: `x-replay-of`), and deletion.

mod cursor;
mod letter;
mod redrive;
mod show;
mod storm;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;

use crate::clock::Clock;
use crate::event_log::{AppendError, EventAppender, ReadFault, TopicReader};
use crate::operator_log::{Entry, OperatorLog};
use crate::shipment::{Timestamp, TrackingNumber};
use crate::shipment_store::StoreError;

pub use cursor::Cursor;
pub use letter::{Letter, LetterId, MalformedId, Original, REPLAY_BY, REPLAY_OF, repeated};
pub use redrive::{RedriveReport, RedriveRequest, Redriven, Selection};
pub use show::{Neighbour, Shown, ShownHeader};
pub use storm::{StormNotice, last_word};
pub use walk::Page;

/// Most letters that one call looks at, whatever it is filtered by: some seconds of work on any of the logs.
pub const LOOKED_AT: usize = 5_000;
/// Most letters on a page.
pub const MOST_LISTED: usize = 100;
/// Most letters that one redrive takes.
pub const MOST_REDRIVEN: usize = 1_000;
/// Longest reason that is looked for: longer than every class that there is.
pub const REASON: usize = 64;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The letters, or the records around one, cannot be read.
    #[error(transparent)]
    Read(#[from] ReadFault),
    /// The log did not take a record. Those before it are in the log; to redrive them again does no harm.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is to be done could not be written down, so it was not done.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which letters are meant: those to which every part that is there applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The error class, as in `dlq.error.class`.
    pub reason: Option<String>,
    /// The shipment that the letter is about.
    pub tracking_number: Option<TrackingNumber>,
    /// Buried at this time or later.
    pub from: Option<Timestamp>,
    /// Buried before this time.
    pub to: Option<Timestamp>,
}

impl Filter {
    /// Whether `letter` is meant.
    #[must_use]
    pub fn takes(&self, letter: &Letter) -> bool {
        self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.tracking_number.is_none_or(|number| letter.tracking_number == Some(number))
            && self.from.is_none_or(|from| letter.buried_at >= from)
            && self.to.is_none_or(|to| letter.buried_at < to)
    }
}

/// The dead letters of one log.
#[derive(Clone)]
pub struct DeadLetters {
    /// Reads all topics.
    reader: Arc<dyn TopicReader>,
    /// Takes what is redriven.
    log: Arc<dyn EventAppender>,
    /// Where it is written down.
    operators: Arc<dyn OperatorLog>,
    /// What the topic of events is called.
    events: String,
    clock: Clock,
    notice: StormNotice,
}

impl DeadLetters {
    /// The dead letters behind these ports; `events` is what the topic of events is called.
    pub fn new(
        reader: Arc<dyn TopicReader>,
        log: Arc<dyn EventAppender>,
        operators: Arc<dyn OperatorLog>,
        events: impl Into<String>,
        clock: Clock,
    ) -> Self {
        Self { reader, log, operators, events: events.into(), clock, notice: StormNotice::default() }
    }

    /// The newest things that operators did, at most `limit`.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn operator_log(&self, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.operators.newest(None, limit).await
    }
}
