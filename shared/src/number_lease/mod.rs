//! Leases of the counter behind the tracking numbers.
//!
//! # Contract
//! - Two leases never overlap, whoever takes them and whatever dies: the counter is advanced durably before the lease
//!   is handed out. A lease that is lost with its process is a gap in the counter, which nobody sees.
//! - The cipher's key is made once, at random, and stored with the counter: all processes get the same key for ever, and
//!   no configuration can make two numbers clash.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::shipment::TrackingNumber;
use crate::shipment::tracking_number::NumberCipher;
use crate::shipment_store::StoreError;

/// How many numbers a process takes at a time: a restart wastes at most these out of 2⁴⁰, and a store that is away for a
/// while does not stop registrations.
pub const LEASE_NUMBERS: u32 = 4_096;

/// The counters from `first` to `first + count - 1`.
#[derive(Clone, PartialEq, Eq)]
pub struct NumberLease {
    /// The first counter.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// The key of the cipher.
    pub key: [u8; 32],
}

/// Hands out leases.
#[async_trait]
pub trait NumberLeases: Send + Sync {
    /// A lease of `count` counters that nobody had before.
    ///
    /// # Errors
    /// The store failed. The counters may have been used up; nobody gets them.
    async fn lease(&self, count: u32) -> Result<NumberLease, StoreError>;
}

/// A new random key.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn random_key() -> Result<[u8; 32], StoreError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| StoreError::unavailable(error.to_string()))?;
    Ok(key)
}

/// Makes tracking numbers out of leases.
pub struct TrackingNumbers {
    leases: Arc<dyn NumberLeases>,
    current: Mutex<Option<Block>>,
}

struct Block {
    cipher: NumberCipher,
    counters: std::ops::Range<u64>,
}

impl TrackingNumbers {
    /// Numbers out of `leases`; the first lease is taken when the first number is asked for.
    #[must_use]
    pub fn new(leases: Arc<dyn NumberLeases>) -> Self {
        Self { leases, current: Mutex::new(None) }
    }

    /// A number that nobody had before.
    ///
    /// # Errors
    /// The current lease is used up and the store that gives leases failed, or all numbers have been given out.
    pub async fn next(&self) -> Result<TrackingNumber, StoreError> {
        let mut current = self.current.lock().await;
        if let Some(number) = current.as_mut().and_then(Block::next) {
            return Ok(number);
        }
        let lease = self.leases.lease(LEASE_NUMBERS).await?;
        let counters = lease.first..lease.first + u64::from(lease.count);
        let block = current.insert(Block { cipher: NumberCipher::new(&lease.key), counters });
        block.next().ok_or_else(|| StoreError::Corrupt("all tracking numbers have been given out".to_owned()))
    }
}

impl Block {
    fn next(&mut self) -> Option<TrackingNumber> {
        self.cipher.number(self.counters.next()?)
    }
}
