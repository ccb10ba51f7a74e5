//! A door for the instruction table (`deploy/cost`), behind a feature of its own: it measures steps that are private to the lane one by one,
//! and nobody else has a use for them.

use shared::event_log::LogRecord;
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{Judgement, Shipment};
use shared::shipment_store::{EventRow, RowPosition};

use crate::item::{Content, Item};
use crate::write;

/// The event that a record holds; `None` when it holds something else.
#[must_use]
pub fn event(record: &LogRecord) -> Option<IdentifiedEvent> {
    match Item::of(record, 1).content {
        Content::Event(event) => Some(event),
        Content::Release(_) | Content::Poison(_) => None,
    }
}

/// The row of an event that was judged at `position`. `owner` is the shipment as it was when it was judged.
#[must_use]
pub fn row(
    event: &IdentifiedEvent,
    judgement: &Judgement,
    position: RowPosition,
    owner: Option<&Shipment>,
) -> EventRow {
    write::row(event, judgement, position, owner)
}
