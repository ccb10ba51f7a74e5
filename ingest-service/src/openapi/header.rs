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
pub(super) const CACHE_CONTROL: Header = Header {
    name: "Cache-Control",
    text: "Who may keep the answer, and for how long (RFC 9111).",
    pattern: "^(no-store|(private, )?no-cache|public, max-age=[0-9]+)$",
    always: true,
};
pub(super) const CONTENT_ENCODING: Header =
    Header { name: "Content-Encoding", text: "How it is packed, when it is.", pattern: "^gzip$", always: false };
pub(super) const CONTENT_SECURITY_POLICY: Header = Header {
    name: "Content-Security-Policy",
    text: "The page loads from this host and no other.",
    pattern: "^default-src 'none'; ",
    always: true,
};
/// Of the page under its other name.
pub(super) const MOVED: Header =
    Header { name: "Location", text: "The page.", pattern: r"^\.\./swagger$", always: true };
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
/// Where the operator has set a limit.
pub(super) const OF_LIMITS: [Header; 2] = [
    Header {
        name: "RateLimit-Policy",
        text: "Where there is a limit: its class, `q` how much may be asked for at once, `w` in how many seconds that comes back. Each event of \
               a batch counts, and so does every other request (draft-ietf-httpapi-ratelimit-headers-11).",
        pattern: "^\"(events|reads|writes)\";q=[0-9]+;w=[0-9]+$",
        always: false,
    },
    Header {
        name: "RateLimit",
        text: "Where there is a limit: its class, `r` what is left, `t` in how many seconds there is more.",
        pattern: "^\"(events|reads|writes)\";r=[0-9]+;t=[0-9]+$",
        always: false,
    },
];

impl Header {
    /// The header, in an answer that others share their status with: then it is not in all of them.
    pub(super) fn there(self, always: bool) -> Self {
        Self { always: self.always && always, ..self }
    }
}

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

/// Adds `headers` to those of a response, which stay as they are.
pub(super) fn add(response: &mut Value, headers: Value) {
    let Value::Object(headers) = headers else { return };
    for (name, header) in headers {
        let known = &mut response["headers"][&name];
        if known.is_null() {
            *known = header;
        }
    }
}
