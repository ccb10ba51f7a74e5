//! Compares what the platform holds with what must have become of the log, and the log with what the callers were told.

mod changes;
mod dead_letters;
mod ledgers;
mod shipments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::evidence::{Evidence, Position};
use crate::ledger::Ledger;
use crate::model::{self, Expected, ReleasedBy};

/// In which way something is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// It was acknowledged, or follows from what was, and is not there.
    Lost,
    /// It took effect twice, or although it never was.
    Doubled,
    /// It took effect in another order.
    Reordered,
    /// It took another effect.
    Wrong,
}

impl Breach {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Reordered, Self::Wrong];

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::Wrong => "wrong",
        }
    }
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// In which way.
    pub breach: Breach,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.breach.as_str(), self.what)
    }
}

/// Collects violations.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, breach: Breach, what: impl Into<String>) {
        self.0.push(Violation { breach, what: what.into() });
    }

    fn unless(&mut self, fine: bool, breach: Breach, what: impl FnOnce() -> String) {
        if !fine {
            self.add(breach, what());
        }
    }
}

/// What was compared, and what is not as it must be.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Events and registrations that were acknowledged; what was sent twice counts twice.
    pub acknowledged: usize,
    /// Records in the topic of events.
    pub records: usize,
    /// Those that repeat one before them.
    pub duplicates: usize,
    /// Shipments.
    pub shipments: usize,
    /// Outcomes by their words, rejections with their reasons.
    pub outcomes: BTreeMap<String, usize>,
    /// Records that cannot be processed.
    pub poison: usize,
    /// Records that the store refused.
    pub refused: usize,
    /// Events that waited behind one of either.
    pub parked: Parked,
    /// Records in the topic of dead letters.
    pub dead_letters: usize,
    /// Records in the topic of changes.
    pub changes: usize,
    /// What is not as it must be.
    pub violations: Vec<Violation>,
}

/// Events that were parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    /// All of them.
    pub events: usize,
    /// Those that were judged when what they waited for came again.
    pub by_redrive: usize,
    /// Those that were judged when it had been waited for long enough.
    pub by_time: usize,
}

impl Parked {
    fn of(expected: &Expected) -> Self {
        let parked = || expected.judged().filter(|(_, event)| event.before.contains(&"parked"));
        let by = |by| parked().filter(|(_, event)| event.released.is_some_and(|(released, _)| released == by)).count();
        Self { events: parked().count(), by_redrive: by(ReleasedBy::Redrive), by_time: by(ReleasedBy::Time) }
    }
}

/// Compares everything. `poison` is where the poison stands that was acknowledged.
#[must_use]
pub fn check(evidence: &Evidence, ledgers: &[Ledger], poison: &[Position]) -> Verdict {
    let expected = model::fold(&evidence.events);
    let mut found = Found::default();
    for odd in expected.odd.iter().cloned().chain(model::ambiguous_ids(&evidence.events)) {
        found.add(Breach::Wrong, odd);
    }
    for number in &expected.waiting {
        found.add(Breach::Lost, format!("{number} waits for a dead letter still, and nobody gives it up"));
    }
    ledgers::check(&mut found, evidence, &expected, ledgers, poison);
    shipments::check(&mut found, evidence, &expected);
    changes::check(&mut found, evidence, &expected);
    dead_letters::check(&mut found, evidence, &expected);
    verdict(evidence, &expected, ledgers, found)
}

fn verdict(evidence: &Evidence, expected: &Expected, ledgers: &[Ledger], found: Found) -> Verdict {
    let mut outcomes = BTreeMap::new();
    for (_, event) in expected.judged() {
        let outcome = match &event.reason {
            Some(reason) if event.outcome == "rejected" => format!("rejected {reason}"),
            _ => event.outcome.to_owned(),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    Verdict {
        acknowledged: ledgers.iter().map(|ledger| ledger.events.len() + ledger.registered.len()).sum(),
        records: evidence.events.len(),
        duplicates: expected.duplicates,
        shipments: expected.accounts.len(),
        outcomes,
        poison: expected.poison.len(),
        refused: expected.refused.len(),
        parked: Parked::of(expected),
        dead_letters: evidence.dead_letters.len(),
        changes: evidence.changes.len(),
        violations: found.0,
    }
}
