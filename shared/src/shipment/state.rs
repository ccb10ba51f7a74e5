//! The state of a shipment: what its events have made of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Claim, EventBody, Reporter};
use super::identity::EventId;
use super::limits;
use super::location::Location;
use super::registration::ShipmentCreated;
use super::status::{Kind, Policy, Status};
use super::timestamp::Timestamp;
use super::tracking_number::TrackingNumber;

/// Where in the log a state was taken: what leads the comparison of two states of one shipment. All records of a
/// shipment stand on one partition, so the partition is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// Which life of the topic: an operator raises it when the topic is made anew and offsets begin again at 0.
    pub epoch: i64,
    /// The offset on the shipment's partition.
    pub offset: i64,
}

/// What was agreed at the creation of a shipment and every decision about it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whose shipment it is.
    pub client_id: String,
    /// How its events are judged.
    pub policy: Policy,
    /// Whether it may be cancelled in transit.
    pub allow_cancel_in_transit: bool,
    /// How long its events are parked behind a dead letter, in seconds; 0 for not at all.
    pub park_seconds: u32,
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the members of contract section 4")]
pub struct HistoryEntry {
    pub event_id: EventId,
    #[serde(flatten)]
    pub claim: Claim,
    /// Whether it moved the status.
    pub moved: bool,
    pub timestamp: Timestamp,
    pub recorded_at: Timestamp,
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HistoryEntry {
    /// The entry of `report`.
    #[must_use]
    pub fn of(report: &EventBody, event_id: EventId, recorded_at: Timestamp, moved: bool) -> Self {
        Self {
            event_id,
            claim: report.claim,
            moved,
            timestamp: report.timestamp,
            recorded_at,
            source: report.source.clone(),
            location: report.location,
            place: report.place.clone(),
            code: report.code.clone(),
            reason: report.reason.clone(),
        }
    }

    /// Whether it is the creation, which no scan reports.
    #[must_use]
    pub fn is_creation(&self) -> bool {
        self.claim == Claim::Status(Status::Created)
    }
}

/// The newest status of rank 2 among the entries that are older than the newest [`limits::HISTORY_ENTRIES`]. The field policy needs no more of
/// them to judge what comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderScan {
    /// What it claimed.
    pub status: Status,
    /// When it happened, by the source.
    pub timestamp: Timestamp,
}

/// What events have made of a shipment, up to and with the record at `position`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShipmentState {
    /// The last record that changed the state.
    pub position: LogPosition,
    /// Where it stands.
    pub current_status: Status,
    /// When the platform last changed it.
    pub updated_at: Timestamp,
    /// Counts the changes, from 1.
    pub version: i64,
    /// In order of timestamp, then of the log: the newest [`limits::HISTORY_ENTRIES`], and older ones that moved the status (under the
    /// field policy, where hubs can follow each other without end: that raised its rank).
    /// Shared entries, because every decision makes a new state and changes one of them.
    #[serde(with = "shared_entries")]
    pub status_history: Vec<Arc<HistoryEntry>>,
    /// How many entries fell out of the history.
    pub history_truncated: u64,
    /// The newest report by timestamp; the creation while there is none.
    pub last_scan: Option<Arc<HistoryEntry>>,
    /// Failed delivery attempts.
    pub attempts: u32,
    /// The newest exception or return since the last move.
    pub exception: Option<Arc<HistoryEntry>>,
    /// What the field policy remembers of entries that fell out of the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_scan: Option<OlderScan>,
    /// What waits behind a dead letter, in the order in which it is to be judged: at most [`limits::PARKED`] places, the first one a dead
    /// letter's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Place>,
}

/// A place in the parking of a shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A dead letter's: it is kept for what may come of it.
    Waiting {
        /// The record that is repeated when it is redriven: the first of all, however often that is done.
        of: LogPosition,
        /// It is kept so long.
        until: Timestamp,
    },
    /// An event's that came behind it.
    Event(Arc<ParkedEvent>),
}

/// An event that is to be judged later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Its record.
    pub position: LogPosition,
    /// Its id.
    pub event_id: EventId,
    /// What it reports.
    pub report: EventBody,
    /// When the platform accepted it.
    pub recorded_at: Timestamp,
    /// Who sent it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<Reporter>,
    /// The record of it that the store refused, when this one was redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<LogPosition>,
}

impl ShipmentState {
    /// When the first of the dead letters that hold up events is not waited for any more; `None` when nothing is parked.
    #[must_use]
    pub fn parked_until(&self) -> Option<Timestamp> {
        let until = |place: &Place| match place {
            Place::Waiting { until, .. } => Some(*until),
            Place::Event(_) => None,
        };
        self.parked.iter().filter_map(until).min()
    }

    /// The state of a shipment that was just created.
    #[must_use]
    pub fn created(created: &ShipmentCreated, event_id: EventId, position: LogPosition) -> Self {
        let entry = Arc::new(HistoryEntry::of(&created.report(), event_id, created.created_at, true));
        Self {
            position,
            current_status: Status::Created,
            updated_at: created.created_at,
            version: 1,
            status_history: vec![entry.clone()],
            history_truncated: 0,
            last_scan: Some(entry),
            attempts: 0,
            exception: None,
            older_scan: None,
            parked: Vec::new(),
        }
    }

    /// This state with what every entry changes, whatever the policy: all but the history, the status and the exception.
    pub(super) fn counting(&self, entry: &Arc<HistoryEntry>, position: LogPosition) -> Self {
        let mut next = self.clone();
        next.position = position;
        next.version += 1;
        next.updated_at = self.updated_at.max(entry.recorded_at);
        if entry.claim == Claim::Kind(Kind::DeliveryAttemptFailed) {
            next.attempts = next.attempts.saturating_add(1);
        }
        if self.last_scan.as_ref().is_none_or(|last| last.is_creation() || last.timestamp <= entry.timestamp) {
            next.last_scan = Some(entry.clone());
        }
        next
    }

    /// The state after `entry`, which moves the status when it says so.
    #[must_use]
    pub fn after(&self, entry: HistoryEntry, position: LogPosition) -> Self {
        let entry = Arc::new(entry);
        let mut next = self.counting(&entry, position);
        match entry.claim {
            Claim::Status(status) if entry.moved => {
                next.current_status = status;
                next.exception = None;
            }
            Claim::Kind(Kind::Exception | Kind::Returned) => next.exception = Some(entry.clone()),
            Claim::Status(_) | Claim::Kind(_) => {}
        }
        next.insert(entry);
        next
    }

    fn insert(&mut self, entry: Arc<HistoryEntry>) {
        let place = self.status_history.partition_point(|known| known.timestamp <= entry.timestamp);
        self.status_history.insert(place, entry);
        let outside = self.status_history.len().saturating_sub(limits::HISTORY_ENTRIES);
        if let Some(oldest) = self.status_history[..outside].iter().position(|known| !known.moved) {
            self.status_history.remove(oldest);
            self.history_truncated += 1;
        }
    }
}

mod shared_entries {
    use std::sync::Arc;

    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::HistoryEntry;

    pub(super) fn serialize<S: Serializer>(entries: &[Arc<HistoryEntry>], serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(entries.len()))?;
        for entry in entries {
            sequence.serialize_element(&**entry)?;
        }
        sequence.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<HistoryEntry>>, D::Error> {
        Ok(Vec::<HistoryEntry>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}

/// A shipment as the decision sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shipment {
    /// Its number.
    pub tracking_number: TrackingNumber,
    /// What never changes.
    pub terms: Arc<Terms>,
    /// What events change.
    pub state: ShipmentState,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(second: i64, kind: Kind) -> HistoryEntry {
        let number = "99M-ABC12345".parse().expect("well-formed");
        let report = EventBody {
            tracking_number: number,
            claim: Claim::Kind(kind),
            timestamp: Timestamp::from_millis(second * 1000),
            source: "hub".to_owned(),
            location: None,
            place: None,
            code: None,
            reason: None,
            notes: None,
            source_event_id: None,
            carrier: None,
        };
        HistoryEntry::of(&report, report.event_id(), report.timestamp, false)
    }

    fn fresh() -> ShipmentState {
        let body = serde_json::json!({"tracking_number": "99M-ABC12345", "client_id": "c", "origin_address": "a",
            "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
            "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c"});
        let created = ShipmentCreated::from_json(body, Timestamp::default()).expect("valid");
        ShipmentState::created(&created, created.event_id(), LogPosition { epoch: 1, offset: 0 })
    }

    // contract: "The embedded history holds the newest 200 entries"
    #[test]
    fn the_history_keeps_the_newest_entries_and_every_move() {
        let mut state = fresh();
        for offset in 1..=300 {
            state = state.after(scan(offset, Kind::Other), LogPosition { epoch: 1, offset });
        }
        assert_eq!(state.status_history.len(), limits::HISTORY_ENTRIES + 1);
        assert!(state.status_history[0].moved, "the creation stays");
        assert_eq!((state.history_truncated, state.version), (100, 301));
        assert_eq!(state.status_history.last().map(|entry| entry.timestamp.unix_seconds()), Some(300));
    }

    // contract: "A shipment shows `last_scan`"
    #[test]
    fn a_late_scan_is_put_into_its_place_and_is_not_the_last_scan() {
        let state = fresh()
            .after(scan(50, Kind::Exception), LogPosition { epoch: 1, offset: 1 })
            .after(scan(20, Kind::DeliveryAttemptFailed), LogPosition { epoch: 1, offset: 2 });
        let seconds: Vec<_> = state.status_history.iter().map(|entry| entry.timestamp.unix_seconds()).collect();
        assert_eq!(seconds, [0, 20, 50]);
        assert_eq!(state.last_scan.as_ref().map(|entry| entry.timestamp.unix_seconds()), Some(50));
        assert_eq!((state.attempts, state.exception.is_some()), (1, true));
    }

    #[test]
    fn a_state_reads_back_from_its_json() {
        let state = fresh().after(scan(5, Kind::Exception), LogPosition { epoch: 1, offset: 1 });
        let json = serde_json::to_string(&state).expect("serialises");
        assert_eq!(serde_json::from_str::<ShipmentState>(&json).expect("reads back"), state);
    }
}
