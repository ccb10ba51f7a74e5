//! Generations in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Generation, Generations, Projection, ProjectionControl};
use crate::shipment_store::memory::MemoryStore;
use crate::shipment_store::{ShipmentScan, ShipmentWriter, StoreError};

/// Generations, each with a store of its own. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct MemoryProjection {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    projection: Projection,
    stores: BTreeMap<Generation, Arc<MemoryStore>>,
}

impl MemoryProjection {
    /// Generations whose first one is `store`.
    #[must_use]
    pub fn of(store: Arc<MemoryStore>) -> Self {
        let inner = Inner { projection: Projection::default(), stores: [(Generation::FIRST, store)].into() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The store of a generation.
    #[must_use]
    pub fn store(&self, generation: Generation) -> Arc<MemoryStore> {
        self.inner().stores.entry(generation).or_default().clone()
    }

    /// The generations that hold something.
    #[must_use]
    pub fn there(&self) -> Vec<Generation> {
        self.inner().stores.keys().copied().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ProjectionControl for MemoryProjection {
    async fn read(&self) -> Result<Projection, StoreError> {
        Ok(self.inner().projection.clone())
    }

    async fn replace(&self, next: &Projection) -> Result<bool, StoreError> {
        let mut inner = self.inner();
        let is_next = inner.projection.revision + 1 == next.revision;
        if is_next {
            inner.projection = next.clone();
        }
        Ok(is_next)
    }
}

#[async_trait]
impl Generations for MemoryProjection {
    fn control(&self) -> Arc<dyn ProjectionControl> {
        Arc::new(self.clone())
    }

    fn writer(&self, generation: Generation) -> Arc<dyn ShipmentWriter> {
        self.store(generation)
    }

    fn scan(&self, generation: Generation) -> Arc<dyn ShipmentScan> {
        self.store(generation)
    }

    async fn make(&self, generation: Generation) -> Result<(), StoreError> {
        drop(self.store(generation));
        Ok(())
    }

    async fn complete(&self, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn show(&self, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        drop(self.inner().stores.remove(&generation));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::conformance;

    #[tokio::test]
    async fn generations_in_memory_keep_the_contract() {
        conformance::run(Arc::new(MemoryProjection::default())).await;
    }
}
