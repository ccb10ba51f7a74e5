//! What must have become of a log: a fold of all of its records, by the model of `play`, which shares no code with the services. When each
//! event is judged is said here ([`turns`]), what it is then judged to be there.

mod reading;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use acceptance::topic::Record;
use play::claim::Status;
use play::document::Document;
use play::history::History;
use play::outcome::Outcome;
use play::plan::{Event, Plan, Policy};

use crate::evidence::Position;
use reading::{Created, Report, Said, read};
pub use turns::ReleasedBy;
use turns::{Fate, Turns};

/// What must have become of one event that is no duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its id, as its record says.
    pub event_id: String,
    /// Its first record; of one that was redriven with success, that.
    pub position: Position,
    /// What became of it, in the words of the contract.
    pub outcome: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// What became of it before, for a while.
    pub before: Vec<&'static str>,
    /// What released it, and at which offset of its partition, when it was parked.
    pub released: Option<(ReleasedBy, i64)>,
    /// When it happened, in milliseconds.
    pub millis: i64,
}

/// What must have become of one shipment.
#[derive(Clone, Debug)]
pub struct Account {
    /// How it was judged.
    pub policy: Policy,
    /// Its creation and its events, in the order in which they were judged: that of the log, unless some were parked. No duplicates.
    pub judged: Vec<Judged>,
    /// Its status.
    pub status: &'static str,
    /// The ids of those that moved the status, the creation among them.
    pub moves: BTreeSet<String>,
    /// Under the field policy: failed attempts, the last scan, the exception.
    pub shown: Option<Shown>,
}

/// What a shipment under the field policy shows besides its history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the members of contract section 4, by event id")]
pub struct Shown {
    pub attempts: u64,
    pub last_scan: Option<String>,
    pub exception: Option<String>,
}

impl Account {
    /// The ids of those that are in the history, without the creation, in order of their times; of one time, in the order in which they entered.
    #[must_use]
    pub fn history(&self) -> Vec<&str> {
        let entered = self.judged.iter().skip(1).filter(|event| matches!(event.outcome, "applied" | "recorded"));
        let mut entered: Vec<_> = entered.collect();
        entered.sort_by_key(|event| event.millis); // stable
        entered.into_iter().map(|event| event.event_id.as_str()).collect()
    }
}

/// What must have become of a log.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Every shipment that was created.
    pub accounts: BTreeMap<String, Account>,
    /// What must have become of the events about numbers that nobody registered.
    pub strangers: BTreeMap<String, Vec<Judged>>,
    /// Where the records stand that cannot be processed.
    pub poison: BTreeSet<Position>,
    /// Where those stand that the store refuses.
    pub refused: BTreeSet<Position>,
    /// The shipments of which a dead letter is waited for still.
    pub waiting: Vec<String>,
    /// Records that the model does not expect at all: a second creation, one behind events about its number, a release before its time.
    pub odd: Vec<String>,
    /// How many records repeat one before them.
    pub duplicates: usize,
}

impl Expected {
    /// Every event that is no duplicate, with the number that it is about.
    pub fn judged(&self) -> impl Iterator<Item = (&str, &Judged)> {
        let of_shipments = self.accounts.iter().map(|(number, account)| (number, &account.judged));
        let all = of_shipments.chain(&self.strangers);
        all.flat_map(|(number, judged)| judged.iter().map(move |event| (number.as_str(), event)))
    }
}

/// Folds `records`, which are in order of their partitions and offsets.
#[must_use]
pub fn fold(records: &[Record]) -> Expected {
    let mut numbers: BTreeMap<String, Turns> = BTreeMap::new();
    for reading in records.iter().map(read) {
        numbers.entry(reading.number.clone()).or_default().take(reading);
    }
    let mut expected = Expected::default();
    for (number, mut turns) in numbers {
        expected.poison.extend(turns.poison.drain(..));
        expected.refused.extend(turns.refused.drain(..));
        expected.odd.append(&mut turns.odd);
        expected.duplicates += turns.duplicates;
        if turns.waits() {
            expected.waiting.push(number.clone());
        }
        if let Some(created) = turns.created.take() {
            let account = account(&number, &created, &turns);
            expected.accounts.insert(number, account);
        } else if !turns.events.is_empty() {
            let (judged, ..) = judged(&number, Policy::Strict, &turns);
            expected.strangers.insert(number, judged);
        }
    }
    expected
}

fn account(number: &str, created: &Created, turns: &Turns) -> Account {
    let (events, document, status) = judged(number, created.policy, turns);
    let mut moves = BTreeSet::from([created.event_id.clone()]);
    if created.policy == Policy::Strict {
        let applied = events.iter().filter(|event| event.outcome == "applied");
        moves.extend(applied.map(|event| event.event_id.clone()));
    }
    let by_policy: Vec<&str> = by_policy(turns).map(|report| report.event_id.as_str()).collect();
    let id = |index: usize| by_policy[index].to_owned();
    let shown = document.map(|Document { moves: moved, attempts, last_scan, exception }| {
        moves.extend(moved.into_iter().map(id));
        Shown { attempts, last_scan: last_scan.map(id), exception: exception.map(id) }
    });
    let creation = Judged {
        event_id: created.event_id.clone(),
        position: created.position,
        outcome: "applied",
        reason: None,
        before: Vec::new(),
        released: None,
        millis: created.millis,
    };
    let judged = [creation].into_iter().chain(events).collect();
    Account { policy: created.policy, judged, status, moves, shown }
}

/// What the policy judges, in the order in which it does.
fn by_policy(turns: &Turns) -> impl Iterator<Item = &Report> {
    let events = turns.order.iter().map(|&index| &turns.events[index]);
    events.filter(|event| event.fate == Fate::Judged).map(|event| &event.report)
}

/// What becomes of all events, in the order in which it does, those that wait still at the end; the document of the field policy, the status.
fn judged(number: &str, policy: Policy, turns: &Turns) -> (Vec<Judged>, Option<Document>, &'static str) {
    let (results, document, status) = play(number, policy, &by_policy(turns).collect::<Vec<_>>());
    let mut results = results.into_iter();
    let waiting = (0..turns.events.len()).filter(|&index| turns.events[index].fate == Fate::Parked);
    let judged = turns.order.iter().copied().chain(waiting).map(|index| {
        let turns::Event { report, fate, before, released } = &turns.events[index];
        let (outcome, reason) = match *fate {
            Fate::Told(outcome, reason) => (outcome, Some(reason.to_owned())),
            Fate::Parked => ("parked", None),
            Fate::Judged => results.next().expect("a result for each"),
        };
        let Report { event_id, position, millis, .. } = report;
        let (event_id, before) = (event_id.clone(), before.clone());
        Judged { event_id, position: *position, outcome, reason, before, released: *released, millis: *millis }
    });
    (judged.collect(), document, status)
}

/// Outcome and reason.
type Told = (&'static str, Option<String>);

/// What the model says of these reports, each of which has a key of its own: outcomes, the document of the field policy, the status.
fn play(number: &str, policy: Policy, reports: &[&Report]) -> (Vec<Told>, Option<Document>, &'static str) {
    let scans = reports.iter().map(|report| report.scan.clone()).collect();
    let history = History { line: 0, carrier: String::new(), number: number.to_owned(), scans };
    let events = history.scans.iter().zip(reports).map(|(scan, report)| Event {
        scan,
        timestamp: scan.occurred.clone(),
        millis: report.millis,
        reason: scan.reason.clone(),
        // The model knows one source; in here both are one key.
        source_event_id: Some(report.key.clone()),
    });
    let plan = Plan { history: &history, policy, events: events.collect() };
    let played = play::model::play(&plan);
    let results = played.results.into_iter().map(|result| match result {
        Ok(Outcome::Applied) => ("applied", None),
        Ok(Outcome::Recorded) => ("recorded", None),
        Ok(Outcome::Rejected(reason)) => ("rejected", Some(reason)),
        other => unreachable!("of keys that are all different: {other:?}"),
    });
    (results.collect(), played.document, played.final_status.map_or("", Status::as_str))
}

/// Ids that stand for two events, and events that have two ids: an id is derived from key and payload.
#[must_use]
pub fn ambiguous_ids(records: &[Record]) -> Vec<String> {
    let (mut by_id, mut by_content) = (HashMap::new(), HashMap::new());
    let mut odd = Vec::new();
    for record in records {
        let reading = read(record);
        let Said::Reported(report) = reading.said else { continue };
        let content = format!("{} {} {}", reading.number, report.key, report.content());
        let id = report.event_id;
        if by_id.entry(id.clone()).or_insert_with(|| content.clone()) != &content {
            odd.push(format!("{id} stands for two events"));
        }
        if by_content.entry(content.clone()).or_insert_with(|| id.clone()) != &id {
            odd.push(format!("{content} has two ids"));
        }
    }
    odd
}
