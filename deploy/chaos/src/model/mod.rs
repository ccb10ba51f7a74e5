//! What must have become of the log: a fold of all of its records, by the model of `play`, which shares no code with the services.

mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use acceptance::topic::Record;
use play::claim::Status;
use play::document::Document;
use play::history::{History, Scan};
use play::outcome::Outcome;
use play::plan::{Event, Plan, Policy};

use crate::evidence::{Position, position};
use reading::{Created, Reading, Report, read};

/// What must have become of one event that is no duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its id, as its record says.
    pub event_id: String,
    /// Its first record.
    pub position: Position,
    /// What became of it, in the words of the contract.
    pub outcome: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// When it happened, in milliseconds.
    pub millis: i64,
}

/// What must have become of one shipment.
#[derive(Clone, Debug)]
pub struct Account {
    /// How it was judged.
    pub policy: Policy,
    /// Its creation and its events, in the order of the log; no duplicates.
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
    /// The ids of those that are in the history, without the creation, in order of their times; of one time, in the order of the log.
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
    /// Records that the model does not expect at all: a second creation, or one behind events about its number.
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
    let mut expected = Expected::default();
    let mut shipments: BTreeMap<String, (Option<Created>, Vec<Report>)> = BTreeMap::new();
    for record in records {
        match read(record) {
            Reading::Poison => drop(expected.poison.insert(position(record))),
            Reading::Reported(number, report) => shipments.entry(number).or_default().1.push(*report),
            Reading::Created(number, created) => match shipments.entry(number.clone()).or_default() {
                (first @ None, reports) if reports.is_empty() => *first = Some(created),
                (Some(first), _) if first.event_id == created.event_id => expected.duplicates += 1,
                _ => expected.odd.push(format!("the creation of {number} at {:?}", created.position)),
            },
        }
    }
    for (number, (created, reports)) in shipments {
        match created {
            Some(created) => {
                let account = account(&number, &created, reports, &mut expected.duplicates);
                expected.accounts.insert(number, account);
            }
            None => {
                let judged = refused(&number, &reports, "SHIPMENT_NOT_FOUND", &mut expected.duplicates);
                expected.strangers.insert(number, judged);
            }
        }
    }
    expected
}

fn account(number: &str, created: &Created, reports: Vec<Report>, duplicates: &mut usize) -> Account {
    // A client may report about its own shipments only. No two callers have the same keys, so one's do not meet the other's.
    let (own, foreign): (Vec<_>, Vec<_>) = reports
        .into_iter()
        .partition(|report| report.client_id.as_ref().is_none_or(|client| *client == created.client_id));
    let (mut judged, document, status) = play(number, created.policy, &own, duplicates);
    let mut moves = BTreeSet::from([created.event_id.clone()]);
    if created.policy == Policy::Strict {
        let applied = judged.iter().filter(|event| event.outcome == "applied");
        moves.extend(applied.map(|event| event.event_id.clone()));
    }
    let id = |index: usize| own[index].event_id.clone();
    let shown = document.map(|Document { moves: moved, attempts, last_scan, exception }| {
        moves.extend(moved.into_iter().map(id));
        Shown { attempts, last_scan: last_scan.map(id), exception: exception.map(id) }
    });
    judged.extend(refused(number, &foreign, "FORBIDDEN", duplicates));
    judged.push(Judged {
        event_id: created.event_id.clone(),
        position: created.position,
        outcome: "applied",
        reason: None,
        millis: created.millis,
    });
    judged.sort_by_key(|event| event.position);
    Account { policy: created.policy, judged, status, moves, shown }
}

/// Events that are rejected for `reason`, whatever they claim, unless their key was there before.
fn refused(number: &str, reports: &[Report], reason: &str, duplicates: &mut usize) -> Vec<Judged> {
    let (mut judged, _, _) = play(number, Policy::Strict, reports, duplicates);
    for event in judged.iter_mut().filter(|event| event.outcome != "conflict") {
        event.outcome = "rejected";
        event.reason = Some(reason.to_owned());
    }
    judged
}

/// What the model says of these reports: outcomes without duplicates, the document of the field policy, the status.
fn play(
    number: &str,
    policy: Policy,
    reports: &[Report],
    duplicates: &mut usize,
) -> (Vec<Judged>, Option<Document>, &'static str) {
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
    let mut judged = Vec::new();
    for (report, result) in reports.iter().zip(&played.results) {
        let (outcome, reason) = match result {
            Ok(Outcome::Applied) => ("applied", None),
            Ok(Outcome::Recorded) => ("recorded", None),
            Ok(Outcome::Conflict) => ("conflict", Some("KEY_CONFLICT".to_owned())),
            Ok(Outcome::Rejected(reason)) => ("rejected", Some(reason.clone())),
            Ok(Outcome::Duplicate) => {
                *duplicates += 1;
                continue;
            }
            Ok(Outcome::DeadLettered) | Err(_) => ("dead_lettered", None),
        };
        let (event_id, position, millis) = (report.event_id.clone(), report.position, report.millis);
        judged.push(Judged { event_id, position, outcome, reason, millis });
    }
    (judged, played.document, played.final_status.map_or("", Status::as_str))
}

/// Ids that stand for two events, and events that have two ids: an id is derived from key and payload.
#[must_use]
pub fn ambiguous_ids(records: &[Record]) -> Vec<String> {
    let (mut by_id, mut by_content) = (HashMap::new(), HashMap::new());
    let mut odd = Vec::new();
    for record in records {
        let Reading::Reported(number, report) = read(record) else { continue };
        let Scan { claim, reason, place, code, location, .. } = &report.scan;
        let second = report.millis.div_euclid(1000);
        let content = format!("{number} {} {claim} {place:?} {code:?} {location:?} {reason:?} {second}", report.key);
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
