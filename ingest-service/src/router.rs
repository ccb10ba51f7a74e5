//! All routes on one page, and what every handler is given.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use shared::clock::Clock;
use shared::metrics::{MetricError, MetricRegistry};
use shared::number_lease::TrackingNumbers;
use shared::shipment::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::authenticate::{self, KeyChecks, Standings, Throttle, Tokens, Turns};
use crate::config::Config;
use crate::health::{self, Health};
use crate::idempotent::once;
use crate::line::PutOff;
use crate::metrics::{self, Metrics};
use crate::openapi::{self, Document};
use crate::publish::{Batch, Registration};
use crate::rate_limit::RateLimits;
use crate::request::IN_FLIGHT_BYTES;
use crate::stream::{self, Streams};
use crate::{Ports, accept, carriers, dead_letters, log_level, publish, query, request};

/// What stands for the pattern of a route where no route is.
pub(crate) const UNMATCHED: &str = "unmatched";

/// What every handler is given. Clones are the same edge.
#[derive(Clone)]
pub(crate) struct Edge(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) tokens: Tokens,
    pub(crate) standings: Standings,
    pub(crate) keys: KeyChecks,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) turns: Turns,
    pub(crate) numbers: TrackingNumbers,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) streams: Streams,
    /// The description of the API.
    pub(crate) document: Document,
    /// The memory that requests in flight may still take, in bytes.
    pub(crate) memory: Semaphore,
    /// What callers have used of what they may.
    pub(crate) limits: RateLimits,
    /// What the log has said about requests that were put off.
    pub(crate) put_off: PutOff,
    pub(crate) stop: CancellationToken,
    clock: Clock,
}

impl Edge {
    fn new(
        config: Config,
        ports: Ports,
        clock: Clock,
        registry: &MetricRegistry,
        stop: CancellationToken,
    ) -> Result<Self, MetricError> {
        config.carriers.started(clock());
        Ok(Self(Arc::new(Parts {
            tokens: Tokens::new(&config.jwt_secrets),
            standings: Standings::new(ports.users.clone()),
            keys: KeyChecks::new(ports.api_keys.clone()),
            throttle: Arc::default(),
            turns: Turns::default(),
            numbers: TrackingNumbers::new(ports.leases.clone()),
            health: Health::default(),
            metrics: Metrics::new(registry)?,
            streams: Streams::new(ports.changes.clone(), registry, clock, stop.clone())?,
            document: Document::new(&config),
            memory: Semaphore::new(IN_FLIGHT_BYTES),
            limits: RateLimits::new(&config.rate_limits),
            put_off: PutOff::default(),
            config,
            ports,
            stop,
            clock,
        })))
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

impl Deref for Edge {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The routes of an edge, by where they are served.
#[derive(Clone)]
pub struct Routers {
    /// On `PORT`: all of them, but for those that are on `ADMIN_PORT`.
    pub public: Router,
    /// On `ADMIN_PORT`, when that is set: metrics, what is for admins, and the probes again.
    pub admin: Option<Router>,
}

/// One port for all.
impl From<Router> for Routers {
    fn from(public: Router) -> Self {
        Self { public, admin: None }
    }
}

/// All routes, ready to be served or to be called in a test. The edge counts on `registry`, and `/metrics` shows all that is counted
/// there. `/readyz` turns false when `stop` is cancelled.
///
/// # Errors
/// `registry` has another metric under one of our names.
pub fn routers(
    config: Config,
    ports: Ports,
    clock: Clock,
    registry: &MetricRegistry,
    stop: CancellationToken,
) -> Result<Routers, MetricError> {
    let edge = Edge::new(config, ports, clock, registry, stop)?;
    if edge.config.admin_port.is_none() {
        let public = wrapped(routes(|_| true), &edge, edge.config.allowed_origins.layer());
        return Ok(Routers { public: public.with_state(edge), admin: None });
    }
    let public = wrapped(routes(|path| !is_administrative(path)), &edge, edge.config.allowed_origins.layer());
    // No page of a foreign origin has anything to do there.
    let admin = wrapped(routes(|path| is_administrative(path) || is_for_operators(path)), &edge, None);
    Ok(Routers { public: public.with_state(edge.clone()), admin: Some(admin.with_state(edge)) })
}

/// Whether `path` is served on `ADMIN_PORT` alone, when there is one.
fn is_administrative(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/admin/")
}

/// The page of routes. All of them are served under `/v1` too. What is posted to `once` may carry an `Idempotency-Key`.
fn table() -> Vec<(&'static str, MethodRouter<Edge>)> {
    let operator: [(&str, MethodRouter<Edge>); 7] = [
        ("/health", get(health::health)),
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics::show)),
        ("/openapi.json", get(openapi::document)),
        ("/swagger", get(openapi::page)),
        ("/swagger/{file}", get(openapi::file)),
    ];
    let user = get(authenticate::get_user).patch(authenticate::change_user).delete(authenticate::remove_user);
    let api: [(&str, MethodRouter<Edge>); 22] = [
        ("/auth/login", post(authenticate::log_in)),
        ("/auth/users", get(authenticate::list_users).post(authenticate::add_user)),
        ("/auth/users/{username}", user),
        ("/auth/api-keys", get(authenticate::list_keys).post(authenticate::add_key)),
        ("/auth/api-keys/{id}", get(authenticate::get_key).delete(authenticate::remove_key)),
        ("/shipments", get(query::list_shipments).post(once::<Registration>)),
        ("/shipments/{tracking_number}", get(query::get_shipment)),
        ("/shipments/{tracking_number}/events", get(query::list_shipment_events)),
        ("/changes", get(query::list_changes)),
        ("/events", post(publish::post_event)),
        ("/events/batch", post(once::<Batch>)),
        ("/events/{event_id}", get(query::get_event)),
        ("/carriers/{carrier}/events", post(publish::post_scans)),
        ("/admin/carriers", get(carriers::list_carriers)),
        ("/admin/carriers/reload", post(carriers::post_reload)),
        ("/admin/unmapped-codes", get(carriers::list_unmapped)),
        ("/admin/dead-letters", get(dead_letters::list_letters)),
        ("/admin/dead-letters/{id}", get(dead_letters::get_letter)),
        ("/admin/dead-letters/redrive", post(dead_letters::post_redrive)),
        ("/admin/dead-letters/storm/continue", post(dead_letters::post_storm_continue)),
        ("/admin/operator-log", get(dead_letters::list_operator_log)),
        ("/admin/log-level", get(log_level::get_log_level).put(log_level::put_log_level)),
    ];
    let streams: [(&str, MethodRouter<Edge>); 2] =
        [("/stream", get(stream::stream_all)), ("/shipments/{tracking_number}/stream", get(stream::stream_shipment))];
    let api = api.map(|(path, methods)| (path, methods.route_layer(from_fn(accept::json))));
    let streams = streams.map(|(path, methods)| (path, methods.route_layer(from_fn(accept::events))));
    operator.into_iter().chain(api).chain(streams).collect()
}

/// The paths of all routes, without the prefix `/v1` under which each is served too.
pub fn paths() -> impl Iterator<Item = &'static str> {
    table().into_iter().map(|(path, _)| path)
}

fn routes(takes: impl Fn(&str) -> bool) -> Router<Edge> {
    let mut router = Router::new();
    for (path, methods) in table().into_iter().filter(|(path, _)| takes(path)) {
        router = router.route(path, methods.clone()).route(&format!("/v1{path}"), methods);
    }
    router.fallback(request::not_found).method_not_allowed_fallback(request::method_not_allowed)
}

/// Whether `route` is for those who watch us: it is answered however busy we are.
pub(crate) fn is_for_operators(route: &str) -> bool {
    matches!(route.strip_prefix("/v1").unwrap_or(route), "/health" | "/livez" | "/readyz" | "/metrics")
}

/// What every request passes through, from the inside out.
fn wrapped(routes: Router<Edge>, edge: &Edge, origins: Option<CorsLayer>) -> Router<Edge> {
    let panics = CatchPanicLayer::custom(request::panicked);
    let routes = routes.layer(panics).layer(option_layer(origins));
    routes.layer(from_fn_with_state(edge.clone(), request::pass))
}
