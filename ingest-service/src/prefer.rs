//! The header `Prefer` (RFC 7240): how long a caller would wait for the outcome.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

/// Longest wait that is granted (contract section 4); who asks for more gets this.
pub(crate) const LONGEST_WAIT_SECONDS: u64 = 30;

/// A wait that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    seconds: u64,
}

impl Wait {
    /// The wait that the request prefers. As the RFC says: the first `wait` counts, and one that cannot be understood is ignored.
    pub(crate) fn preferred(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
        let waits = lines.flat_map(preferences).filter_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then_some(value)
        });
        let first = waits.map(str::to_owned).next()?;
        let seconds = first.split(';').next()?.trim().trim_matches('"');
        let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
        // Only digits, so what does not fit is longer than any wait.
        let seconds: u64 = digits.then(|| seconds.parse().unwrap_or(u64::MAX))?;
        Some(Self { seconds: seconds.min(LONGEST_WAIT_SECONDS) })
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The value of `Preference-Applied`.
    pub(crate) fn applied(self) -> HeaderValue {
        HeaderValue::try_from(format!("wait={}", self.seconds)).expect("a number is a header value")
    }
}

/// The preferences of one header line: split at commas, except within quotes.
fn preferences(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(lines: &[&'static str]) -> Option<u64> {
        let headers = lines.iter().map(|&line| (header_name(), HeaderValue::from_static(line)));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        Wait::preferred(&map).map(|wait| wait.seconds)
    }

    fn header_name() -> axum::http::HeaderName {
        axum::http::HeaderName::from_static("prefer")
    }

    // contract: "the final outcome within N s"
    #[test]
    fn a_wait_is_found_among_other_preferences_and_held_to_the_bound() {
        let cases: &[(&[&str], Option<u64>)] = &[
            (&[], None),
            (&["wait=5"], Some(5)),
            (&["Wait = 5"], Some(5)),
            (&["wait=\"5\""], Some(5)),
            (&["respond-async, wait=10"], Some(10)),
            (&["respond-async", "wait=10; foo=bar"], Some(10)),
            (&["foo=\"a, wait=3\", wait=7"], Some(7)),
            (&["wait=2, wait=9"], Some(2)),
            (&["wait=0"], Some(0)),
            (&["wait=3600"], Some(30)),
            (&["wait=99999999999999999999999"], Some(LONGEST_WAIT_SECONDS)),
            (&["wait=+5"], None),
            (&["wait"], None),
            (&["wait=soon"], None),
            (&["wait=-1"], None),
            (&["wait="], None),
            (&["awaiting=4"], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(seconds(lines), *expected, "{lines:?}");
        }
    }
}
