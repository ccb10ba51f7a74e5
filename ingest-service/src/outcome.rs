//! What became of an event: found by its id, once the processor has decided.
//!
//! The processor announces how far it has come *after* everything is durable, so a reader who was woken by it finds the row and
//! the state. But announcements may be lost; then the reader looks on its own. Rows are written before states, so a row that was
//! found that way counts only when the shipment shows it too.

use std::time::Duration;

use shared::event_log::Position;
use shared::shipment::{EventId, LogPosition, Outcome, RejectReason};
use shared::shipment_store::{EventRow, ShipmentReader, StoreError};
use tokio::time::Instant;

use crate::authenticate::Caller;
use crate::error::{JudgedEvent, Problem};
use crate::router::Edge;

/// How often a waiter looks for itself: announcements may be lost.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The word for an event that is not decided yet.
pub(crate) const QUEUED: &str = "queued";

/// All words for what is known of an event.
pub(crate) fn words() -> Vec<&'static str> {
    [QUEUED].into_iter().chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())).collect()
}

/// What is known of an event.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Not decided yet, as far as we know.
    Queued,
    /// Applied or recorded, and a GET shows it.
    Entered(Outcome),
    /// The same event was there before.
    Duplicate,
    /// Rejected or a conflict.
    Refused(Box<EventRow>),
    /// It could not be processed.
    DeadLettered,
    /// It waits behind a dead letter of its shipment.
    Parked,
}

/// Waits for what becomes of the event `id` whose record stands at `position`.
pub(crate) async fn wait_for(edge: &Edge, id: EventId, position: Position, patience: Duration) -> Verdict {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let noticed = edge.ports.applied.wait_for(position, LOOK_EVERY.min(left)).await;
        // A store that does not answer must not keep the caller longer than was granted.
        let looked = tokio::time::timeout(left.max(LOOK_EVERY), look(edge, id, position, noticed)).await;
        match looked {
            Ok(Ok(Some(verdict))) => return verdict,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an outcome cannot be looked up yet"),
            Err(_) => tracing::debug!("the store took too long to say an outcome"),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Verdict::Queued;
        }
        if noticed {
            // The notice ran ahead of what we can read, or the store is away; waiting for it again would spin.
            tokio::time::sleep(LOOK_EVERY.min(left)).await;
        }
    }
}

async fn look(edge: &Edge, id: EventId, position: Position, noticed: bool) -> Result<Option<Verdict>, StoreError> {
    let store = edge.ports.store.as_ref();
    let Some(row) = find(store, id).await? else { return Ok(None) };
    if !noticed && !is_settled(edge, &row).await? {
        return Ok(None);
    }
    let own = row.position.partition == position.partition && row.position.log.offset == position.offset;
    Ok(Some(match row.outcome {
        _ if !own => Verdict::Duplicate,
        Outcome::Applied | Outcome::Recorded => Verdict::Entered(row.outcome),
        Outcome::Duplicate => Verdict::Duplicate, // never written; the row is the first one's
        Outcome::Conflict | Outcome::Rejected => Verdict::Refused(Box::new(row)),
        Outcome::DeadLettered => Verdict::DeadLettered,
        Outcome::Parked => Verdict::Parked,
    }))
}

/// The row of the event `id`: under its key, or behind it as a conflict.
pub(crate) async fn find(store: &dyn ShipmentReader, id: EventId) -> Result<Option<EventRow>, StoreError> {
    let rows = store.events(&[id.first_row(), id.conflict_row()]).await?;
    Ok(rows.into_iter().find(|row| row.event_id == id))
}

/// Whether a GET of its shipment shows what `row` says: whoever is told an outcome may look at once. Until then the event is queued, for a
/// state that the store refuses makes a dead letter of it yet. An event that was refused changes no state.
pub(crate) async fn is_settled(edge: &Edge, row: &EventRow) -> Result<bool, StoreError> {
    let LogPosition { offset, .. } = row.judged_at();
    let is_announced = || edge.ports.applied.applied(row.position.partition).is_some_and(|applied| applied >= offset);
    if !matches!(row.outcome, Outcome::Applied | Outcome::Recorded) || is_announced() {
        return Ok(true);
    }
    let shipment = edge.ports.store.shipment(row.event_id.tracking_number).await?;
    Ok(shipment.is_some_and(|shipment| shipment.state.position >= row.judged_at()))
}

/// Whether `caller` may be told in what status the shipment of `row` was: a source that reports about it is; a client is about its
/// own shipments only.
pub(crate) fn may_know_status(row: &EventRow, caller: &Caller) -> bool {
    caller.role != shared::user_store::Role::Client || caller.may_see(row.shipment_client_id.as_deref())
}

/// The client that the sender of `row` belongs to.
pub(crate) fn sender(row: &EventRow) -> Option<&str> {
    row.reporter.as_ref().and_then(|reporter| reporter.client_id.as_deref())
}

/// Whether `caller` may be told what was reported. Once it is in the history, whoever reads the shipment sees it. What another client
/// said about the shipment and was refused is that client's: its shipment's owner learns that it was refused.
pub(crate) fn may_know_report(row: &EventRow, caller: &Caller) -> bool {
    let entered = matches!(row.outcome, Outcome::Applied | Outcome::Recorded);
    entered || sender(row).is_none_or(|client| caller.may_see(Some(client)))
}

/// The answer to an event that was judged and not applied.
pub(crate) fn refusal(row: &EventRow, caller: &Caller) -> Problem {
    let reason = row.outcome_reason.unwrap_or(RejectReason::InvalidTransition);
    let from = row.from.filter(|_| may_know_status(row, caller));
    let claim = row.report.claim.as_str();
    let detail = match (reason, from) {
        (RejectReason::InvalidTransition, Some(from)) => format!("Cannot transition from '{from}' to '{claim}'"),
        (RejectReason::InvalidTransition, None) => format!("Cannot transition to '{claim}'"),
        (RejectReason::ShipmentNotFound, _) => "There is no shipment with this tracking number".to_owned(),
        (RejectReason::Forbidden, _) => "The shipment belongs to another client".to_owned(),
        (RejectReason::KeyConflict, _) => {
            "The same source reported something else for the same second, or under the same source_event_id".to_owned()
        }
        (RejectReason::StoreRefused, _) => "The event could not be stored".to_owned(),
    };
    let (event_id, outcome, to) = (row.event_id, row.outcome.as_str(), row.to);
    Problem::judged(
        reason,
        detail,
        JudgedEvent { event_id, tracking_number: event_id.tracking_number, outcome, from, to },
    )
}
