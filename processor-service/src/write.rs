//! From judgements to documents: the rows of `status_events` and the states of `shipments` that a batch writes.

use std::collections::HashMap;
use std::sync::Arc;

use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{
    Judgement, LogPosition, Outcome, ParkedEvent, RejectReason, Shipment, ShipmentCreated, TrackingNumber,
};
use shared::shipment_store::{EventRow, RowPosition, StateWrite};

/// The row of an event whose record stands at `position`. `owner` is its shipment, if there is one.
pub(crate) fn row(
    event: &IdentifiedEvent,
    judgement: &Judgement,
    position: RowPosition,
    owner: Option<&Shipment>,
) -> EventRow {
    EventRow {
        event_id: event.id,
        position,
        released_at: None,
        refused_at: event.refused_at,
        outcome: judgement.outcome,
        outcome_reason: judgement.reason,
        from: judgement.from,
        to: judgement.to,
        late: judgement.late,
        report: event.report.clone(),
        recorded_at: event.recorded_at,
        reporter: event.reporter.clone(),
        shipment_client_id: owner.map(|shipment| shipment.terms.client_id.clone()),
        version: judgement.version,
    }
}

/// The row of a parked event that the record at `released_at` released.
pub(crate) fn released_row(
    parked: &ParkedEvent,
    judgement: &Judgement,
    released_at: RowPosition,
    owner: Option<&Shipment>,
) -> EventRow {
    let position = RowPosition { log: parked.position, ..released_at };
    let row = row(&IdentifiedEvent::from(parked), judgement, position, owner);
    EventRow { released_at: Some(released_at.log), ..row }
}

/// The row of an event whose documents the store refused: a dead letter's, or that of a conflict, which stands beside the first event of
/// its key and not in its place. It has no text that the store could refuse again.
pub(crate) fn refused_row(event: &IdentifiedEvent, outcome: Outcome, position: RowPosition) -> EventRow {
    let is_conflict = outcome == Outcome::Conflict;
    let mut report = event.report.clone();
    report.place = None;
    report.code = None;
    report.notes = None;
    EventRow {
        event_id: event.id,
        position,
        released_at: None,
        refused_at: None,
        outcome,
        outcome_reason: Some(if is_conflict { RejectReason::KeyConflict } else { RejectReason::StoreRefused }),
        from: None,
        to: event.report.claim.status(),
        late: false,
        report,
        recorded_at: event.recorded_at,
        reporter: event.reporter.clone(),
        shipment_client_id: None,
        version: None,
    }
}

/// The shipments that a batch changes: all events of one shipment become one write.
#[derive(Default)]
pub(crate) struct Changed {
    shipments: HashMap<TrackingNumber, After>,
}

struct After {
    shipment: Shipment,
    created: Option<Arc<ShipmentCreated>>,
    partition: i32,
    /// What is parked of it has changed.
    parking: bool,
}

impl Changed {
    /// `shipment` is the state after a record that stands on `partition`; `created` when that was its registration; `parking` when something of it
    /// is parked, or was before.
    pub(crate) fn add(
        &mut self,
        shipment: Shipment,
        created: Option<Arc<ShipmentCreated>>,
        partition: i32,
        parking: bool,
    ) {
        let number = shipment.tracking_number;
        let (earlier, parked) =
            self.shipments.remove(&number).map_or((None, false), |before| (before.created, before.parking));
        let (created, parking) = (created.or(earlier), parking || parked);
        self.shipments.insert(number, After { shipment, created, partition, parking });
    }

    /// The shipment as the batch has changed it so far.
    pub(crate) fn get(&self, number: TrackingNumber) -> Option<&Shipment> {
        self.shipments.get(&number).map(|after| &after.shipment)
    }

    /// One write for each shipment, in order of their numbers.
    pub(crate) fn writes(&self) -> Vec<StateWrite> {
        let mut writes: Vec<_> = self
            .shipments
            .iter()
            .map(|(&tracking_number, after)| StateWrite {
                tracking_number,
                created: after.created.clone(),
                state: after.shipment.state.clone(),
                parking: after.parking.then_some(after.partition),
            })
            .collect();
        writes.sort_unstable_by_key(|write| write.tracking_number);
        writes
    }

    /// The states with their partitions, for the cache.
    pub(crate) fn into_shipments(self) -> impl Iterator<Item = (Shipment, i32)> {
        self.shipments.into_values().map(|after| (after.shipment, after.partition))
    }
}

/// Where the record at `offset` of `partition` stands, as rows and states say it.
pub(crate) fn position(epoch: i64, partition: i32, offset: i64) -> RowPosition {
    RowPosition { log: LogPosition { epoch, offset }, partition }
}
