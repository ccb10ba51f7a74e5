//! What to do about a failure: the one table.
//!
//! | failure | what it means | what is done |
//! |---|---|---|
//! | a record cannot be decoded | it never will be | dead letter, the lane goes on |
//! | the store refuses a document | it always will | dead letter and a row that says so, the lane goes on |
//! | store or log away, time-out, failover | passes | the same batch again, for ever; other lanes go on |
//! | the store holds what cannot be read, or lacks what must be there | somebody else wrote to it | the same batch again, for ever, loudly: an operator must look |
//! | dedup window or notice away | nothing | counted; callers find out on their own |
//!
//! A business rule that says no is no failure: it is an outcome.

use std::time::Duration;

use shared::event_log::AppendError;
use shared::shipment_store::StoreError;

/// First pause before a batch is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause: a database that is back is used again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a batch did not come through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log did not take a change or a dead letter.
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl Failure {
    /// Everything that [`Failure::reason`] says.
    pub(crate) const REASONS: &[&str] =
        &["store_unavailable", "store_refused", "store_corrupt", "log_unavailable", "log_queue_full", "log_refused"];

    /// The label of `shipping_events_errors_total`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Unavailable(_)) => "store_unavailable",
            Self::Store(StoreError::Refused(_)) => "store_refused",
            Self::Store(StoreError::Corrupt(_)) => "store_corrupt",
            Self::Log(AppendError::Unavailable(_)) => "log_unavailable",
            Self::Log(AppendError::QueueFull) => "log_queue_full",
            Self::Log(AppendError::Refused(_)) => "log_refused",
        }
    }

    /// How long to wait before attempt `attempt` (from 1): twice as long each time, up to [`LONGEST_PAUSE`].
    pub(crate) fn pause(attempt: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = [1, 2, 3, 7, 100].map(Failure::pause).iter().map(Duration::as_millis).collect();
        assert_eq!(pauses, [50, 100, 200, 2_000, 2_000]);
    }
}
