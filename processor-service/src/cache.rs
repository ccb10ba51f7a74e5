//! What the lanes remember of shipments between batches, so that a hot shipment is not read again for every batch.
//!
//! It is right because ownership of a partition is exclusive and positions only grow: nobody else writes a newer state while we
//! own the partition. A zombie's cache may be stale, but then it computes older states, and they lose.
//! States get in only after they are durable: a state that is ahead of the store would make a retry skip its records.

use std::num::NonZeroUsize;

use lru::LruCache;
use shared::shipment::{Shipment, TrackingNumber};

use crate::consume::{Batch, Generation};

/// Most shipments that are remembered: about 2 KB each, so 80 MB.
const SHIPMENTS: NonZeroUsize = NonZeroUsize::new(40_000).expect("not zero");
/// Longest history, with what is parked, that is worth remembering: entries beyond make a shipment ten times as heavy as most, and reading it
/// again costs one look-up in a batch.
const HISTORY: usize = 32;

/// Shipments, the least recently used one first to go.
pub(crate) struct Cache {
    shipments: LruCache<TrackingNumber, Remembered>,
}

struct Remembered {
    shipment: Shipment,
    partition: i32,
    generation: Generation,
}

impl Default for Cache {
    fn default() -> Self {
        Self { shipments: LruCache::new(SHIPMENTS) }
    }
}

impl Cache {
    /// What is remembered of a shipment on `partition`, unless the partition changed hands since.
    pub(crate) fn get(&mut self, number: TrackingNumber, partition: i32, batch: &Batch) -> Option<Shipment> {
        let generation = batch.generations.get(&partition).copied();
        let known = self.shipments.get(&number)?;
        let current = known.partition == partition && Some(known.generation) == generation;
        current.then(|| known.shipment.clone())
    }

    /// Remembers a state that is durable.
    pub(crate) fn put(&mut self, shipment: Shipment, partition: i32, batch: &Batch) {
        let number = shipment.tracking_number;
        match batch.generations.get(&partition) {
            Some(&generation) if shipment.state.status_history.len() + shipment.state.parked.len() <= HISTORY => {
                self.shipments.put(number, Remembered { shipment, partition, generation });
            }
            _ => {
                self.shipments.pop(&number);
            }
        }
    }

    /// Forgets a shipment: after a failure nothing is certain.
    pub(crate) fn forget(&mut self, number: TrackingNumber) {
        self.shipments.pop(&number);
    }
}
