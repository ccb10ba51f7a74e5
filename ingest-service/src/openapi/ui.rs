//! `/openapi.json` and `/swagger`: the description, and a page that shows it. Everything that the page loads comes from here.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{Code, Problem};
use crate::query;
use crate::request::PathPart;
use crate::router::Edge;

/// The path of the page, below the prefix.
const PAGE: &str = "swagger";
const DOCUMENT: &str = "doc.json";
const INDEX: &str = "index.html";
/// Files change with the program only: asking again after an hour is often enough for an upgrade to be seen.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=3600");
/// The page loads from this host and no other. Swagger UI writes styles into its elements and draws its icons as data.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
);

/// A file of the page.
struct File {
    name: &'static str,
    media: &'static str,
    /// Packed with gzip: every browser unpacks it.
    packed: bool,
    bytes: &'static [u8],
}

const FILES: [File; 3] = [
    File {
        name: "swagger-ui.css",
        media: "text/css; charset=utf-8",
        packed: true,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
    },
    File {
        name: "swagger-ui-bundle.js",
        media: "text/javascript; charset=utf-8",
        packed: true,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
    },
    File {
        name: "start.js",
        media: "text/javascript; charset=utf-8",
        packed: false,
        bytes: include_bytes!("swagger/start.js"),
    },
];

/// What is asked for by name: `doc.json` is the description again, and `index.html` is where other services of this kind have their page.
pub(super) fn names() -> Vec<&'static str> {
    [DOCUMENT, INDEX].into_iter().chain(FILES.iter().map(|file| file.name)).collect()
}

/// `GET /openapi.json`.
pub(crate) async fn document(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    let document = &edge.document;
    let tag = HeaderValue::try_from(&document.tag).expect("hexadecimal digits");
    let fresh = [(header::ETAG, tag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if query::has_tag(&headers, &document.tag) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    let media = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (fresh, media, document.json.clone()).into_response()
}

/// `GET /swagger`.
pub(crate) async fn page() -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers =
        [(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, KEEP)];
    (headers, include_str!("swagger/index.html")).into_response()
}

/// `GET /swagger/{file}`.
pub(crate) async fn file(edge: State<Edge>, PathPart(name): PathPart, headers: HeaderMap) -> Result<Response, Problem> {
    match name.as_str() {
        DOCUMENT => return Ok(document(edge, headers).await),
        INDEX => {
            let to = HeaderValue::try_from(format!("../{PAGE}")).expect("a word of ours");
            return Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response());
        }
        _ => {}
    }
    let file = FILES.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| Problem::new(Code::NotFound, "The page has no such file"))?;
    let media = [(header::CONTENT_TYPE, HeaderValue::from_static(file.media)), (header::CACHE_CONTROL, KEEP)];
    let mut response = (media, file.bytes).into_response();
    if file.packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
