//! One record of a batch, decoded.

use shared::dead_letters::{REPLAY_OF, repeated};
use shared::event_log::LogRecord;
use shared::shipment::record::{self, Poison, Release, Said};
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{Timestamp, TrackingNumber};
use shared::shipment_store::RowPosition;

use crate::write;

/// One record of a batch.
pub(crate) struct Item {
    pub(crate) position: RowPosition,
    pub(crate) content: Content,
    /// The shipment that it is about; for poison, that which its key names.
    pub(crate) number: Option<TrackingNumber>,
    /// The time that the record bears.
    pub(crate) time: Timestamp,
    /// An operator had it redriven: it is a dead letter's original once more.
    pub(crate) is_redriven: bool,
    /// That original, by its offset.
    pub(crate) repeats: Option<i64>,
    /// The event of a record whose documents the store refused.
    pub(crate) refused: Option<IdentifiedEvent>,
}

/// What a record says, once it is decoded.
#[expect(clippy::large_enum_variant, reason = "all but one record in a million are the large one")]
pub(crate) enum Content {
    Event(IdentifiedEvent),
    Release(Release),
    Poison(Poison),
}

impl Item {
    /// Decodes a record. What cannot be decoded is poison now and for ever.
    pub(crate) fn of(record: &LogRecord, epoch: i64) -> Self {
        let content = match record::decode(record) {
            Ok(Said::Event(event)) => Content::Event(IdentifiedEvent::from(event)),
            Ok(Said::Release(release)) => Content::Release(release),
            Err(poison) => Content::Poison(poison),
        };
        let number = match &content {
            Content::Event(event) => Some(event.id.tracking_number),
            Content::Release(release) => Some(release.tracking_number),
            // It may stand on another shipment's partition.
            Content::Poison(Poison::KeyMismatch) => None,
            Content::Poison(_) => number_in(record.key.as_deref()),
        };
        let repeated = repeated(record).filter(|original| original.partition == record.position.partition);
        Self {
            position: write::position(epoch, record.position.partition, record.position.offset),
            content,
            number,
            time: Timestamp::from_millis(record.timestamp),
            is_redriven: record.header(REPLAY_OF).is_some(),
            repeats: repeated.map(|original| original.offset),
            refused: None,
        }
    }
}

/// The tracking number that a key is, letter for letter: any other spelling of it belongs to another partition.
fn number_in(key: Option<&[u8]>) -> Option<TrackingNumber> {
    let text = std::str::from_utf8(key?).ok()?;
    text.parse::<TrackingNumber>().ok().filter(|number| number.as_str() == text)
}
