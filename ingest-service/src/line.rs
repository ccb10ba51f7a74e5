//! The one line in the log that each request has, when it is answered. It says what kind of request it was and how it ended, and nothing
//! that was sent: a query may search for a parcel, and a body has names and addresses.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, Uri};

use crate::error::{Code, Problem};
use crate::router::{Edge, is_for_operators};

/// Longest path that is written, in characters: a path of ours with the longest event id, and room for one that is mistyped.
const PATH_CHARACTERS: usize = 200;
/// How often the log says that a request was put off: with a dependency away all of them are.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Writes the line of a request to `route` that ended with `status`. Failures of our own or of a dependency are told as such, with what a
/// dependency said; a caller's mistake is the caller's affair.
pub(crate) fn write(
    edge: &Edge,
    route: &str,
    uri: &Uri,
    problem: Option<&Problem>,
    status: StatusCode,
    took: Duration,
) {
    let (path, status) = (path(route, uri), status.as_u16());
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let Some(problem) = problem else {
        if is_for_operators(route) {
            tracing::debug!(%path, status, took_ms, "a probe was answered"); // every few seconds, by each who watches us
        } else {
            tracing::info!(%path, status, took_ms, "a request was answered");
        }
        return;
    };
    let (error, cause) = (problem.code().word(), problem.cause().unwrap_or_default());
    match problem.code() {
        Code::InternalError => tracing::error!(%path, status, took_ms, error, cause, "a request failed"),
        Code::Panicked => edge.metrics.panicked(), // the panic is in the log, with the same trace
        Code::ServiceUnavailable => {
            if let Some(unsaid) = edge.put_off.say(Instant::now()) {
                tracing::warn!(%path, status, took_ms, error, cause, unsaid, "a request was put off");
            }
        }
        _ => {
            let detail = tracing::enabled!(tracing::Level::DEBUG).then(|| problem.detail());
            tracing::info!(%path, status, took_ms, error, detail, "a request was refused");
        }
    }
}

/// The path, unless it has somebody's name in it; then its pattern.
fn path<'a>(route: &'a str, uri: &'a Uri) -> Cow<'a, str> {
    if route.contains("{username}") {
        return route.into();
    }
    match uri.path().char_indices().nth(PATH_CHARACTERS) {
        None => uri.path().into(),
        Some((end, _)) => format!("{}…", &uri.path()[..end]).into(),
    }
}

/// Holds back lines that say the same over and over.
#[derive(Default)]
pub(crate) struct PutOff(Mutex<(Option<Instant>, u64)>);

impl PutOff {
    /// How many went unsaid since the last time, when it is time to say it again.
    pub(crate) fn say(&self, now: Instant) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, unsaid) = &mut *held;
        if said.is_some_and(|said| now.duration_since(said) < SAY_EVERY) {
            *unsaid += 1;
            return None;
        }
        *said = Some(now);
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_a_second_with_what_went_unsaid() {
        let (put_off, start) = (PutOff::default(), Instant::now());
        assert_eq!(put_off.say(start), Some(0));
        assert_eq!((put_off.say(start), put_off.say(start)), (None, None));
        assert_eq!(put_off.say(start + SAY_EVERY), Some(2));
    }

    #[test]
    fn a_path_is_bounded_and_never_a_name() {
        let uri = |text: &str| text.parse::<Uri>().expect("a path");
        assert_eq!(path("/auth/users/{username}", &uri("/auth/users/zoe")), "/auth/users/{username}");
        assert_eq!(path("unmatched", &uri("/nowhere?token=secret")), "/nowhere");
        let long = uri(&format!("/{}", "x".repeat(10_000)));
        assert_eq!(path("unmatched", &long).chars().count(), PATH_CHARACTERS + 1);
    }
}
