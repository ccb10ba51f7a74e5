//! `POST /events`: one event into the log, and with `Prefer: wait` what became of it.

use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::carrier::Reading;
use shared::event_log::Topic;
use shared::shipment::{Event, EventId, Outcome, StatusReported, Timestamp, TrackingNumber, record};
use shared::telemetry::TraceContext;
use shared::telemetry::spans::Publishing;

use super::{EVENTS, decided_before, location, scan};
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::outcome::{self, Verdict};
use crate::prefer::Wait;
use crate::request::{self, BODY_BYTES, Trace};
use crate::router::Edge;
use crate::tracking_position;
use crate::validate::{self, Understood};

/// The answer to an event that was accepted.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Accepted {
    event_id: EventId,
    /// `queued`, or the outcome when it is known.
    #[schemars(extend("enum" = outcome::words()))]
    status: &'static str,
    tracking_number: TrackingNumber,
    message: &'static str,
    /// What a carrier's scan was read as.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<Reading>,
}

/// `POST /events`.
pub(crate) async fn post_event(
    State(edge): State<Edge>,
    caller: Caller,
    Trace(trace): Trace,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Action::PostEvents)?;
    let wait = Wait::preferred(request.headers());
    let value = request::json(request, BODY_BYTES).await?;
    let now = edge.now();
    let event = validate::event(value, now).map_err(Problem::invalid)?;
    accept(&edge, &caller, trace, event, wait, now).await
}

/// Puts an event into the log, and waits for what becomes of it when that was preferred.
///
/// # Errors
/// The log did not take it, or it was judged and not applied.
pub(super) async fn accept(
    edge: &Edge,
    caller: &Caller,
    trace: TraceContext,
    Understood { body, mapped }: Understood,
    wait: Option<Wait>,
    now: Timestamp,
) -> Result<Response, Problem> {
    let id = body.event_id();
    if decided_before(edge, &[body.dedup_key()], &[id]).await == [true] {
        return Ok(answer(id, &Verdict::Duplicate, wait, mapped));
    }
    let reported = StatusReported { body, recorded_at: now, reporter: Some(caller.reporter()) };
    let event = Event::Reported(reported);
    let publishing = Publishing::begin(trace, EVENTS, 1);
    let record = record::encode_as(&event, id, Some(&publishing.traceparent()));
    let positions = publishing.by(edge.ports.log.append(Topic::Events, vec![record])).await.all()?;
    let Some(&position) = positions.first() else {
        return Err(Problem::internal("the log acknowledged a record without a position"));
    };
    if let (Event::Reported(reported), Some(mapped)) = (&event, &mapped) {
        scan::count(edge, &reported.body, mapped, now);
    }
    let answered = match wait {
        None => answer(id, &Verdict::Queued, None, mapped),
        Some(granted) => match outcome::wait_for(edge, id, position, granted.duration()).await {
            Verdict::Refused(row) => return Err(outcome::refusal(&row, caller)),
            verdict => answer(id, &verdict, wait, mapped),
        },
    };
    Ok(tracking_position::tell(answered, &[position]))
}

/// 200 for an outcome that was waited for and is known, else 202.
fn answer(id: EventId, verdict: &Verdict, wait: Option<Wait>, mapped: Option<Reading>) -> Response {
    let (status, message) = match verdict {
        Verdict::Entered(Outcome::Applied) => ("applied", "Event applied: it moved the status"),
        Verdict::Entered(outcome) => (outcome.as_str(), "Event recorded in the history; it moved nothing"),
        Verdict::Duplicate => ("duplicate", "The same event was there before"),
        Verdict::DeadLettered => ("dead_lettered", "Event accepted, but it could not be processed; it is kept"),
        Verdict::Parked => {
            ("parked", "Event accepted; it waits behind an earlier one of its shipment that could not be processed")
        }
        Verdict::Queued | Verdict::Refused(_) => (outcome::QUEUED, "Event accepted for processing"),
    };
    let known = matches!(verdict, Verdict::Entered(_) | Verdict::Duplicate);
    let code = if known && wait.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let body = Accepted { event_id: id, status, tracking_number: id.tracking_number, message, mapped };
    let mut response =
        ([(header::LOCATION, location(format!("/events/{id}")))], request::answer(code, &body)).into_response();
    if let Some(wait) = wait {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), wait.applied());
    }
    response
}
