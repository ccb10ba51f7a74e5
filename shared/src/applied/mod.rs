//! Applied positions: how far the processor has come on each partition. It wakes callers that wait for an outcome.
//!
//! # Contract
//! - **Said after the fact.** An announced position means: every record of the partition up to and with this offset is decided, and its row and
//!   its shipment's state are durable. A reader that was woken finds them. The change that follows from it may be published a little later.
//! - **A hint of when to look.** Announcements may be lost (the channel is away, the waiter subscribed later). A waiter must look into
//!   the store on its own from time to time; see [`crate::shipment_store`].
//! - **Monotone.** Per partition the greatest announced offset stands. After the topic was made anew, a smaller one is believed
//!   only from a new process.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod in_process;
#[cfg(feature = "redis")]
pub mod redis;

use async_trait::async_trait;
use std::time::Duration;

use crate::event_log::Position;

/// Could not be announced. Waiters find out on their own.
#[derive(Debug, thiserror::Error)]
#[error("applied positions cannot be announced: {0}")]
pub struct AnnounceError(pub String);

/// The processor's side.
#[async_trait]
pub trait AppliedAnnouncer: Send + Sync {
    /// Everything up to and with these positions is durable.
    ///
    /// # Errors
    /// The channel is away.
    async fn announce(&self, positions: &[Position]) -> Result<(), AnnounceError>;
}

/// The edge's side.
#[async_trait]
pub trait AppliedWatcher: Send + Sync {
    /// Waits until `position` is announced; `false` when that did not happen within `patience`.
    async fn wait_for(&self, position: Position, patience: Duration) -> bool;

    /// The greatest announced offset of `partition`, if any has been heard of.
    fn applied(&self, partition: i32) -> Option<i64>;
}
