//! The table: what became of the scans of a file. It holds nothing that differs from one run to the next: no tracking
//! numbers, no times, no rates. So two runs over the same file, in whatever mode, are compared byte by byte.
//!
//! Under the field policy, in whatever order too: whether a scan moved the status when it came in depends on what had come in before it,
//! so the table says that it is in the history, and which scans moved the status in the end.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::claim::Status;
use crate::document::Document;
use crate::ends::Ends;
use crate::outcome::{NoOutcome, Outcome};
use crate::plan::{Event, Plan, Policy};
use crate::player::Played;

/// Counts over all histories of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Histories in the file.
    pub histories: usize,
    /// Those that hold a delivered scan.
    pub histories_delivered: usize,
    /// Scans that were to be posted.
    pub posted: usize,
    /// In the history, and moved the status when they were judged.
    pub applied: usize,
    /// In the history, and moved nothing when they were judged.
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
    /// Scans that moved the status in the histories as they were read back. `None` under the strict policy, where these are the applied
    /// ones.
    pub moves: Option<usize>,
    /// Of the histories that hold a delivered scan, those whose shipment ends as delivered.
    pub delivered_as_published: usize,
    /// Shipments that could not be read back.
    pub unread: usize,
    /// Shipments that were read back wrong.
    pub read_back_wrong: usize,
    /// Where the shipments ended, against where the parcels really stood.
    pub ends: Ends,
}

impl Report {
    /// Counts what became of `plans`, all of one policy.
    #[must_use]
    pub fn of(plans: &[Plan<'_>], played: &[Played]) -> Self {
        let field = plans.iter().any(|plan| plan.policy == Policy::Field);
        let final_status = Status::ALL.map(|status| (status, 0)).into();
        let mut report = Self { final_status, moves: field.then_some(0), ..Self::default() };
        for (plan, played) in plans.iter().zip(played) {
            report.add(plan, played);
        }
        report
    }

    fn add(&mut self, plan: &Plan<'_>, played: &Played) {
        self.histories += 1;
        self.posted += plan.events.len();
        for result in &played.results {
            self.count(result);
        }
        match played.final_status {
            Some(status) => *self.final_status.entry(status).or_default() += 1,
            None => self.unread += 1,
        }
        if let (Some(moves), Some(document)) = (&mut self.moves, &played.document) {
            *moves += document.moves.len();
        }
        self.read_back_wrong += usize::from(!played.wrong.is_empty());
        if plan.history.holds_delivered() {
            self.histories_delivered += 1;
            self.delivered_as_published += usize::from(played.final_status == Some(Status::Delivered));
        }
        self.ends.add(plan, played);
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
        match self.moves {
            None => {
                row("  applied", self.applied)?;
                row("  recorded", self.recorded)?;
            }
            Some(_) => row("  in the history", self.applied + self.recorded)?,
        }
        row("  duplicate", self.duplicate)?;
        row("  conflict", self.conflict)?;
        if self.rejected.is_empty() {
            row("  rejected", 0)?;
        }
        for (reason, &count) in &self.rejected {
            row(&format!("  rejected {reason}"), count)?;
        }
        row("  dead-lettered", self.dead_lettered)?;
        row("  failed (not accepted)", self.failed)?;
        row("  lost (accepted, no outcome)", self.lost)?;
        if let Some(moves) = self.moves {
            row("scans that moved the status", moves)?;
        }
        row("shipments afterwards", self.final_status.values().sum())?;
        for (status, &count) in &self.final_status {
            row(&format!("  {status}"), count)?;
        }
        row("  could not be read", self.unread)?;
        row("  read back wrong", self.read_back_wrong)?;
        let (ends, of) = (self.delivered_as_published, self.histories_delivered);
        writeln!(formatter, "{:<32}{ends:>8} of {of}", "delivered, as the carrier says")?;
        self.ends.fmt(formatter)
    }
}

/// The scans and shipments about which two plays of the same plans differ, a line for each.
#[must_use]
pub fn differences(plans: &[Plan<'_>], expected: &[Played], got: &[Played]) -> Vec<String> {
    let mut lines = Vec::new();
    for ((plan, expected), got) in plans.iter().zip(expected).zip(got) {
        let line = plan.history.line;
        let word = |result: &Result<Outcome, NoOutcome>| match result {
            Ok(outcome) => outcome.to_string(),
            Err(none) => none.to_string(),
        };
        for ((event, expected), got) in plan.events.iter().zip(&expected.results).zip(&got.results) {
            if expected != got {
                let (event, expected, got) = (named(event), word(expected), word(got));
                lines.push(format!("line {line}: {event}: expected {expected}, got {got}"));
            }
        }
        if expected.final_status != got.final_status {
            let word = |status: Option<Status>| status.map_or("none", Status::as_str);
            let (expected, got) = (word(expected.final_status), word(got.final_status));
            lines.push(format!("line {line}: final status: expected {expected}, got {got}"));
        }
        if let (Some(expected), Some(got)) = (&expected.document, &got.document) {
            let differing = differing_members(&plan.events, expected, got);
            lines.extend(differing.into_iter().map(|differing| format!("line {line}: {differing}")));
        }
    }
    lines
}

fn named(event: &Event<'_>) -> String {
    format!("{} of {}", event.scan.claim, event.timestamp)
}

fn differing_members(events: &[Event<'_>], expected: &Document, got: &Document) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let moved = |document: &Document| document.moves.contains(&index);
        if moved(expected) != moved(got) {
            lines.push(format!("{}: moved: expected {}, got {}", named(event), moved(expected), moved(got)));
        }
    }
    let scan = |index: Option<usize>| index.map_or_else(|| "none".to_owned(), |index| named(&events[index]));
    let members = [
        ("attempts", expected.attempts.to_string(), got.attempts.to_string()),
        ("last_scan", scan(expected.last_scan), scan(got.last_scan)),
        ("exception", scan(expected.exception), scan(got.exception)),
    ];
    let differing = members.into_iter().filter(|(_, expected, got)| expected != got);
    lines.extend(differing.map(|(member, expected, got)| format!("{member}: expected {expected}, got {got}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, read};
    use crate::model;
    use crate::plan::Options;

    fn histories() -> Vec<History> {
        let line = r#"{"carrier":"andes","number":"A1","events":[
            {"occurred":"2024-05-01T10:00:00Z","status":"picked_up"},
            {"occurred":"2024-05-01T12:00:00Z","status":"delivered"}]}"#;
        read(line.replace('\n', "").as_bytes()).expect("a history")
    }

    fn plans(histories: &[History], policy: Policy) -> Vec<Plan<'_>> {
        histories.iter().map(|history| Plan::of(history, &Options::of(policy))).collect()
    }

    #[test]
    fn a_report_is_sound_only_when_every_scan_is_decided_and_every_shipment_is_right() {
        let (histories, rejected) = (histories(), Ok(Outcome::Rejected("INVALID_TRANSITION".to_owned())));
        let plans = plans(&histories, Policy::Strict);
        let good = model::play(&plans[0]);
        assert_eq!(good.results, [Ok(Outcome::Applied), rejected]);
        let sound = |change: fn(&mut Played)| {
            let mut played = good.clone();
            change(&mut played);
            Report::of(&plans, &[played]).is_sound()
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
        let plans = plans(&histories, Policy::Strict);
        let expected = model::play(&plans[0]);
        let mut got = expected.clone();
        got.results[1] = Ok(Outcome::Applied);
        got.final_status = Some(Status::Delivered);
        let lines = differences(&plans, &[expected], &[got]);
        let first = "line 1: delivered of 2024-05-01T12:00:00Z: expected rejected INVALID_TRANSITION, got applied";
        assert_eq!(lines, [first, "line 1: final status: expected picked_up, got delivered"]);
    }

    #[test]
    fn differences_of_what_a_field_shipment_shows_are_named() {
        let histories = histories();
        let plans = plans(&histories, Policy::Field);
        let expected = model::play(&plans[0]);
        let mut got = expected.clone();
        got.document = Some(Document { moves: vec![1], attempts: 1, last_scan: Some(0), exception: Some(1) });
        let lines = [
            "line 1: picked_up of 2024-05-01T10:00:00Z: moved: expected true, got false",
            "line 1: attempts: expected 0, got 1",
            "line 1: last_scan: expected delivered of 2024-05-01T12:00:00Z, got picked_up of 2024-05-01T10:00:00Z",
            "line 1: exception: expected none, got delivered of 2024-05-01T12:00:00Z",
        ];
        assert_eq!(differences(&plans, &[expected], &[got]), lines);
    }

    #[test]
    fn the_table_counts_delivered_shipments_against_delivered_histories() {
        let histories = histories();
        let plans = plans(&histories, Policy::Strict);
        let table = Report::of(&plans, &[model::play(&plans[0])]).to_string();
        assert!(table.contains("  rejected INVALID_TRANSITION          1\n"), "{table}");
        assert!(table.contains("delivered, as the carrier says         0 of 1\n"), "{table}");
    }

    #[test]
    fn the_table_of_a_field_run_does_not_say_how_scans_were_judged_when_they_came() {
        let histories = histories();
        let plans = plans(&histories, Policy::Field);
        let played = model::play(&plans[0]);
        let mut otherwise = played.clone();
        otherwise.results[0] = Ok(Outcome::Recorded);
        let table = Report::of(&plans, &[played]).to_string();
        assert_eq!(table, Report::of(&plans, &[otherwise]).to_string());
        assert!(table.contains("  in the history                       2\n"), "{table}");
        assert!(table.contains("scans that moved the status            2\n"), "{table}");
    }
}
