//! The strict policy: the whitelist, judged in log order (contract section 2).

use super::{IdentifiedEvent, Judgement, Outcome, RejectReason, entered};
use crate::shipment::event::Claim;
use crate::shipment::state::{HistoryEntry, LogPosition, Shipment};

/// Applies a status that the whitelist allows, records a scan without a status, rejects everything else.
pub(super) fn judge(shipment: &Shipment, event: &IdentifiedEvent, position: LogPosition) -> Judgement {
    let enter = |moved| {
        let entry = HistoryEntry::of(&event.report, event.id, event.recorded_at, moved);
        entered(shipment, shipment.state.after(entry, position), moved, false)
    };
    match event.report.claim {
        Claim::Kind(_) => enter(false),
        Claim::Status(status)
            if status.may_follow(Some(shipment.state.current_status), shipment.terms.allow_cancel_in_transit) =>
        {
            enter(true)
        }
        claim @ Claim::Status(_) => {
            Judgement::refused(Outcome::Rejected, RejectReason::InvalidTransition, Some(shipment), claim)
        }
    }
}
