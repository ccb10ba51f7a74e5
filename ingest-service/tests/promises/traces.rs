//! The trace of a request is the same in its answer, in its body and in the log.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use shared::event_log::AppendError;
use shared::event_log::{Appended, EventAppender, NewRecord, Position, Topic};
use shared::telemetry::log_panics;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::errors::{Faulty, assert_shape};
use crate::world::{ADMIN, Answer, DRIVER, World, report};

/// What this thread logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens to this thread until the guard is dropped, in the form and at the level that a program's settings would give.
    pub(crate) fn listen(level: &str) -> (Self, DefaultGuard) {
        hear_all_threads();
        let log = Self::default();
        let lines = tracing_subscriber::fmt::layer().with_writer(log.clone()).json();
        let lines = lines.flatten_event(true).with_current_span(true).with_span_list(false);
        let subscriber = tracing_subscriber::registry().with(EnvFilter::new(level)).with(lines);
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// All lines.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }

    /// The lines about the request that `answer` answers.
    pub(crate) fn about(&self, answer: &Answer) -> Vec<Value> {
        let trace = trace_id(answer);
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
        lines.filter(|line| line["span"]["trace_id"] == trace).collect()
    }
}

/// Lets every place that logs ask each listener whether it listens. As long as there is one listener only, the library asks the one of the
/// thread that comes by first: that of another test, which has none, and the line is lost for ours. So there are always two who want nothing.
pub(crate) fn hear_all_threads() {
    static DEAF: OnceLock<[Dispatch; 2]> = OnceLock::new();
    let deaf = || Dispatch::new(tracing_subscriber::registry().with(LevelFilter::OFF));
    DEAF.get_or_init(|| [deaf(), deaf()]);
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn trace_id(answer: &Answer) -> &str {
    answer.header("traceparent").and_then(|value| value.split('-').nth(1)).expect("every answer has a trace")
}

#[tokio::test]
async fn every_refusal_is_one_line_with_the_trace_of_its_answer() {
    let world = World::new().await;
    let (log, _guard) = Log::listen("debug");
    let json = [("content-type", "application/json")];
    let nobody = Request::get("/shipments").body(Body::empty()).expect("well-formed");
    let answers = [
        ("/shipments", world.send(nobody).await),
        ("/nowhere", world.get(ADMIN, "/nowhere").await),
        ("/events/batch", world.get(ADMIN, "/events/batch").await),
        ("/shipments/%FF", world.get(ADMIN, "/shipments/%FF").await),
        ("/shipments", world.get(ADMIN, "/shipments?limit=0").await),
        ("/auth/users", world.get(DRIVER, "/auth/users").await),
        ("/events", world.post_with(DRIVER, "/events", &json, "{".to_owned()).await),
        ("/events", world.post_with(DRIVER, "/events", &[], "{}".to_owned()).await),
        ("/events", world.post_with(DRIVER, "/events", &json, " ".repeat(2 * 1024 * 1024)).await),
        ("/events", world.post_with(DRIVER, "/events", &[("accept", "text/html")], "{}".to_owned()).await),
    ];
    let statuses: Vec<_> = answers.iter().map(|(_, answer)| answer.status.as_u16()).collect();
    assert_eq!(statuses, [401, 404, 405, 400, 400, 403, 400, 415, 413, 406]);
    for (path, answer) in &answers {
        assert_shape(answer, path);
        let lines = log.about(answer);
        let [line] = lines.as_slice() else { panic!("{path}: {lines:?}") };
        assert_eq!((&line["message"], &line["path"]), (&"a request was refused".into(), &(*path).into()));
        assert_eq!(line["error"], answer.json()["error"]);
    }
}

#[tokio::test]
async fn a_trace_that_a_request_brings_along_is_gone_on_with() {
    let world = World::new().await;
    let (log, _guard) = Log::listen("debug");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for path in ["/livez", "/nowhere"] {
        let request = Request::get(path).header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
        let answer = world.send(request.body(Body::empty()).expect("well-formed")).await;
        assert_eq!(trace_id(&answer), trace, "{path}");
        assert!(
            !answer.headers["traceparent"].to_str().expect("text").contains("b7ad6b7169203331"),
            "a span of our own"
        );
    }
    let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(text.contains(trace), "{text}");
}

#[tokio::test]
async fn a_failure_has_its_trace_in_the_log_at_every_level() {
    for level in ["error", "warn,ingest_service=error", "info"] {
        let world = World::with(|ports| ports.store = Arc::new(Faulty)).await;
        let (log, _guard) = Log::listen(level);
        let answer = world.get(ADMIN, "/shipments").await;
        assert_eq!(answer.failure().0, 500);
        let lines = log.about(&answer);
        let [line] = lines.as_slice() else { panic!("{level}: {lines:?}") };
        assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"a request failed".into()));
        assert!(
            line["cause"].as_str().is_some_and(|cause| cause.contains("row 7")),
            "what the caller is not told: {line}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_logged_once_with_its_trace_and_counted() {
    log_panics();
    let world = World::with(|ports| ports.store = Arc::new(Faulty)).await;
    let (log, _guard) = Log::listen("info");
    let answer = world.get(ADMIN, "/shipments/99M-ABC12345").await;
    assert_shape(&answer, "/shipments/99M-ABC12345");
    assert_eq!(answer.failure(), (500, "INTERNAL_ERROR".to_owned()));
    assert!(!answer.text.contains("users_private"), "{}", answer.text);
    let lines = log.about(&answer);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"a panic".into()));
    assert_eq!(line["cause"], "an invariant of table users_private is broken");
    assert!(line["location"].as_str().is_some_and(|place| place.contains("errors.rs:")), "{line}");
    assert_eq!(line["span"]["url"], "/shipments/{tracking_number}");
    let metrics = world.registry.text().expect("encodes");
    assert!(metrics.contains("shipping_http_panics_total 1\n"), "{metrics}");
}

/// A log that never acknowledges.
struct Silent;

#[async_trait]
impl EventAppender for Silent {
    async fn append(&self, _: Topic, _: Vec<NewRecord>) -> Appended {
        std::future::pending().await
    }

    async fn end_of(&self, _: Topic, _: &[u8]) -> Result<Position, AppendError> {
        std::future::pending().await
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_is_put_off_and_told_with_its_trace() {
    let world = World::with(|ports| ports.log = Arc::new(Silent)).await;
    world.bearer(DRIVER).await;
    let (log, _guard) = Log::listen("info");
    let begun = tokio::time::Instant::now();
    let answer = world.post(DRIVER, "/events", &report("99M-ABC12345", "picked_up", 0)).await;
    assert_eq!(begun.elapsed().as_secs(), 45);
    assert_shape(&answer, "/events");
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("2"));
    let lines = log.about(&answer);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["message"], "a request was put off");
}
