//! A caller of the platform.

use std::time::Duration;

use futures::StreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait;

/// Longest time for one answer: the longest wait for an outcome, and what a busy machine needs besides.
const ANSWER: Duration = Duration::from_secs(45);
/// How long a caller asks to be kept for an outcome, in seconds.
const PREFERRED_WAIT: u64 = 20;
/// Longest time until an accepted event has its outcome.
const OUTCOME: Duration = Duration::from_secs(60);
/// Bytes of one chunk of a body that does not say how long it is.
const CHUNK: usize = 64 * 1024;
/// How much of what was sent is shown when a test fails.
const SHOWN_BYTES: usize = 60;
/// How many outcomes are asked for at a time.
const AT_A_TIME: usize = 32;

/// A caller, logged in or not.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    client_id: String,
}

/// A request that can still be changed.
pub struct Call {
    request: RequestBuilder,
    path: String,
    name: String,
}

/// An answer, read wholly.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, when that is JSON, else null.
    pub body: Value,
    /// Its body as text.
    pub text: String,
    path: String,
    name: String,
}

impl Client {
    /// A caller without a token of the platform at `base` (`http://host:port`).
    #[must_use]
    pub fn nobody(base: &str) -> Self {
        let http = reqwest::Client::builder().timeout(ANSWER).no_proxy().build().expect("a client needs nothing");
        Self { http, base: base.to_owned(), token: None, client_id: String::new() }
    }

    /// The same caller with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The token that it calls with.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same caller as a user of `client_id`.
    #[must_use]
    pub fn of(&self, client_id: &str) -> Self {
        Self { client_id: client_id.to_owned(), ..self.clone() }
    }

    /// The same caller before another program of the platform, at `base`.
    #[must_use]
    pub fn before(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same caller on connections of its own.
    #[must_use]
    pub fn reconnected(&self) -> Self {
        Self { http: Self::nobody(&self.base).http, ..self.clone() }
    }

    /// The client that the caller belongs to; empty for none.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The same caller after a log-in.
    pub async fn log_in(&self, username: &str, password: &str) -> Self {
        let body = json!({"username": username, "password": password});
        let granted = self.post("/auth/login", &body).await.with_status(200);
        self.with_token(granted["token"].as_str().expect("a log-in answers with a token"))
    }

    /// A request to be sent.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).expect("tests use methods that exist");
        let name = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Call { request, path, name }
    }

    /// The answer to bytes that no HTTP client would send. What they ask for has no path that could be read.
    ///
    /// # Panics
    /// There is no answer that a client would understand.
    pub async fn raw(&self, sent: &[u8]) -> Answer {
        let name = String::from_utf8_lossy(&sent[..sent.len().min(SHOWN_BYTES)]).into_owned();
        let address = self.base.trim_start_matches("http://");
        let mut connection = TcpStream::connect(address).await.expect("the platform listens");
        connection.write_all(sent).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut received = Vec::new();
        connection.read_to_end(&mut received).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let received = String::from_utf8_lossy(&received);
        let (head, text) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{name}: {received}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
        });
        let body = serde_json::from_str(text).unwrap_or_default();
        Answer { status, headers: headers.collect(), body, text: text.to_owned(), path: "*".to_owned(), name }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }

    /// POST with a JSON body under an `Idempotency-Key`.
    #[must_use]
    pub fn keyed(&self, path: &str, key: &str, body: &Value) -> Call {
        self.call("POST", path).header("idempotency-key", key).json(body)
    }

    /// Registers a shipment, and returns its number once a GET finds it.
    pub async fn register(&self, body: &Value) -> String {
        let registered = self.post("/shipments", body).await.with_status(201);
        text(&registered, "tracking_number")
    }

    /// Registers `count` shipments.
    pub async fn register_many(&self, body: &Value, count: usize) -> Vec<String> {
        let registrations = futures::stream::iter(0..count).map(|_| self.register(body));
        registrations.buffered(AT_A_TIME).collect().await
    }

    /// Reports an event and waits for what becomes of it.
    pub async fn report(&self, event: &Value) -> Answer {
        self.call("POST", "/events").header("prefer", &format!("wait={PREFERRED_WAIT}")).json(event).send().await
    }

    /// Reports an event, which must be accepted, and returns its id.
    pub async fn accepted(&self, event: &Value) -> String {
        text(&self.post("/events", event).await.with_status(202), "event_id")
    }

    /// A shipment with its history.
    pub async fn shipment(&self, number: &str) -> Value {
        self.get(&format!("/shipments/{number}")).await.with_status(200)
    }

    /// What became of an accepted event, as soon as it is decided.
    ///
    /// # Panics
    /// The platform does not know it, which is never true of an accepted event; or it is not decided in time.
    pub async fn outcome(&self, event_id: &str) -> Value {
        let path = format!("/events/{event_id}");
        let decided = async || {
            let found = self.get(&path).await.with_status(200);
            (found["outcome"] != "queued").then_some(found)
        };
        wait::until(&format!("the outcome of {event_id}"), OUTCOME, decided).await.0
    }

    /// What became of each of these events.
    pub async fn outcomes(&self, event_ids: Vec<String>) -> Vec<Value> {
        let looks = event_ids.into_iter().map(async |id| self.outcome(&id).await);
        futures::stream::iter(looks).buffered(AT_A_TIME).collect().await
    }
}

impl Call {
    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With any body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.header("content-type", content_type).body(body), ..self }
    }

    /// With a body that does not say how long it is (`Transfer-Encoding: chunked`).
    #[must_use]
    pub fn chunked(self, content_type: &str, body: &str) -> Self {
        let chunks =
            body.as_bytes().chunks(CHUNK).map(|chunk| Ok::<_, std::io::Error>(Frame::data(chunk.to_vec().into())));
        let stream: Vec<Result<Frame<hyper::body::Bytes>, _>> = chunks.collect();
        self.body(content_type, reqwest::Body::wrap(StreamBody::new(futures::stream::iter(stream))))
    }

    /// With a header more.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// The answer.
    ///
    /// # Panics
    /// There is none.
    pub async fn send(self) -> Answer {
        let name = self.name.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// An answer with 200 whose body is read as it comes, for at most `longest`; or any other one.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn open(self, longest: Duration) -> Result<Result<reqwest::Response, Box<Answer>>, reqwest::Error> {
        let Self { request, path, name } = self;
        let response = request.timeout(longest).send().await?;
        if response.status() == 200 {
            return Ok(Ok(response));
        }
        Ok(Err(Box::new(Answer::read(response, path, name).await?)))
    }

    /// The answer, if there is one.
    ///
    /// # Errors
    /// The connection failed, or the answer broke off.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        let response = self.request.send().await?;
        Answer::read(response, self.path, self.name).await
    }
}

impl Answer {
    async fn read(response: reqwest::Response, path: String, name: String) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status, headers, body, text, path, name })
    }

    /// The body of an answer with this status.
    ///
    /// # Panics
    /// It has another one.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.name, self.text);
        self.body
    }

    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of an error answer in the one shape (contract section 4), whose every member is looked at.
    ///
    /// # Panics
    /// It is another answer.
    #[track_caller]
    pub fn problem(&self, status: u16, error: &str) -> &Value {
        let (name, body) = (&self.name, &self.body);
        assert_eq!((self.status, body["error"].as_str()), (status, Some(error)), "{name}: {}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{name}");
        assert_eq!((&body["status"], &body["status_code"]), (&json!(status), &json!(status)), "{name}: {body}");
        assert_eq!(body["instance"], json!(self.path), "{name}: {body}");
        for member in ["message", "type", "title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{name}: {member} in {body}");
        }
        assert!(is_utc(&body["timestamp"]), "{name}: timestamp in {body}");
        let trace = body["trace_id"].as_str().unwrap_or_default();
        assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: trace_id in {body}");
        let traceparent = self.header("traceparent").unwrap_or_default();
        assert_eq!(traceparent.split('-').nth(1), Some(trace), "{name}: {traceparent} and {body}");
        assert!(body["errors"].is_array(), "{name}: errors in {body}");
        body
    }

    /// The fields that an error answer names, sorted.
    #[must_use]
    pub fn bad_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut fields: Vec<_> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
        fields.sort_unstable();
        fields
    }
}

/// The text of a member.
///
/// # Panics
/// It is no text.
#[must_use]
#[track_caller]
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}")).to_owned()
}

/// Whether `value` is an RFC 3339 time in UTC with `Z`.
#[must_use]
pub fn is_utc(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('Z') && shared::shipment::Timestamp::parse(text).is_ok())
}
