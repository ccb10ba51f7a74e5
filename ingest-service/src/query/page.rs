//! What the pages of all lists have in common: how long one is, and where the next one is.

use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use form_urlencoded::Serializer;
use shared::shipment::Timestamp;

/// Entries on a page when the caller does not say (contract section 4).
pub(crate) const DEFAULT_LIMIT: u32 = 10;
/// Most entries on a page (contract section 4).
pub(crate) const MOST: u32 = 100;

/// What a parameter says, or why it cannot be understood: a word for programs and a text.
pub(crate) type Read<T> = Result<T, (&'static str, String)>;

/// The parameters of a query string, unescaped, in their order.
pub(crate) type Parameters = [(String, String)];

/// How many entries are asked for: more than [`MOST`] becomes that.
pub(crate) fn limit(text: &str) -> Read<u32> {
    number(text, 1..=u64::MAX).map(|number| u32::try_from(number).unwrap_or(MOST).min(MOST))
}

pub(crate) fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Read<u64> {
    let message = || match *range.end() {
        u64::MAX => format!("must be a whole number of at least {}", range.start()),
        end => format!("must be a whole number from {} to {end}; beyond, use cursor", range.start()),
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("malformed", message()));
    }
    // Only digits, so what does not fit is larger than any bound.
    let number = text.parse().unwrap_or(u64::MAX);
    if range.contains(&number) { Ok(number) } else { Err(("out_of_range", message())) }
}

/// An RFC 3339 time.
pub(crate) fn time(text: &str) -> Read<Timestamp> {
    // A + that was not escaped arrives as a space; no RFC 3339 time holds one there.
    let text = text.replace(' ', "+");
    let message = "must be an RFC 3339 time with an offset, such as 2026-01-31T15:04:05Z";
    Timestamp::parse(&text).map_err(|_| ("malformed", message.to_owned()))
}

/// Names the next page, if there is one, in a header `Link` (RFC 8288): the same list, `cursor` behind this page.
pub(crate) fn link_next(response: &mut Response, uri: &Uri, parameters: &Parameters, cursor: Option<&str>) {
    let Some(cursor) = cursor else { return };
    let same =
        parameters.iter().filter(|(name, value)| !matches!(name.as_str(), "offset" | "cursor") && !value.is_empty());
    let query = Serializer::new(String::new()).extend_pairs(same).append_pair("cursor", cursor).finish();
    let link = format!("<{}?{query}>; rel=\"next\"", uri.path());
    // The path is one of ours, and the query is escaped: both are ASCII.
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(header::LINK, link);
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn link(path: &'static str, parameters: &[(&str, &str)], cursor: Option<&str>) -> Option<String> {
        let own: Vec<_> = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut response = ().into_response();
        link_next(&mut response, &Uri::from_static(path), &own, cursor);
        response.headers().get(header::LINK).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn the_link_leads_to_the_same_list_behind_the_page() {
        assert_eq!(link("/shipments", &[("limit", "3")], None), None, "the last page has none");
        assert_eq!(
            link("/v1/shipments?limit=3", &[("limit", "3"), ("offset", "7"), ("status", "")], Some("c-_")).as_deref(),
            Some("</v1/shipments?limit=3&cursor=c-_>; rel=\"next\"")
        );
        assert_eq!(
            link("/shipments", &[("client_id", "ñ>\"; rel=\"prev\"\r\n"), ("cursor", "old")], Some("new")).as_deref(),
            Some("</shipments?client_id=%C3%B1%3E%22%3B+rel%3D%22prev%22%0D%0A&cursor=new>; rel=\"next\""),
            "what a caller wrote does not get out of the brackets"
        );
    }

    // contract: "`limit` default 10, above 100 becomes 100"
    #[test]
    fn a_limit_above_the_bound_becomes_the_bound_and_a_bad_one_is_refused() {
        assert_eq!(limit("7"), Ok(7));
        for large in ["100", "101", "5000000000", "99999999999999999999999"] {
            assert_eq!(limit(large), Ok(MOST), "{large}");
        }
        for bad in ["0", "-1", "ten", "1.5", " 1", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
