//! The table: what became of the scans of a file. It holds nothing that differs from one run to the next: no tracking
//! numbers, no times, no rates. So two runs over the same file, in whatever mode, are compared byte by byte.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::history::{History, Status};
use crate::outcome::{NoOutcome, Outcome};
use crate::player::Played;

/// Counts over all histories of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Histories in the file.
    pub histories: usize,
    /// Those that hold a delivered scan.
    pub histories_delivered: usize,
    /// Scans with a status: what was to be posted.
    pub posted: usize,
    /// In the history, and moved the status.
    pub applied: usize,
    /// In the history, and moved nothing.
    pub recorded: usize,
    /// Sent before with the same payload.
    pub duplicate: usize,
    /// Sent before with another payload.
    pub conflict: usize,
    /// Against a rule, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Could not be processed.
    pub dead_lettered: usize,
    /// Not accepted.
    pub failed: usize,
    /// Accepted, and no outcome.
    pub lost: usize,
    /// Shipments by their final status, all six.
    pub final_status: BTreeMap<Status, usize>,
    /// Of the histories that hold a delivered scan, those whose shipment ends as delivered.
    pub delivered_as_published: usize,
    /// Shipments that could not be read back.
    pub unread: usize,
    /// Shipments that were read back wrong.
    pub read_back_wrong: usize,
}

impl Report {
    /// Counts what became of `histories`.
    #[must_use]
    pub fn of(histories: &[History], played: &[Played]) -> Self {
        let mut report = Self { final_status: Status::ALL.map(|status| (status, 0)).into(), ..Self::default() };
        for (history, played) in histories.iter().zip(played) {
            report.add(history, played);
        }
        report
    }

    fn add(&mut self, history: &History, played: &Played) {
        self.histories += 1;
        self.posted += history.scans.len();
        for result in &played.results {
            self.count(result);
        }
        match played.final_status {
            Some(status) => *self.final_status.entry(status).or_default() += 1,
            None => self.unread += 1,
        }
        self.read_back_wrong += usize::from(!played.wrong.is_empty());
        if history.holds_delivered() {
            self.histories_delivered += 1;
            self.delivered_as_published += usize::from(played.final_status == Some(Status::Delivered));
        }
    }

    fn count(&mut self, result: &Result<Outcome, NoOutcome>) {
        let counter = match result {
            Ok(Outcome::Applied) => &mut self.applied,
            Ok(Outcome::Recorded) => &mut self.recorded,
            Ok(Outcome::Duplicate) => &mut self.duplicate,
            Ok(Outcome::Conflict) => &mut self.conflict,
            Ok(Outcome::Rejected(reason)) => self.rejected.entry(reason.clone()).or_default(),
            Ok(Outcome::DeadLettered) => &mut self.dead_lettered,
            Err(NoOutcome::Failed(_)) => &mut self.failed,
            Err(NoOutcome::Lost(_)) => &mut self.lost,
        };
        *counter += 1;
    }

    /// Every scan that has a final outcome.
    #[must_use]
    pub fn decided(&self) -> usize {
        let rejected: usize = self.rejected.values().sum();
        self.applied + self.recorded + self.duplicate + self.conflict + rejected + self.dead_lettered
    }

    /// Whether every scan was accepted and decided, and every shipment was read back as the answers said.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.posted == self.decided() && self.dead_lettered == 0 && self.unread == 0 && self.read_back_wrong == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, count: usize| writeln!(formatter, "{name:<32}{count:>8}");
        row("histories", self.histories)?;
        row("  with a delivered scan", self.histories_delivered)?;
        row("scans posted", self.posted)?;
        row("  applied", self.applied)?;
        row("  recorded", self.recorded)?;
        row("  duplicate", self.duplicate)?;
        row("  conflict", self.conflict)?;
        for (reason, &count) in &self.rejected {
            row(&format!("  rejected {reason}"), count)?;
        }
        row("  dead-lettered", self.dead_lettered)?;
        row("  failed (not accepted)", self.failed)?;
        row("  lost (accepted, no outcome)", self.lost)?;
        row("shipments afterwards", self.final_status.values().sum())?;
        for (status, &count) in &self.final_status {
            row(&format!("  {status}"), count)?;
        }
        row("  could not be read", self.unread)?;
        row("  read back wrong", self.read_back_wrong)?;
        let (ends, of) = (self.delivered_as_published, self.histories_delivered);
        writeln!(formatter, "{:<32}{ends:>8} of {of}", "delivered, as the carrier says")
    }
}

/// The scans and shipments about which two plays of the same histories differ, a line for each.
#[must_use]
pub fn differences(histories: &[History], expected: &[Played], got: &[Played]) -> Vec<String> {
    let mut lines = Vec::new();
    for ((history, expected), got) in histories.iter().zip(expected).zip(got) {
        let line = history.line;
        let word = |result: &Result<Outcome, NoOutcome>| match result {
            Ok(outcome) => outcome.to_string(),
            Err(none) => none.to_string(),
        };
        for ((scan, expected), got) in history.scans.iter().zip(&expected.results).zip(&got.results) {
            if expected != got {
                let (expected, got, occurred, status) = (word(expected), word(got), &scan.occurred, scan.status);
                lines.push(format!("line {line}: {status} of {occurred}: expected {expected}, got {got}"));
            }
        }
        if expected.final_status != got.final_status {
            let word = |status: Option<Status>| status.map_or("none", Status::as_str);
            let (expected, got) = (word(expected.final_status), word(got.final_status));
            lines.push(format!("line {line}: final status: expected {expected}, got {got}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;
    use crate::model;

    fn histories() -> Vec<History> {
        let line = r#"{"carrier":"andes","number":"A1","events":[
            {"occurred":"2024-05-01T10:00:00Z","status":"picked_up"},
            {"occurred":"2024-05-01T12:00:00Z","status":"delivered"}]}"#;
        read(line.replace('\n', "").as_bytes()).expect("a history")
    }

    #[test]
    fn a_report_is_sound_only_when_every_scan_is_decided_and_every_shipment_is_right() {
        let (histories, rejected) = (histories(), Ok(Outcome::Rejected("INVALID_TRANSITION".to_owned())));
        let good = model::play(&histories[0]);
        assert_eq!(good.results, [Ok(Outcome::Applied), rejected]);
        let sound = |change: fn(&mut Played)| {
            let mut played = good.clone();
            change(&mut played);
            Report::of(&histories, &[played]).is_sound()
        };
        assert!(sound(|_| ()));
        assert!(!sound(|played| played.results[0] = Err(NoOutcome::Failed("refused".to_owned()))));
        assert!(!sound(|played| played.results[0] = Err(NoOutcome::Lost(60))));
        assert!(!sound(|played| played.results[0] = Ok(Outcome::DeadLettered)));
        assert!(!sound(|played| _ = played.results.pop()), "a scan that is nowhere counted is lost");
        assert!(!sound(|played| played.final_status = None));
        assert!(!sound(|played| played.wrong.push("current_status".to_owned())));
    }

    #[test]
    fn differences_name_line_scan_and_both_outcomes() {
        let histories = histories();
        let expected = model::play(&histories[0]);
        let mut got = expected.clone();
        got.results[1] = Ok(Outcome::Applied);
        got.final_status = Some(Status::Delivered);
        let lines = differences(&histories, &[expected], &[got]);
        let first = "line 1: delivered of 2024-05-01T12:00:00Z: expected rejected INVALID_TRANSITION, got applied";
        assert_eq!(lines, [first, "line 1: final status: expected picked_up, got delivered"]);
    }

    #[test]
    fn the_table_counts_delivered_shipments_against_delivered_histories() {
        let histories = histories();
        let table = Report::of(&histories, &[model::play(&histories[0])]).to_string();
        assert!(table.contains("  rejected INVALID_TRANSITION          1\n"), "{table}");
        assert!(table.ends_with("delivered, as the carrier says         0 of 1\n"), "{table}");
    }
}
