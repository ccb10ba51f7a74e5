//! Errors as callers see them: one shape, `application/problem+json` (RFC 9457) with the reference's members. The only file that
//! knows status codes of failures. The text for the caller is not the text for the log: what a dependency said goes into
//! `cause`, which is logged with the trace id and never sent.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use shared::event_log::AppendError;
use shared::shipment::{EventId, FieldError, RejectReason, Status, Timestamp};
use shared::shipment_store::StoreError;
use shared::telemetry::TraceContext;

/// After how many seconds a caller should try again when a dependency is away: a failover takes a few.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Most bad fields that one answer names: ten for each event of a usual batch. A body of nothing but unknown fields
/// must not make an answer that is larger than itself.
pub(crate) const FIELD_ERRORS: usize = 1_000;

/// What a caller is told of a fault of ours.
const OUR_FAULT: &str = "Something went wrong on our side; trace_id tells us what";
/// The media type of an error.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed, with its status, its word for programs and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// What was sent is no request.
    MalformedRequest,
    InvalidJson,
    ValidationError,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    UsernameTaken,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    /// A user is the last enabled admin.
    LastAdmin,
    /// Somebody else changed the user at the same time.
    UserChanged,
    TooManyRequests,
    TooManyStreams,
    /// What a cursor goes on from is not kept any more.
    CursorExpired,
    /// An event was judged and not applied; the word is the reason.
    Outcome(RejectReason),
    PayloadTooLarge,
    UnsupportedMediaType,
    /// The mapping files of the carriers cannot be used.
    BrokenMapping,
    RateLimited,
    HeadersTooLarge,
    InternalError,
    /// An [`Code::InternalError`] that is in the log already: the panic is.
    Panicked,
    ServiceUnavailable,
}

impl Code {
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", "This is no request"),
            Self::InvalidJson => (StatusCode::BAD_REQUEST, "INVALID_JSON", "The body is not JSON"),
            Self::ValidationError => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "Fields are invalid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Authentication is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN", "This is not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such thing"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "The path has no such method")
            }
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "There is nothing of the type that is asked for")
            }
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The request came too slowly"),
            Self::UsernameTaken => (StatusCode::CONFLICT, "USERNAME_TAKEN", "The user name is taken"),
            Self::IdempotencyKeyInUse => {
                (StatusCode::CONFLICT, "IDEMPOTENCY_KEY_IN_USE", "A request with this key is being answered")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", "The key belongs to another request")
            }
            Self::LastAdmin => (StatusCode::CONFLICT, "LAST_ADMIN", "One admin must remain"),
            Self::UserChanged => (StatusCode::CONFLICT, "USER_CHANGED", "The user was changed at the same time"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "Too many requests"),
            Self::TooManyStreams => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", "Too many streams are open"),
            Self::CursorExpired => (StatusCode::GONE, "CURSOR_EXPIRED", "The cursor is not valid any more"),
            Self::Outcome(reason) => (StatusCode::CONFLICT, reason.as_str(), "The event was not applied"),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "The body is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", "The body is of another type")
            }
            Self::BrokenMapping => (StatusCode::UNPROCESSABLE_ENTITY, "BROKEN_MAPPING", "The mapping files are broken"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "Too much in too short a time"),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
                "The path and the headers are too large",
            ),
            Self::InternalError | Self::Panicked => {
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "An unexpected error")
            }
            Self::ServiceUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", "Temporarily unavailable")
            }
        }
    }

    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        self.row().0
    }

    /// What it means, for people.
    pub(crate) fn title(self) -> &'static str {
        self.row().2
    }

    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        self.row().1
    }
}

/// A failed request. A handler returns it; the outermost layer, which knows the trace and the path, writes it
/// (see [`Problem::render`]).
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    outcome: Option<JudgedEvent>,
    next_cursor: Option<String>,
    challenge: Option<&'static str>,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

/// What a refusal says about the event that was judged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct JudgedEvent {
    pub(crate) event_id: EventId,
    pub(crate) tracking_number: shared::shipment::TrackingNumber,
    #[schemars(extend("enum" = crate::outcome::words()))]
    pub(crate) outcome: &'static str,
    pub(crate) from: Option<Status>,
    pub(crate) to: Option<Status>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let passes = matches!(code, Code::ServiceUnavailable | Code::IdempotencyKeyInUse | Code::TooManyStreams);
        let retry_after = passes.then_some(RETRY_AFTER);
        let (errors, outcome, next_cursor, challenge, cause) = (Vec::new(), None, None, None, None);
        let detail = detail.into();
        Self(Box::new(Parts { code, detail, errors, outcome, next_cursor, challenge, retry_after, cause }))
    }

    /// All bad fields at once.
    pub(crate) fn invalid(mut errors: Vec<FieldError>) -> Self {
        let count = errors.len();
        errors.truncate(FIELD_ERRORS);
        let detail = match errors.as_slice() {
            [only] if only.field.is_empty() => format!("The body is invalid: {}", only.message),
            [only] => format!("{}: {}", only.field, only.message),
            _ => format!("{count} fields are invalid; errors names them"),
        };
        Self::new(Code::ValidationError, detail).with_errors(errors)
    }

    /// One bad field.
    pub(crate) fn field(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, code, message)])
    }

    /// A dependency is away; `cause` is for the log.
    pub(crate) fn unavailable(what: &'static str, cause: impl ToString) -> Self {
        Self::new(Code::ServiceUnavailable, what).because(cause)
    }

    /// Our own fault; `cause` is for the log.
    pub(crate) fn internal(cause: impl ToString) -> Self {
        Self::new(Code::InternalError, OUR_FAULT).because(cause)
    }

    /// Our own fault, and logged where it happened.
    pub(crate) fn panicked() -> Self {
        Self::new(Code::Panicked, OUR_FAULT)
    }

    /// An event was judged and not applied.
    pub(crate) fn judged(reason: RejectReason, detail: String, event: JudgedEvent) -> Self {
        let mut problem = Self::new(Code::Outcome(reason), detail);
        problem.0.outcome = Some(event);
        problem
    }

    /// What a cursor goes on from is not kept any more; `next_cursor` goes on from now.
    pub(crate) fn cursor_expired(detail: &'static str, next_cursor: String) -> Self {
        let mut problem = Self::new(Code::CursorExpired, detail);
        problem.0.next_cursor = Some(next_cursor);
        problem
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// With the header `WWW-Authenticate`.
    pub(crate) fn with_challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// With the header `Retry-After`.
    pub(crate) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    fn because(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What the log should know.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The body that a caller is sent.
    pub(crate) fn body(&self, trace_id: &str, now: Timestamp, instance: &str) -> Vec<u8> {
        let (status, error, title) = self.0.code.row();
        let detail = self.0.detail.as_ref();
        let body = Body {
            error,
            message: detail,
            status_code: status.as_u16(),
            timestamp: now,
            kind: &format!("urn:rastro:problem:{}", error.to_ascii_lowercase().replace('_', "-")),
            title,
            status: status.as_u16(),
            detail,
            instance,
            trace_id,
            errors: &self.0.errors,
            outcome: self.0.outcome.as_ref(),
            next_cursor: self.0.next_cursor.as_deref(),
        };
        serde_json::to_vec(&body).expect("texts and numbers are JSON")
    }

    /// Fills the body and the headers of `response`, which [`Problem::into_response`] began.
    pub(crate) fn render(&self, response: &mut Response, trace: &TraceContext, now: Timestamp, instance: &str) {
        let json = self.body(&trace.trace_id(), now, instance);
        *response.status_mut() = self.0.code.status();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(challenge) = self.0.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        *response.body_mut() = json.into();
    }
}

/// The seconds that are told to callers: never too few.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The body of every error.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Body<'a> {
    error: &'a str,
    message: &'a str,
    status_code: u16,
    timestamp: Timestamp,
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    trace_id: &'a str,
    errors: &'a [FieldError],
    #[serde(flatten)]
    outcome: Option<&'a JudgedEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.row().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable("The database cannot be reached; try again", error),
            StoreError::Refused(_) | StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable(_) | AppendError::QueueFull => {
                Self::unavailable("The log cannot be written to, so nothing was accepted; try again", error)
            }
            AppendError::Refused(_) => Self::internal(error),
        }
    }
}
