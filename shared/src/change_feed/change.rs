//! One record of the feed: what an applied event did to its shipment.
//!
//! A change is made from the row of its event and from nothing else, so that one that has to be published again after a crash
//! is the same to the byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event_log::{LogRecord, NewRecord};
use crate::shipment::record::{CHANGED_TYPE, PROCESSOR_SOURCE, cloud_event_headers, to_json};
use crate::shipment::{EventId, Outcome, Status, Timestamp, TrackingNumber};
use crate::shipment_store::EventRow;

/// A change, as it stands in the topic. A reader ignores members that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The event that did it. The same event never does another change: it tells a change that was published twice.
    pub event_id: EventId,
    /// The shipment.
    pub tracking_number: TrackingNumber,
    /// Whose shipment it is.
    pub client_id: Option<String>,
    /// The status before; `None` before the creation.
    pub from: Option<Status>,
    /// The status that is shown now.
    pub to: Option<Status>,
    /// The scan arrived after one that happened later: the fold was taken again, and `previous_status`, which was shown before, was not
    /// wrong at its time. `to` can be the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// What was shown before a late scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_status: Option<Status>,
    /// The version of the shipment after it.
    pub version: Option<i64>,
    /// When it happened, by the source.
    pub timestamp: Timestamp,
    /// When the platform accepted it.
    pub recorded_at: Timestamp,
    /// Who reported it.
    pub source: String,
    /// Where the event (not the change) stands in the log.
    pub partition: i32,
    /// Where the event (not the change) stands on that partition.
    pub offset: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A record of the topic that is no change of ours.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It has no value.
    #[error("it has no value")]
    Empty,
    /// Its value is no change.
    #[error("its value is no change: {0}")]
    Value(#[from] serde_json::Error),
}

impl Change {
    /// The change that the event of `row` made; `None` when it made none.
    #[must_use]
    pub fn of(row: &EventRow) -> Option<Self> {
        (row.outcome == Outcome::Applied).then(|| Self {
            event_id: row.event_id,
            tracking_number: row.event_id.tracking_number,
            client_id: row.shipment_client_id.clone(),
            from: row.from,
            to: row.to,
            late: row.late,
            previous_status: row.from.filter(|_| row.late),
            version: row.version,
            timestamp: row.report.timestamp,
            recorded_at: row.recorded_at,
            source: row.report.source.clone(),
            partition: row.position.partition,
            offset: row.position.log.offset,
        })
    }

    /// The record that publishes it.
    #[must_use]
    pub fn record(&self) -> NewRecord {
        let headers = cloud_event_headers(self.event_id, CHANGED_TYPE, PROCESSOR_SOURCE, self.recorded_at, None);
        NewRecord::keyed(self.tracking_number, to_json(self), headers)
    }

    /// The change that a record publishes.
    ///
    /// # Errors
    /// Somebody else wrote the record.
    pub fn read(record: &LogRecord) -> Result<Self, Unreadable> {
        Ok(serde_json::from_slice(record.value.as_deref().ok_or(Unreadable::Empty)?)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event_log::Position;
    use crate::shipment::{EventBody, LogPosition, UnknownFields};
    use crate::shipment_store::RowPosition;

    fn row(late: bool) -> EventRow {
        let number: TrackingNumber = "99M-ABC12345".parse().expect("well-formed");
        let body = json!({"tracking_number": number, "status": "delivered", "source": "driver_app",
            "timestamp": "2025-02-12T15:04:05Z"});
        let report = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
        EventRow {
            event_id: "evt_ABC12345_0000000000000000000000".parse().expect("well-formed"),
            position: RowPosition { log: LogPosition { epoch: 1, offset: 9 }, partition: 3 },
            released_at: None,
            refused_at: None,
            outcome: Outcome::Applied,
            outcome_reason: None,
            from: Some(Status::InTransit),
            to: Some(Status::Delivered),
            late,
            report,
            recorded_at: Timestamp::from_millis(1_739_372_646_123),
            reporter: None,
            shipment_client_id: Some("client_001".to_owned()),
            version: Some(5),
        }
    }

    #[test]
    fn a_change_is_published_in_the_contract_s_words_and_read_back() {
        let change = Change::of(&row(false)).expect("applied");
        let record = change.record().at(Position { partition: 3, offset: 77 }, 0);
        let value: Value = serde_json::from_slice(record.value.as_deref().expect("has one")).expect("JSON");
        let expected = json!({"event_id": "evt_ABC12345_0000000000000000000000", "tracking_number": "99M-ABC12345",
            "client_id": "client_001", "from": "in_transit", "to": "delivered", "version": 5,
            "timestamp": "2025-02-12T15:04:05Z", "recorded_at": "2025-02-12T15:04:06.123Z", "source": "driver_app",
            "partition": 3, "offset": 9});
        assert_eq!(value, expected);
        assert_eq!(record.key.as_deref(), Some(b"99M-ABC12345".as_slice()));
        assert_eq!(record.header("ce_type"), Some(CHANGED_TYPE));
        assert_eq!(Change::read(&record).expect("ours"), change);
    }

    #[test]
    fn a_late_scan_says_so_and_an_event_that_was_not_applied_makes_no_change() {
        let late = serde_json::to_value(Change::of(&row(true)).expect("applied")).expect("JSON");
        assert_eq!((&late["late"], &late["previous_status"]), (&json!(true), &json!("in_transit")));
        assert_eq!(Change::of(&EventRow { outcome: Outcome::Recorded, ..row(false) }), None);
    }

    #[test]
    fn a_reader_ignores_what_it_does_not_know_and_takes_nothing_else_for_a_change() {
        let at = Position { partition: 0, offset: 0 };
        let mut value = serde_json::to_value(Change::of(&row(false)).expect("applied")).expect("JSON");
        value["added_in_2030"] = json!([1]);
        let mut record = Change::of(&row(false)).expect("applied").record().at(at, 0);
        record.value = Some(value.to_string().into());
        assert!(Change::read(&record).is_ok());
        for other in [Some("{}"), Some("nonsense"), Some(""), None] {
            record.value = other.map(Into::into);
            assert!(Change::read(&record).is_err(), "{other:?}");
        }
    }
}
