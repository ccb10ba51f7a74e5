//! How fast a store takes what the processor writes: the ceiling that a whole pipeline is measured against.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::samples::{Seeded, at, creation, entry, fresh, number, registration, report, row, row_position, update};
use crate::shipment::{Claim, Kind, ShipmentState, Status};
use crate::shipment_store::{EventRow, Inserted, ShipmentWriter, StateWrite, StoreError};

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct CeilingPlan {
    /// How many shipments the events are about. They are created before the clock starts.
    pub shipments: u32,
    /// How many events in all.
    pub events: u32,
    /// How many events go into one `insert_events` and one `write_states`.
    pub batch: u32,
    /// Where the tracking numbers begin, so that two measurements of one database do not meet.
    pub first_number: u64,
}

/// How long the store took.
#[derive(Clone, Copy, Debug, Default)]
pub struct CeilingTaken {
    /// In all.
    pub total: Duration,
    /// For `insert_events`.
    pub rows: Duration,
    /// For `write_states`.
    pub states: Duration,
}

/// The time that the store takes for the events of `plan`: for each batch one `insert_events` and, after it, one
/// `write_states` with one state per shipment. Rows and states are those of the processor; making them is not counted.
///
/// # Errors
/// The store failed.
pub async fn ceiling(store: &dyn ShipmentWriter, plan: CeilingPlan) -> Result<Duration, StoreError> {
    ceiling_in_parts(store, plan).await.map(|taken| taken.total)
}

/// The same, by part.
///
/// # Errors
/// The store failed.
pub async fn ceiling_in_parts(store: &dyn ShipmentWriter, plan: CeilingPlan) -> Result<CeilingTaken, StoreError> {
    let mut fleet = Fleet::create(store, plan).await?;
    let mut taken = CeilingTaken::default();
    let mut offset = i64::from(plan.shipments);
    let mut left = plan.events;
    while left > 0 {
        let size = left.min(plan.batch.max(1));
        let (rows, writes) = fleet.batch(size, offset);
        let start = Instant::now();
        assert_eq!(store.insert_events(&rows).await?, Inserted::All, "all rows are new");
        taken.rows += start.elapsed();
        store.write_states(&writes).await?;
        taken.total += start.elapsed();
        left -= size;
        offset += i64::from(size);
    }
    taken.states = taken.total.saturating_sub(taken.rows);
    Ok(taken)
}

/// Statuses in the order in which a shipment passes them; afterwards it is only scanned.
const WAY: [Status; 4] = [Status::PickedUp, Status::InWarehouse, Status::InTransit, Status::Delivered];

struct Fleet {
    states: Vec<ShipmentState>,
    first_number: u64,
    seeded: Seeded,
}

impl Fleet {
    async fn create(store: &dyn ShipmentWriter, plan: CeilingPlan) -> Result<Self, StoreError> {
        let mut states = Vec::with_capacity(plan.shipments as usize);
        let mut writes = Vec::new();
        for index in 0..plan.shipments {
            let created = registration(number(plan.first_number + u64::from(index)), i64::from(index / 100));
            let state = fresh(&created, at(1, i64::from(index)));
            writes.push(creation(&created, &state));
            states.push(state);
            if writes.len() >= plan.batch as usize || index + 1 == plan.shipments {
                store.write_states(&std::mem::take(&mut writes)).await?;
            }
        }
        Ok(Self { states, first_number: plan.first_number, seeded: Seeded(1) })
    }

    fn batch(&mut self, size: u32, first_offset: i64) -> (Vec<EventRow>, Vec<StateWrite>) {
        let mut rows = Vec::with_capacity(size as usize);
        let mut changed = BTreeMap::new();
        for offset in first_offset..first_offset + i64::from(size) {
            let index = self.seeded.below(self.states.len() as u64) as usize;
            let number = number(self.first_number + index as u64);
            let state = &mut self.states[index];
            let step = usize::try_from(state.version - 1).unwrap_or(usize::MAX);
            let claim = WAY.get(step).map_or(Claim::Kind(Kind::Other), |&status| Claim::Status(status));
            let mut body = report(number, claim, offset);
            body.location = Some(crate::shipment::Location { lat: 19.43, lng: -99.13 });
            let before = state.current_status;
            *state = state.after(entry(&body, claim.status().is_some()), at(1, offset));
            rows.push(EventRow {
                from: Some(before),
                to: Some(state.current_status),
                shipment_client_id: Some("client_001".to_owned()),
                version: Some(state.version),
                ..row(body, row_position(1, offset, 0))
            });
            changed.insert(number, index);
        }
        let writes = changed.into_iter().map(|(number, index)| update(&self.states[index], number)).collect();
        (rows, writes)
    }
}
