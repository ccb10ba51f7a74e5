//! What every request passes through: it is given a trace and a deadline, it waits for no memory that is not there, and
//! its answer is counted, logged, and written in the one shape when it is an error.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use shared::security_headers::SECURITY_HEADERS;
use shared::telemetry::{TraceContext, spans};
use tokio::sync::SemaphorePermit;
use tracing::{Instrument, Span};

use crate::error::{Code, Problem};
use crate::rate_limit::Meter;
use crate::rest_of_body::RestOfBody;
use crate::router::{Edge, UNMATCHED, is_for_operators};
use crate::{json, line, metrics, query_string};

/// Largest body (contract section 4): a batch of 1,000 events of 1,000 bytes.
pub(crate) const BODY_BYTES: usize = 1024 * 1024;
/// Largest body of a log-in or a new user: three short texts.
pub(crate) const LOGIN_BODY_BYTES: usize = 4 * 1024;
/// Bodies in flight at a time. Parsed, an ill-meant one takes sixteen times its size: half a gibibyte at the very worst.
pub(crate) const IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;
/// What a request without a body counts for, so that [`IN_FLIGHT_BYTES`] bounds the number of requests too (8,192).
pub(crate) const REQUEST_BYTES: usize = 4 * 1024;
/// Longest time that a body may take: 1 MiB at 1 Mbit/s.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time that an answer may take: the longest `Prefer: wait` after the longest append, and a little.
const ANSWER_DEADLINE: Duration = Duration::from_secs(45);

/// The outermost layer.
pub(crate) async fn pass(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let exported =
        if is_for_operators(route) { Span::none() } else { spans::request(metrics::method_label(&method), route) };
    let trace = TraceContext::begin(&exported, traceparent);
    request.extensions_mut().insert(trace);

    // What is logged on the way carries the trace. At the level of errors, because a span of a lower level is not there when LOG_LEVEL is
    // higher, and an error without its trace cannot be found.
    let span = tracing::error_span!("request", trace_id = trace.trace_id(), %method, url = route);

    // Only our own connection puts one there: it stands for a request that could not be read.
    let unread = request.extensions_mut().remove::<Problem>();
    let meter = Meter::begin(&edge, route, &mut request);
    let (request, rest_of_body) = RestOfBody::of(request);
    let admitted = unread.map_or_else(|| admit(&edge, route, &request), Err);
    let mut response = match admitted.and_then(|held| meter.admit().map(|()| held)) {
        Ok(_held) => {
            let answering = next.run(request).instrument(span.clone()).instrument(exported.clone());
            match tokio::time::timeout(ANSWER_DEADLINE, answering).await {
                Ok(response) => response,
                Err(_) => Problem::unavailable("The answer took too long; try again", "deadline").into_response(),
            }
        }
        Err(problem) => problem.into_response(),
    };
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        // CONNECT asks for no path.
        let instance = if uri.path().is_empty() { "*" } else { uri.path() };
        problem.render(&mut response, &trace, edge.now(), instance);
    }
    span.in_scope(|| line::write(&edge, route, &uri, problem.as_ref(), response.status(), started.elapsed()));
    spans::answered(&exported, response.status().as_u16());
    meter.tell(response.headers_mut());
    for (name, value) in SECURITY_HEADERS {
        let own = response.headers_mut().entry(HeaderName::from_static(name));
        own.or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&trace.traceparent()) {
        response.headers_mut().insert("traceparent", value);
    }
    edge.metrics.answered(&method, route, response.status(), started.elapsed());
    rest_of_body.discard().await;
    response
}

/// Holds the memory that the request may need until it is answered.
fn admit<'a>(edge: &'a Edge, route: &str, request: &Request) -> Result<Option<SemaphorePermit<'a>>, Problem> {
    if is_for_operators(route) {
        return Ok(None); // whoever watches us must see that we are busy
    }
    let length = match content_length(request.headers()) {
        None if request.headers().contains_key(header::TRANSFER_ENCODING) => BODY_BYTES,
        length => length.unwrap_or(0).clamp(REQUEST_BYTES, BODY_BYTES),
    };
    let held = u32::try_from(length).ok().and_then(|length| edge.memory.try_acquire_many(length).ok());
    held.map(Some).ok_or_else(|| Problem::unavailable("Too many requests at once; try again", "no memory to spare"))
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The answer to a request whose handler panicked.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::panicked().into_response()
}

/// The answer where no route is.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is nothing at this path")
}

/// The answer where a route has no such method; the router adds `Allow`. Every path answers OPTIONS: with what it has.
pub(crate) async fn method_not_allowed(method: Method) -> Result<StatusCode, Problem> {
    if method == Method::OPTIONS {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = "This path does not have that method; the header Allow names those it has";
    Err(Problem::new(Code::MethodNotAllowed, detail))
}

/// The trace that the request belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Trace(pub(crate) TraceContext);

impl FromRequestParts<Edge> for Trace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        let trace = parts.extensions.get::<TraceContext>().copied();
        trace.map(Self).ok_or_else(|| Problem::internal("the request passed no layer"))
    }
}

/// The one variable part of a path, unescaped.
pub(crate) struct PathPart(pub(crate) String);

impl FromRequestParts<Edge> for PathPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, edge).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => match error.kind() {
                ErrorKind::InvalidUtf8InPathParam { key } => Err(Problem::field(key, "malformed", "is not UTF-8")),
                _ => Err(Problem::internal(error)),
            },
            Err(error) => Err(Problem::internal(error)),
        }
    }
}

/// The parameters of the query string, unescaped, in their order.
pub(crate) struct Parameters(pub(crate) Vec<(String, String)>);

impl FromRequestParts<Edge> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        query_string::parameters(parts.uri.query().unwrap_or_default()).map(Self).map_err(Problem::invalid)
    }
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// One JSON value a line.
    Lines,
    Other,
}

/// The media type that the request names.
pub(crate) fn media(headers: &HeaderMap) -> Media {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Media::Json,
        "application/x-ndjson" | "application/ndjson" => Media::Lines,
        _ if essence.starts_with("application/") && essence.ends_with("+json") => Media::Json,
        _ => Media::Other,
    }
}

/// The JSON body of a request, of at most `limit` bytes.
///
/// # Errors
/// 415, 413, 408 or 400.
pub(crate) async fn json(request: Request, limit: usize) -> Result<Value, Problem> {
    must_be_json(request.headers())?;
    parse_json(&bytes(request, limit).await?)
}

/// # Errors
/// 415: the body that these headers announce is no JSON.
pub(crate) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    if media(headers) == Media::Json {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "The body must be JSON: Content-Type: application/json"))
}

/// # Errors
/// 400: the body is no JSON, or has members that cannot be taken.
pub(crate) fn parse_json(body: &[u8]) -> Result<Value, Problem> {
    json::parse(body).map_err(not_taken)
}

/// 400 for what is no JSON that can be taken; the text says where.
pub(crate) fn not_taken(refused: json::Refused) -> Problem {
    match refused {
        // The parser's own text: what it expected, "at line 3 column 7". It repeats nothing of the body.
        json::Refused::Malformed(error) => Problem::new(Code::InvalidJson, format!("The body is not JSON: {error}")),
        json::Refused::Members(errors) => Problem::invalid(errors),
    }
}

/// The body of a request, of at most `limit` bytes.
///
/// # Errors
/// 413 when it is larger, 415 when it is compressed, 408 when it comes too slowly, 400 when it breaks off.
pub(crate) async fn bytes(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "The body must be sent as it is, without Content-Encoding";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("The body may have at most {limit} bytes"));
    if content_length(request.headers()).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let body: Limited<Body> = Limited::new(request.into_body(), limit);
    match tokio::time::timeout(BODY_DEADLINE, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::InvalidJson, "The body broke off")),
        Err(_) => {
            let seconds = BODY_DEADLINE.as_secs();
            Err(Problem::new(Code::RequestTimeout, format!("The body did not arrive within {seconds} seconds")))
        }
    }
}

/// An answer of JSON.
pub(crate) fn answer(status: StatusCode, body: &impl serde::Serialize) -> Response {
    answer_encoded(status, encoded(body))
}

/// The JSON of a body of ours.
pub(crate) fn encoded(body: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("our own answers are JSON")
}

/// An answer of what [`encoded`] gave.
pub(crate) fn answer_encoded(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_counts_and_its_parameters_do_not() {
        let of = |value: &'static str| {
            media(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert_eq!(of("application/json"), Media::Json);
        assert_eq!(of("Application/JSON; charset=utf-8"), Media::Json);
        assert_eq!(of("application/cloudevents+json"), Media::Json);
        assert_eq!(of("application/x-ndjson"), Media::Lines);
        for other in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
            assert_eq!(of(other), Media::Other, "{other}");
        }
        assert_eq!(media(&HeaderMap::new()), Media::Other);
    }
}
