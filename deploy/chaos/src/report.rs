//! The table at the end of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check::{Breach, Verdict};
use crate::faults::inject::Injected;
use crate::ledger::Ledger;

/// Violations that are shown; the rest is counted.
const SHOWN: usize = 20;
/// Bytes of one that are shown.
const SHOWN_BYTES: usize = 1_500;

/// What a run gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The faults, in the order in which they were healed.
    pub faults: Vec<Injected>,
    /// How often callers were refused, and how often they got no answer.
    pub troubles: (usize, usize),
    /// Programs that ended by themselves, which an orchestrator starts again.
    pub ended: Vec<String>,
    /// What was compared.
    pub verdict: Verdict,
}

impl Report {
    /// The report of a run whose callers kept `ledgers`.
    #[must_use]
    pub fn of(faults: Vec<Injected>, ledgers: &[Ledger], ended: Vec<String>, verdict: Verdict) -> Self {
        Self { faults, troubles: Ledger::troubles(ledgers), ended, verdict }
    }

    /// How much is not as it must be in this way.
    #[must_use]
    pub fn breaches(&self, breach: Breach) -> usize {
        self.verdict.violations.iter().filter(|violation| violation.breach == breach).count()
    }

    /// How many faults the platform did not recover from in time, or that showed something else wrong.
    #[must_use]
    pub fn unrecovered(&self) -> usize {
        self.faults.iter().filter(|fault| fault.recovery.is_none() || fault.complaint.is_some()).count()
    }

    /// Whether nothing is wrong, and something was looked at.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let looked = !self.faults.is_empty() && self.verdict.acknowledged > 0;
        looked && self.verdict.violations.is_empty() && self.unrecovered() == 0
    }

    /// What is wrong, a line for each.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let short = |text: String| match text.char_indices().nth(SHOWN_BYTES) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        let all = &self.verdict.violations;
        let mut lines: Vec<_> = all.iter().take(SHOWN).map(|violation| short(violation.to_string())).collect();
        if let Some(more @ 1..) = all.len().checked_sub(SHOWN) {
            lines.push(format!("and {more} more"));
        }
        for Injected { kind, recovery, complaint } in &self.faults {
            if recovery.is_none() {
                lines.push(format!("{kind}: not recovered"));
            }
            lines.extend(complaint.iter().map(|complaint| format!("{kind}: {complaint}")));
        }
        lines.extend(self.ended.iter().map(|ended| format!("ended by itself, and was started again: {ended}")));
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for fault in &self.faults {
            kinds.entry(&fault.kind).or_default().extend(fault.recovery);
        }
        writeln!(formatter, "{:<34}{:>8}{:>16}{:>16}", "fault", "times", "recovery p50 s", "recovery max s")?;
        for (kind, mut recoveries) in kinds {
            let times = self.faults.iter().filter(|fault| fault.kind == kind).count();
            row(formatter, kind, times, &mut recoveries)?;
        }
        let mut all: Vec<_> = self.faults.iter().filter_map(|fault| fault.recovery).collect();
        row(formatter, "all faults", self.faults.len(), &mut all)?;
        writeln!(formatter)?;
        let verdict = &self.verdict;
        let mut line = |name: &str, count: usize| writeln!(formatter, "{name:<34}{count:>8}");
        line("requests acknowledged", verdict.acknowledged)?;
        line("  refused (503), sent again", self.troubles.0)?;
        line("  unanswered, sent again", self.troubles.1)?;
        line("records in the log", verdict.records)?;
        line("  duplicates", verdict.duplicates)?;
        line("  poison", verdict.poison)?;
        line("  refused by the store", verdict.refused)?;
        for (outcome, count) in &verdict.outcomes {
            line(&format!("  {outcome}"), *count)?;
        }
        line("parked events", verdict.parked.events)?;
        line("  released by a redrive", verdict.parked.by_redrive)?;
        line("  released by time", verdict.parked.by_time)?;
        line("shipments", verdict.shipments)?;
        line("changes", verdict.changes)?;
        line("dead letters", verdict.dead_letters)?;
        line("programs that ended by themselves", self.ended.len())?;
        for breach in Breach::ALL {
            line(breach.as_str(), self.breaches(breach))?;
        }
        line("not recovered", self.unrecovered())
    }
}

fn row(formatter: &mut fmt::Formatter<'_>, name: &str, times: usize, recoveries: &mut [Duration]) -> fmt::Result {
    recoveries.sort_unstable();
    let seconds = |duration: Option<&Duration>| match duration {
        Some(duration) => format!("{:.1}", duration.as_secs_f64()),
        None => "-".to_owned(),
    };
    let median = seconds(recoveries.get(recoveries.len() / 2));
    writeln!(formatter, "{name:<34}{times:>8}{median:>16}{:>16}", seconds(recoveries.last()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Violation;

    fn report() -> Report {
        let fault = |kind: &str, seconds| Injected {
            kind: kind.to_owned(),
            recovery: Some(Duration::from_millis(seconds)),
            complaint: None,
        };
        let faults = vec![fault("kill -9 Kafka", 9_000), fault("FLUSHALL", 100), fault("FLUSHALL", 300)];
        Report { faults, verdict: Verdict { acknowledged: 1, ..Verdict::default() }, ..Report::default() }
    }

    #[test]
    fn the_table_counts_faults_by_kind_with_their_recoveries() {
        let table = report().to_string();
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
        assert_eq!(line("FLUSHALL").split_whitespace().collect::<Vec<_>>(), ["FLUSHALL", "2", "0.3", "0.3"]);
        assert!(line("all faults").ends_with("9.0"), "{table}");
        assert!(line("lost").ends_with(" 0"), "{table}");
    }

    #[test]
    fn a_run_is_sound_only_when_nothing_is_wrong_and_something_was_looked_at() {
        assert!(report().is_sound());
        assert!(!Report::default().is_sound());
        let mut lost = report();
        lost.verdict.violations.push(Violation { breach: Breach::Lost, what: "it".to_owned() });
        assert!(!lost.is_sound());
        assert_eq!(lost.complaints(), ["lost: it"]);
        let mut hung = report();
        hung.faults[0].recovery = None;
        assert!(!hung.is_sound());
    }
}
