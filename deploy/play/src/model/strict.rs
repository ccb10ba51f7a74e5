//! The strict policy: a whitelist, judged in the order of arrival.

use super::Keys;
use crate::claim::Status;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::player::Played;

pub(super) fn play(plan: &Plan<'_>) -> Played {
    let (mut status, mut keys) = (Status::Created, Keys::default());
    let mut results = Vec::with_capacity(plan.events.len());
    for event in &plan.events {
        let outcome = keys.taken_before(event).unwrap_or_else(|| match event.scan.claim.status() {
            None => Outcome::Recorded,
            Some(next) if is_allowed(status, next) => {
                status = next;
                Outcome::Applied
            }
            Some(_) => Outcome::Rejected("INVALID_TRANSITION".to_owned()),
        });
        results.push(Ok(outcome));
    }
    Played { results, final_status: Some(status), document: None, wrong: Vec::new() }
}

fn is_allowed(from: Status, to: Status) -> bool {
    use Status::{Cancelled, Created, Delivered, InTransit, InWarehouse, PickedUp};
    matches!(
        (from, to),
        (Created, PickedUp | Cancelled)
            | (PickedUp, InWarehouse | Cancelled)
            | (InWarehouse, InTransit | Cancelled)
            | (InTransit, Delivered)
    )
}
