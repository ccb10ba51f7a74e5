//! What records do to parked events besides their own: dead letters that are waited for, and what is released.

use std::collections::HashMap;

use shared::shipment::record::Release;
use shared::shipment::transition::parking::{self, Turn};
use shared::shipment::{Shipment, TrackingNumber};
use shared::shipment_store::RowPosition;

use crate::item::Item;
use crate::partition::Decision;
use crate::write;

impl Decision {
    /// The place of a dead letter is kept, if its shipment parks.
    pub(crate) fn wait(&mut self, item: &Item, states: &HashMap<TrackingNumber, Shipment>) {
        if let Some(shipment) = item.number.and_then(|number| self.newest(number, states)) {
            let turn = parking::wait(shipment, item.position.log, item.time, item.repeats);
            self.take_over(turn, item.position);
        }
    }

    /// Nothing can come any more of the dead letter that `item` repeats.
    pub(crate) fn settle(&mut self, item: &Item, states: &HashMap<TrackingNumber, Shipment>) {
        if let Some(shipment) = item.number.and_then(|number| self.newest(number, states)) {
            let turn = parking::settle(shipment, item.position.log, item.repeats);
            self.take_over(turn, item.position);
        }
    }

    /// Dead letters are given up.
    pub(crate) fn release(&mut self, item: &Item, release: Release, states: &HashMap<TrackingNumber, Shipment>) {
        if let Some(shipment) = self.newest(release.tracking_number, states) {
            let turn = parking::release(shipment, release.until, item.position.log);
            self.take_over(turn, item.position);
        }
    }

    /// The shipment as the batch has changed it so far.
    pub(crate) fn newest<'a>(
        &'a self,
        number: TrackingNumber,
        states: &'a HashMap<TrackingNumber, Shipment>,
    ) -> Option<&'a Shipment> {
        self.changed.get(number).or_else(|| states.get(&number))
    }

    /// Takes over what a record at `position` did to parked events, and to the state when that has changed through them.
    pub(crate) fn take_over(&mut self, turn: Turn, position: RowPosition) {
        let owner = turn.shipment.as_ref();
        let rows = turn.released.iter();
        self.released.extend(rows.map(|(event, judgement)| write::released_row(event, judgement, position, owner)));
        if let Some(shipment) = turn.shipment {
            self.changed.add(shipment, None, position.partition, true);
        }
    }
}
