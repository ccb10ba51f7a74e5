//! Knows when the brokers are away, so that callers are refused at once instead of waiting for a time-out each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nothing was acknowledged for this long although something is on its way: the brokers are away. A fail-over of a leader or a
/// broker's pause is shorter.
const SILENCE: Duration = Duration::from_secs(2);
/// While they are away, so often one append may try.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

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
