//! `POST /shipments`: a registration is a record in the log like everything else. It is answered 201 once a GET finds it.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use shared::event_log::{Position, Topic};
use shared::shipment::{ServiceType, ShipmentBody, ShipmentCreated, Status, Timestamp, TrackingNumber, record};
use shared::telemetry::spans::Publishing;
use tokio::time::Instant;

use super::{EVENTS, location};
use crate::authorize::Action;
use crate::error::Problem;
use crate::idempotent::{Answer, Posted, Work};
use crate::outcome::LOOK_EVERY;
use crate::request;
use crate::router::Edge;
use crate::{tracking_position, validate};

/// How long a registration waits for its number. Numbers are leased in blocks, so it waits only when a block is used up and the database
/// that gives out the next one is slow or away.
const NUMBER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a registration is waited for before it is answered 202 (contract section 4).
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize, JsonSchema)]
pub(crate) struct Registered<'a> {
    tracking_number: TrackingNumber,
    status: Status,
    created_at: Timestamp,
    client_id: &'a str,
    service_type: ServiceType,
    estimated_delivery: Timestamp,
}

/// A registration of which everything is decided.
pub(crate) struct Registration {
    created: ShipmentCreated,
    /// The value of its record. Kept as it is, so that the record of every attempt is the same to the byte.
    value: Bytes,
}

impl Work for Registration {
    const ACTION: Action = Action::CreateShipments;

    fn admit(headers: &HeaderMap) -> Result<(), Problem> {
        request::must_be_json(headers)
    }

    async fn decide(edge: &Edge, posted: &Posted, plan: Option<&Bytes>) -> Result<Self, Problem> {
        if let Some(value) = plan {
            let created = serde_json::from_slice(value).map_err(Problem::internal)?;
            return Ok(Self { created, value: value.clone() });
        }
        let body = validate::shipment(request::parse_json(&posted.body)?, &posted.caller)?;
        let number = tokio::time::timeout(NUMBER_PATIENCE, edge.numbers.next()).await;
        let number = number.map_err(|_| {
            Problem::unavailable("There is no tracking number to give out; try again", "no lease in time")
        })??;
        let created = decide(edge, body, number);
        Ok(Self { value: record::to_json(&created), created })
    }

    fn plan(&self) -> Bytes {
        self.value.clone()
    }

    async fn carry_out(self, edge: &Edge, posted: &Posted) -> Result<Answer, Problem> {
        let Self { created, value } = self;
        let publishing = Publishing::begin(posted.trace, EVENTS, 1);
        let record = record::encode_created(&created, value, Some(&publishing.traceparent()));
        let positions = publishing.by(edge.ports.log.append(Topic::Events, vec![record])).await.all()?;
        edge.metrics.shipment_created(created.service_type());

        let visible = match positions.first() {
            Some(&position) => is_visible(edge, created.tracking_number, position).await,
            None => return Err(Problem::internal("the log acknowledged a record without a position")),
        };
        let status = if visible { StatusCode::CREATED } else { StatusCode::ACCEPTED };
        let body = Registered {
            tracking_number: created.tracking_number,
            status: Status::Created,
            created_at: created.created_at,
            client_id: created.client_id(),
            service_type: created.service_type(),
            estimated_delivery: created.estimated_delivery,
        };
        let path = location(format!("/shipments/{}", created.tracking_number));
        let response = ([(header::LOCATION, path)], request::answer(status, &body)).into_response();
        Ok(Answer::Final(tracking_position::tell(response, &positions)))
    }
}

/// Everything that is decided about a shipment at its creation stands in its record, so that a replay needs no settings.
fn decide(edge: &Edge, mut body: ShipmentBody, tracking_number: TrackingNumber) -> ShipmentCreated {
    let created_at = edge.now();
    let service_type = *body.service_type.get_or_insert(ServiceType::Standard);
    body.transition_policy.get_or_insert(edge.config.transition_policy);
    ShipmentCreated {
        tracking_number,
        body,
        created_at,
        estimated_delivery: created_at.plus(service_type.delivery_time()),
        allow_cancel_in_transit: edge.config.allow_cancel_in_transit,
        park_seconds: edge.config.park_seconds,
    }
}

/// Waits until a GET finds the shipment; `false` when it does not in time.
async fn is_visible(edge: &Edge, number: TrackingNumber, position: Position) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let looking = async {
        loop {
            let noticed = edge.ports.applied.wait_for(position, LOOK_EVERY).await;
            match edge.ports.store.shipment(number).await {
                Ok(Some(_)) => return,
                Ok(None) if !noticed => {}
                Ok(None) => tokio::time::sleep(LOOK_EVERY).await, // a notice that ran ahead of what we read
                Err(error) => {
                    tracing::debug!(%error, "a registration cannot be looked at yet");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    };
    tokio::time::timeout_at(deadline, looking).await.is_ok()
}
