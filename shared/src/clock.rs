//! The only place that reads the time of day. Everything else is given a [`Clock`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::shipment::Timestamp;

/// Tells the time.
pub type Clock = fn() -> Timestamp;

/// The time of day.
#[must_use]
pub fn system() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
