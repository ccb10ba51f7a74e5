//! `GET` and `PUT /admin/log-level` on the processor's own port.
//!
//! A processor knows no users, so who may change something is a matter of where he is: on the machine itself, which for a pod means by
//! `kubectl port-forward` or `kubectl exec`, and those are the cluster's to allow. Whoever comes over the network may look.

use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, get};
use serde_json::json;
use shared::log_level::{BODY_BYTES, Held, LogLevel, NotChanged};
use shared::shipment::FieldError;

/// Who changed it, as the operator log names him.
const BY: &str = "on the machine";
/// Headers of a proxy: the one that it calls for is not on this machine, even if it is.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The route.
pub(crate) fn routes(level: LogLevel) -> Router {
    Router::new()
        .route("/admin/log-level", get(read).put(change))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(level)
}

async fn read(State(level): State<LogLevel>) -> Json<Held> {
    Json(level.now())
}

async fn change(
    State(level): State<LogLevel>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() || FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        let detail = "The log level is changed on the machine itself: kubectl port-forward, or its like";
        return problem(StatusCode::FORBIDDEN, "FORBIDDEN", detail, &[]);
    }
    // A page in a browser on this machine can send anything but this without asking first.
    let is_json =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        let detail = "The body must be JSON: Content-Type: application/json";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail, &[]);
    }
    let body = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => {
            let detail = format!("The body is not JSON: {error}");
            return problem(StatusCode::BAD_REQUEST, "INVALID_JSON", &detail, &[]);
        }
    };
    match level.change(body, BY).await {
        Ok(changed) => Json(changed).into_response(),
        Err(NotChanged::Invalid(errors)) => {
            problem(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "Fields are invalid; errors names them", &errors)
        }
        Err(NotChanged::Ended(error)) => {
            tracing::debug!(%error, "the log level cannot be changed any more");
            problem(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "The service is shutting down", &[])
        }
    }
}

fn problem(status: StatusCode, error: &str, detail: &str, errors: &[FieldError]) -> Response {
    let body =
        json!({"error": error, "message": detail, "status": status.as_u16(), "detail": detail, "errors": errors});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use shared::clock;
    use shared::operator_log::OperatorLog;
    use shared::operator_log::memory::MemoryOperatorLog;
    use shared::telemetry::LogFilter;
    use tower::ServiceExt;

    use super::*;

    struct Processor {
        routes: Router,
        operators: Arc<MemoryOperatorLog>,
        _logging: tracing::subscriber::DefaultGuard,
    }

    impl Processor {
        fn start() -> Self {
            use tracing_subscriber::Layer;
            use tracing_subscriber::layer::SubscriberExt;
            let (filter, layer) = LogFilter::new("info").expect("a level");
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(layer);
            let logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
            let operators = Arc::new(MemoryOperatorLog::default());
            let level = LogLevel::new(filter, operators.clone(), "processor-service", clock::system);
            Self { routes: routes(level), operators, _logging: logging }
        }

        async fn put(&self, from: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
            let mut request = Request::put("/admin/log-level");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let peer: SocketAddr = from.parse().expect("an address");
            self.send(request.extension(ConnectInfo(peer)).body(Body::from(body.to_owned())).expect("well-formed"))
                .await
        }

        async fn send(&self, request: Request<Body>) -> (u16, Value) {
            let answer = self.routes.clone().oneshot(request).await.expect("an answer");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("whole").to_bytes();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        }

        async fn filter(&self) -> Value {
            let request = Request::get("/admin/log-level").body(Body::empty()).expect("well-formed");
            self.send(request).await.1["filter"].clone()
        }
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[tokio::test]
    async fn the_log_level_is_changed_from_the_machine_itself_and_that_is_written_down() {
        let processor = Processor::start();
        assert_eq!(processor.filter().await, "info");
        let (status, changed) = processor.put("[::ffff:127.0.0.1]:4711", &[JSON], r#"{"filter":"debug"}"#).await;
        assert_eq!((status, changed), (200, json!({"old": "info", "new": "debug", "audited": true})));
        assert_eq!(processor.filter().await, "debug");
        let entries = processor.operators.newest(None, 10).await.expect("readable");
        assert_eq!(entries.iter().map(|entry| entry.by.as_str()).collect::<Vec<_>>(), [BY]);
        // When the store is away the level is needed most.
        processor.operators.set_away(true);
        let (status, changed) = processor.put("127.0.0.1:4711", &[JSON], r#"{"filter":"warn"}"#).await;
        assert_eq!((status, &changed["audited"]), (200, &json!(false)));
        assert_eq!(processor.filter().await, "warn");
    }

    #[tokio::test]
    async fn whoever_comes_over_the_network_changes_nothing() {
        let processor = Processor::start();
        let body = r#"{"filter":"trace"}"#;
        let forwarded = [JSON, ("x-forwarded-for", "203.0.113.7")];
        for (from, headers) in [("10.1.2.3:4711", &[JSON] as &[_]), ("127.0.0.1:4711", &forwarded)] {
            let (status, problem) = processor.put(from, headers, body).await;
            assert_eq!((status, &problem["error"]), (403, &json!("FORBIDDEN")), "{from}");
        }
        assert_eq!(processor.put("127.0.0.1:4711", &[("content-type", "text/plain")], body).await.0, 415);
        assert_eq!(processor.put("127.0.0.1:4711", &[JSON], "trace").await.0, 400);
        let (status, problem) = processor.put("127.0.0.1:4711", &[JSON], r#"{"level":"trace"}"#).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("filter")));
        assert_eq!(processor.put("127.0.0.1:4711", &[JSON], &" ".repeat(BODY_BYTES + 1)).await.0, 413);
        assert_eq!(processor.filter().await, "info");
    }
}
