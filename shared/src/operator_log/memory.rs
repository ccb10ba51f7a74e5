//! The log of operators in memory, for tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Act, Entry, OperatorLog};
use crate::shipment_store::StoreError;

/// The entries.
#[derive(Debug, Default)]
pub struct MemoryOperatorLog {
    entries: Mutex<Vec<Entry>>,
    away: AtomicBool,
}

impl MemoryOperatorLog {
    /// Makes the store unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) { Err(StoreError::unavailable("the store is away")) } else { Ok(()) }
    }
}

#[async_trait]
impl OperatorLog for MemoryOperatorLog {
    async fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        self.reach()?;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        Ok(())
    }

    async fn newest(&self, act: Option<Act>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.reach()?;
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = entries.iter().rev().filter(|entry| act.is_none_or(|act| entry.act == act));
        Ok(asked.take(limit as usize).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_log_keeps_the_contract() {
        crate::operator_log::conformance::run(&MemoryOperatorLog::default()).await;
    }
}
