//! What is bound to the live generation, on lease: for readers.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::task::AbortHandle;

use super::{Generation, ProjectionControl, READER_LEASE, WATCH_INTERVAL};
use crate::applied::AppliedWatcher;
use crate::event_log::Position;
use crate::shipment::{RowId, TrackingNumber};
use crate::shipment_store::{
    EventRow, ListFilter, Page, PageStart, RowPosition, ShipmentReader, StoreError, StoredShipment,
};

/// What a reader has of a generation.
#[derive(Clone)]
pub struct Readers {
    /// Its shipments and rows.
    pub store: Arc<dyn ShipmentReader>,
    /// How far its processors are.
    pub applied: Arc<dyn AppliedWatcher>,
}

type Open = dyn Fn(Generation) -> Readers + Send + Sync;

/// The readers of the live generation. As a [`ShipmentReader`] and an [`AppliedWatcher`] it is whatever is live; a question costs nothing
/// more while the lease holds. It lasts as long as there is somebody who asks.
pub struct Live {
    shared: Arc<Shared>,
    watching: AbortHandle,
}

struct Shared {
    control: Arc<dyn ProjectionControl>,
    open: Box<Open>,
    lease: RwLock<Lease>,
    /// Held by who asks; when the last question that failed was asked.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

struct Lease {
    generation: Generation,
    readers: Readers,
    /// When the question was asked whose answer is known; `None` before the first one.
    asked_at: Option<Instant>,
}

impl Live {
    /// Begins to watch which generation is live; `open` gives what is bound to it. Call it within a Tokio runtime.
    #[must_use]
    pub fn start(
        control: Arc<dyn ProjectionControl>,
        open: impl Fn(Generation) -> Readers + Send + Sync + 'static,
    ) -> Arc<Self> {
        let first = Lease { generation: Generation::FIRST, readers: open(Generation::FIRST), asked_at: None };
        let shared = Arc::new(Shared {
            control,
            open: Box::new(open),
            lease: RwLock::new(first),
            asking: tokio::sync::Mutex::default(),
        });
        let watching = tokio::spawn(watch(shared.clone())).abort_handle();
        Arc::new(Self { shared, watching })
    }

    /// The readers of the generation that is live: as far as is known, and asked for when that is not known well enough.
    async fn readers(&self) -> Result<Readers, StoreError> {
        if let Some(readers) = self.shared.known() {
            return Ok(readers);
        }
        // One question for all who find the lease at its end, and one failure too: while the store is away nobody waits for the
        // questions of others one after the other.
        let came = Instant::now();
        let mut failed = self.shared.asking.lock().await;
        if let Some(readers) = self.shared.known() {
            return Ok(readers);
        }
        let unknown = || StoreError::unavailable("which generation is live cannot be looked up");
        if failed.is_some_and(|at| at >= came) {
            return Err(unknown());
        }
        let asked_at = Instant::now();
        if let Err(error) = self.shared.ask().await {
            *failed = Some(asked_at);
            return Err(error);
        }
        self.shared.known().ok_or_else(unknown)
    }

    fn applied(&self) -> Arc<dyn AppliedWatcher> {
        self.shared.read(|lease| lease.readers.applied.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(&Lease) -> T) -> T {
        look(&self.lease.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> Option<Readers> {
        self.read(|lease| {
            let holds = lease.asked_at.is_some_and(|at| at.elapsed() < READER_LEASE);
            holds.then(|| lease.readers.clone())
        })
    }

    /// Asks, and begins a lease at the time of the question.
    async fn ask(&self) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let live = self.control.read().await?.live;
        let mut lease = self.lease.write().unwrap_or_else(PoisonError::into_inner);
        if lease.asked_at > Some(asked_at) {
            return Ok(()); // somebody asked later and was answered earlier
        }
        lease.asked_at = Some(asked_at);
        if lease.generation != live {
            tracing::info!(generation = %live, "another generation of the projection is live");
            lease.generation = live;
            lease.readers = (self.open)(live);
        }
        Ok(())
    }
}

async fn watch(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = shared.ask().await {
            // Who reads meanwhile asks again, and tells its caller when that fails.
            tracing::debug!(%error, "which generation is live could not be looked up");
        }
    }
}

#[async_trait]
impl ShipmentReader for Live {
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        self.readers().await?.store.shipment(number).await
    }

    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        self.readers().await?.store.list(filter, start, limit).await
    }

    async fn events(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.readers().await?.store.events(ids).await
    }

    async fn events_of(
        &self,
        number: TrackingNumber,
        after: Option<RowPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.readers().await?.store.events_of(number, after, limit).await
    }

    /// Whatever generation it is of: all are in one store.
    async fn check(&self) -> Result<(), StoreError> {
        let store = self.shared.read(|lease| lease.readers.store.clone());
        store.check().await
    }
}

#[async_trait]
impl AppliedWatcher for Live {
    async fn wait_for(&self, position: Position, patience: Duration) -> bool {
        self.applied().wait_for(position, patience).await
    }

    fn applied(&self, partition: i32) -> Option<i64> {
        Self::applied(self).applied(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applied::in_process::AppliedPositions;
    use crate::event_log::replay::Offsets;
    use crate::projection::memory::MemoryProjection;
    use crate::projection::{Generations, Projection};
    use crate::shipment_store::conformance::a_shipment_and_a_row;

    #[tokio::test(start_paused = true)]
    async fn what_is_switched_is_read_within_the_lease() {
        let generations = MemoryProjection::default();
        let second = Generation::new(2).expect("a number");
        let (write, _) = a_shipment_and_a_row();
        generations.writer(second).write_states(std::slice::from_ref(&write)).await.expect("written");
        let stores = generations.clone();
        let live = Live::start(generations.control(), move |generation| Readers {
            store: stores.store(generation),
            applied: Arc::new(AppliedPositions::default()),
        });
        assert_eq!(live.shipment(write.tracking_number).await.expect("reachable"), None);
        let control = generations.control();
        assert!(control.replace(&Projection::default().switched(second, &Offsets::new())).await.expect("reachable"));
        // The lease is over by the real clock, which does not stand still for the test.
        live.shared.lease.write().expect("no panic").asked_at = None;
        assert!(live.shipment(write.tracking_number).await.expect("reachable").is_some());
    }
}
