//! What the edge counts (contract section 8). No caller can grow a label set: `url` is a route pattern, `method` a known one, and
//! the other labels are words of ours.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use shared::shipment::ServiceType;

use crate::error::Problem;
use crate::router::Edge;

/// Bounds of the request durations, in seconds: from a refusal to the longest `Prefer: wait`.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the dedup window said about an event before it was published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WindowResult {
    /// Decided before: answered without a record.
    Duplicate,
    /// Not known; the processor decides.
    Unknown,
    /// The window could not be asked.
    Unavailable,
}

/// The edge's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    dedup: IntCounterVec,
    shipments: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics on `registry`.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = Opts::new("shipping_http_requests_total", "Requests that were answered");
        let durations = HistogramOpts::new("shipping_http_request_duration_seconds", "From a request to its answer");
        let dedup = Opts::new("shipping_events_dedup_total", "What the dedup window said about events");
        let shipments = Opts::new("shipping_shipments_created_total", "Shipments that were registered");
        let build = Opts::new("shipping_build_info", "1, labelled with what runs");
        let metrics = Self {
            registry: registry.clone(),
            requests: IntCounterVec::new(requests, &["method", "url", "code"])?,
            durations: HistogramVec::new(durations.buckets(SECONDS.to_vec()), &["method", "url"])?,
            dedup: IntCounterVec::new(dedup, &["result"])?,
            shipments: IntCounterVec::new(shipments, &["service_type"])?,
        };
        let build = IntGaugeVec::new(build, &["service", "version"])?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.dedup.clone()))?;
        registry.register(Box::new(metrics.shipments.clone()))?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&["ingest-service", env!("CARGO_PKG_VERSION")]).set(1);
        // All of them are there from the beginning, so that a rate over the first one is right.
        for result in [WindowResult::Duplicate, WindowResult::Unknown, WindowResult::Unavailable] {
            metrics.window(result, 0);
        }
        for service in ServiceType::ALL {
            metrics.shipments.with_label_values(&[service.as_str()]).inc_by(0);
        }
        Ok(metrics)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, duration: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.durations.with_label_values(&[method, route]).observe(duration.as_secs_f64());
    }

    /// The window said this about so many events.
    pub(crate) fn window(&self, result: WindowResult, events: usize) {
        let result = match result {
            WindowResult::Duplicate => "duplicate",
            WindowResult::Unknown => "unknown",
            WindowResult::Unavailable => "unavailable",
        };
        self.dedup.with_label_values(&[result]).inc_by(events as u64);
    }

    /// A shipment was registered.
    pub(crate) fn shipment_created(&self, service: ServiceType) {
        self.shipments.with_label_values(&[service.as_str()]).inc();
    }
}

/// `GET /metrics`: everything on the registry, in Prometheus' text form.
pub(crate) async fn show(State(edge): State<Edge>) -> Result<Response, Problem> {
    let text = TextEncoder::new().encode_to_string(&edge.metrics.registry.gather()).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
