//! The storm breaker: when nearly everything would become a dead letter, the fault is ours, not the records'. A deployment that cannot read
//! what stands in the log must not move all of it into the dead letters; so the processor stops *before* it writes anything of the batch, says
//! so, and goes on when an operator says so.
//!
//! - The window is that of the whole processor, not of a lane: such a fault shows on all partitions, and one window fills soonest.
//! - While a storm is open, all lanes stand still, also with batches that look well: what is judged behind a creation that could not be read
//!   would be rejected for ever.
//! - An operator's word lets the present storm through, until it has come and the share is below the threshold again. The next storm needs a new word.
//! - Conflicts of keys do not count: they are an outcome that any sender can cause, and a sender must not be able to stop the platform.
//!
//! The window is kept in memory. A processor that is started again in the middle of a storm stops again within the next
//! [`WINDOW`] records; a word that was given in the last [`WORD_HOLDS`] is good for it too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use shared::clock::Clock;
use shared::dead_letters::{StormNotice, last_word};
use shared::operator_log::OperatorLog;
use shared::shipment::Timestamp;

use crate::config::MOST_LANES;
use crate::consume::BATCH_RECORDS;

/// Records of which the share is taken, at least: fewer say nothing. Whole batches are in it, so it may be larger.
pub(crate) const WINDOW: usize = 500;
/// How long before a storm was noticed an operator's word may have been given: of several processors one notices first, and the word for
/// it is meant for all. It also covers clocks that differ.
pub(crate) const WORD_HOLDS: Duration = Duration::from_secs(120);

/// What all lanes together may hold at a storm, in records: until so many have passed, a calm window does not say that it is over.
const HELD: usize = MOST_LANES * BATCH_RECORDS;

/// The breaker of one processor.
pub(crate) struct StormBreaker {
    /// More than so many of a hundred records; 0 for never.
    percent: u8,
    operators: Arc<dyn OperatorLog>,
    clock: Clock,
    /// 1 while it is open.
    open: IntGauge,
    notice: StormNotice,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Finished batches, the oldest first: their records, and how many of them became dead letters.
    batches: VecDeque<Share>,
    sum: Share,
    phase: Phase,
    /// The word that was used last.
    heard: Option<Timestamp>,
}

/// How many records, and how many of them are dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) records: usize,
    pub(crate) dead: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Calm,
    /// Nothing goes on, since then.
    Open(Timestamp),
    /// An operator has said so.
    LetThrough(Passed),
}

/// What has passed since an operator let a storm through.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Passed {
    records: usize,
    /// The storm itself was among them.
    storm: bool,
}

impl Share {
    fn plus(self, other: Self) -> Self {
        Self { records: self.records + other.records, dead: self.dead + other.dead }
    }

    fn is_storm(self, percent: u8) -> bool {
        self.records >= WINDOW && self.dead * 100 > self.records * usize::from(percent)
    }
}

impl StormBreaker {
    pub(crate) fn new(percent: u8, operators: Arc<dyn OperatorLog>, clock: Clock, open: IntGauge) -> Self {
        open.set(0);
        Self { percent, operators, clock, open, notice: StormNotice::default(), state: Mutex::default() }
    }

    /// What is wrong, for those who look at the health.
    pub(crate) fn notice(&self) -> &StormNotice {
        &self.notice
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch with this share may be written.
    pub(crate) fn admits(&self, share: Share) -> bool {
        if self.percent == 0 {
            return true;
        }
        let mut state = self.state();
        match state.phase {
            Phase::LetThrough(_) => true,
            Phase::Open(_) => false,
            Phase::Calm => {
                let sum = state.sum.plus(share);
                if share.dead == 0 || !sum.is_storm(self.percent) {
                    return true;
                }
                state.phase = Phase::Open((self.clock)());
                self.open.set(1);
                let trouble = format!(
                    "of the last {} records {} would be dead letters, more than DLQ_STORM_PERCENT={}: nothing is processed. Look at the \
                     log, roll back or repair; then POST /admin/dead-letters/storm/continue, or run: processor-service dead-letters continue",
                    sum.records, sum.dead, self.percent
                );
                tracing::error!(trouble, "a storm of dead letters: the processor stops");
                self.notice.set(Some(trouble));
                false
            }
        }
    }

    /// A batch with this share is durable.
    pub(crate) fn passed(&self, share: Share) {
        let mut state = self.state();
        state.batches.push_back(share);
        state.sum = state.sum.plus(share);
        while let Some(&oldest) = state.batches.front()
            && state.sum.records - oldest.records >= WINDOW
        {
            state.sum = Share { records: state.sum.records - oldest.records, dead: state.sum.dead - oldest.dead };
            state.batches.pop_front();
        }
        let is_storm = state.sum.is_storm(self.percent);
        if let Phase::LetThrough(passed) = &mut state.phase {
            passed.records += share.records;
            passed.storm |= is_storm;
            // Before the storm has come, others pass that were held with it.
            if !is_storm && (passed.storm || passed.records >= HELD) {
                state.phase = Phase::Calm;
                tracing::info!("the storm of dead letters is over");
            }
        }
    }

    /// Whether an operator has let the storm through by now.
    pub(crate) async fn is_let_through(&self) -> bool {
        let Phase::Open(since) = self.state().phase else { return true };
        let word = match last_word(&*self.operators).await {
            Ok(word) => word,
            Err(error) => {
                tracing::warn!(%error, "whether an operator has let the storm through cannot be read");
                return false;
            }
        };
        let mut state = self.state();
        let good = |word: &Timestamp| word.plus(WORD_HOLDS) >= since && state.heard.is_none_or(|heard| heard < *word);
        let Some(word) = word.filter(good) else { return matches!(state.phase, Phase::LetThrough(_)) };
        state.heard = Some(word);
        state.phase = Phase::LetThrough(Passed::default());
        self.open.set(0);
        self.notice.set(None);
        tracing::warn!(%word, "an operator has let the storm of dead letters through");
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use serde_json::json;
    use shared::operator_log::memory::MemoryOperatorLog;
    use shared::operator_log::{Act, Entry};

    use super::*;

    const BEGIN: i64 = 1_750_000_000_000;

    fn breaker(percent: u8, clock: Clock) -> (StormBreaker, Arc<MemoryOperatorLog>) {
        let operators = Arc::new(MemoryOperatorLog::default());
        let gauge = IntGauge::new("open", "open").expect("a name");
        (StormBreaker::new(percent, operators.clone(), clock, gauge), operators)
    }

    fn share(records: usize, dead: usize) -> Share {
        Share { records, dead }
    }

    fn begin() -> Timestamp {
        Timestamp::from_millis(BEGIN)
    }

    async fn say(operators: &MemoryOperatorLog, at: i64) {
        let at = Timestamp::from_millis(at);
        let entry = Entry { at, by: "ana".to_owned(), act: Act::DeadLetterStormContinued, details: json!({}) };
        operators.write(&entry).await.expect("written");
    }

    #[test]
    fn it_opens_when_more_than_the_share_of_at_least_a_window_is_dead_and_not_before() {
        let (breaker, _) = breaker(50, begin);
        assert!(breaker.admits(share(499, 499)), "too few say nothing");
        assert!(breaker.admits(share(500, 250)), "not more than half");
        assert!(!breaker.admits(share(500, 251)));
        assert!(!breaker.admits(share(1, 0)), "then nothing goes on");
        assert!(breaker.notice().get().expect("said").contains("251"));
        assert_eq!(breaker.open.get(), 1);
    }

    #[test]
    fn the_window_is_of_the_last_records_in_batches_of_any_size() {
        let (breaker, _) = breaker(50, begin);
        for _ in 0..10_000 {
            assert!(breaker.admits(share(1, 0)));
            breaker.passed(share(1, 0));
        }
        let mut buried = 0;
        while breaker.admits(share(1, 1)) {
            breaker.passed(share(1, 1));
            buried += 1;
        }
        assert!((245..=255).contains(&buried), "half of a window and not half of all: {buried}");
        assert!(breaker.state().batches.len() <= WINDOW + 1, "bounded");
    }

    #[test]
    fn none_of_a_hundred_turns_it_off() {
        let (breaker, _) = breaker(0, begin);
        for _ in 0..10 {
            assert!(breaker.admits(share(1_000, 1_000)));
            breaker.passed(share(1_000, 1_000));
        }
    }

    #[tokio::test]
    async fn a_word_lets_the_present_storm_through_and_the_next_one_needs_another() {
        static NOW: AtomicI64 = AtomicI64::new(BEGIN);
        let (breaker, operators) = breaker(50, || Timestamp::from_millis(NOW.load(Ordering::SeqCst)));
        say(&operators, BEGIN - 200_000).await;
        assert!(!breaker.admits(share(500, 500)));
        assert!(!breaker.is_let_through().await, "a word from long ago was for another storm");
        operators.set_away(true);
        assert!(!breaker.is_let_through().await, "no word was read");
        operators.set_away(false);
        say(&operators, BEGIN + 5).await;
        assert!(breaker.is_let_through().await);
        assert_eq!((breaker.notice().get(), breaker.open.get()), (None, 0));
        for _ in 0..5 {
            assert!(breaker.admits(share(500, 500)), "the whole of it");
            breaker.passed(share(500, 500));
        }
        breaker.passed(share(500, 0));
        NOW.store(BEGIN + 10, Ordering::SeqCst);
        assert!(!breaker.admits(share(1_000, 1_000)), "it was over");
        assert!(!breaker.is_let_through().await, "that word has been used");
        say(&operators, BEGIN + 20).await;
        assert!(breaker.is_let_through().await);
    }

    #[tokio::test]
    async fn a_word_holds_until_the_storm_has_come_whatever_passes_before_it() {
        let (breaker, operators) = breaker(50, begin);
        breaker.passed(share(500, 0));
        assert!(!breaker.admits(share(2_000, 2_000)));
        say(&operators, BEGIN + 5).await;
        assert!(breaker.is_let_through().await);
        breaker.passed(share(20, 0)); // of another lane, which was held too
        assert!(breaker.admits(share(2_000, 2_000)), "what the word was given for");
        breaker.passed(share(2_000, 2_000));
        breaker.passed(share(500, 0));
        assert!(!breaker.admits(share(2_000, 2_000)), "it was over");
    }

    #[tokio::test]
    async fn a_word_for_a_storm_that_does_not_come_is_used_up_when_what_was_held_has_passed() {
        let (breaker, operators) = breaker(50, begin);
        assert!(!breaker.admits(share(500, 500)));
        say(&operators, BEGIN + 5).await;
        assert!(breaker.is_let_through().await);
        breaker.passed(share(HELD, 0)); // the fault was repaired meanwhile
        assert!(!breaker.admits(share(HELD * 2, HELD * 2)), "that is another storm");
    }

    #[tokio::test]
    async fn a_word_for_one_processor_is_good_for_those_that_notice_a_little_later() {
        let (breaker, operators) = breaker(50, begin);
        say(&operators, BEGIN - 60_000).await;
        assert!(!breaker.admits(share(500, 500)));
        assert!(breaker.is_let_through().await);
    }
}
