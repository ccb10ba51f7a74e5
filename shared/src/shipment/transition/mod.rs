//! The decision: what a record of the log does to its shipment.
//!
//! A pure function of the shipment, the event and its position: no async, no clock, no configuration, no log line;
//! every time in the result comes from the record. So whoever computes "the state at position 17" gets the same
//! answer, which is what the newest-position-wins write rests on (ARCHITECTURE.md).
//!
//! The order of judgement is contract section 3: duplicate or conflict, then `SHIPMENT_NOT_FOUND`, then `FORBIDDEN`, then the
//! policy that the shipment was created with. A policy is one file beside this one and one arm in `by_policy`. While events of a shipment
//! are parked, [`parking`] stands before the policy.

mod field;
pub mod parking;
mod strict;

use std::sync::Arc;

use super::event::{Claim, Event, EventBody, Reporter};
use super::identity::{EventId, PayloadHash};
use super::registration::ShipmentCreated;
use super::state::{LogPosition, Shipment, ShipmentState, Terms};
use super::status::{Policy, Status, words};
use super::timestamp::Timestamp;

words! {
    /// What became of an event.
    Outcome {
        /// It is in the history and moved the status.
        Applied = "applied",
        /// It is in the history and moved nothing.
        Recorded = "recorded",
        /// The same event was there before.
        Duplicate = "duplicate",
        /// Its key was taken by another payload.
        Conflict = "conflict",
        /// A business rule forbids it.
        Rejected = "rejected",
        /// It could not be processed.
        DeadLettered = "dead_lettered",
        /// It waits behind a dead letter of its shipment: the only one that is not final.
        Parked = "parked",
    }
}

words! {
    /// Why an event was not applied.
    RejectReason {
        /// No such shipment.
        ShipmentNotFound = "SHIPMENT_NOT_FOUND",
        /// The sender is a client and the shipment is another client's.
        Forbidden = "FORBIDDEN",
        /// The whitelist has no such step.
        InvalidTransition = "INVALID_TRANSITION",
        /// The reason of every conflict.
        KeyConflict = "KEY_CONFLICT",
        /// The reason of every dead letter that has a row.
        StoreRefused = "STORE_REFUSED",
    }
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was neither applied nor recorded nor a duplicate.
    pub reason: Option<RejectReason>,
    /// The status before; `None` when there was no shipment.
    pub from: Option<Status>,
    /// The status after, when it is in the history; the claimed one, when it is not.
    pub to: Option<Status>,
    /// It is in the history before a scan that had arrived earlier: the fold was taken again (field policy only).
    pub late: bool,
    /// The version of the shipment after, when the event is in its history.
    pub version: Option<i64>,
    /// The shipment after, for the same.
    pub shipment: Option<Shipment>,
}

impl Judgement {
    fn refused(outcome: Outcome, reason: RejectReason, shipment: Option<&Shipment>, claim: Claim) -> Self {
        Self {
            outcome,
            reason: Some(reason),
            from: shipment.map(|shipment| shipment.state.current_status),
            to: claim.status(),
            late: false,
            version: None,
            shipment: None,
        }
    }
}

/// An event as every step needs it, with its id computed once.
#[derive(Clone, Debug)]
pub struct IdentifiedEvent {
    /// Its id.
    pub id: EventId,
    /// What it reports.
    pub report: EventBody,
    /// When the platform accepted it.
    pub recorded_at: Timestamp,
    /// Who sent it, where that is known.
    pub reporter: Option<Reporter>,
    /// The registration, when it is one.
    pub created: Option<Arc<ShipmentCreated>>,
    /// The record of it that the store refused, when it was redriven and is judged anew: its row goes on to say so.
    pub refused_at: Option<LogPosition>,
}

impl From<Event> for IdentifiedEvent {
    fn from(event: Event) -> Self {
        let (id, recorded_at) = (event.event_id(), event.recorded_at());
        let (report, reporter, created) = match event {
            Event::Created(created) => (created.report(), None, Some(Arc::from(created))),
            Event::Reported(reported) => (reported.body, reported.reporter, None),
        };
        Self { id, report, recorded_at, reporter, created, refused_at: None }
    }
}

/// Judges one record. `first` is the payload of the first event with this key, when another record at a smaller
/// position had it.
#[must_use]
pub fn judge(
    shipment: Option<&Shipment>,
    first: Option<PayloadHash>,
    event: &IdentifiedEvent,
    position: LogPosition,
) -> Judgement {
    if let Some(judgement) = by_key(shipment, first, event) {
        return judgement;
    }
    match (&event.created, shipment) {
        (Some(created), None) => create(created, event.id, position),
        (None, None) => Judgement::refused(Outcome::Rejected, RejectReason::ShipmentNotFound, None, event.report.claim),
        (_, Some(shipment)) => by_terms(shipment, event).unwrap_or_else(|| by_policy(shipment, event, position)),
    }
}

/// What its key makes of an event: a duplicate or a conflict.
fn by_key(shipment: Option<&Shipment>, first: Option<PayloadHash>, event: &IdentifiedEvent) -> Option<Judgement> {
    let from = shipment.map(|shipment| shipment.state.current_status);
    first.map(|payload| {
        if payload == event.id.payload {
            let to = event.report.claim.status();
            Judgement {
                outcome: Outcome::Duplicate,
                reason: None,
                from,
                to,
                late: false,
                version: None,
                shipment: None,
            }
        } else {
            Judgement::refused(Outcome::Conflict, RejectReason::KeyConflict, shipment, event.report.claim)
        }
    })
}

/// What is refused about a shipment whatever has become of it: a second creation, and what another client says.
fn by_terms(shipment: &Shipment, event: &IdentifiedEvent) -> Option<Judgement> {
    let reason = match &event.created {
        Some(_) => RejectReason::InvalidTransition,
        None if is_foreign(event, &shipment.terms) => RejectReason::Forbidden,
        None => return None,
    };
    Some(Judgement::refused(Outcome::Rejected, reason, Some(shipment), event.report.claim))
}

fn by_policy(shipment: &Shipment, event: &IdentifiedEvent, position: LogPosition) -> Judgement {
    match shipment.terms.policy {
        Policy::Strict => strict::judge(shipment, event, position),
        Policy::Field => field::judge(shipment, event, position),
    }
}

fn create(created: &ShipmentCreated, id: EventId, position: LogPosition) -> Judgement {
    let shipment = Shipment {
        tracking_number: created.tracking_number,
        terms: Arc::new(created.terms()),
        state: ShipmentState::created(created, id, position),
    };
    Judgement {
        outcome: Outcome::Applied,
        reason: None,
        from: None,
        to: Some(Status::Created),
        late: false,
        version: Some(shipment.state.version),
        shipment: Some(shipment),
    }
}

/// A client may report about its own shipments only. A record without a reporter was written by an operator.
fn is_foreign(event: &IdentifiedEvent, terms: &Terms) -> bool {
    let reporter = event.reporter.as_ref().filter(|reporter| reporter.role == "client");
    reporter.is_some_and(|reporter| reporter.client_id.as_deref() != Some(terms.client_id.as_str()))
}

/// The judgement of an event that entered the history of `before`, whose state is `state` now.
fn entered(before: &Shipment, state: ShipmentState, moved: bool, late: bool) -> Judgement {
    Judgement {
        outcome: if moved { Outcome::Applied } else { Outcome::Recorded },
        reason: None,
        from: Some(before.state.current_status),
        to: Some(state.current_status),
        late,
        version: Some(state.version),
        shipment: Some(Shipment { tracking_number: before.tracking_number, terms: before.terms.clone(), state }),
    }
}
