//! Unmapped codes in memory, for tests. They can be told to be away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{CODES_PER_CARRIER, KEPT, Room, Seen, UnmappedCode, UnmappedCodes};
use crate::shipment_store::StoreError;

type Entries = BTreeMap<(String, Seen), UnmappedCode>;

/// The entries.
#[derive(Debug, Default)]
pub struct MemoryUnmappedCodes {
    entries: Mutex<Entries>,
    away: AtomicBool,
}

impl MemoryUnmappedCodes {
    /// Makes the store unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn entries(&self) -> Result<MutexGuard<'_, Entries>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the store is away"));
        }
        Ok(self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn key(code: &UnmappedCode) -> (String, Seen) {
    (code.carrier.clone(), code.seen.clone())
}

#[async_trait]
impl UnmappedCodes for MemoryUnmappedCodes {
    async fn add(&self, sightings: &[UnmappedCode]) -> Result<(), StoreError> {
        let mut entries = self.entries()?;
        let mut room = Room::default();
        for sighting in sightings {
            let carrier = &sighting.carrier;
            let count = |entries: &Entries| {
                entries.keys().filter(|(owner, seen)| owner == carrier && *seen != Seen::Rest).count()
            };
            if count(&entries) >= CODES_PER_CARRIER {
                entries
                    .retain(|(owner, _), entry| owner != carrier || entry.last_seen.plus(KEPT) >= sighting.last_seen);
            }
            room.set(carrier, CODES_PER_CARRIER.saturating_sub(count(&entries)));
        }
        for sighting in room.divide(sightings, |sighting| entries.contains_key(&key(sighting))) {
            match entries.get_mut(&key(&sighting)) {
                Some(entry) => entry.absorb(sighting),
                None => _ = entries.insert(key(&sighting), sighting),
            }
        }
        Ok(())
    }

    async fn list(&self, carrier: Option<&str>, limit: u32) -> Result<Vec<UnmappedCode>, StoreError> {
        let entries = self.entries()?;
        let asked = entries.values().filter(|entry| carrier.is_none_or(|carrier| entry.carrier == carrier));
        let mut listed: Vec<_> = asked.cloned().collect();
        listed.sort_by_key(|entry| std::cmp::Reverse((entry.count, entry.last_seen)));
        listed.truncate(limit as usize);
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_memory_codes_keep_the_contract() {
        crate::unmapped_codes::conformance::run(Arc::new(MemoryUnmappedCodes::default())).await;
    }
}
