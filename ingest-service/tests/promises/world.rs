//! An edge on memory adapters.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use ingest_service::{Config, Ports, Routers, UnmappedTally};
use serde_json::{Value, json};
use shared::api_key_store::memory::MemoryApiKeys;
use shared::applied::in_process::AppliedPositions;
use shared::clock::Clock;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::memory::MemoryWindow;
use shared::event_log::memory::MemoryLog;
use shared::event_log::{DEFAULT_TOPIC, LogRecord, Position, Topic};
use shared::idempotency::memory::MemoryKeys;
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::number_lease::memory::MemoryLeases;
use shared::operator_log::memory::MemoryOperatorLog;
use shared::settings::Environment;
use shared::shipment::Timestamp;
use shared::shipment_store::memory::MemoryStore;
use shared::telemetry::LogFilter;
use shared::unmapped_codes::memory::MemoryUnmappedCodes;
use shared::user_store::memory::MemoryUsers;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::described::Described;
use crate::log_in::add_users;
use crate::process::process;

pub(crate) const SECRET: &str = "a-secret-that-must-never-be-shown-anywhere";
pub(crate) const ADMIN: &str = "admin_user";
pub(crate) const CLIENT: &str = "client_user_001";
pub(crate) const OTHER_CLIENT: &str = "client_user_002";
pub(crate) const DRIVER: &str = "driver_user_001";

thread_local! {
    /// How much time has passed in this test: each has a thread of its own.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// 2025-06-15T15:06:40Z in every test, until it lets time pass.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000).plus(PASSED.get())
}

/// Lets time pass, for a test whose time is paused.
pub(crate) async fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
    tokio::time::advance(time).await;
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and `error`.
    pub(crate) fn failure(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    /// The named fields with their codes.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
    }
}

/// The edge and everything around it.
pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) window: Arc<MemoryWindow>,
    pub(crate) applied: Arc<AppliedPositions>,
    pub(crate) users: Arc<MemoryUsers>,
    pub(crate) unmapped: Arc<MemoryUnmappedCodes>,
    pub(crate) keys: Arc<MemoryKeys>,
    pub(crate) operators: Arc<MemoryOperatorLog>,
    pub(crate) api_keys: Arc<MemoryApiKeys>,
    pub(crate) registry: MetricRegistry,
    pub(crate) stop: CancellationToken,
    pub(crate) router: Router,
    /// What is on `ADMIN_PORT`, when a test sets it.
    pub(crate) admin: Option<Router>,
    ports: Ports,
    clock: Clock,
    described: Arc<Described>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A world in which some ports are replaced.
    pub(crate) async fn with(replace: impl FnOnce(&mut Ports)) -> Self {
        Self::of(&[], now, replace).await
    }

    /// A world with these settings besides.
    pub(crate) async fn set(settings: &[(&str, &str)]) -> Self {
        Self::of(settings, now, |_| ()).await
    }

    /// A world in which it is another time.
    pub(crate) async fn at(clock: Clock) -> Self {
        Self::of(&[], clock, |_| ()).await
    }

    async fn of(settings: &[(&str, &str)], clock: Clock, replace: impl FnOnce(&mut Ports)) -> Self {
        let log = MemoryLog::new(4, || now().as_millis());
        let (store, applied) = (Arc::new(MemoryStore::default()), Arc::new(AppliedPositions::default()));
        let window = Arc::new(MemoryWindow::new(Duration::from_secs(3600)));
        let api_keys = Arc::new(MemoryApiKeys::default());
        let (users, keys) = (Arc::new(MemoryUsers::default()), Arc::new(MemoryKeys::default()));
        add_users(&users).await;
        let unmapped = Arc::new(MemoryUnmappedCodes::default());
        let operators = Arc::new(MemoryOperatorLog::default());
        let (reader, topic) = (Arc::new(log.clone()), DEFAULT_TOPIC);
        let dead_letters = DeadLetters::new(reader.clone(), reader, operators.clone(), topic, clock);
        let log_level = LogLevel::new(log_filter(), operators.clone(), "ingest-service", clock);
        let mut ports = Ports {
            log: Arc::new(log.clone()),
            changes: Arc::new(log.clone()),
            store: store.clone(),
            window: window.clone(),
            applied: applied.clone(),
            users: users.clone(),
            api_keys: api_keys.clone(),
            leases: Arc::new(MemoryLeases::new().expect("randomness")),
            keys: keys.clone(),
            unmapped: UnmappedTally::start(unmapped.clone()),
            dead_letters,
            log_level,
        };
        replace(&mut ports);
        let (registry, stop, Routers { public: router, admin }) = edge(settings, ports.clone(), clock);
        let described = description(&router).await;
        Self {
            log,
            store,
            window,
            applied,
            users,
            api_keys,
            keys,
            operators,
            unmapped,
            registry,
            stop,
            router,
            admin,
            ports,
            clock,
            described,
        }
    }

    /// Another instance of the edge in the same world, but for the ports that are replaced.
    pub(crate) fn replica(&self, replace: impl FnOnce(&mut Ports)) -> Self {
        let mut ports = self.ports.clone();
        replace(&mut ports);
        let (registry, stop, Routers { public: router, admin }) = edge(&[], ports.clone(), self.clock);
        Self {
            log: self.log.clone(),
            store: self.store.clone(),
            window: self.window.clone(),
            applied: self.applied.clone(),
            users: self.users.clone(),
            api_keys: self.api_keys.clone(),
            keys: self.keys.clone(),
            operators: self.operators.clone(),
            unmapped: self.unmapped.clone(),
            registry,
            stop,
            router,
            admin,
            ports,
            clock: self.clock,
            described: self.described.clone(),
        }
    }

    /// The description of the API.
    pub(crate) fn described(&self) -> &Described {
        &self.described
    }

    /// What `path` answers to anybody.
    pub(crate) async fn bytes(&self, path: &str) -> (StatusCode, HeaderMap, Bytes) {
        bytes(&self.router, Request::get(path).body(Body::empty()).expect("well-formed")).await
    }

    /// Sends a request as it is. The answer is as it is described.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().to_string());
        let (status, headers, bytes) = bytes(&self.router, request).await;
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert!(!text.contains(SECRET) && !text.contains("$2b$"), "a secret got out: {text}");
        let answer = Answer { status, headers, text };
        self.described.check(&method, &path, &answer);
        answer
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        self.get_with(user, path, &[]).await
    }

    pub(crate) async fn get_with(&self, user: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path).header(header::AUTHORIZATION, self.bearer(user).await);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("well-formed")).await
    }

    pub(crate) async fn post(&self, user: &str, path: &str, body: &Value) -> Answer {
        self.post_with(user, path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn post_with(&self, user: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::post(path).header(header::AUTHORIZATION, self.bearer(user).await);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("well-formed")).await
    }

    /// Whoever holds `credential`, a token or a key, calls with a body.
    pub(crate) async fn call(&self, credential: &str, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        self.send(request.body(Body::from(body.to_string())).expect("well-formed")).await
    }

    /// A user changes or removes something.
    pub(crate) async fn change(&self, user: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = self.bearer(user).await;
        self.call(bearer.trim_start_matches("Bearer "), method, path, body).await
    }

    /// What the line of `/metrics` that begins with `name` shows.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.send(Request::get("/metrics").body(Body::empty()).expect("well-formed")).await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }

    /// `POST /events` with `Prefer: wait=5`.
    pub(crate) async fn post_and_wait(&self, user: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("prefer", "wait=5")];
        self.post_with(user, "/events", &headers, body.to_string()).await
    }

    /// The records of `shipments.events`.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.log.records(Topic::Events)
    }

    /// A shipment of `client_id` that everybody sees.
    pub(crate) async fn shipment(&self, client_id: &str) -> String {
        let processor = self.processor(Announce::Yes);
        let mut body = registration();
        body["client_id"] = json!(client_id);
        let answer = self.post(ADMIN, "/shipments", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        drop(processor);
        answer.json()["tracking_number"].as_str().expect("a number").to_owned()
    }

    /// Runs a processor until the result is dropped.
    pub(crate) fn processor(&self, announce: Announce) -> Processor {
        let (log, store, applied, window) =
            (self.log.clone(), self.store.clone(), self.applied.clone(), self.window.clone());
        let task = tokio::spawn(async move {
            loop {
                process(&log, &store, &window).await;
                if announce == Announce::Yes {
                    applied.hear(&ends(&log));
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Processor(task)
    }

    /// Decides everything that is in the log, once.
    pub(crate) async fn process(&self) {
        process(&self.log, &self.store, &self.window).await;
        self.applied.hear(&ends(&self.log));
    }
}

/// The answer to `request`.
async fn bytes(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let response = router.clone().oneshot(request).await.expect("the router is infallible");
    let (parts, body) = response.into_parts();
    if parts.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "text/event-stream") {
        return (parts.status, parts.headers, Bytes::new()); // it has no end
    }
    (parts.status, parts.headers, body.collect().await.expect("a whole body").to_bytes())
}

/// The description that `router` gives. Worlds with one description share its schemas, which take long to compile.
async fn description(router: &Router) -> Arc<Described> {
    static DESCRIPTIONS: Mutex<Option<HashMap<Bytes, Arc<Described>>>> = Mutex::new(None);
    // From an address of its own: in a world with limits it costs no test anything.
    let reader = SocketAddr::from(([192, 0, 2, 1], 4711));
    let request = Request::get("/openapi.json").extension(ConnectInfo(reader));
    let request = request.body(Body::empty()).expect("well-formed");
    let (_, _, document) = bytes(router, request).await;
    let make = || Arc::new(Described::new(serde_json::from_slice(&document).expect("JSON")));
    let mut descriptions = DESCRIPTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    descriptions.get_or_insert_with(HashMap::new).entry(document.clone()).or_insert_with(make).clone()
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    Yes,
    /// All notices are lost.
    No,
}

pub(crate) struct Processor(tokio::task::JoinHandle<()>);

impl Drop for Processor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A filter that a test may change. Nobody writes lines by it, and it is there as long as the process.
fn log_filter() -> LogFilter {
    let (filter, layer) = LogFilter::new::<tracing_subscriber::Registry>("info").expect("a level");
    std::mem::forget(layer);
    filter
}

fn ends(log: &MemoryLog) -> Vec<Position> {
    let mut ends = HashMap::new();
    for record in log.records(Topic::Events) {
        ends.insert(record.position.partition, record.position);
    }
    ends.into_values().collect()
}

/// An instance of the edge.
fn edge(settings: &[(&str, &str)], ports: Ports, clock: Clock) -> (MetricRegistry, CancellationToken, Routers) {
    let environment = Environment::of(&[&[("JWT_SECRET", SECRET), ("MAX_BATCH", "20")], settings].concat());
    let config = Config::from_environment(&environment).expect("valid");
    let (registry, stop) = (MetricRegistry::default(), CancellationToken::new());
    let routers = ingest_service::routers(config, ports, clock, &registry, stop.clone()).expect("a new registry");
    (registry, stop, routers)
}

/// A body of `POST /shipments` without a client.
pub(crate) fn registration() -> Value {
    json!({"origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19.0327, "destination_lng": -98.2064,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20, "height_cm": 15, "content_description": "Electronics"})
}

/// A body of `POST /events`, `minute` minutes after noon.
pub(crate) fn report(number: &str, status: &str, minute: u32) -> Value {
    json!({"tracking_number": number, "status": status, "timestamp": format!("2025-06-15T12:{minute:02}:00Z"),
        "source": "driver_app", "location": {"lat": 19.4, "lng": -99.1}})
}
