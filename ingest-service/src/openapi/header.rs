//! Headers of answers, as the description names them.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A header of an answer.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) name: &'static str,
    /// Its name among the components, where another one may have the same name.
    key: &'static str,
    text: &'static str,
    /// A pattern of its value.
    pattern: &'static str,
    example: &'static str,
    /// Whether it is always there.
    always: bool,
}

pub(super) const LOCATION: Header =
    Header::new("Location", "The path of what was made or accepted.", "^/", "/shipments/99M-7X3K9QBD");
/// Of the page under its other name.
pub(super) const MOVED: Header =
    Header { key: "Location.page", ..Header::new("Location", "The page.", r"^\.\./swagger$", "../swagger") };
pub(super) const PREFERENCE_APPLIED: Header = Header::new(
    "Preference-Applied",
    "The wait that was granted, when one was preferred (RFC 7240).",
    "^wait=[0-9]+$",
    "wait=5",
)
.sometimes();
pub(super) const REPLAYED: Header = Header::new(
    "Idempotent-Replayed",
    "The answer is the one that was given first under this `Idempotency-Key`.",
    "^true$",
    "true",
)
.sometimes();
pub(super) const ETAG: Header =
    Header::new("ETag", "The version of the answer, for If-None-Match.", "^(W/)?\"", "\"5-0123456789abcdef\"");
pub(super) const LAST_MODIFIED: Header =
    Header::new("Last-Modified", "When it was changed last, to the second.", " GMT$", "Wed, 12 Feb 2025 16:30:02 GMT")
        .sometimes();
pub(super) const CACHE_CONTROL: Header = Header::new(
    "Cache-Control",
    "Who may keep the answer, and for how long (RFC 9111).",
    "^(no-store|(private, )?no-cache|public, max-age=[0-9]+)$",
    "private, no-cache",
);
pub(super) const UNBUFFERED: Header =
    Header::new("X-Accel-Buffering", "Proxies pass on what is told as it comes.", "^no$", "no");
pub(super) const CONTENT_ENCODING: Header =
    Header::new("Content-Encoding", "How it is packed, when it is.", "^gzip$", "gzip").sometimes();
pub(super) const CONTENT_SECURITY_POLICY: Header = Header::new(
    "Content-Security-Policy",
    "What a browser may load: nothing, and for the page what is on this host.",
    "^default-src 'none'; ",
    "default-src 'none'; script-src 'self'",
);
/// What every answer has for browsers; the two that an operation may word itself come last.
pub(super) const OF_SECURITY: [Header; 6] = [
    Header::new("X-Content-Type-Options", "Nothing is taken for a page that is none.", "^nosniff$", "nosniff"),
    Header::new("X-Frame-Options", "The answer stands in nobody's frame.", "^DENY$", "DENY"),
    Header::new("Referrer-Policy", "A path names a shipment.", "^no-referrer$", "no-referrer"),
    Header::new("Cross-Origin-Resource-Policy", "Other origins do not load it.", "^same-origin$", "same-origin"),
    CONTENT_SECURITY_POLICY,
    CACHE_CONTROL,
];
pub(super) const LINK: Header = Header::new(
    "Link",
    "The next page, when there is one (RFC 8288).",
    "^<.*>; rel=\"next\"$",
    "</shipments?limit=1&cursor=AQAAAZT6>; rel=\"next\"",
)
.sometimes();
pub(super) const POSITION: Header = Header::new(
    "Tracking-Position",
    "Where it stands in the log, `<partition>:<offset>`: a GET that brings it along shows it. Not with a duplicate.",
    "^[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*$",
    "7:1042",
)
.sometimes();
pub(super) const POSITION_APPLIED: Header = Header::new(
    "Tracking-Position-Applied",
    "Whether the position that was brought along is applied in this answer.",
    "^(true|false)$",
    "true",
)
.sometimes();
/// Every answer has it.
pub(super) const TRACEPARENT: Header = Header::new(
    "traceparent",
    "The trace of the request (W3C Trace Context); it goes on with the caller's own.",
    "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
);
const RETRY_AFTER: Header = Header::new("Retry-After", "Seconds until it should be tried again.", "^[0-9]+$", "2");
const CHALLENGE: Header = Header::new(
    "WWW-Authenticate",
    "How to authenticate (RFC 6750).",
    "^Bearer ",
    "Bearer realm=\"rastro\", error=\"invalid_token\"",
);
/// Where the operator has set a limit.
pub(super) const OF_LIMITS: [Header; 2] = [
    Header::new(
        "RateLimit-Policy",
        "Where there is a limit: its class, `q` how much may be asked for at once, `w` in how many seconds that comes back. Each event of \
         a batch counts, and so does every other request (draft-ietf-httpapi-ratelimit-headers-11).",
        "^\"(events|reads|writes)\";q=[0-9]+;w=[0-9]+$",
        "\"events\";q=2000;w=20",
    )
    .sometimes(),
    Header::new(
        "RateLimit",
        "Where there is a limit: its class, `r` what is left, `t` in how many seconds there is more.",
        "^\"(events|reads|writes)\";r=[0-9]+;t=[0-9]+$",
        "\"events\";r=1500;t=1",
    )
    .sometimes(),
];

impl Header {
    /// One that is always there.
    const fn new(name: &'static str, text: &'static str, pattern: &'static str, example: &'static str) -> Self {
        Self { name, key: name, text, pattern, example, always: true }
    }

    /// The header, where it may be missing.
    pub(super) const fn sometimes(self) -> Self {
        Self { always: false, ..self }
    }

    /// Its name among the components.
    pub(super) fn key(&self) -> String {
        if self.always { self.key.to_owned() } else { format!("{}.optional", self.key) }
    }

    /// What the component says.
    pub(super) fn value(&self) -> Value {
        let schema = json!({"type": "string", "pattern": self.pattern});
        json!({"description": self.text, "required": self.always, "schema": schema, "example": self.example})
    }
}

/// The headers that all errors of a status have.
pub(super) fn of_errors(status: StatusCode) -> &'static [Header] {
    match status {
        StatusCode::UNAUTHORIZED => &[CHALLENGE],
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => &[RETRY_AFTER],
        // Where another request is being answered under the same key.
        StatusCode::CONFLICT => const { &[RETRY_AFTER.sometimes()] },
        _ => &[],
    }
}
