//! Keys in memory, for tests. They can be told to be away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::held::{Held, enter};
use super::{Attempt, Claim, IdempotencyKeys, KeptAnswer, KeyId, Standing};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// Keys by id.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    held: Mutex<HashMap<KeyId, Held>>,
    away: AtomicBool,
}

impl MemoryKeys {
    /// Makes the keys unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<MutexGuard<'_, HashMap<KeyId, Held>>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("told to be away"));
        }
        Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self, claim: &Claim, plan: Option<Bytes>, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        let mut held = self.reach()?;
        held.retain(|_, held| held.expires_at > now);
        let (standing, write) = enter(held.get(&claim.id).cloned(), claim, plan, now);
        held.extend(write.map(|write| (claim.id, write)));
        Ok(standing)
    }
}

#[async_trait]
impl IdempotencyKeys for MemoryKeys {
    async fn resume(&self, claim: &Claim, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        self.enter(claim, None, now)
    }

    async fn begin(&self, claim: &Claim, plan: Bytes, now: Timestamp) -> Result<Standing, StoreError> {
        Ok(self.enter(claim, Some(plan), now)?.expect("whoever has a plan has a standing"))
    }

    async fn finish(&self, attempt: &Attempt, answer: &KeptAnswer) -> Result<Option<KeptAnswer>, StoreError> {
        let mut held = self.reach()?;
        let Some(held) = held.get_mut(&attempt.id).filter(|held| held.knows(attempt)) else { return Ok(None) };
        if held.answer.is_none() {
            (held.answer, held.plan) = (Some(answer.clone()), Bytes::new());
            return Ok(None);
        }
        Ok(held.answer.clone())
    }

    async fn release(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let mut held = self.reach()?;
        if let Some(held) = held.get_mut(&attempt.id).filter(|held| held.is_led_by(attempt)) {
            held.lease_until = Timestamp::default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_memory_keys_keep_the_contract() {
        let keys = Arc::new(MemoryKeys::default());
        crate::idempotency::conformance::run([keys.clone(), keys]).await;
    }
}
