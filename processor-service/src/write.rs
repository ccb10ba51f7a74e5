//! From judgements to documents: the rows of `status_events` and the states of `shipments` that a batch writes.

use std::collections::HashMap;
use std::sync::Arc;

use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{Judgement, LogPosition, Outcome, RejectReason, Shipment, ShipmentCreated, TrackingNumber};
use shared::shipment_store::{EventRow, RowPosition, StateWrite};

/// The row of an event that was judged at `position`. `owner` is the shipment as it was when it was judged.
pub(crate) fn row(
    event: &IdentifiedEvent,
    judgement: &Judgement,
    position: RowPosition,
    owner: Option<&Shipment>,
) -> EventRow {
    let after = judgement.shipment.as_ref();
    EventRow {
        event_id: event.id,
        position,
        outcome: judgement.outcome,
        outcome_reason: judgement.reason,
        from: judgement.from,
        to: judgement.to,
        late: judgement.late,
        report: event.report.clone(),
        recorded_at: event.recorded_at,
        reporter: event.reporter.clone(),
        shipment_client_id: after.or(owner).map(|shipment| shipment.terms.client_id.clone()),
        version: after.map(|shipment| shipment.state.version),
    }
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
    shipments: HashMap<TrackingNumber, (Shipment, Option<Arc<ShipmentCreated>>, i32)>,
}

impl Changed {
    /// `shipment` is the state after an event whose record stands on `partition`; `created` when that was its registration.
    pub(crate) fn add(&mut self, shipment: Shipment, created: Option<Arc<ShipmentCreated>>, partition: i32) {
        let number = shipment.tracking_number;
        let earlier = self.shipments.remove(&number).and_then(|(_, created, _)| created);
        self.shipments.insert(number, (shipment, created.or(earlier), partition));
    }

    /// The shipment as the batch has changed it so far.
    pub(crate) fn get(&self, number: TrackingNumber) -> Option<&Shipment> {
        self.shipments.get(&number).map(|(shipment, _, _)| shipment)
    }

    /// One write for each shipment, in order of their numbers.
    pub(crate) fn writes(&self) -> Vec<StateWrite> {
        let mut writes: Vec<_> = self
            .shipments
            .iter()
            .map(|(&tracking_number, (shipment, created, _))| StateWrite {
                tracking_number,
                created: created.clone(),
                state: shipment.state.clone(),
            })
            .collect();
        writes.sort_unstable_by_key(|write| write.tracking_number);
        writes
    }

    /// The states with their partitions, for the cache.
    pub(crate) fn into_shipments(self) -> impl Iterator<Item = (Shipment, i32)> {
        self.shipments.into_values().map(|(shipment, _, partition)| (shipment, partition))
    }
}

/// Where the record at `offset` of `partition` stands, as rows and states say it.
pub(crate) fn position(epoch: i64, partition: i32, offset: i64) -> RowPosition {
    RowPosition { log: LogPosition { epoch, offset }, partition }
}
