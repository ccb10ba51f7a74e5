//! The strict policy: the whitelist, judged in log order (contract section 2).

use super::{IdentifiedEvent, Judgement, Outcome, RejectReason, entered};
use crate::shipment::event::Claim;
use crate::shipment::state::{LogPosition, Shipment};

/// Applies a status that the whitelist allows, records a scan without a status, rejects everything else.
pub(super) fn judge(shipment: &Shipment, event: &IdentifiedEvent, position: LogPosition) -> Judgement {
    match event.report.claim {
        Claim::Kind(_) => entered(shipment, event, position, false),
        Claim::Status(status)
            if status.may_follow(Some(shipment.state.current_status), shipment.terms.allow_cancel_in_transit) =>
        {
            entered(shipment, event, position, true)
        }
        claim @ Claim::Status(_) => {
            Judgement::refused(Outcome::Rejected, RejectReason::InvalidTransition, Some(shipment), claim)
        }
    }
}
