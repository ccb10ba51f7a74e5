//! Leases in memory, for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::{NumberLease, NumberLeases, random_key};
use crate::shipment_store::StoreError;

/// A counter and a key.
#[derive(Debug)]
pub struct MemoryLeases {
    next: AtomicU64,
    key: [u8; 32],
}

impl MemoryLeases {
    /// A counter at 0 under a random key.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self { next: AtomicU64::new(0), key: random_key()? })
    }
}

#[async_trait]
impl NumberLeases for MemoryLeases {
    async fn lease(&self, count: u32) -> Result<NumberLease, StoreError> {
        let first = self.next.fetch_add(u64::from(count), Ordering::SeqCst);
        Ok(NumberLease { first, count, key: self.key })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_memory_leases_keep_the_contract() {
        crate::number_lease::conformance::run(Arc::new(MemoryLeases::new().expect("randomness"))).await;
    }
}
