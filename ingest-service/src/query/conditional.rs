//! Conditional reads (RFC 9110, section 13): who has read a shipment before asks with what it was told then, and is answered 304, without
//! a body, when nothing has changed.
//!
//! The entity tag is what counts. `Last-Modified` has whole seconds, and a scan may come in that the edge accepted before the
//! last change was applied; so a caller that sends nothing but `If-Modified-Since` may miss a change, as RFC 9110, section 8.8.2.2, warns.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use shared::shipment::Timestamp;

use crate::request;

/// The answer may be kept by the caller, by nobody on the way, and is not shown again without asking whether it still holds.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Answers with `body`, or 304 when the caller has it already. `version` counts the changes of what is shown, the last of which was
/// at `modified`.
pub(super) fn answer(headers: &HeaderMap, version: i64, modified: Timestamp, body: Vec<u8>) -> Response {
    let tag = entity_tag(version, &body);
    let mut response = if is_known(headers, &tag, modified) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        request::answer_encoded(StatusCode::OK, body)
    };
    let validators = response.headers_mut();
    validators.insert(header::CACHE_CONTROL, CACHE_CONTROL);
    validators.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
    validators.extend(http_date(modified).map(|date| (header::LAST_MODIFIED, date)));
    response
}

/// `"<version>-<64 bits of the hash of the body>"`: a strong one. With the version alone the answers of two releases, which may write the
/// same state in different ways, would pass for one.
fn entity_tag(version: i64, body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let bits = digest[..8].iter().fold(0_u64, |bits, &byte| (bits << 8) | u64::from(byte));
    format!("\"{version}-{bits:016x}\"")
}

/// Whether the caller has what `tag` stands for. With `If-None-Match` the time does not count (section 13.1.3).
fn is_known(headers: &HeaderMap, tag: &str, modified: Timestamp) -> bool {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return has_tag(headers, tag);
    }
    let mut dates = headers.get_all(header::IF_MODIFIED_SINCE).iter();
    let (Some(date), None) = (dates.next(), dates.next()) else { return false };
    // What is no date is as if it were not there.
    let since = date.to_str().ok().and_then(|date| httpdate::parse_http_date(date).ok());
    let since = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
    since.is_some_and(|since| i128::from(modified.unix_seconds()) <= i128::from(since.as_secs()))
}

/// Whether `If-None-Match` says that the caller has what `tag` stands for.
pub(crate) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|line| names(line.as_bytes(), tag.as_bytes()))
}

/// Whether a line of `If-None-Match` names `tag`: `*` names every one; else by weak comparison (section 8.8.3.2), for which `W/` does not count. Tags are
/// taken out of their quotes, because they may hold commas; what is no tag is passed over.
fn names(line: &[u8], tag: &[u8]) -> bool {
    if line.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = line;
    while let Some(begin) = rest.iter().position(|&byte| byte == b'"') {
        let opened = &rest[begin..];
        let Some(length) = opened[1..].iter().position(|&byte| byte == b'"') else { return false };
        let (found, behind) = opened.split_at(length + 2);
        if found == tag {
            return true;
        }
        rest = behind;
    }
    false
}

/// `time` as HTTP writes it; `None` before 1970, which only a record that was imported can say, and HTTP's dates cannot.
fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let seconds = u64::try_from(time.unix_seconds()).ok()?;
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 15 Jun 2025 15:06:40 GMT, and a little.
    const MODIFIED: i64 = 1_750_000_000_750;

    fn ask(headers: &[(header::HeaderName, &'static str)]) -> Response {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            map.append(name, value);
        });
        answer(&map, 7, Timestamp::from_millis(MODIFIED), b"{}".to_vec())
    }

    fn header(response: &Response, name: header::HeaderName) -> Option<&str> {
        response.headers().get(name).map(|value| value.to_str().expect("text"))
    }

    const TAG: &str = "\"7-44136fa355b3678a\"";

    #[test]
    fn an_answer_says_what_it_is_and_how_long_it_holds() {
        for (headers, status) in [(vec![], 200), (vec![(header::IF_NONE_MATCH, TAG)], 304)] {
            let response = ask(&headers);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(header(&response, header::ETAG), Some(TAG));
            assert_eq!(header(&response, header::CACHE_CONTROL), Some("private, no-cache"));
            assert_eq!(header(&response, header::LAST_MODIFIED), Some("Sun, 15 Jun 2025 15:06:40 GMT"));
            let typed = (status == 200).then_some("application/json");
            assert_eq!(header(&response, header::CONTENT_TYPE), typed);
        }
    }

    #[test]
    fn another_version_and_another_writing_of_one_have_other_tags() {
        let tags = [entity_tag(7, b"{}"), entity_tag(8, b"{}"), entity_tag(7, b"{ }"), entity_tag(7, b"")];
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag), "{tag}");
            assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        }
    }

    #[test]
    fn tags_are_compared_weakly_in_lists_and_on_several_lines() {
        let known: [&[&'static str]; 9] = [
            &["\"7-44136fa355b3678a\""],
            &["W/\"7-44136fa355b3678a\""],
            &["*"],
            &[" * "],
            &["\"other\", \"7-44136fa355b3678a\""],
            &["\"a,b\" ,W/\"7-44136fa355b3678a\", \"c\""],
            &["\"other\"", "\"7-44136fa355b3678a\""],
            &["nonsense, \"7-44136fa355b3678a\""],
            &["\"\", \"7-44136fa355b3678a\""],
        ];
        let news: [&[&'static str]; 8] = [
            &[""],
            &["\"6-44136fa355b3678a\""],
            &["7-44136fa355b3678a"],
            &["\"7-44136fa355b3678a"],
            &["\"*\""],
            &["\"x7-44136fa355b3678a\""],
            &["\"a\"7-44136fa355b3678a\"b\""],
            &["w", "\"7\""],
        ];
        for (lines, status) in known.map(|lines| (lines, 304)).into_iter().chain(news.map(|lines| (lines, 200))) {
            let headers: Vec<_> = lines.iter().map(|&line| (header::IF_NONE_MATCH, line)).collect();
            assert_eq!(ask(&headers).status().as_u16(), status, "{lines:?}");
        }
    }

    #[test]
    fn a_time_counts_only_when_there_is_no_tag() {
        const SAME: &str = "Sun, 15 Jun 2025 15:06:40 GMT";
        for (date, status) in [
            (SAME, 304),
            ("Sun, 15 Jun 2025 15:06:41 GMT", 304),
            ("Sun, 15 Jun 2025 15:06:39 GMT", 200),
            ("Sunday, 15-Jun-25 15:06:40 GMT", 304),
            ("Sun Jun 15 15:06:40 2025", 304),
            ("2025-06-15T15:06:40Z", 200),
            ("yesterday", 200),
            ("", 200),
        ] {
            assert_eq!(ask(&[(header::IF_MODIFIED_SINCE, date)]).status().as_u16(), status, "{date}");
        }
        assert_eq!(ask(&[(header::IF_MODIFIED_SINCE, SAME), (header::IF_NONE_MATCH, "\"x\"")]).status().as_u16(), 200);
        assert_eq!(ask(&[(header::IF_MODIFIED_SINCE, SAME), (header::IF_NONE_MATCH, "")]).status().as_u16(), 200);
        let twice = [(header::IF_MODIFIED_SINCE, SAME), (header::IF_MODIFIED_SINCE, SAME)];
        assert_eq!(ask(&twice).status().as_u16(), 200, "more than one is none");
    }

    #[test]
    fn a_time_before_1970_has_no_http_date() {
        let old = answer(&HeaderMap::new(), 1, Timestamp::from_millis(-1), Vec::new());
        assert_eq!((old.status(), header(&old, header::LAST_MODIFIED)), (StatusCode::OK, None));
        let last = answer(&HeaderMap::new(), 1, Timestamp::from_millis(i64::MAX), Vec::new());
        assert_eq!(header(&last, header::LAST_MODIFIED), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
    }
}
