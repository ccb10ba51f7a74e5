//! How a processor is seen from outside: `/livez`, `/readyz`, `/health` and `/metrics` on its own port.
//!
//! Live looks at nothing but our own threads: a dependency that is away is no reason to be restarted. Ready says whether the
//! processor is a member of its group and works; no traffic depends on it, but a rolling update waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use serde::Serialize;
use shared::clock::Clock;
use shared::dead_letters::StormNotice;
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::security_headers::SECURITY_HEADERS;
use shared::shipment::Timestamp;
use tower_http::timeout::TimeoutLayer;

use crate::{Ports, RunningLanes, log_level};

/// Longest time for a request, its body included: every look at a dependency has a time-out of seconds.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// A subscriber that is silent for longer than this is stuck: it reports at least once a second.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
/// A lane that shows no sign of life for longer than this while it has work is stuck: every call that it makes has a
/// time-out of seconds.
const LONGEST_BATCH: Duration = Duration::from_secs(120);
/// A member that reported this lately is in its group.
const READY_SILENCE: Duration = Duration::from_secs(10);

/// The health of one processor.
#[derive(Clone)]
pub struct Health {
    ports: Ports,
    lanes: Arc<RunningLanes>,
    storm: StormNotice,
    clock: Clock,
    stopping: Arc<AtomicBool>,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    timestamp: Timestamp,
    checks: Checks,
    /// What an operator must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Checks {
    database: &'static str,
    cache: &'static str,
    event_queue: &'static str,
}

impl Health {
    pub(crate) fn new(ports: Ports, lanes: Arc<RunningLanes>, storm: StormNotice, clock: Clock) -> Self {
        Self { ports, lanes, storm, clock, stopping: Arc::default() }
    }

    /// Turns readiness off.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The routes, with the metrics of `registry` and the level of the log; these two are by themselves, beside the probes again, when there
    /// are `two_ports`.
    pub fn routers(self, registry: MetricRegistry, log_level: LogLevel, two_ports: bool) -> (Router, Option<Router>) {
        let metrics = move || async move { metrics(&registry) };
        let probes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/health", get(health))
            .with_state(self);
        let all = probes.clone().route("/metrics", get(metrics)).merge(log_level::routes(log_level));
        let deadline = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_DEADLINE);
        let secured = |router: Router| router.layer(deadline).layer(map_response(secure));
        if two_ports { (secured(probes), Some(secured(all))) } else { (secured(all), None) }
    }

    fn live(&self) -> Result<(), String> {
        if let Some(silence) = self.lanes.now().silence().filter(|&silence| silence > LONGEST_SILENCE) {
            return Err(format!("the subscriber has been silent for {} s", silence.as_secs()));
        }
        let stuck = self.lanes.now().stuck();
        if stuck > LONGEST_BATCH {
            return Err(format!("a lane has been stuck for {} s", stuck.as_secs()));
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("shutting down".to_owned());
        }
        // A deployment that causes a storm must not be rolled out further.
        if let Some(storm) = self.storm.get() {
            return Err(storm);
        }
        match self.lanes.now().silence() {
            None => Err("not a member of the group yet".to_owned()),
            Some(silence) if silence > READY_SILENCE => Err("lost touch with the group".to_owned()),
            Some(_) => self.live(),
        }
    }
}

async fn secure(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        let own = response.headers_mut().entry(HeaderName::from_static(name));
        own.or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn livez(State(health): State<Health>) -> Response {
    probe(health.live())
}

async fn readyz(State(health): State<Health>) -> Response {
    probe(health.ready())
}

fn probe(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn health(State(health): State<Health>) -> Response {
    let ports = &health.ports;
    let (database, cache, queue) = tokio::join!(ports.store.check(), ports.window.check(), ports.log.check());
    let word = |ok: bool| if ok { "ok" } else { "unavailable" };
    let reason = health.storm.get();
    let (status, code) = match (database.is_ok() && queue.is_ok(), cache.is_ok() && reason.is_none()) {
        (true, true) => ("ok", StatusCode::OK),
        (true, false) => ("degraded", StatusCode::OK),
        (false, _) => ("unhealthy", StatusCode::SERVICE_UNAVAILABLE),
    };
    let checks =
        Checks { database: word(database.is_ok()), cache: word(cache.is_ok()), event_queue: word(queue.is_ok()) };
    (code, Json(Report { status, timestamp: (health.clock)(), checks, reason })).into_response()
}

fn metrics(registry: &MetricRegistry) -> Response {
    match registry.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
