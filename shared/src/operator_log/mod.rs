//! What operators did: who, when and what, for ever. A few entries a day.
//!
//! # Contract
//! - **Durable before done.** When [`OperatorLog::write`] returns `Ok`, the entry survives the loss of a minority of the servers (MongoDB) or a
//!   kill -9 (SQLite). Whoever acts writes first: an act that nobody finds here did not happen. (But for a change of the log level while the store is
//!   away, which is in the log lines: `crate::log_level`.)
//! - **Append-only.** Nothing changes or removes an entry.
//! - **Reads see what was acknowledged**, in any process. Entries come newest first; of two processes, to the second.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Dead letters were put back into the log.
    DeadLettersRedriven,
    /// A storm of dead letters was let through.
    DeadLetterStormContinued,
    /// A program logs more, or less, than before.
    LogLevelChanged,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DeadLettersRedriven, Self::DeadLetterStormContinued, Self::LogLevelChanged];

    /// Its word in stores and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLettersRedriven => "dead_letters_redriven",
            Self::DeadLetterStormContinued => "dead_letter_storm_continued",
            Self::LogLevelChanged => "log_level_changed",
        }
    }

    /// What [`Act::as_str`] gave the word for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == word)
    }
}

/// One thing that an operator did.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[schemars(rename = "OperatorAct")]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who: the user's name, or the account on the machine.
    pub by: String,
    /// What.
    pub act: Act,
    /// The particulars.
    pub details: Value,
}

/// The log.
#[async_trait]
pub trait OperatorLog: Send + Sync {
    /// Adds an entry.
    ///
    /// # Errors
    /// The store failed; the entry may be there all the same.
    async fn write(&self, entry: &Entry) -> Result<(), StoreError>;

    /// The newest entries, of one act or of all, at most `limit`.
    ///
    /// # Errors
    /// The store failed.
    async fn newest(&self, act: Option<Act>, limit: u32) -> Result<Vec<Entry>, StoreError>;
}
