//! States that a rebuild holds back. To write a shipment's state costs the store three times what a row does, and nobody reads a generation
//! that is being built: so the states of many shipments stay in memory while their events go by, and each is written once when there are enough
//! of them, and at the end.
//!
//! Rows are written at once, as ever, so they stand before the states that they are of. What is held back is not durable: the offsets behind it
//! are told only when a flush that began later has ended ([`Holding::flushes`]), and a rebuild that is killed goes on from there. A registration is
//! not held back: it is what a store may refuse.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, OnceLock, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use shared::event_log::Position;
use shared::shipment::{LogPosition, RowId, Shipment, TrackingNumber};
use shared::shipment_store::{EventRow, Inserted, KnownKey, ParkedShipment, ShipmentWriter, StateWrite, StoreError};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// States in one call of a flush: as many as a lane writes at once.
const CHUNK: usize = 2_000;
/// Such calls under way at a time, as many as a processor has lanes.
const CALLS: usize = 4;

/// A store whose states are held back. One process may write a generation, so nobody else's are newer.
pub(crate) struct Holding {
    store: Arc<dyn ShipmentWriter>,
    most: usize,
    shipments: Mutex<HashMap<TrackingNumber, Kept>>,
    begun: AtomicU64,
    ended: AtomicU64,
    refusal: OnceLock<String>,
    /// Ends the replay.
    give_up: CancellationToken,
}

/// A shipment that was read or written since the last flush.
struct Kept {
    shipment: Shipment,
    /// Its state is not in the store.
    is_held: bool,
    /// What of it is parked has changed, too.
    parking: Option<i32>,
}

/// How many flushes have begun, and how many of these have ended, all of them before the next began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flushes {
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

impl Kept {
    fn known(shipment: Shipment) -> Self {
        Self { shipment, is_held: false, parking: None }
    }

    /// The newest position wins, as in the store. A creation is there already.
    fn take(&mut self, write: &StateWrite) {
        if write.state.position > self.shipment.state.position {
            self.shipment.state = write.state.clone();
            self.is_held = write.created.is_none();
            self.parking = if self.is_held { write.parking.or(self.parking) } else { None };
        }
    }

    fn write(&self) -> StateWrite {
        StateWrite {
            tracking_number: self.shipment.tracking_number,
            created: None,
            state: self.shipment.state.clone(),
            parking: self.parking,
        }
    }
}

impl Holding {
    /// Holds back the states of at most `most` shipments, about. Cancels `give_up` when the store refuses one: what was judged on the
    /// assumption that it would not is worth nothing then.
    pub(crate) fn new(store: Arc<dyn ShipmentWriter>, most: usize, give_up: CancellationToken) -> Self {
        let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { store, most, shipments: Mutex::default(), begun, ended, refusal: OnceLock::new(), give_up }
    }

    /// What was written through this store before the call is durable when as many flushes have ended as have begun by now, and one more.
    pub(crate) fn flushes(&self) -> Flushes {
        let ended = self.ended.load(Ordering::SeqCst);
        Flushes { begun: self.begun.load(Ordering::SeqCst), ended }
    }

    /// Why the store refuses a state that was held back.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// Some of it may not be written, and all of it is held still.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let mut shipments = self.shipments.lock().await;
        self.write_out(&mut shipments).await
    }

    /// Nobody reads or writes a state meanwhile: the store is busy enough.
    async fn write_out(&self, shipments: &mut HashMap<TrackingNumber, Kept>) -> Result<(), StoreError> {
        let flush = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let mut held: Vec<&Kept> = shipments.values().filter(|kept| kept.is_held).collect();
        // Neighbours in the store are neighbours in a call.
        held.sort_unstable_by_key(|kept| kept.shipment.tracking_number);
        let call = |chunk| -> BoxFuture<'_, Result<(), StoreError>> { Box::pin(self.write_some(chunk)) };
        let calls: Vec<_> = held.chunks(CHUNK).map(call).collect();
        let written: Vec<_> = futures::stream::iter(calls).buffer_unordered(CALLS).collect().await;
        written.into_iter().collect::<Result<(), StoreError>>()?;
        shipments.clear();
        self.ended.store(flush, Ordering::SeqCst);
        Ok(())
    }

    /// Reads those that a lane remembers and that were flushed since.
    async fn read_again(
        &self,
        shipments: &mut HashMap<TrackingNumber, Kept>,
        writes: &[StateWrite],
    ) -> Result<(), StoreError> {
        let unknown = writes.iter().filter(|write| write.created.is_none()).map(|write| write.tracking_number);
        let unknown: Vec<_> = unknown.filter(|number| !shipments.contains_key(number)).collect();
        if !unknown.is_empty() {
            let read = self.store.states(&unknown).await?;
            shipments.extend(read.into_iter().map(|(number, shipment)| (number, Kept::known(shipment))));
        }
        Ok(())
    }

    async fn write_some(&self, held: &[&Kept]) -> Result<(), StoreError> {
        let writes: Vec<StateWrite> = held.iter().map(|kept| kept.write()).collect();
        match self.store.write_states(&writes).await {
            Err(refused @ StoreError::Refused(_)) => {
                // A lane would take its own batch for refused.
                let why = self.refusal.get_or_init(|| refused.to_string());
                self.give_up.cancel();
                Err(StoreError::unavailable(why.as_str()))
            }
            written => written,
        }
    }
}

#[async_trait]
impl ShipmentWriter for Holding {
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        let mut shipments = self.shipments.lock().await;
        if shipments.len() >= self.most {
            // Many were read, and few of them changed: these can be read again.
            shipments.retain(|_, kept| kept.is_held);
        }
        let (kept, unknown): (Vec<_>, Vec<_>) = numbers.iter().partition(|number| shipments.contains_key(*number));
        let mut states = if unknown.is_empty() { HashMap::new() } else { self.store.states(&unknown).await? };
        shipments.extend(states.iter().map(|(&number, shipment)| (number, Kept::known(shipment.clone()))));
        states.extend(kept.into_iter().map(|number| (number, shipments[&number].shipment.clone())));
        Ok(states)
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        let creations: Vec<usize> = (0..writes.len()).filter(|&index| writes[index].created.is_some()).collect();
        if !creations.is_empty() {
            let created: Vec<StateWrite> = creations.iter().map(|&index| writes[index].clone()).collect();
            self.store.write_states(&created).await.map_err(|error| match error {
                StoreError::Refused(refused) => {
                    StoreError::Refused(refused.into_iter().map(|(index, why)| (creations[index], why)).collect())
                }
                error => error,
            })?;
        }
        let mut shipments = self.shipments.lock().await;
        self.read_again(&mut shipments, writes).await?;
        for write in writes {
            match (&write.created, shipments.get_mut(&write.tracking_number)) {
                (_, Some(kept)) => kept.take(write),
                (Some(created), None) => {
                    let (tracking_number, terms) = (write.tracking_number, Arc::new(created.terms()));
                    let shipment = Shipment { tracking_number, terms, state: write.state.clone() };
                    shipments.insert(tracking_number, Kept::known(shipment));
                }
                // The store says so, as it would to anybody.
                (None, None) => self.store.write_states(std::slice::from_ref(write)).await?,
            }
        }
        if shipments.len() >= self.most { self.write_out(&mut shipments).await } else { Ok(()) }
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        self.store.known_keys(ids).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.store.rows(ids).await
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        self.store.insert_events(rows).await
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        self.store.replace_events(rows).await
    }

    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        self.store.released_at(records).await
    }

    /// Of what the store has: a replay releases nothing by itself.
    async fn parked(&self, partitions: &[i32], limit: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        self.store.parked(partitions, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
}

/// Positions whose records are applied, and whose states are held back.
pub(crate) struct HeldBack {
    holding: Arc<Holding>,
    runtime: Handle,
    /// With each the number of flushes that had begun.
    waiting: SyncMutex<Vec<(u64, Position)>>,
}

impl HeldBack {
    /// Those of a new replay. To be called, as all of it, on a thread of the runtime that may block.
    pub(crate) fn new(holding: Arc<Holding>) -> Self {
        Self { holding, runtime: Handle::current(), waiting: SyncMutex::default() }
    }

    /// Takes the positions that were applied since the last call, and gives those that are durable. When `is_all`, nothing more is being
    /// applied, and what is held is written.
    pub(crate) fn durable(&self, applied: Vec<Position>, is_all: bool) -> Vec<Position> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.holding.flushes().begun; // after they were applied
        waiting.extend(applied.into_iter().map(|position| (begun, position)));
        if is_all
            && !waiting.is_empty()
            && let Err(error) = self.runtime.block_on(self.holding.flush())
        {
            tracing::warn!(%error, "the states that are held back could not be written, and are held still");
        }
        let ended = self.holding.flushes().ended;
        let durable = waiting.extract_if(.., |(begun, _)| *begun < ended).map(|(_, position)| position);
        durable.collect()
    }
}
