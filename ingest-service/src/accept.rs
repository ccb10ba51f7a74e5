//! The header `Accept` (RFC 9110, section 12.5.1): a caller who does not take what a route answers is told so before anything is done for
//! him.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{Code, Problem};

/// Lets a request through to a route that answers JSON.
///
/// # Errors
/// 406: the caller does not take JSON.
pub(crate) async fn json(request: Request, next: Next) -> Result<Response, Problem> {
    if takes(request.headers(), "application", "json") {
        return Ok(next.run(request).await);
    }
    let detail = "The answer is application/json, which the header Accept leaves out";
    Err(Problem::new(Code::NotAcceptable, detail))
}

/// Lets a request through to a route that answers with a stream of events.
///
/// # Errors
/// 406: the caller does not take one.
pub(crate) async fn events(request: Request, next: Next) -> Result<Response, Problem> {
    if takes(request.headers(), "text", "event-stream") {
        return Ok(next.run(request).await);
    }
    let detail = "The answer is text/event-stream, which the header Accept leaves out";
    Err(Problem::new(Code::NotAcceptable, detail))
}

/// Whether a type is among what the caller takes. The most specific range decides, as the RFC says; a caller who only names the type of our
/// errors takes our other JSON too. No header, or one that cannot be understood, leaves the choice to us.
fn takes(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let (mut understood, mut best) = (false, None);
    for range in lines.flat_map(|line| line.split(',')).filter_map(Range::read) {
        understood = true;
        let precision = match (range.kind.as_str(), range.subtype.as_str()) {
            ("application", "problem+json") if range.wanted && subtype == "json" => return true,
            (named, of) if named == kind && of == subtype => 3,
            (named, "*") if named == kind => 2,
            ("*", "*") => 1,
            _ => continue,
        };
        best = best.max(Some((precision, range.wanted)));
    }
    best.map_or(!understood, |(_, wanted)| wanted)
}

/// One element of the header.
struct Range {
    kind: String,
    subtype: String,
    /// Its weight is not 0.
    wanted: bool,
}

impl Range {
    fn read(element: &str) -> Option<Self> {
        let mut parts = element.split(';').map(str::trim);
        let range = parts.next()?.to_ascii_lowercase();
        // Some libraries write a lone * for everything.
        let (kind, subtype) = if range == "*" { ("*", "*") } else { range.split_once('/')? };
        let mut weights =
            parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = weights.next().and_then(|(_, weight)| weight.trim().parse::<f32>().ok());
        Some(Self {
            kind: kind.to_owned(),
            subtype: subtype.to_owned(),
            wanted: weight.is_none_or(|weight| weight > 0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT, HeaderValue::from_bytes(line).expect("a header value"));
        }
        headers
    }

    fn takes_json(lines: &[&[u8]]) -> bool {
        takes(&headers(lines), "application", "json")
    }

    #[test]
    fn a_stream_is_taken_by_its_own_name_its_kind_and_by_everything() {
        let takes_events = |lines: &[&[u8]]| takes(&headers(lines), "text", "event-stream");
        let taken: [&[&[u8]]; 5] =
            [&[], &[b"text/event-stream"], &[b"text/*"], &[b"*/*"], &[b"*/*;q=0, text/event-stream"]];
        for lines in taken {
            assert!(takes_events(lines), "{lines:?}");
        }
        let left_out: [&[&[u8]]; 4] =
            [&[b"application/json"], &[b"application/problem+json"], &[b"text/html"], &[b"text/event-stream;q=0, */*"]];
        for lines in left_out {
            assert!(!takes_events(lines), "{lines:?}");
        }
    }

    #[test]
    fn json_is_taken_by_name_by_its_kind_and_by_everything() {
        let lines: [&[&[u8]]; 16] = [
            &[],
            &[b""],
            &[b"*/*"],
            &[b"*"],
            &[b"application/*"],
            &[b"application/json"],
            &[b"Application/JSON; charset=utf-8"],
            &[b"application/json;q=0.1"],
            &[b"application/json ; q=0.001"],
            &[b"application/problem+json"],
            &[b"text/html, application/xhtml+xml, */*;q=0.8"],
            &[b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"],
            &[b"text/csv", b"application/json"],
            &[b"*/*;q=0, application/json"],
            &[b"no range at all"],
            &[b"\xff"],
        ];
        for lines in lines {
            assert!(takes_json(lines), "{lines:?}");
        }
    }

    #[test]
    fn json_is_left_out_when_nothing_takes_it_or_its_weight_is_nought() {
        let lines: [&[&[u8]]; 8] = [
            &[b"text/html"],
            &[b"application/xml, text/*"],
            &[b"application/json;q=0"],
            &[b"application/json; q=0.000, */*"],
            &[b"*/*;q=0"],
            &[b"application/*;q=0, */*"],
            &[b"application/problem+json;q=0"],
            &[b"application/x-ndjson", b"application/vnd.api+json"],
        ];
        for lines in lines {
            assert!(!takes_json(lines), "{lines:?}");
        }
    }
}
