//! The changes feed: one record for each applied change, keyed by tracking number.
//!
//! A change is made from the row of its event and from nothing else, so that one that has to be published again after a crash
//! is the same to the byte.

use serde::Serialize;
use shared::event_log::NewRecord;
use shared::shipment::record::{CHANGED_TYPE, PROCESSOR_SOURCE, cloud_event_headers, to_json};
use shared::shipment::{EventId, Outcome, Status, Timestamp, TrackingNumber};
use shared::shipment_store::EventRow;

#[derive(Serialize)]
struct Change<'a> {
    event_id: EventId,
    tracking_number: TrackingNumber,
    client_id: Option<&'a str>,
    from: Option<Status>,
    to: Option<Status>,
    #[serde(flatten)]
    late: Option<Late>,
    version: Option<i64>,
    timestamp: Timestamp,
    recorded_at: Timestamp,
    source: &'a str,
    partition: i32,
    offset: i64,
}

/// What a change says when its scan arrived after one that happened later: the fold was taken again, and `previous_status`, which was
/// shown before, was not wrong at its time. `to` is what is shown now; it can be the same.
#[derive(Serialize)]
struct Late {
    late: bool,
    previous_status: Option<Status>,
}

/// The change that `row` made; `None` when it made none.
pub(crate) fn of(row: &EventRow) -> Option<NewRecord> {
    if row.outcome != Outcome::Applied {
        return None;
    }
    let change = Change {
        event_id: row.event_id,
        tracking_number: row.event_id.tracking_number,
        client_id: row.shipment_client_id.as_deref(),
        from: row.from,
        to: row.to,
        late: row.late.then_some(Late { late: true, previous_status: row.from }),
        version: row.version,
        timestamp: row.report.timestamp,
        recorded_at: row.recorded_at,
        source: &row.report.source,
        partition: row.position.partition,
        offset: row.position.log.offset,
    };
    let headers = cloud_event_headers(row.event_id, CHANGED_TYPE, PROCESSOR_SOURCE, row.recorded_at, None);
    Some(NewRecord::keyed(row.event_id.tracking_number, to_json(&change), headers))
}
