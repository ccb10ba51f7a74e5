//! What must have become of the log: a fold of all of its records, by the model of `play`, which shares no code with the services.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use acceptance::topic::Record;
use play::claim::{Claim, Kind, Status};
use play::document::Document;
use play::history::{History, Scan};
use play::outcome::Outcome;
use play::plan::{Event, Plan, Policy};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::evidence::{Position, position};

/// The types of the records that are no poison (contract section 5).
const CREATED: &str = "com.rastro.shipment.created.v1";
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

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
    /// Where the records stand that cannot be processed.
    pub poison: BTreeSet<Position>,
    /// Records that the model does not expect at all: an event of a shipment that was not created before it, and one id with two contents.
    pub odd: Vec<String>,
    /// How many records repeat one before them.
    pub duplicates: usize,
}

/// A report as its record holds it.
struct Report {
    event_id: String,
    position: Position,
    key: String,
    scan: Scan,
    timestamp: String,
    millis: i64,
    reason: Option<String>,
}

struct Created {
    event_id: String,
    position: Position,
    policy: Policy,
    millis: i64,
}

enum Reading {
    Created(String, Created),
    Reported(String, Box<Report>),
    Poison,
}

/// Folds `records`, which are in order of their partitions and offsets.
#[must_use]
pub fn fold(records: &[Record]) -> Expected {
    let mut expected = Expected::default();
    let mut shipments: BTreeMap<String, (Created, Vec<Report>)> = BTreeMap::new();
    for record in records {
        match read(record) {
            Reading::Poison => drop(expected.poison.insert(position(record))),
            Reading::Created(number, created) => match shipments.get(&number) {
                None => drop(shipments.insert(number, (created, Vec::new()))),
                Some((first, _)) if first.event_id == created.event_id => expected.duplicates += 1,
                Some(_) => expected.odd.push(format!("{number} is created twice: {:?}", position(record))),
            },
            Reading::Reported(number, report) => match shipments.get_mut(&number) {
                Some((_, reports)) => reports.push(*report),
                None => {
                    expected.odd.push(format!("{number} is reported about before it is created: {:?}", report.position))
                }
            },
        }
    }
    for (number, (created, reports)) in shipments {
        let (account, duplicates) = account(&number, &created, &reports);
        expected.duplicates += duplicates;
        expected.accounts.insert(number, account);
    }
    expected
}

fn account(number: &str, created: &Created, reports: &[Report]) -> (Account, usize) {
    let scans = reports.iter().map(|report| report.scan.clone()).collect();
    let history = History { line: 0, carrier: String::new(), number: number.to_owned(), scans };
    let events = history.scans.iter().zip(reports).map(|(scan, report)| Event {
        scan,
        timestamp: report.timestamp.clone(),
        millis: report.millis,
        reason: report.reason.clone(),
        // The model knows one source; in here both are one key.
        source_event_id: Some(report.key.clone()),
    });
    let plan = Plan { history: &history, policy: created.policy, events: events.collect() };
    let played = play::model::play(&plan);
    let mut judged = vec![Judged {
        event_id: created.event_id.clone(),
        position: created.position,
        outcome: "applied",
        reason: None,
        millis: created.millis,
    }];
    let mut moves = BTreeSet::from([created.event_id.clone()]);
    let mut duplicates = 0;
    for (report, result) in reports.iter().zip(&played.results) {
        let (outcome, reason) = match result {
            Ok(Outcome::Applied) => ("applied", None),
            Ok(Outcome::Recorded) => ("recorded", None),
            Ok(Outcome::Conflict) => ("conflict", Some("KEY_CONFLICT".to_owned())),
            Ok(Outcome::Rejected(reason)) => ("rejected", Some(reason.clone())),
            Ok(Outcome::Duplicate) => {
                duplicates += 1;
                continue;
            }
            Ok(Outcome::DeadLettered) | Err(_) => ("dead_lettered", None),
        };
        if outcome == "applied" && created.policy == Policy::Strict {
            moves.insert(report.event_id.clone());
        }
        let (event_id, position, millis) = (report.event_id.clone(), report.position, report.millis);
        judged.push(Judged { event_id, position, outcome, reason, millis });
    }
    let id = |index: usize| reports[index].event_id.clone();
    let shown = played.document.map(|Document { moves: moved, attempts, last_scan, exception }| {
        moves.extend(moved.into_iter().map(id));
        Shown { attempts, last_scan: last_scan.map(id), exception: exception.map(id) }
    });
    let status = played.final_status.map_or("", Status::as_str);
    (Account { policy: created.policy, judged, status, moves, shown }, duplicates)
}

/// Ids that stand for two events, and events that have two ids: an id is derived from key and payload.
#[must_use]
pub fn ambiguous_ids(records: &[Record]) -> Vec<String> {
    let (mut by_id, mut by_content) = (HashMap::new(), HashMap::new());
    let mut odd = Vec::new();
    for record in records {
        let Reading::Reported(number, report) = read(record) else { continue };
        let Scan { claim, place, code, location, .. } = &report.scan;
        let second = report.millis.div_euclid(1000);
        let content =
            format!("{number} {} {claim} {place:?} {code:?} {location:?} {:?} {second}", report.key, report.reason);
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

/// What a record says; what the contract does not know is poison.
fn read(record: &Record) -> Reading {
    let value: Option<Value> = record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
    let Some(value) = value else { return Reading::Poison };
    let number = value["tracking_number"].as_str().unwrap_or_default();
    if number.is_empty() || number != record.key_text() {
        return Reading::Poison;
    }
    let event_id = record.header("ce_id").unwrap_or_default().to_owned();
    let reading = match record.header("ce_type") {
        Some(CREATED) => created(record, &value, event_id).map(|created| Reading::Created(number.to_owned(), created)),
        Some(REPORTED) => {
            reported(record, &value, event_id).map(|report| Reading::Reported(number.to_owned(), Box::new(report)))
        }
        _ => None,
    };
    reading.unwrap_or(Reading::Poison)
}

fn created(record: &Record, value: &Value, event_id: String) -> Option<Created> {
    let policy = Policy::ALL.into_iter().find(|policy| value["transition_policy"] == policy.as_str())?;
    let millis = millis(instant(&value["created_at"])?);
    Some(Created { event_id, position: position(record), policy, millis })
}

fn reported(record: &Record, value: &Value, event_id: String) -> Option<Report> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let status = Status::ALL.into_iter().find(|status| value["status"] == status.as_str());
    let kind = Kind::ALL.into_iter().find(|kind| value["kind"] == kind.as_str());
    let claim = match (status, kind) {
        (Some(status), None) if status != Status::Created => Claim::Status(status),
        (None, Some(kind)) => Claim::Kind(kind),
        _ => return None,
    };
    let (instant, timestamp, source) = (instant(&value["timestamp"])?, text("timestamp")?, text("source")?);
    let millis = millis(instant);
    let key = match text("source_event_id") {
        Some(id) => format!("{source} id {id}"),
        None => format!("{source} at {}", millis.div_euclid(1000)),
    };
    let reason = text("reason");
    let scan = Scan {
        listed: 0,
        occurred: timestamp.clone(),
        instant,
        time_missing: false,
        happened: instant,
        claim,
        reason: reason.clone(),
        place: text("place"),
        code: text("code"),
        text: None,
        location: None,
    };
    Some(Report { event_id, position: position(record), key, scan, timestamp, millis, reason })
}

fn instant(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

fn millis(instant: OffsetDateTime) -> i64 {
    play::time_order::millis(instant)
}
