//! Where the shipments ended, against where the parcels really stood.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::claim::Status;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::player::Played;
use crate::true_status;

/// How many shipments of one true status ended right and wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they say what they are")]
pub struct End {
    pub right: usize,
    pub wrong: usize,
}

/// A history whose shipment ended wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongEnd {
    /// Its line in the file.
    pub line: usize,
    /// The carrier.
    pub carrier: String,
    /// Where the parcel really stood.
    pub truth: Status,
    /// Where the shipment ended. `None`: it could not be read.
    pub got: Option<Status>,
    /// Why, as far as it can be told.
    pub why: String,
}

/// The ends of all shipments of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// By true status, all six.
    pub by_true_status: BTreeMap<Status, End>,
    /// Those that are wrong, in the order of the file.
    pub wrong: Vec<WrongEnd>,
}

impl Default for Ends {
    fn default() -> Self {
        Self { by_true_status: Status::ALL.map(|status| (status, End::default())).into(), wrong: Vec::new() }
    }
}

impl Ends {
    /// Counts one more.
    pub fn add(&mut self, plan: &Plan<'_>, played: &Played) {
        let truth = true_status::of(plan.history);
        let end = self.by_true_status.entry(truth).or_default();
        if played.final_status == Some(truth) {
            end.right += 1;
            return;
        }
        end.wrong += 1;
        let (line, carrier) = (plan.history.line, plan.history.carrier.clone());
        self.wrong.push(WrongEnd { line, carrier, truth, got: played.final_status, why: why(plan, played, truth) });
    }

    /// Those that ended right.
    #[must_use]
    pub fn right(&self) -> usize {
        self.by_true_status.values().map(|end| end.right).sum()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.right() + self.wrong.len()
    }

    /// Whether `percent` of them or more ended right.
    #[must_use]
    pub fn are_right_to(&self, percent: usize) -> bool {
        100 * self.right() >= percent * self.all()
    }
}

/// Says what became of the newest scan that claims `truth`. Whether it was applied or recorded when it came in depends on the order
/// of arrival and is not said.
fn why(plan: &Plan<'_>, played: &Played, truth: Status) -> String {
    if let Some(Err(error)) = played.results.iter().find(|result| result.is_err()) {
        return format!("a scan has no outcome: {error}");
    }
    let events = plan.events.iter().zip(&played.results);
    let newest =
        events.filter(|(event, _)| event.scan.claim.status() == Some(truth)).max_by_key(|(event, _)| event.millis);
    match newest {
        Some((_, Ok(outcome))) if outcome.is_in_history() => match played.final_status {
            Some(got @ (Status::Delivered | Status::Cancelled)) => format!("nothing moves it after {got}"),
            _ => format!("its {truth} scan is in the history"),
        },
        Some((event, Ok(Outcome::Duplicate))) => format!("its {truth} scan of {} is a duplicate", event.scan.occurred),
        Some((event, Ok(outcome))) => format!("its {truth} scan of {}: {outcome}", event.scan.occurred),
        Some((_, Err(_))) | None => "it cannot be told".to_owned(),
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<32}{:>8}{:>8}", "true status", "right", "wrong")?;
        for (status, End { right, wrong }) in &self.by_true_status {
            writeln!(formatter, "{:<32}{right:>8}{wrong:>8}", format!("  {status}"))?;
        }
        let (right, all) = (self.right(), self.all());
        // Rounded down: all but one are never 100 %.
        let tenths = (1000 * right).checked_div(all).unwrap_or(1000);
        writeln!(formatter, "{:<32}{right:>8} of {all} ({}.{} %)", "end right", tenths / 10, tenths % 10)?;
        for WrongEnd { line, carrier, truth, got, why } in &self.wrong {
            let got = got.map_or("nothing that can be read", Status::as_str);
            writeln!(formatter, "  line {line}, {carrier}: {truth}, ended as {got}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, read};
    use crate::model;
    use crate::plan::{Options, Policy};

    fn ends(lines: &[&str], policy: Policy, change: impl Fn(&mut Played)) -> Ends {
        let scan = |(hour, status): (usize, &str)| {
            format!(r#"{{"occurred":"2024-05-01T{hour:02}:00:00Z","status":"{status}"}}"#)
        };
        let line = |statuses: &&str| {
            let events: Vec<_> = statuses.split_whitespace().enumerate().map(scan).collect();
            format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","))
        };
        let text: Vec<_> = lines.iter().map(line).collect();
        let histories: Vec<History> = read(text.join("\n").as_bytes()).expect("histories");
        let mut ends = Ends::default();
        for history in &histories {
            let plan = Plan::of(history, &Options::of(policy));
            let mut played = model::play(&plan);
            change(&mut played);
            ends.add(&plan, &played);
        }
        ends
    }

    #[test]
    fn the_table_counts_both_ends_and_names_the_wrong_ones() {
        let lines = ["picked_up delivered", "picked_up in_warehouse", "in_transit"];
        let expected = "\
true status                        right   wrong
  created                              0       0
  picked_up                            0       0
  in_warehouse                         1       0
  in_transit                           0       1
  delivered                            0       1
  cancelled                            0       0
end right                              1 of 3 (33.3 %)
  line 1, andes: delivered, ended as picked_up: its delivered scan of 2024-05-01T01:00:00Z: rejected INVALID_TRANSITION
  line 3, andes: in_transit, ended as created: its in_transit scan of 2024-05-01T00:00:00Z: rejected INVALID_TRANSITION
";
        assert_eq!(ends(&lines, Policy::Strict, |_| ()).to_string(), expected);
        assert!(
            ends(&lines, Policy::Field, |_| ())
                .to_string()
                .ends_with("end right                              3 of 3 (100.0 %)\n")
        );
    }

    #[test]
    fn what_can_be_told_about_a_wrong_end_is_told() {
        let why = |change: fn(&mut Played)| {
            ends(&["picked_up cancelled in_transit"], Policy::Field, change).wrong.remove(0).why
        };
        assert_eq!(why(|_| ()), "nothing moves it after cancelled");
        assert_eq!(why(|played| played.final_status = Some(Status::PickedUp)), "its in_transit scan is in the history");
        let conflict = why(|played| played.results[2] = Ok(Outcome::Conflict));
        assert_eq!(conflict, "its in_transit scan of 2024-05-01T02:00:00Z: conflict");
        let lost = why(|played| played.results[1] = Err(crate::outcome::NoOutcome::Lost(60)));
        assert_eq!(lost, "a scan has no outcome: accepted, and no outcome within 60 s");
    }

    #[test]
    fn a_share_is_never_rounded_up() {
        let mut ends = Ends::default();
        ends.by_true_status.insert(Status::Delivered, End { right: 9999, wrong: 1 });
        let wrong =
            WrongEnd { line: 1, carrier: "andes".to_owned(), truth: Status::Delivered, got: None, why: String::new() };
        ends.wrong.push(wrong);
        assert!(ends.to_string().contains(" 9999 of 10000 (99.9 %)\n"), "{ends}");
        assert!(ends.are_right_to(99) && !ends.are_right_to(100));
    }
}
