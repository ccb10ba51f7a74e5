//! `GET /events/{event_id}`: what became of an event.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::event_log::{Position, Topic};
use shared::shipment::{CarrierScan, EventId, RejectReason, Status, Timestamp, TrackingNumber};
use shared::shipment_store::EventRow;
use shared::user_store::Role;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::outcome;
use crate::request::{self, PathPart};
use crate::router::Edge;
use crate::tracking_position::{Awaited, Shows};

/// How long the processor is given to catch up with the log as it was when we were asked, before an unknown event counts as queued.
const CATCH_UP: Duration = Duration::from_millis(250);

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventOutcome")]
pub(crate) struct Found<'a> {
    event_id: EventId,
    tracking_number: TrackingNumber,
    #[schemars(extend("enum" = outcome::words()))]
    outcome: &'static str,
    reason: Option<RejectReason>,
    from: Option<Status>,
    to: Option<Status>,
    timestamp: Option<Timestamp>,
    recorded_at: Option<Timestamp>,
    partition: Option<i32>,
    offset: Option<i64>,
    /// What the carrier said, when it came in a carrier's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'a CarrierScan>,
}

/// `GET /events/{event_id}`.
pub(crate) async fn get_event(
    State(edge): State<Edge>,
    caller: Caller,
    awaited: Awaited,
    PathPart(id): PathPart,
) -> Result<Response, Problem> {
    caller.require(Action::ReadEvents)?;
    let id: EventId = id.parse().map_err(|error| Problem::field("event_id", "malformed", format!("{error}")))?;
    let seen = awaited.wait(&edge, Shows::Event(id)).await;
    Ok(seen.mark(show(&edge, id, &caller).await))
}

async fn show(edge: &Edge, id: EventId, caller: &Caller) -> Result<Response, Problem> {
    let search = find(edge, id).await?;
    let found = match &search {
        Search::Decided(row) if may_read(row, caller) => Some(Found::decided(row, caller)),
        Search::Queued if may_read_queued(edge, id, caller).await? => Some(Found::queued(id)),
        // Not the caller's: the same answer as for an event that is not there, so that nothing can be learnt of it.
        Search::Decided(_) | Search::Queued | Search::Unknown => None,
    };
    match found {
        Some(found) => Ok(request::answer(StatusCode::OK, &found)),
        None => Err(Problem::new(Code::NotFound, "There is no event with this id")),
    }
}

enum Search {
    Decided(Box<EventRow>),
    /// Perhaps in the log, and not decided yet.
    Queued,
    Unknown,
}

/// The end of the log is taken before the store is asked: an event that was accepted before we were asked stands before that end,
/// so when everything up to there is decided and there is no row, there is no such event.
async fn find(edge: &Edge, id: EventId) -> Result<Search, Problem> {
    let end = edge.ports.log.end_of(Topic::Events, id.tracking_number.as_str().as_bytes()).await;
    let at_once = look(edge, id, false).await?;
    if matches!(at_once, Search::Decided(_)) {
        return Ok(at_once);
    }
    let Position { partition, offset: end } = end?;
    let applied = &edge.ports.applied;
    let caught_up = end == 0
        || applied.applied(partition).is_some_and(|applied| applied + 1 >= end)
        || applied.wait_for(Position { partition, offset: end - 1 }, CATCH_UP).await;
    look(edge, id, caught_up).await
}

/// What the store knows; nothing, of an event that was `decided` if it was ever sent.
async fn look(edge: &Edge, id: EventId, decided: bool) -> Result<Search, Problem> {
    Ok(match outcome::find(edge.ports.store.as_ref(), id).await? {
        Some(row) if outcome::is_settled(edge, &row).await? => Search::Decided(Box::new(row)),
        None if decided => Search::Unknown,
        Some(_) | None => Search::Queued,
    })
}

/// An admin, the sender's client and the shipment's client.
fn may_read(row: &EventRow, caller: &Caller) -> bool {
    caller.may_see(row.shipment_client_id.as_deref()) || caller.may_see(outcome::sender(row))
}

async fn may_read_queued(edge: &Edge, id: EventId, caller: &Caller) -> Result<bool, Problem> {
    if caller.role == Role::Admin {
        return Ok(true);
    }
    let shipment = edge.ports.store.shipment(id.tracking_number).await?;
    Ok(shipment.is_some_and(|shipment| caller.may_see(Some(shipment.created.client_id()))))
}

impl<'a> Found<'a> {
    fn decided(row: &'a EventRow, caller: &Caller) -> Self {
        let may_know_report = outcome::may_know_report(row, caller);
        Self {
            event_id: row.event_id,
            tracking_number: row.event_id.tracking_number,
            outcome: row.outcome.as_str(),
            reason: row.outcome_reason,
            from: row.from.filter(|_| outcome::may_know_status(row, caller)),
            to: row.to.filter(|_| may_know_report),
            timestamp: Some(row.report.timestamp).filter(|_| may_know_report),
            recorded_at: Some(row.recorded_at),
            partition: Some(row.position.partition),
            offset: Some(row.position.log.offset),
            carrier: row.report.carrier.as_deref().filter(|_| may_know_report),
        }
    }

    fn queued(event_id: EventId) -> Self {
        Self {
            event_id,
            tracking_number: event_id.tracking_number,
            outcome: outcome::QUEUED,
            reason: None,
            from: None,
            to: None,
            timestamp: None,
            recorded_at: None,
            partition: None,
            offset: None,
            carrier: None,
        }
    }
}
