//! What the edge counts (contract section 8). No caller can grow a label set: `url` is a route pattern, `method` a known one, and
//! the other labels are words of ours.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use shared::metrics::{MetricError, MetricRegistry};
use shared::shipment::{ServiceType, Timestamp};

use crate::carriers::Carriers;
use crate::error::Problem;
use crate::rate_limit::Class;
use crate::router::Edge;

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

/// How a request with an `Idempotency-Key` fared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyResult {
    /// The first one: it was carried out.
    Started,
    /// It took over an attempt that was cut off.
    TakenOver,
    /// It was given the first answer.
    Replayed,
    /// 409: the first one was still running.
    InUse,
    /// 422: the key belonged to another request.
    Reused,
    /// 503: the key or the answer could not be kept.
    Unavailable,
    /// It was carried out, and its answer was not one to keep.
    NotKept,
}

/// A method as labels and traces have it: one of ours, or `other`.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl KeyResult {
    const ALL: [Self; 7] =
        [Self::Started, Self::TakenOver, Self::Replayed, Self::InUse, Self::Reused, Self::Unavailable, Self::NotKept];

    fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::TakenOver => "taken_over",
            Self::Replayed => "replayed",
            Self::InUse => "in_use",
            Self::Reused => "reused",
            Self::Unavailable => "unavailable",
            Self::NotKept => "not_kept",
        }
    }
}

/// How a log-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogIn {
    Granted,
    /// Unknown user, wrong password or a user who is kept out.
    Refused,
    /// The account has failed too often from the address.
    AccountThrottled,
    /// The address has failed too often, or has too many log-ins waiting.
    AddressThrottled,
    /// There was no turn to hash, or the users cannot be reached.
    PutOff,
}

impl LogIn {
    const ALL: [Self; 5] = [Self::Granted, Self::Refused, Self::AccountThrottled, Self::AddressThrottled, Self::PutOff];

    fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::AccountThrottled => "account_throttled",
            Self::AddressThrottled => "address_throttled",
            Self::PutOff => "put_off",
        }
    }
}

/// What a caller presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Token,
    ApiKey,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Accepted,
    /// Accepted as far as is known: the store does not answer.
    Unconfirmed,
    /// Not ours, changed, unknown, or a token that has expired.
    Invalid,
    /// A token of a user who was disabled, removed or changed since; a key that has expired.
    Withdrawn,
    /// A key that is not known while the store does not answer.
    PutOff,
}

impl Presented {
    const ALL: [Self; 5] = [Self::Accepted, Self::Unconfirmed, Self::Invalid, Self::Withdrawn, Self::PutOff];

    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unconfirmed => "unconfirmed",
            Self::Invalid => "invalid",
            Self::Withdrawn => "withdrawn",
            Self::PutOff => "put_off",
        }
    }
}

/// 1 ms to about a minute in steps of two: most requests take milliseconds, one that waits for an outcome half a minute, and none longer than the
/// deadline of an answer.
fn request_seconds() -> Vec<f64> {
    (0..17).map(|step| 0.001 * f64::from(1 << step)).collect()
}

/// The edge's metrics.
pub(crate) struct Metrics {
    registry: MetricRegistry,
    requests: IntCounterVec,
    durations: HistogramVec,
    dedup: IntCounterVec,
    shipments: IntCounterVec,
    keys: IntCounterVec,
    scans: IntCounterVec,
    reload_refused: IntGaugeVec,
    mappings_read: IntGaugeVec,
    logins: IntCounterVec,
    password_checks: Histogram,
    credentials: IntCounterVec,
    rate_limited: IntCounterVec,
    panics: IntCounter,
}

impl Metrics {
    /// The metrics on `registry`.
    pub(crate) fn new(registry: &MetricRegistry) -> Result<Self, MetricError> {
        registry.build_info("ingest-service")?;
        let metrics = Self {
            registry: registry.clone(),
            requests: registry.counter(
                "shipping_http_requests_total",
                "Requests that were answered",
                &["method", "url", "code"],
            )?,
            durations: registry.seconds_within(
                "shipping_http_request_duration_seconds",
                "From the head of a request to the head of its answer",
                &["method", "url"],
                &request_seconds(),
            )?,
            dedup: registry.counter(
                "shipping_events_dedup_total",
                "Events by whether they had been seen before, where that was found out",
                &["result"],
            )?,
            shipments: registry.counter(
                "shipping_shipments_created_total",
                "Shipments that were registered",
                &["service_type"],
            )?,
            keys: registry.counter(
                "shipping_idempotency_total",
                "Requests with an Idempotency-Key, by what came of them",
                &["result"],
            )?,
            scans: registry.counter(
                "shipping_carrier_scans_total",
                "Scans of carriers that were accepted, by whether a mapping knew them",
                &["carrier", "result"],
            )?,
            reload_refused: registry.gauge(
                "shipping_carrier_reload_refused",
                "1 when the mapping files were broken at the last reload, so that older mappings go on",
                &[],
            )?,
            mappings_read: registry.gauge(
                "shipping_carrier_mappings_read_timestamp_seconds",
                "When the mappings that are in use were read",
                &[],
            )?,
            logins: registry.counter("shipping_logins_total", "Log-ins by how they ended", &["result"])?,
            password_checks: registry.plain_seconds(
                "shipping_password_check_duration_seconds",
                "Comparing a password with a hash, the wait for a turn included",
            )?,
            credentials: registry.counter(
                "shipping_credentials_total",
                "Tokens and API keys that callers presented, by what became of them",
                &["credential", "result"],
            )?,
            rate_limited: registry.counter(
                "shipping_rate_limited_total",
                "Requests that were refused because their caller had used up what it may",
                &["class"],
            )?,
            panics: registry
                .counter("shipping_http_panics_total", "Requests whose handler panicked", &[])?
                .with_label_values::<&str>(&[]),
        };
        // All of them are there from the beginning, so that a rate over the first one is right.
        for result in [WindowResult::Duplicate, WindowResult::Unknown, WindowResult::Unavailable] {
            metrics.window(result, 0);
        }
        for result in LogIn::ALL {
            metrics.logins.with_label_values(&[result.word()]).inc_by(0);
        }
        for result in Presented::ALL {
            for credential in [Credential::Token, Credential::ApiKey] {
                metrics.credential(credential, result).inc_by(0);
            }
        }
        for class in Class::ALL {
            metrics.rate_limited.with_label_values(&[class.name()]).inc_by(0);
        }
        for service in ServiceType::ALL {
            metrics.shipments.with_label_values(&[service.as_str()]).inc_by(0);
        }
        for result in KeyResult::ALL {
            metrics.keys.with_label_values(&[result.word()]).inc_by(0);
        }
        Ok(metrics)
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, duration: Duration) {
        let method = method_label(method);
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.durations.with_label_values(&[method, route]).observe(duration.as_secs_f64());
    }

    /// The window said this about so many events.
    pub(crate) fn window(&self, result: WindowResult, events: usize) {
        // Words of the edge's own: the processor counts on the same metric what it decides about the same events.
        let result = match result {
            WindowResult::Duplicate => "window_hit",
            WindowResult::Unknown => "window_miss",
            WindowResult::Unavailable => "window_unavailable",
        };
        self.dedup.with_label_values(&[result]).inc_by(events as u64);
    }

    /// A request with an `Idempotency-Key` fared so.
    pub(crate) fn key(&self, result: KeyResult) {
        self.keys.with_label_values(&[result.word()]).inc();
    }

    /// A log-in ended.
    pub(crate) fn log_in(&self, result: LogIn) {
        self.logins.with_label_values(&[result.word()]).inc();
    }

    /// A password was compared, which took so long.
    pub(crate) fn password_checked(&self, duration: Duration) {
        self.password_checks.observe(duration.as_secs_f64());
    }

    /// A caller presented this.
    pub(crate) fn presented(&self, credential: Credential, result: Presented) {
        self.credential(credential, result).inc();
    }

    fn credential(&self, credential: Credential, result: Presented) -> IntCounter {
        let credential = match credential {
            Credential::Token => "token",
            Credential::ApiKey => "api_key",
        };
        self.credentials.with_label_values(&[credential, result.word()])
    }

    /// A request was refused because its caller had used up what it may.
    pub(crate) fn rate_limited(&self, class: Class) {
        self.rate_limited.with_label_values(&[class.name()]).inc();
    }

    /// A handler panicked.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// A shipment was registered.
    pub(crate) fn shipment_created(&self, service: ServiceType) {
        self.shipments.with_label_values(&[service.as_str()]).inc();
    }

    /// A scan was accepted. The labels are bounded by the mapping files: there is no scan of another carrier.
    pub(crate) fn scan(&self, carrier: &str, mapped: bool) {
        self.scans.with_label_values(&[carrier, if mapped { "mapped" } else { "unmapped" }]).inc();
    }

    /// What is true of the mappings at this moment. Every carrier has its lines, so that a rate over the first scan is right.
    fn look_at(&self, carriers: &Carriers) {
        let loaded = carriers.loaded();
        for mapping in loaded.set.iter() {
            for result in ["mapped", "unmapped"] {
                self.scans.with_label_values(&[mapping.carrier(), result]).inc_by(0);
            }
        }
        self.reload_refused.with_label_values::<&str>(&[]).set(i64::from(loaded.refused));
        let read_at = loaded.read_at.map_or(0, Timestamp::unix_seconds);
        self.mappings_read.with_label_values::<&str>(&[]).set(read_at);
    }
}

/// `GET /metrics`: everything on the registry, in Prometheus' text form.
pub(crate) async fn show(State(edge): State<Edge>) -> Result<Response, Problem> {
    edge.metrics.look_at(&edge.config.carriers);
    let text = edge.metrics.registry.text().map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
