//! Which pages of other origins may call us from a browser (CORS): none, unless `CORS_ALLOWED_ORIGINS` names them.
//!
//! Callers show a token and no cookie, so nobody is harmed by a page that he visits; but a token that a page has got hold of is worth less
//! where no foreign page can use it.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use shared::settings::{Environment, SettingError};
use tower_http::cors::{AllowOrigin, CorsLayer};

const VARIABLE: &str = "CORS_ALLOWED_ORIGINS";
/// How long a browser remembers what it was told. Browsers keep it for two hours at most.
const REMEMBERED: Duration = Duration::from_secs(600);
/// What a page may send.
const SENT: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracking-position"),
];
/// What a page may read of an answer, besides what browsers always show.
const SHOWN: [HeaderName; 11] = [
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracking-position"),
    HeaderName::from_static("tracking-position-applied"),
];

/// The origins whose pages may call us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllowedOrigins {
    None,
    These(Vec<HeaderValue>),
    All,
}

impl AllowedOrigins {
    /// Reads `CORS_ALLOWED_ORIGINS`: origins such as `https://track.example.com`, or `*`.
    ///
    /// # Errors
    /// One of them is no origin.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let Some(text) = environment.text(VARIABLE) else { return Ok(Self::None) };
        if text == "*" {
            return Ok(Self::All);
        }
        let origin = |item: &str| {
            let wrong = || format!("expected * or origins such as https://track.example.com, got {item:?}");
            origin(item).ok_or_else(|| SettingError::new(VARIABLE, wrong()))
        };
        text.split(',').map(|item| origin(item.trim())).collect::<Result<_, _>>().map(Self::These)
    }

    /// What answers browsers that ask, and tells them of each answer; none when nobody is allowed.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::None => return None,
            Self::These(origins) => AllowOrigin::list(origins.iter().cloned()),
            Self::All => AllowOrigin::any(),
        };
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let layer = CorsLayer::new().allow_origin(origins).allow_methods(methods).allow_headers(SENT);
        Some(layer.expose_headers(SHOWN).max_age(REMEMBERED))
    }
}

/// `scheme://host[:port]` as browsers write it: in lower case, and with nothing behind it.
fn origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    let whole = text == format!("{scheme}://{authority}") && text == text.to_ascii_lowercase();
    let plain = !authority.contains(['@', '*']);
    (matches!(scheme, "http" | "https") && whole && plain).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<AllowedOrigins, String> {
        AllowedOrigins::from_environment(&Environment::of(&[(VARIABLE, value)])).map_err(|error| error.to_string())
    }

    #[test]
    fn origins_are_named_one_by_one_or_all_are_meant() {
        assert_eq!(read(""), Ok(AllowedOrigins::None));
        assert_eq!(read("*"), Ok(AllowedOrigins::All));
        let two = ["https://track.example.com", "http://localhost:3000"].map(HeaderValue::from_static);
        assert_eq!(read("https://track.example.com, http://localhost:3000"), Ok(AllowedOrigins::These(two.to_vec())));
        for bad in [
            "track.example.com",
            "https://track.example.com/",
            "https://Track.example.com",
            "https://track.example.com/page",
            "https://*.example.com",
            "ftp://example.com",
            "https://user@example.com",
            "https://a.example.com,",
            "null",
        ] {
            let refused = read(bad);
            assert!(
                refused.as_ref().is_err_and(|error| error.starts_with("CORS_ALLOWED_ORIGINS: ")),
                "{bad}: {refused:?}"
            );
        }
    }
}
