//! A row of `status_events`: what was reported, by whom, and what became of it. Append-only.

use serde::{Deserialize, Serialize};

use crate::shipment::{
    EventBody, EventId, LogPosition, Outcome, PayloadHash, RejectReason, Reporter, RowId, Status, Timestamp,
};

/// Where the record of a row stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowPosition {
    /// Epoch and offset.
    #[serde(flatten)]
    pub log: LogPosition,
    /// The partition.
    pub partition: i32,
}

/// The audit of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// The id of the event; with `outcome` it gives [`EventRow::row_id`].
    pub event_id: EventId,
    /// The record that was judged.
    pub position: RowPosition,
    /// The record that released it, when it had been parked: there it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<LogPosition>,
    /// The record of it that the store refused, when it was redriven and judged anew: where the row stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<LogPosition>,
    /// What became of it; never `duplicate`.
    pub outcome: Outcome,
    /// Why, when it was neither applied nor recorded.
    pub outcome_reason: Option<RejectReason>,
    /// The status before.
    pub from: Option<Status>,
    /// The status after; the claimed one when it is not in the history.
    pub to: Option<Status>,
    /// It was put into the history before a scan that had arrived earlier.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// What was reported.
    pub report: EventBody,
    /// When the platform accepted it.
    pub recorded_at: Timestamp,
    /// Who sent it.
    pub reporter: Option<Reporter>,
    /// Whose shipment it is about, when there was one.
    pub shipment_client_id: Option<String>,
    /// The version of the shipment after it, when it entered the history.
    pub version: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl EventRow {
    /// Where the row stands: a conflict has its payload hash behind the key.
    #[must_use]
    pub fn row_id(&self) -> RowId {
        if self.outcome == Outcome::Conflict { self.event_id.conflict_row() } else { self.event_id.first_row() }
    }

    /// The record at which it was judged: its own, unless it had been parked.
    #[must_use]
    pub fn judged_at(&self) -> LogPosition {
        self.released_at.unwrap_or(self.position.log)
    }

    /// What the next record with the same key needs to know of it.
    #[must_use]
    pub fn known(&self) -> KnownKey {
        let (position, payload, outcome) = (self.position.log, self.event_id.payload, self.outcome);
        KnownKey { position, payload, outcome, refused_at: self.refused_at }
    }
}

/// What is known of a key that was decided before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Where its first record stands.
    pub position: LogPosition,
    /// What that one said.
    pub payload: PayloadHash,
    /// What became of it.
    pub outcome: Outcome,
    /// The record that the store refused, when the event was redriven since.
    pub refused_at: Option<LogPosition>,
}
