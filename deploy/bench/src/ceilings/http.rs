//! The bare edge: a server on the platform's framework that parses events and answers as the edge does, without a token, a rule or a look
//! into the window; and the same with the record acknowledged by the log before the answer.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::kafka::BareLog;
use crate::failure::Failure;
use crate::numbers::{Suffix, suffix_of};
use crate::specimen::pair::Record;

/// A server; it ends when this is dropped.
pub struct BareEdge {
    /// `http://host:port`.
    pub url: String,
    _end: oneshot::Sender<()>,
}

/// Where the bare edge appends, and what.
#[derive(Clone)]
pub struct Behind {
    /// The log.
    pub log: BareLog,
    /// The record, for any shipment.
    pub record: Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event<'a> {
    #[serde(borrow)]
    tracking_number: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Location {
    lat: f64,
    lng: f64,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Serialize)]
struct Accepted {
    event_id: String,
    status: &'static str,
    tracking_number: String,
    message: &'static str,
}

#[derive(Serialize)]
struct Results {
    received: usize,
    queued: usize,
    rejected: usize,
    duplicates: usize,
    message: &'static str,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    index: usize,
    event_id: String,
    status: &'static str,
}

const MESSAGE: &str = "Event accepted for processing";

impl Event<'_> {
    /// The suffix of its number, when the event is well-formed.
    fn suffix(&self) -> Option<Suffix> {
        let place = self.location.as_ref().is_none_or(|at| at.lat.abs() <= 90.0 && at.lng.abs() <= 180.0);
        let texts = !self.status.is_empty() && !self.timestamp.is_empty() && !self.source.is_empty();
        suffix_of(&self.tracking_number).filter(|_| place && texts)
    }
}

/// As long as the platform's.
fn event_id(suffix: Suffix) -> String {
    format!("evt_{}_0123456789ABCDEF012345", String::from_utf8_lossy(&suffix))
}

async fn one(State(behind): State<Option<Arc<Behind>>>, body: Bytes) -> Response {
    let event = serde_json::from_slice::<Event<'_>>(&body).ok();
    let Some((suffix, tracking_number)) =
        event.and_then(|event| Some((event.suffix()?, event.tracking_number.into_owned())))
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Some(refused) = append(behind, &[suffix]).await {
        return refused;
    }
    let answer = Accepted { event_id: event_id(suffix), status: "queued", tracking_number, message: MESSAGE };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

async fn many(State(behind): State<Option<Arc<Behind>>>, body: Bytes) -> Response {
    let batch = serde_json::from_slice::<Batch<'_>>(&body).ok();
    let suffixes = batch.and_then(|batch| batch.events.iter().map(Event::suffix).collect::<Option<Vec<_>>>());
    let Some(suffixes) = suffixes else { return StatusCode::BAD_REQUEST.into_response() };
    if let Some(refused) = append(behind, &suffixes).await {
        return refused;
    }
    let items = suffixes.iter().enumerate();
    let items = items.map(|(index, &suffix)| Item { index, event_id: event_id(suffix), status: "queued" }).collect();
    let queued = suffixes.len();
    let answer = Results { received: queued, queued, rejected: 0, duplicates: 0, message: MESSAGE, items };
    (StatusCode::ACCEPTED, Json(answer)).into_response()
}

async fn append(behind: Option<Arc<Behind>>, suffixes: &[Suffix]) -> Option<Response> {
    let behind = behind?;
    let appended = behind.log.append(&behind.record, suffixes).await;
    appended.err().map(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response())
}

impl BareEdge {
    /// Starts the server, on threads of its own.
    ///
    /// # Errors
    /// There is no port for it.
    pub async fn start(behind: Option<Behind>) -> Result<Self, Failure> {
        let router = Router::new()
            .route("/events", post(one))
            .route("/events/batch", post(many))
            .with_state(behind.map(Arc::new));
        let (end, ended) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                // Nobody to tell: then the end comes at once.
                tell.send(listener.local_addr()?).ok();
                tokio::select! {
                    served = axum::serve(listener, router) => served,
                    _ = ended => Ok(()),
                }
            })
        });
        let address = told.await.map_err(|_| Failure::NotMeasured("the bare edge does not start".to_owned()))?;
        Ok(Self { url: format!("http://{address}"), _end: end })
    }
}
