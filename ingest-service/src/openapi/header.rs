//! Headers of answers, as the description names them.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// A header of an answer.
#[derive(Clone, Copy)]
pub(super) struct Header {
    name: &'static str,
    text: &'static str,
    /// A pattern of its value.
    pattern: &'static str,
    /// Whether it is always there.
    always: bool,
}

pub(super) const LOCATION: Header =
    Header { name: "Location", text: "The path of what was made or accepted.", pattern: "^/", always: true };
pub(super) const PREFERENCE_APPLIED: Header = Header {
    name: "Preference-Applied",
    text: "The wait that was granted, when one was preferred (RFC 7240).",
    pattern: "^wait=[0-9]+$",
    always: false,
};
pub(super) const REPLAYED: Header = Header {
    name: "Idempotent-Replayed",
    text: "The answer is the one that was given first under this `Idempotency-Key`.",
    pattern: "^true$",
    always: false,
};
pub(super) const ETAG: Header =
    Header { name: "ETag", text: "The version of the answer, for If-None-Match.", pattern: "^(W/)?\"", always: true };
pub(super) const LAST_MODIFIED: Header =
    Header { name: "Last-Modified", text: "When it was changed last, to the second.", pattern: " GMT$", always: false };
pub(super) const LINK: Header = Header {
    name: "Link",
    text: "The next page, when there is one (RFC 8288).",
    pattern: "^<.*>; rel=\"next\"$",
    always: false,
};
pub(super) const POSITION: Header = Header {
    name: "Tracking-Position",
    text: "Where it stands in the log, `<partition>:<offset>`: a GET that brings it along shows it. Not with a duplicate.",
    pattern: "^[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*$",
    always: false,
};
pub(super) const POSITION_APPLIED: Header = Header {
    name: "Tracking-Position-Applied",
    text: "Whether the position that was brought along is applied in this answer.",
    pattern: "^(true|false)$",
    always: false,
};
const TRACEPARENT: Header = Header {
    name: "traceparent",
    text: "The trace of the request (W3C Trace Context); it goes on with the caller's own.",
    pattern: "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    always: true,
};
const RETRY_AFTER: Header =
    Header { name: "Retry-After", text: "Seconds until it should be tried again.", pattern: "^[0-9]+$", always: true };
const CHALLENGE: Header =
    Header { name: "WWW-Authenticate", text: "How to authenticate (RFC 6750).", pattern: "^Bearer ", always: true };

/// The headers that all errors of a status have.
pub(super) fn of_errors(status: StatusCode) -> &'static [Header] {
    match status {
        StatusCode::UNAUTHORIZED => &[CHALLENGE],
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => &[RETRY_AFTER],
        // Where another request is being answered under the same key.
        StatusCode::CONFLICT => &[Header { always: false, ..RETRY_AFTER }],
        _ => &[],
    }
}

/// `headers`, and the one that every answer has, by name.
pub(super) fn map(headers: &[Header]) -> Value {
    let each = headers.iter().chain([&TRACEPARENT]).map(|header| {
        let schema = json!({"type": "string", "pattern": header.pattern});
        let value = json!({"description": header.text, "required": header.always, "schema": schema});
        (header.name.to_owned(), value)
    });
    Value::Object(each.collect::<Map<_, _>>())
}
