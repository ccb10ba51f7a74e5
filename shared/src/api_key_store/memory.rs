//! Keys in memory, for tests. They can be told to be away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ApiKey, ApiKeyError, ApiKeyStore, KeyId};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// Keys by id.
#[derive(Debug, Default)]
pub struct MemoryApiKeys {
    keys: Mutex<BTreeMap<KeyId, ApiKey>>,
    away: AtomicBool,
}

impl MemoryApiKeys {
    /// Makes the keys unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<MutexGuard<'_, BTreeMap<KeyId, ApiKey>>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("told to be away"));
        }
        Ok(self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ApiKeyStore for MemoryApiKeys {
    async fn find(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.reach()?.get(id).cloned())
    }

    async fn add(&self, key: ApiKey) -> Result<(), ApiKeyError> {
        let mut keys = self.reach()?;
        if keys.contains_key(&key.id) {
            return Err(ApiKeyError::Taken);
        }
        keys.insert(key.id.clone(), key);
        Ok(())
    }

    async fn all(&self) -> Result<Vec<ApiKey>, StoreError> {
        let mut keys: Vec<_> = self.reach()?.values().cloned().collect();
        keys.sort_by_key(|key| key.created_at); // stable: by id within a millisecond
        Ok(keys)
    }

    async fn remove(&self, id: &KeyId) -> Result<bool, StoreError> {
        Ok(self.reach()?.remove(id).is_some())
    }

    async fn used(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        if let Some(key) = self.reach()?.get_mut(id) {
            key.last_used_at = key.last_used_at.max(Some(at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_memory_keys_keep_the_contract() {
        crate::api_key_store::conformance::run(std::sync::Arc::new(MemoryApiKeys::default())).await;
    }
}
