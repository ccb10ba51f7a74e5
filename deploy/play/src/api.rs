//! The part of the public API that a play needs (contract section 4).

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::history::{Location, Scan};
use crate::outcome::{NoOutcome, Outcome};
use crate::plan::{Event, Plan};

/// The client on whose behalf shipments are registered: the one of the users that are seeded for development.
const CLIENT_ID: &str = "client_001";
/// How long an answer may wait for the final outcome, in seconds: the most that the contract allows.
const WAIT: u64 = 30;
/// How long one request may take: the wait, and as long again as a busy platform may need for the rest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(WAIT + 15);
/// A server that does not take a connection for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an accepted event may stay without an outcome, in seconds: longer than a processor needs to take over.
const OUTCOME_DEADLINE: u64 = 60;
/// Between two looks at an outcome.
const OUTCOME_POLL: Duration = Duration::from_millis(100);

/// Why the API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request did not get through, or its answer did not come back.
    #[error("{call}: {}", with_causes(.source))]
    Transport {
        /// Method and path.
        call: String,
        /// What the connection says.
        source: reqwest::Error,
    },
    /// The answer is an error of the contract.
    #[error("{call}: {status}: {problem}")]
    Refused {
        /// Method and path.
        call: String,
        /// Its status code.
        status: StatusCode,
        /// What the problem says.
        problem: String,
    },
    /// The answer is not what the contract says.
    #[error("{call}: {status}: cannot be understood: {problem}")]
    NotUnderstood {
        /// Method and path.
        call: String,
        /// Its status code.
        status: StatusCode,
        /// What is strange.
        problem: String,
    },
}

fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A shipment as it is read back.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the members of contract section 4")]
pub struct Shipment {
    pub tracking_number: String,
    pub current_status: String,
    pub status_history: Vec<HistoryEntry>,
    pub history_truncated: u64,
    pub attempts: u64,
    pub last_scan: Option<HistoryEntry>,
    pub exception: Option<HistoryEntry>,
}

/// An entry of its history.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "the members of contract section 4")]
pub struct HistoryEntry {
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub kind: Option<String>,
    pub moved: bool,
    #[serde(deserialize_with = "rfc3339")]
    pub timestamp: OffsetDateTime,
    pub source: String,
    #[serde(default)]
    pub place: Option<String>,
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub location: Option<Location>,
    pub event_id: String,
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    OffsetDateTime::parse(&text, &Rfc3339).map_err(de::Error::custom)
}

/// What became of a posted scan.
#[derive(Debug, PartialEq, Eq)]
pub struct Reported {
    /// The id that the platform gave it. An error answer may lack it.
    pub event_id: Option<String>,
    /// The outcome. `None`: the event was accepted, and its outcome has to be looked up.
    pub outcome: Option<Outcome>,
}

/// A logged-in caller.
#[derive(Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    /// Logs in at the Rastro at `base` (`http://host:port`).
    ///
    /// # Errors
    /// It cannot be reached, or it refuses the login.
    pub async fn login(base: &str, user: &str, password: &str) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Login {
            token: String,
        }
        let base = base.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build();
        let call = || "POST /auth/login".to_owned();
        let http = http.map_err(|source| ApiError::Transport { call: call(), source })?;
        let mut api = Self { http, base, token: String::new() };
        let request = api.http.post(format!("{}/auth/login", api.base));
        let (status, body) = send(call(), request.json(&json!({"username": user, "password": password}))).await?;
        let Login { token } = understood(call(), status, body, status == StatusCode::OK)?;
        api.token = token;
        Ok(api)
    }

    /// Registers a shipment for `plan` and returns its tracking number.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn register(&self, plan: &Plan<'_>) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Registered {
            tracking_number: String,
        }
        let call = "POST /shipments".to_owned();
        let request = self.http.post(format!("{}/shipments", self.base)).bearer_auth(&self.token);
        let (status, body) = send(call.clone(), request.json(&shipment_body(plan))).await?;
        let done = status == StatusCode::CREATED || status == StatusCode::ACCEPTED;
        understood(call, status, body, done).map(|Registered { tracking_number }| tracking_number)
    }

    /// Posts a scan and waits for its outcome.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn report(&self, number: &str, source: &str, event: &Event<'_>) -> Result<Reported, ApiError> {
        let request = self.http.post(format!("{}/events", self.base)).bearer_auth(&self.token);
        let request = request.header("Prefer", format!("wait={WAIT}")).json(&event_body(number, source, event));
        let call = "POST /events".to_owned();
        let (status, body) = send(call.clone(), request).await?;
        reported(call, status, &body)
    }

    /// The outcome of an accepted event, awaited.
    ///
    /// # Errors
    /// The look-up failed, or the outcome did not come.
    pub async fn outcome(&self, event_id: &str) -> Result<Outcome, NoOutcome> {
        let call = || format!("GET /events/{event_id}");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(OUTCOME_DEADLINE);
        while tokio::time::Instant::now() < deadline {
            let request = self.http.get(format!("{}/events/{event_id}", self.base)).bearer_auth(&self.token);
            let (status, body) = send(call(), request).await.map_err(|error| NoOutcome::Failed(error.to_string()))?;
            if status == StatusCode::OK && body["outcome"] != "queued" {
                let word = body["outcome"].as_str().unwrap_or_default();
                let known = Outcome::from_word(word, body["reason"].as_str());
                return known.ok_or_else(|| NoOutcome::Failed(format!("{}: unknown outcome {word:?}", call())));
            }
            // Not found: accepted, and not known to the store yet.
            if status != StatusCode::OK && status != StatusCode::NOT_FOUND {
                return Err(NoOutcome::Failed(refused(call(), status, &body).to_string()));
            }
            tokio::time::sleep(OUTCOME_POLL).await;
        }
        Err(NoOutcome::Lost(OUTCOME_DEADLINE))
    }

    /// Reads a shipment.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn shipment(&self, number: &str) -> Result<Shipment, ApiError> {
        let call = format!("GET /shipments/{number}");
        let request = self.http.get(format!("{}/shipments/{number}", self.base)).bearer_auth(&self.token);
        let (status, body) = send(call.clone(), request).await?;
        understood(call, status, body, status == StatusCode::OK)
    }
}

async fn send(call: String, request: RequestBuilder) -> Result<(StatusCode, Value), ApiError> {
    let failed = |source| ApiError::Transport { call: call.clone(), source };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(failed)?;
    // An answer that is no JSON is shown as the text that it is.
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    Ok((status, body))
}

fn understood<T: DeserializeOwned>(call: String, status: StatusCode, body: Value, done: bool) -> Result<T, ApiError> {
    if !done {
        return Err(refused(call, status, &body));
    }
    T::deserialize(body).map_err(|error| ApiError::NotUnderstood { call, status, problem: error.to_string() })
}

fn refused(call: String, status: StatusCode, body: &Value) -> ApiError {
    let problem = match (body["error"].as_str(), body["message"].as_str()) {
        (Some(error), Some(message)) => format!("{error}: {message} {}", body["errors"]),
        _ => body.to_string(),
    };
    ApiError::Refused { call, status, problem }
}

/// Reads the answer to a posted event.
fn reported(call: String, status: StatusCode, body: &Value) -> Result<Reported, ApiError> {
    let event_id = body["event_id"].as_str().map(str::to_owned);
    if status == StatusCode::ACCEPTED && event_id.is_some() {
        return Ok(Reported { event_id, outcome: None });
    }
    let reason = body["reason"].as_str().or_else(|| body["error"].as_str());
    // In the form of a 202, the outcome stands where "queued" would.
    let word = body["outcome"].as_str().or_else(|| body["status"].as_str());
    let outcome = match (status, word) {
        (StatusCode::OK | StatusCode::CONFLICT, Some(word)) => Outcome::from_word(word, reason),
        (StatusCode::CONFLICT, None) if reason == Some("KEY_CONFLICT") => Some(Outcome::Conflict),
        (StatusCode::CONFLICT, None) => reason.map(|reason| Outcome::Rejected(reason.to_owned())),
        (status, _) if !status.is_success() => return Err(refused(call, status, body)),
        _ => None,
    };
    match outcome {
        Some(outcome) => Ok(Reported { event_id, outcome: Some(outcome) }),
        None => Err(ApiError::NotUnderstood { call, status, problem: body.to_string() }),
    }
}

/// The registration of a shipment for `plan`. A carrier publishes neither addresses nor sizes, so only what the scans say is
/// its own.
#[must_use]
pub fn shipment_body(plan: &Plan<'_>) -> Value {
    let place =
        |scan: Option<&Scan>| scan.and_then(|scan| scan.place.clone()).unwrap_or_else(|| "not published".to_owned());
    let degrees = |scan: Option<&Scan>| scan.and_then(|scan| scan.location).unwrap_or(Location { lat: 0.0, lng: 0.0 });
    let mut statuses = plan.history.scans.iter().filter(|scan| scan.claim.status().is_some());
    let first = statuses.next();
    let last = statuses.next_back().or(first);
    json!({
        "client_id": CLIENT_ID,
        "origin_address": place(first), "origin_lat": degrees(first).lat, "origin_lng": degrees(first).lng,
        "destination_address": place(last), "destination_lat": degrees(last).lat, "destination_lng": degrees(last).lng,
        "weight_kg": 1, "length_cm": 30, "width_cm": 20, "height_cm": 10,
        "content_description": "a parcel of a published history",
        "reference": plan.history.number,
        // Said and not left to the configuration of the platform, because the table depends on it.
        "transition_policy": plan.policy.as_str(),
    })
}

/// The body that posts `event`.
#[must_use]
pub fn event_body(number: &str, source: &str, event: &Event<'_>) -> Value {
    let scan = event.scan;
    let mut body = json!({
        "tracking_number": number,
        "timestamp": event.timestamp,
        "source": source,
    });
    body[scan.claim.member()] = json!(scan.claim.as_str());
    let texts = [
        ("place", &scan.place),
        ("code", &scan.code),
        ("reason", &event.reason),
        ("source_event_id", &event.source_event_id),
    ];
    for (member, text) in texts {
        if let Some(text) = text {
            body[member] = json!(text);
        }
    }
    if let Some(location) = scan.location {
        body["location"] = json!(location);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: Value) -> Option<Reported> {
        let status = StatusCode::from_u16(status).expect("a status code");
        reported("POST /events".to_owned(), status, &body).ok()
    }

    #[test]
    fn the_final_outcome_is_read_from_every_form_of_the_answer() {
        let outcome = |status, body| read(status, body).map(|reported| reported.outcome);
        assert_eq!(outcome(200, json!({"event_id": "evt_1", "outcome": "applied"})), Some(Some(Outcome::Applied)));
        assert_eq!(outcome(200, json!({"event_id": "evt_1", "status": "duplicate"})), Some(Some(Outcome::Duplicate)));
        let rejected = Outcome::Rejected("INVALID_TRANSITION".to_owned());
        assert_eq!(outcome(409, json!({"error": "INVALID_TRANSITION"})), Some(Some(rejected.clone())));
        let with_outcome = json!({"error": "INVALID_TRANSITION", "outcome": "rejected", "event_id": "evt_1"});
        assert_eq!(outcome(409, with_outcome), Some(Some(rejected)));
        assert_eq!(outcome(409, json!({"error": "KEY_CONFLICT"})), Some(Some(Outcome::Conflict)));
        assert_eq!(outcome(202, json!({"event_id": "evt_1", "status": "queued"})), Some(None));
    }

    #[test]
    fn an_answer_outside_of_the_contract_is_no_outcome() {
        assert_eq!(read(200, json!({"event_id": "evt_1", "outcome": "lost"})), None);
        assert_eq!(read(200, json!("<html>")), None);
        assert_eq!(read(202, json!({})), None);
        assert_eq!(read(403, json!({"error": "FORBIDDEN", "message": "no"})), None);
        assert_eq!(read(503, json!({"error": "UNAVAILABLE", "message": "Kafka is away"})), None);
    }
}
