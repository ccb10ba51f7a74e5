//! Knows when the brokers are away, so that callers are refused at once instead of waiting for a time-out each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nothing was acknowledged for this long although something is on its way: the brokers are away. A fail-over of a leader or a
/// broker's pause is shorter.
const SILENCE: Duration = Duration::from_secs(2);
/// While they are away, so often one append may try.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// A producer to whom nothing was acknowledged for this long is given up for a new one. When the brokers are away, that costs a client; but
/// librdkafka's producer can also hang while they are there: after a broker hung and connections broke within seconds, all records of an
/// idempotent producer timed out for ever, and others' did not. Longer than the time-out of a record twice, and than a broker's restart.
const HANGS: Duration = Duration::from_secs(20);

/// Whether the brokers acknowledge.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Records that are neither acknowledged nor refused.
    in_flight: usize,
    /// Since when nothing was acknowledged although something was on its way.
    silent_since: Option<Instant>,
    away: bool,
    /// Since when they are away, or the producer is the present one, whichever was later.
    waits_since: Option<Instant>,
    probed: Option<Instant>,
}

impl Outage {
    /// Whether an append may be tried at `now`.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.listen(now);
        if !state.away {
            return true;
        }
        let due = state.probed.is_none_or(|probed| now.saturating_duration_since(probed) >= PROBE_INTERVAL);
        if due {
            state.probed = Some(now);
        }
        due
    }

    /// Whether the brokers are away, as far as is known at `now`.
    pub(super) fn is_away(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.listen(now);
        state.away
    }

    /// Whether the producer has had its time, and a new one is to be tried. True once for each producer.
    pub(super) fn gives_producer_up(&self, now: Instant) -> bool {
        let mut state = self.state();
        let hangs = state.waits_since.is_some_and(|since| now.saturating_duration_since(since) >= HANGS);
        if hangs {
            tracing::warn!(hangs = ?HANGS, "nothing was acknowledged; trying a new producer");
            state.waits_since = Some(now);
        }
        hangs
    }

    /// A record was handed over.
    pub(super) fn sent(&self, now: Instant) {
        let mut state = self.state();
        state.in_flight += 1;
        state.silent_since.get_or_insert(now);
    }

    /// A record was acknowledged.
    pub(super) fn acknowledged(&self, now: Instant) {
        let mut state = self.state();
        if state.away {
            tracing::info!("the brokers acknowledge again");
        }
        state.in_flight = state.in_flight.saturating_sub(1);
        state.away = false;
        state.waits_since = None;
        state.probed = None;
        state.silent_since = (state.in_flight > 0).then_some(now);
    }

    /// A record was given up.
    pub(super) fn given_up(&self, now: Instant) {
        let mut state = self.state();
        state.listen(now);
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.in_flight == 0 {
            state.silent_since = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn listen(&mut self, now: Instant) {
        let silence = self.silent_since.map(|since| now.saturating_duration_since(since));
        if !self.away && silence > Some(SILENCE) {
            self.away = true;
            self.waits_since = Some(now);
            tracing::warn!(
                ?silence,
                in_flight = self.in_flight,
                "the brokers acknowledge nothing; appends are refused"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_refuses_all_but_a_probe_until_something_is_acknowledged() {
        let (outage, start) = (Outage::default(), Instant::now());
        assert!(outage.allows(start + SILENCE * 10), "an idle log is not away");
        outage.sent(start);
        outage.sent(start);
        assert!(outage.allows(start + SILENCE), "not yet");
        let later = start + SILENCE + Duration::from_millis(1);
        assert!(outage.allows(later), "a probe");
        assert!(!outage.allows(later) && !outage.allows(later + PROBE_INTERVAL / 2));
        assert!(outage.allows(later + PROBE_INTERVAL), "another probe");
        outage.given_up(later);
        outage.given_up(later);
        assert!(!outage.allows(later + PROBE_INTERVAL), "that nothing is on its way any more proves nothing");
        outage.sent(later + PROBE_INTERVAL);
        outage.acknowledged(later + PROBE_INTERVAL);
        assert!(outage.allows(later + PROBE_INTERVAL) && outage.allows(later + PROBE_INTERVAL));
    }

    #[test]
    fn a_producer_to_whom_nothing_is_acknowledged_is_given_up_again_and_again() {
        let (outage, start) = (Outage::default(), Instant::now());
        assert!(!outage.gives_producer_up(start + HANGS * 10), "an idle producer does not hang");
        outage.sent(start);
        let away = start + SILENCE + Duration::from_millis(1);
        assert!(outage.allows(away), "a probe");
        outage.given_up(away);
        assert!(!outage.gives_producer_up(away + HANGS / 2));
        assert!(outage.gives_producer_up(away + HANGS));
        assert!(!outage.gives_producer_up(away + HANGS), "the new one has its time, too");
        assert!(outage.gives_producer_up(away + HANGS * 2));
        outage.sent(away + HANGS * 2);
        outage.acknowledged(away + HANGS * 2);
        assert!(!outage.gives_producer_up(away + HANGS * 9), "it does not hang any more");
    }

    #[test]
    fn acknowledgements_of_others_break_the_silence() {
        let (outage, start) = (Outage::default(), Instant::now());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            outage.sent(now);
            outage.sent(now);
            outage.acknowledged(now);
            assert!(outage.allows(now) && outage.allows(now), "one of two is always late");
        }
    }
}
