//! `/health`, `/livez` and `/readyz`.
//!
//! Ready means: events are accepted, and for that the log is enough. With the database away queries answer 503, but taking
//! every instance out of the load balancer would lose the events too; `/readyz` says in its body what is missing.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::shipment::Timestamp;
use tokio::sync::Mutex;

use crate::Ports;
use crate::request;
use crate::router::Edge;

/// Longest time that one check may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(2);
/// How long what was found out holds, so that probes and dashboards cost the dependencies one check a second.
const HOLDS: Duration = Duration::from_secs(1);

/// What the checks found out.
#[derive(Clone, Copy, Debug)]
struct Found {
    database: bool,
    cache: bool,
    event_queue: bool,
}

/// The words for what a check found: it was reached, or it was not.
const CHECKED: [&str; 2] = ["ok", "unavailable"];

#[derive(Serialize, JsonSchema)]
struct Checks {
    #[schemars(extend("enum" = CHECKED))]
    database: &'static str,
    #[schemars(extend("enum" = CHECKED))]
    cache: &'static str,
    #[schemars(extend("enum" = CHECKED))]
    event_queue: &'static str,
}

impl From<Found> for Checks {
    fn from(found: Found) -> Self {
        let word = |reached| if reached { CHECKED[0] } else { CHECKED[1] };
        Self { database: word(found.database), cache: word(found.cache), event_queue: word(found.event_queue) }
    }
}

/// What was found out last, and when.
#[derive(Default)]
pub(crate) struct Health {
    last: Mutex<Option<(Instant, Found)>>,
}

impl Health {
    async fn found(&self, ports: &Ports) -> Found {
        // Held while checking: those who ask meanwhile share the result.
        let mut last = self.last.lock().await;
        if let Some((_, found)) = last.filter(|(when, _)| when.elapsed() < HOLDS) {
            return found;
        }
        let (database, cache, event_queue) = tokio::join!(
            reached("database", async { ports.store.check().await.map_err(|error| error.to_string()) }),
            reached("cache", async { ports.window.check().await.map_err(|error| error.to_string()) }),
            reached("event_queue", async { ports.log.check().await.map_err(|error| error.to_string()) }),
        );
        let found = Found { database, cache, event_queue };
        *last = Some((Instant::now(), found));
        found
    }
}

async fn reached(dependency: &'static str, check: impl Future<Output = Result<(), String>>) -> bool {
    match tokio::time::timeout(CHECK_DEADLINE, check).await {
        Ok(Ok(())) => true,
        Ok(Err(cause)) => {
            tracing::warn!(dependency, cause, "a dependency cannot be reached");
            false
        }
        Err(_) => {
            tracing::warn!(dependency, cause = "no answer in time", "a dependency cannot be reached");
            false
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Healthy {
    #[schemars(extend("enum" = ["ok", "degraded", "unhealthy"]))]
    status: &'static str,
    timestamp: Timestamp,
    checks: Checks,
    /// What an operator must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `GET /health`.
pub(crate) async fn health(State(edge): State<Edge>) -> Response {
    let found = edge.health.found(&edge.ports).await;
    // Events are accepted all the same; what the processor of this process stands at is told here in embedded mode.
    let reason = edge.ports.dead_letters.storm();
    let (code, status) = match found {
        Found { database: true, cache: true, event_queue: true } if reason.is_none() => (StatusCode::OK, "ok"),
        Found { database: true, event_queue: true, .. } => (StatusCode::OK, "degraded"),
        Found { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    request::answer(code, &Healthy { status, timestamp: edge.now(), checks: found.into(), reason })
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Live {
    #[schemars(extend("enum" = ["ok"]))]
    status: &'static str,
}

/// `GET /livez`: the process answers. It never looks at dependencies: restarting us would not repair them.
pub(crate) async fn live() -> Response {
    request::answer(StatusCode::OK, &Live { status: "ok" })
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Ready {
    #[schemars(extend("enum" = ["ready", "not_ready"]))]
    status: &'static str,
    /// What is missing, and what that means.
    reasons: Vec<&'static str>,
    checks: Checks,
}

/// `GET /readyz`.
pub(crate) async fn ready(State(edge): State<Edge>) -> Response {
    let found = edge.health.found(&edge.ports).await;
    let stopping = edge.stop.is_cancelled();
    let reasons = [
        (stopping, "shutting down"),
        (!found.event_queue, "the log cannot be reached: nothing is accepted"),
        (!found.database, "the database cannot be reached: events are accepted, queries answer 503"),
        (!found.cache, "the cache cannot be reached: repeated events go through the log"),
    ];
    let reasons = reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect();
    let (code, status) = if stopping || !found.event_queue {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    } else {
        (StatusCode::OK, "ready")
    };
    request::answer(code, &Ready { status, reasons, checks: found.into() })
}
