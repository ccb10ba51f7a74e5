//! The store in memory, for tests. It can be told to be away, to refuse a shipment, and to fail after it has written.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Documents, EventRow, Found, Inserted, KnownKey, ListBounds, ListFilter, Page, PageStart, ParkedShipment,
    RowPosition, ShipmentReader, ShipmentScan, ShipmentWriter, StateWrite, StoreError, StoredShipment, Total,
};
use crate::shipment::{EventId, LogPosition, Outcome, RowId, Shipment, Timestamp, TrackingNumber};

/// Shipments and rows.
#[derive(Debug, Default)]
pub struct MemoryStore {
    bounds: ListBounds,
    inner: Mutex<Inner>,
    away: AtomicBool,
    states_away: AtomicBool,
    fail_after_write: AtomicU32,
}

#[derive(Debug, Default)]
struct Inner {
    shipments: BTreeMap<TrackingNumber, StoredShipment>,
    rows: BTreeMap<RowId, EventRow>,
    /// For each shipment with parked events its partition, the position that says so, and until when.
    parked: HashMap<TrackingNumber, (i32, LogPosition, Option<Timestamp>)>,
    refused: HashSet<TrackingNumber>,
    refused_events: HashSet<EventId>,
    refused_states: HashSet<TrackingNumber>,
}

impl Inner {
    fn refuses(&self, row: &EventRow) -> bool {
        self.refused.contains(&row.event_id.tracking_number) || self.refused_events.contains(&row.event_id)
    }

    fn park(&mut self, write: &StateWrite) {
        let Some(partition) = write.parking else { return };
        let (position, until) = (write.state.position, write.state.parked_until());
        let kept = self.parked.entry(write.tracking_number).or_insert((partition, position, until));
        if kept.1 < position {
            *kept = (partition, position, until);
        }
    }

    fn few_begin_with(&self, prefix: &str, most: u64) -> bool {
        self.shipments.keys().filter(|number| number.as_str().starts_with(prefix)).count() as u64 <= most
    }
}

impl MemoryStore {
    /// A store whose lists cost no more than `bounds`.
    #[must_use]
    pub fn within(bounds: ListBounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Makes the store unreachable, or reachable again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Makes the writing of states fail, or succeed again.
    pub fn set_states_away(&self, away: bool) {
        self.states_away.store(away, Ordering::SeqCst);
    }

    /// Makes the next `times` writes report a time-out although they happened.
    pub fn fail_after_write(&self, times: u32) {
        self.fail_after_write.store(times, Ordering::SeqCst);
    }

    /// Refuses every row about `number` from now on, except those that say that it was refused.
    pub fn refuse(&self, number: TrackingNumber) {
        self.inner().refused.insert(number);
    }

    /// Refuses the row of one event from now on, except one that says that it was refused.
    pub fn refuse_event(&self, event: EventId) {
        self.inner().refused_events.insert(event);
    }

    /// Refuses every state of `number` from now on, but for the one that comes with its registration.
    pub fn refuse_states(&self, number: TrackingNumber) {
        self.inner().refused_states.insert(number);
    }

    /// Refuses nothing any more.
    pub fn refuse_nothing(&self) {
        let mut inner = self.inner();
        inner.refused.clear();
        inner.refused_events.clear();
        inner.refused_states.clear();
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

    /// Changes a stored shipment as nobody but a mistake or a person would.
    ///
    /// # Panics
    /// It is not there.
    pub fn corrupt(&self, number: TrackingNumber, change: impl FnOnce(&mut StoredShipment)) {
        change(self.inner().shipments.get_mut(&number).expect("the shipment is there"));
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

    fn total(&self, filter: &ListFilter, stretch: &[&StoredShipment], few: bool) -> Total {
        let length = stretch.len() as u64;
        let matching =
            |looked_at: &[&StoredShipment]| looked_at.iter().filter(|stored| matches(filter, stored)).count() as u64;
        if filter.is_empty() {
            Total::exactly(length)
        } else if few {
            Total::exactly(matching(stretch))
        } else if filter.only_prefix().is_some() {
            Total::up_to(self.bounds.counted, matching(stretch))
        } else if !filter.looks() {
            Total::up_to(self.bounds.counted, length)
        } else {
            let looked_at = usize::try_from(self.bounds.total).unwrap_or(usize::MAX).min(stretch.len());
            Total { count: matching(&stretch[..looked_at]), is_exact: looked_at == stretch.len() }
        }
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
            let terms = stored.created.terms().into();
            Some((*number, Shipment { tracking_number: *number, terms, state: stored.state.clone() }))
        };
        Ok(numbers.iter().filter_map(read).collect())
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        Ok(self.find_rows(ids)?.into_iter().map(|row| (row.row_id(), row.known())).collect())
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.find_rows(ids)
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        let mut inner = self.reach()?;
        for (index, row) in rows.iter().enumerate() {
            if inner.refuses(row) {
                return Err(StoreError::Refused(vec![(index, "told to refuse".to_owned())]));
            }
            match inner.rows.entry(row.row_id()) {
                Entry::Vacant(place) => drop(place.insert(row.clone())),
                Entry::Occupied(_) => return Ok(Inserted::UpTo(index)),
            }
        }
        drop(inner);
        self.written().map(|()| Inserted::All)
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        let mut inner = self.reach()?;
        let mut refused = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let says_so = matches!(row.outcome, Outcome::DeadLettered | Outcome::Conflict);
            if !says_so && inner.refuses(row) {
                refused.push((index, "told to refuse".to_owned()));
                continue;
            }
            let later = |there: &EventRow| there.judged_at() > row.judged_at();
            if !inner.rows.get(&row.row_id()).is_some_and(later) {
                inner.rows.insert(row.row_id(), row.clone());
            }
        }
        drop(inner);
        if refused.is_empty() { self.written() } else { Err(StoreError::Refused(refused)) }
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        if self.states_away.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("told to take no states"));
        }
        let mut inner = self.reach()?;
        let mut refused = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            if write.created.is_none() && inner.refused_states.contains(&write.tracking_number) {
                refused.push((index, "told to refuse".to_owned()));
                continue;
            }
            inner.park(write);
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
        if refused.is_empty() { self.written() } else { Err(StoreError::Refused(refused)) }
    }

    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        let inner = self.reach()?;
        let wanted = |row: &&EventRow| {
            row.released_at.is_some_and(|position| records.contains(&(row.event_id.tracking_number, position)))
        };
        Ok(inner.rows.values().filter(wanted).cloned().collect())
    }

    async fn parked(&self, partitions: &[i32], limit: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        let inner = self.reach()?;
        let mut parked: Vec<_> = inner
            .parked
            .iter()
            .filter(|(_, (partition, ..))| partitions.contains(partition))
            .filter_map(|(&tracking_number, &(.., until))| Some(ParkedShipment { tracking_number, until: until? }))
            .collect();
        parked.sort_by_key(|parked| (parked.until, parked.tracking_number));
        parked.truncate(limit as usize);
        Ok(parked)
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
        let mut stretch: Vec<_> = inner.shipments.values().filter(|stored| spans(filter, stored)).collect();
        stretch.sort_by_key(|stored| std::cmp::Reverse(order(stored)));
        let few = filter.prefix.as_deref().is_some_and(|prefix| inner.few_begin_with(prefix, self.bounds.sorted));
        let total = self.total(filter, &stretch, few);
        let ahead = match start {
            PageStart::Offset(_) => &stretch[..],
            PageStart::After(time, number) => {
                &stretch[stretch.partition_point(|stored| order(stored) >= (time, number))..]
            }
        };
        let is_bound = filter.looks() && !few;
        let bound = if is_bound { usize::try_from(self.bounds.page).unwrap_or(usize::MAX) } else { usize::MAX };
        let looked_at = &ahead[..bound.min(ahead.len())];
        let end = looked_at.last().filter(|_| looked_at.len() < ahead.len()).map(|last| order(last));
        let matching = looked_at.iter().filter(|stored| matches(filter, stored));
        let skipped = matching.skip(usize::try_from(start.offset()).unwrap_or(usize::MAX));
        let found = skipped.take(limit as usize + 1).map(|stored| without_history(stored)).collect();
        Ok(Page::of(found, start, limit, end, total))
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

#[async_trait]
impl ShipmentScan for MemoryStore {
    async fn walk_shipments(&self, after: Option<&str>, limit: u32) -> Result<Documents<StoredShipment>, StoreError> {
        Ok(walk(&self.reach()?.shipments, after, limit))
    }

    async fn walk_rows(&self, after: Option<&str>, limit: u32) -> Result<Documents<EventRow>, StoreError> {
        Ok(walk(&self.reach()?.rows, after, limit))
    }

    async fn shipments_by_id(&self, ids: &[String]) -> Result<Documents<StoredShipment>, StoreError> {
        Ok(look_up(&self.reach()?.shipments, ids))
    }

    async fn rows_by_id(&self, ids: &[String]) -> Result<Documents<EventRow>, StoreError> {
        Ok(look_up(&self.reach()?.rows, ids))
    }

    async fn estimated_shipments(&self) -> Result<u64, StoreError> {
        Ok(self.reach()?.shipments.len() as u64)
    }
}

fn walk<K: Ord + FromStr + ToString, T: Clone>(all: &BTreeMap<K, T>, after: Option<&str>, limit: u32) -> Documents<T> {
    let begin = after.and_then(|id| id.parse::<K>().ok()).map_or(Bound::Unbounded, Bound::Excluded);
    let found = all.range((begin, Bound::Unbounded)).take(limit as usize);
    found.map(|(id, document)| (id.to_string(), Found::Readable(document.clone()))).collect()
}

fn look_up<K: Ord + FromStr, T: Clone>(all: &BTreeMap<K, T>, ids: &[String]) -> Documents<T> {
    let find = |id: &String| Some((id.clone(), Found::Readable(all.get(&id.parse().ok()?)?.clone())));
    ids.iter().filter_map(find).collect()
}

fn order(stored: &StoredShipment) -> (crate::shipment::Timestamp, TrackingNumber) {
    (stored.created.created_at, stored.created.tracking_number)
}

fn spans(filter: &ListFilter, stored: &StoredShipment) -> bool {
    let created = &stored.created;
    filter.client_id.as_deref().is_none_or(|client| created.client_id() == client)
        && filter.service_type.is_none_or(|service| created.service_type() == service)
        && filter.created_from.is_none_or(|from| created.created_at >= from)
        && filter.created_to.is_none_or(|to| created.created_at < to)
}

fn matches(filter: &ListFilter, stored: &StoredShipment) -> bool {
    filter.status.is_none_or(|status| stored.state.current_status == status)
        && filter.prefix.as_deref().is_none_or(|prefix| stored.created.tracking_number.as_str().starts_with(prefix))
}

fn without_history(stored: &StoredShipment) -> StoredShipment {
    let mut stored = stored.clone();
    stored.state.status_history.clear();
    stored.state.parked.clear();
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

    #[tokio::test]
    async fn a_memory_store_with_tight_bounds_lists_everything() {
        let store = Arc::new(MemoryStore::within(conformance::TIGHT));
        conformance::run_within_tight_bounds(&*store.clone(), &*store).await;
    }
}
