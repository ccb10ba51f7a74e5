//! The dedup window: events that were decided lately.
//!
//! # Contract
//! - **Positive knowledge only.** An entry says that the outcome of this event is durable in the store. It is written *after* that,
//!   never before: a claim before the write would lose the event when the writer dies.
//! - **A hint, never a verdict.** An entry may be missing (expired, evicted, flushed, never written because the window was away); then the log and
//!   the store decide, and the result is the same. An entry that is there is true.
//! - **Bounded.** Entries expire after the window's time to live, or earlier when there is no room.
//! - **Never in the way.** A call ends within [`WINDOW_DEADLINE`]; when the window is away it fails at once (a breaker), and the caller goes on
//!   without it.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

use std::time::Duration;

use async_trait::async_trait;

use crate::shipment::{EventId, Outcome};

/// Longest time that a call may take. A healthy window answers in less than a millisecond.
pub const WINDOW_DEADLINE: Duration = Duration::from_millis(200);

/// An event whose outcome is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its dedup key, `dedup:…` (contract section 3).
    pub dedup_key: String,
    /// Its id.
    pub event_id: EventId,
    /// What became of it.
    pub outcome: Outcome,
}

/// The window could not be asked. Go on without it.
#[derive(Debug, thiserror::Error)]
#[error("the dedup window is unavailable: {0}")]
pub struct WindowError(pub String);

/// The window.
#[async_trait]
pub trait DedupWindow: Send + Sync {
    /// For each key, in order, the event that was decided under it.
    ///
    /// # Errors
    /// The window is away.
    async fn look_up(&self, dedup_keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError>;

    /// Remembers events whose outcome is durable. The first event of a key stays; a conflict is not remembered under it.
    ///
    /// # Errors
    /// The window is away; nothing is lost by it.
    async fn remember(&self, decided: &[Decided]) -> Result<(), WindowError>;

    /// Whether the window can be reached.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> Result<(), WindowError>;
}
