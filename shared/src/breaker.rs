//! A circuit breaker for a dependency that one can do without: when it fails a few times in a row, it is left alone for a
//! moment instead of being waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many failures in a row open the circuit.
const FAILURES: u32 = 3;
/// How long an open circuit stays so before one call may try again.
const REST: Duration = Duration::from_secs(1);

/// The state of a circuit, with the numbers of the metric `shipping_circuit_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go through (0).
    Closed = 0,
    /// One call may try (1).
    HalfOpen = 1,
    /// No call goes through (2).
    Open = 2,
}

/// Counts failures and says whether to try.
#[derive(Debug, Default)]
pub struct Breaker {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failures: u32,
    opened: Option<Instant>,
    trying: bool,
}

impl Breaker {
    /// Whether a call may be made at `now`. After the rest of an open circuit exactly one caller gets `true`, until its result is
    /// reported.
    pub fn allows(&self, now: Instant) -> bool {
        let mut inner = self.inner();
        match inner.opened {
            None => true,
            Some(opened) if now.saturating_duration_since(opened) >= REST && !inner.trying => {
                inner.trying = true;
                true
            }
            Some(_) => false,
        }
    }

    /// A call succeeded.
    pub fn succeeded(&self) {
        *self.inner() = Inner::default();
    }

    /// A call failed at `now`.
    pub fn failed(&self, now: Instant) {
        let mut inner = self.inner();
        inner.failures = inner.failures.saturating_add(1);
        inner.trying = false;
        if inner.failures >= FAILURES {
            inner.opened = Some(now);
        }
    }

    /// The state, for the metric.
    pub fn state(&self) -> CircuitState {
        let inner = self.inner();
        match (inner.opened, inner.trying) {
            (None, _) => CircuitState::Closed,
            (Some(_), true) => CircuitState::HalfOpen,
            (Some(_), false) => CircuitState::Open,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_open_it_and_one_trial_closes_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            assert!(breaker.allows(start));
            breaker.failed(start);
        }
        assert_eq!((breaker.allows(start), breaker.state()), (false, CircuitState::Open));
        let later = start + REST;
        assert!(breaker.allows(later), "one trial");
        assert_eq!((breaker.allows(later), breaker.state()), (false, CircuitState::HalfOpen));
        breaker.failed(later);
        assert!(!breaker.allows(later), "a failed trial opens it again");
        assert!(breaker.allows(later + REST));
        breaker.succeeded();
        assert_eq!((breaker.allows(later), breaker.state()), (true, CircuitState::Closed));
    }
}
