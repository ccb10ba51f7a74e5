//! `GET /shipments/{tracking_number}`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use shared::shipment::TrackingNumber;
use shared::shipment_store::StoredShipment;

use super::conditional;
use super::view::Whole;
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::{self, PathPart};
use crate::router::Edge;
use crate::tracking_position::{Awaited, Shows};

/// `GET /shipments/{tracking_number}`.
pub(crate) async fn get_shipment(
    State(edge): State<Edge>,
    caller: Caller,
    awaited: Awaited,
    headers: HeaderMap,
    PathPart(text): PathPart,
) -> Result<Response, Problem> {
    caller.require(Action::ReadShipments)?;
    let number = number(&text)?;
    let seen = awaited.wait(&edge, Shows::Shipment(number)).await;
    Ok(seen.mark(show(&edge, number, &caller, &headers).await))
}

async fn show(edge: &Edge, number: TrackingNumber, caller: &Caller, headers: &HeaderMap) -> Result<Response, Problem> {
    let shipment = readable(edge, number, caller).await?;
    let (version, updated_at) = (shipment.state.version, shipment.state.updated_at);
    Ok(conditional::answer(headers, version, updated_at, request::encoded(&Whole::of(&shipment))))
}

/// The tracking number in a path.
///
/// # Errors
/// 400: it is none.
pub(super) fn number(text: &str) -> Result<TrackingNumber, Problem> {
    text.parse().map_err(|error| Problem::field("tracking_number", "malformed", format!("{error}")))
}

/// The shipment `number`, when `caller` may read it.
///
/// # Errors
/// 404: there is none. 403: it is another client's.
pub(super) async fn readable(edge: &Edge, number: TrackingNumber, caller: &Caller) -> Result<StoredShipment, Problem> {
    let Some(shipment) = edge.ports.store.shipment(number).await? else {
        return Err(Problem::new(Code::NotFound, "There is no shipment with this tracking number"));
    };
    if !caller.may_see(Some(shipment.created.client_id())) {
        return Err(Problem::new(Code::Forbidden, "The shipment belongs to another client"));
    }
    Ok(shipment)
}
