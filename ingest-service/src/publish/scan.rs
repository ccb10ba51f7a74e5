//! `POST /carriers/{carrier}/events`: scans in a carrier's own words. They become events, and from there on go the way of all events.

use axum::extract::{Request, State};
use axum::response::Response;
use shared::carrier::Reading;
use shared::shipment::{EventBody, Timestamp, limits};

use super::{Batch, event};
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::prefer::Wait;
use crate::rate_limit::Meter;
use crate::request::{self, BODY_BYTES, PathPart, Trace};
use crate::router::Edge;
use crate::validate;

/// `POST /carriers/{carrier}/events`: one scan, or many in the forms of `POST /events/batch`.
pub(crate) async fn post_scans(
    State(edge): State<Edge>,
    caller: Caller,
    Trace(trace): Trace,
    PathPart(carrier): PathPart,
    meter: Meter,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Action::PostEvents)?;
    let carriers = edge.config.carriers.current();
    let mapping = carriers.get(&carrier).ok_or_else(|| unknown(&carrier))?;
    let wait = Wait::preferred(request.headers());
    let media = request::media(request.headers());
    let body = request::bytes(request, BODY_BYTES).await?;
    let now = edge.now();
    if validate::is_batch(media, &body) {
        let items = validate::items(media, &body, edge.config.max_batch)?;
        meter.charge(items.len())?;
        let read = |value| validate::scan(value, mapping, now);
        let batch = Batch::of(items, &caller, read, now)?;
        return Ok(batch.accept(&edge, trace).await?.into_response());
    }
    meter.charge(1)?;
    let value = request::parse_json(&body)?;
    let scan = validate::scan(value, mapping, now).map_err(Problem::invalid)?;
    event::accept(&edge, &caller, trace, scan, wait, now).await
}

fn unknown(carrier: &str) -> Problem {
    let shown: String = carrier.chars().take(limits::SLUG).collect();
    Problem::new(Code::NotFound, format!("There is no carrier {shown:?} here"))
}

/// Counts a scan that was accepted; one that no rule fits is noted for the operator.
pub(super) fn count(edge: &Edge, event: &EventBody, mapped: &Reading, now: Timestamp) {
    let Some(scan) = &event.carrier else { return };
    edge.metrics.scan(&scan.carrier, mapped.is_mapped());
    if !mapped.is_mapped() {
        edge.ports.unmapped.note(scan, event.tracking_number, now);
    }
}
