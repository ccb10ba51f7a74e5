//! The store in memory, for tests. It can be told to be away, to refuse a shipment, and to fail after it has written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    EventRow, KnownKey, ListFilter, Page, PageStart, RowPosition, ShipmentReader, ShipmentWriter, StateWrite,
    StoreError, StoredShipment,
};
use crate::shipment::{RowId, Shipment, Terms, TrackingNumber};

/// Shipments and rows.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    away: AtomicBool,
    fail_after_write: AtomicU32,
}

#[derive(Debug, Default)]
struct Inner {
    shipments: BTreeMap<TrackingNumber, StoredShipment>,
    rows: BTreeMap<RowId, EventRow>,
    refused: HashSet<TrackingNumber>,
}

impl MemoryStore {
    /// Makes the store unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Makes the next `times` writes report a time-out although they happened.
    pub fn fail_after_write(&self, times: u32) {
        self.fail_after_write.store(times, Ordering::SeqCst);
    }

    /// Refuses every row about `number` from now on, except those that replace one.
    pub fn refuse(&self, number: TrackingNumber) {
        self.inner().refused.insert(number);
    }

    /// All rows by id.
    #[must_use]
    pub fn all_rows(&self) -> Vec<EventRow> {
        self.inner().rows.values().cloned().collect()
    }

    /// All shipments by tracking number.
    #[must_use]
    pub fn all_shipments(&self) -> Vec<StoredShipment> {
        self.inner().shipments.values().cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("told to be away"));
        }
        Ok(self.inner())
    }

    fn written(&self) -> Result<(), StoreError> {
        let failing =
            self.fail_after_write.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failing.is_ok() {
            return Err(StoreError::unavailable("told to time out after the write"));
        }
        Ok(())
    }

    fn find_rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        let inner = self.reach()?;
        Ok(ids.iter().filter_map(|id| inner.rows.get(id).cloned()).collect())
    }
}

#[async_trait]
impl ShipmentWriter for MemoryStore {
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        let inner = self.reach()?;
        let read = |number: &TrackingNumber| {
            let stored = inner.shipments.get(number)?;
            let terms = Terms {
                client_id: stored.created.client_id().to_owned(),
                policy: stored.created.policy(),
                allow_cancel_in_transit: stored.created.allow_cancel_in_transit,
            };
            Some((*number, Shipment { tracking_number: *number, terms: terms.into(), state: stored.state.clone() }))
        };
        Ok(numbers.iter().filter_map(read).collect())
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        Ok(self.find_rows(ids)?.into_iter().map(|row| (row.row_id(), row.known())).collect())
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.find_rows(ids)
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        let mut inner = self.reach()?;
        let mut refused = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            if inner.refused.contains(&row.event_id.tracking_number) {
                refused.push((index, "told to refuse".to_owned()));
            } else {
                inner.rows.entry(row.row_id()).or_insert_with(|| row.clone());
            }
        }
        drop(inner);
        if refused.is_empty() { self.written() } else { Err(StoreError::Refused(refused)) }
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        let mut inner = self.reach()?;
        for row in rows {
            inner.rows.insert(row.row_id(), row.clone());
        }
        drop(inner);
        self.written()
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        let mut inner = self.reach()?;
        for write in writes {
            match (inner.shipments.get_mut(&write.tracking_number), &write.created) {
                (Some(stored), _) if write.state.position > stored.state.position => stored.state = write.state.clone(),
                (Some(_), _) => {}
                (None, Some(created)) => {
                    let stored = StoredShipment { created: (**created).clone(), state: write.state.clone() };
                    inner.shipments.insert(write.tracking_number, stored);
                }
                (None, None) => return Err(StoreError::Corrupt(format!("{} is not there", write.tracking_number))),
            }
        }
        drop(inner);
        self.written()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.reach().map(drop)
    }
}

#[async_trait]
impl ShipmentReader for MemoryStore {
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        Ok(self.reach()?.shipments.get(&number).cloned())
    }

    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        let inner = self.reach()?;
        let mut matching: Vec<_> = inner.shipments.values().filter(|stored| matches(filter, stored)).collect();
        matching.sort_by_key(|stored| std::cmp::Reverse(order(stored)));
        let total = matching.len();
        let begin = match start {
            PageStart::Offset(offset) => usize::try_from(offset).unwrap_or(usize::MAX).min(total),
            PageStart::After(time, number) => matching.partition_point(|stored| order(stored) >= (time, number)),
        };
        let end = begin.saturating_add(limit as usize).min(total);
        let shipments = matching[begin..end].iter().map(|stored| without_history(stored)).collect();
        Ok(Page { shipments, total: total as u64, has_next: end < total })
    }

    async fn events(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.find_rows(ids)
    }

    async fn events_of(
        &self,
        number: TrackingNumber,
        after: Option<RowPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let inner = self.reach()?;
        let wanted = |row: &&EventRow| row.event_id.tracking_number == number && Some(row.position) > after;
        let mut rows: Vec<_> = inner.rows.values().filter(wanted).cloned().collect();
        rows.sort_by_key(|row| row.position);
        rows.truncate(limit as usize);
        Ok(rows)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.reach().map(drop)
    }
}

fn order(stored: &StoredShipment) -> (crate::shipment::Timestamp, TrackingNumber) {
    (stored.created.created_at, stored.created.tracking_number)
}

fn matches(filter: &ListFilter, stored: &StoredShipment) -> bool {
    let created = &stored.created;
    filter.status.is_none_or(|status| stored.state.current_status == status)
        && filter.client_id.as_deref().is_none_or(|client| created.client_id() == client)
        && filter.service_type.is_none_or(|service| created.service_type() == service)
        && filter.prefix.as_deref().is_none_or(|prefix| created.tracking_number.as_str().starts_with(prefix))
        && filter.created_from.is_none_or(|from| created.created_at >= from)
        && filter.created_to.is_none_or(|to| created.created_at < to)
}

fn without_history(stored: &StoredShipment) -> StoredShipment {
    let mut stored = stored.clone();
    stored.state.status_history.clear();
    stored
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::shipment_store::conformance;

    #[tokio::test]
    async fn the_memory_store_keeps_the_contract() {
        conformance::run(Arc::new(MemoryStore::default())).await;
    }
}
