//! An honest platform passes, and each kind of dishonesty is found.

use acceptance::sample::{self, parcel_of, report, scan, with};
use acceptance::topic::Record;
use serde_json::{Value, json};

use super::{Breach, check};
use crate::evidence::{Evidence, Row, position};
use crate::ledger::{Acknowledged, Ledger, Registered};
use crate::model::{self, Account};

const NUMBER: &str = "99M-ABC12345";
const CREATED: &str = "com.rastro.shipment.created.v1";
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

fn record(offset: i64, id: &str, ce_type: &str, value: &Value) -> Record {
    let record = Record::new(NUMBER, value.to_string(), &[("ce_id", id), ("ce_type", ce_type)]);
    Record { partition: Some(3), offset, timestamp: Some(1_000 + offset), ..record }
}

const STRANGER: &str = "99M-STRANGER";

/// Created, picked up, the same again, a conflict, a scan, a step that is not allowed, poison, a step that is, one that another client
/// reports, and one of a shipment that nobody registered.
fn log() -> Vec<Record> {
    let created = json!({"tracking_number": NUMBER, "transition_policy": "strict", "client_id": "client_001",
        "created_at": "2026-01-01T00:00:00Z"});
    let foreign = json!({"reporter": {"sub": "eve", "role": "client", "client_id": "client_002"}, "source": "eve"});
    let stranger = record(9, "stranger", REPORTED, &report(STRANGER, "picked_up", 1));
    let picked_up = report(NUMBER, "picked_up", 1);
    vec![
        record(0, "creation", CREATED, &created),
        record(1, "pick-up", REPORTED, &picked_up),
        record(2, "pick-up", REPORTED, &picked_up),
        record(3, "conflict", REPORTED, &with(picked_up, json!({"place": "elsewhere"}))),
        record(4, "scan", REPORTED, &scan(NUMBER, "other", 2)),
        record(5, "too soon", REPORTED, &report(NUMBER, "delivered", 3)),
        record(6, "poison", "com.example.other", &json!({"tracking_number": NUMBER})),
        record(7, "arrival", REPORTED, &report(NUMBER, "in_warehouse", 4)),
        record(8, "foreign", REPORTED, &with(report(NUMBER, "in_transit", 5), foreign)),
        Record { key: Some(STRANGER.into()), ..stranger },
    ]
}

fn dead_letter(original: &Record, class: &str) -> Record {
    let mut letter = original.clone();
    let (partition, offset) = position(original);
    for (name, text) in [
        ("dlq.partition", partition.to_string()),
        ("dlq.offset", offset.to_string()),
        ("dlq.error.class", class.to_owned()),
    ] {
        letter.headers.push((name.to_owned(), Some(text.into_bytes())));
    }
    Record { partition: Some(3), offset: 0, ..letter }
}

fn shown(account: &Account) -> Value {
    let entry = |id: &str| json!({"event_id": id, "moved": account.moves.contains(id), "timestamp": sample::at(0)});
    let mut history: Vec<_> = account.history().into_iter().map(entry).collect();
    history.push(entry(&account.judged[0].event_id));
    json!({"current_status": account.status, "version": history.len(), "status_history": history})
}

/// What an honest platform holds, and what it told its callers.
fn honest() -> (Evidence, Ledger) {
    let events = log();
    let expected = model::fold(&events);
    let account = &expected.accounts[NUMBER];
    let row = |(number, judged): (&str, &model::Judged)| Row {
        number: number.to_owned(),
        position: judged.position,
        outcome: judged.outcome.to_owned(),
        reason: judged.reason.clone(),
        to: Some("there".to_owned()),
        released_at: judged.released.map(|(_, offset)| offset),
    };
    let rows: Vec<_> = expected.judged().map(row).collect();
    let applied = account.judged.iter().filter(|judged| judged.outcome == "applied");
    let changes = applied.map(|judged| {
        let (partition, offset) = judged.position;
        record(0, &judged.event_id, "change", &json!({"partition": partition, "offset": offset, "to": "there"}))
    });
    let changes = changes.collect();
    let dead_letters = vec![dead_letter(&events[3], "KEY_CONFLICT"), dead_letter(&events[6], "UNKNOWN_TYPE")];
    let acknowledged = events.iter().skip(1).filter(|record| record.header("ce_type") == Some(REPORTED));
    let acknowledged = acknowledged.map(|record| Acknowledged {
        event_id: record.header("ce_id").unwrap_or_default().to_owned(),
        body: serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("JSON"),
        outcome: None,
    });
    let key = "key".to_owned();
    let registered = vec![Registered { key, number: NUMBER.to_owned(), body: parcel_of("client_001") }];
    let ledger = Ledger { one_by_one: true, registered, events: acknowledged.collect(), ..Ledger::default() };
    let numbers = [NUMBER.to_owned()].into();
    let shipments = [(NUMBER.to_owned(), shown(account))].into();
    (Evidence { events, dead_letters, changes, rows, numbers, shipments }, ledger)
}

/// What is found when `change` was made to what an honest platform holds and told.
fn found(change: impl FnOnce(&mut Evidence, &mut Ledger)) -> Vec<Breach> {
    let (mut evidence, mut ledger) = honest();
    change(&mut evidence, &mut ledger);
    let verdict = check(&evidence, &[ledger], &[(3, 6)]);
    let mut breaches: Vec<_> = verdict.violations.iter().map(|violation| violation.breach).collect();
    breaches.dedup();
    breaches
}

fn shipment(evidence: &mut Evidence) -> &mut Value {
    evidence.shipments.get_mut(NUMBER).expect("the shipment")
}

#[test]
fn the_log_is_folded_as_the_contract_says() {
    let mut expected = model::fold(&log());
    assert_eq!((expected.duplicates, expected.poison.len(), expected.odd.len()), (1, 1, 0));
    let account = expected.accounts.remove(NUMBER).expect("the shipment");
    let outcomes: Vec<_> = account.judged.iter().map(|judged| (judged.event_id.as_str(), judged.outcome)).collect();
    let must = [
        ("creation", "applied"),
        ("pick-up", "applied"),
        ("conflict", "conflict"),
        ("scan", "recorded"),
        ("too soon", "rejected"),
        ("arrival", "applied"),
        ("foreign", "rejected"),
    ];
    assert_eq!(outcomes, must);
    assert_eq!(account.judged[6].reason.as_deref(), Some("FORBIDDEN"));
    assert_eq!(expected.strangers[STRANGER][0].reason.as_deref(), Some("SHIPMENT_NOT_FOUND"));
    assert_eq!((account.status, account.history()), ("in_warehouse", vec!["pick-up", "scan", "arrival"]));
}

#[test]
fn an_honest_platform_passes() {
    assert_eq!(found(|_, _| ()), []);
    assert_eq!(found(|evidence, _| evidence.changes.push(evidence.changes[0].clone())), [], "at least once");
    assert_eq!(found(|evidence, _| evidence.dead_letters.push(evidence.dead_letters[0].clone())), []);
}

#[test]
fn what_is_lost_is_found() {
    assert_eq!(found(|evidence, _| drop(evidence.rows.remove(4))), [Breach::Lost]);
    assert_eq!(found(|evidence, _| drop(evidence.changes.remove(1))), [Breach::Lost]);
    assert_eq!(found(|evidence, _| drop(evidence.dead_letters.remove(1))), [Breach::Lost]);
    let unknown = |_: &mut Evidence, ledger: &mut Ledger| ledger.events[0].event_id = "nowhere".to_owned();
    assert_eq!(found(unknown), [Breach::Lost]);
    let no_shipment = |evidence: &mut Evidence, _: &mut Ledger| {
        evidence.numbers.clear();
        evidence.shipments.clear();
    };
    assert_eq!(found(no_shipment), [Breach::Lost]);
}

#[test]
fn what_is_doubled_is_found() {
    let row = |evidence: &mut Evidence, _: &mut Ledger| {
        let twice = Row { position: (3, 2), ..evidence.rows[1].clone() };
        evidence.rows.push(twice);
    };
    assert_eq!(found(row), [Breach::Doubled]);
    let version = |evidence: &mut Evidence, _: &mut Ledger| shipment(evidence)["version"] = json!(5);
    assert_eq!(found(version), [Breach::Doubled]);
    let entry = |evidence: &mut Evidence, _: &mut Ledger| {
        let history = shipment(evidence)["status_history"].as_array_mut().expect("a list");
        history.insert(0, history[0].clone());
    };
    assert_eq!(found(entry), [Breach::Doubled]);
    assert_eq!(found(|_, ledger| ledger.registered.clear()), [Breach::Doubled]);
}

#[test]
fn what_is_reordered_is_found() {
    let history = |evidence: &mut Evidence, _: &mut Ledger| {
        shipment(evidence)["status_history"].as_array_mut().expect("a list").swap(0, 1);
    };
    assert_eq!(found(history), [Breach::Reordered]);
    assert_eq!(found(|evidence, _| evidence.changes.swap(1, 2)), [Breach::Reordered]);
    assert_eq!(found(|_, ledger| ledger.events.swap(0, 4)), [Breach::Reordered]);
}

#[test]
fn what_is_wrong_is_found() {
    let status = |evidence: &mut Evidence, _: &mut Ledger| shipment(evidence)["current_status"] = json!("delivered");
    assert_eq!(found(status), [Breach::Wrong]);
    assert_eq!(found(|evidence, _| evidence.rows[4].outcome = "applied".to_owned()), [Breach::Wrong]);
    assert_eq!(found(|evidence, _| evidence.rows[4].released_at = Some(9)), [Breach::Wrong]);
    let moved = |evidence: &mut Evidence, _: &mut Ledger| {
        shipment(evidence)["status_history"][1]["moved"] = json!(true);
    };
    assert_eq!(found(moved), [Breach::Wrong]);
    assert_eq!(found(|evidence, _| evidence.dead_letters[0].timestamp = Some(7)), [Breach::Wrong]);
    assert_eq!(found(|_, ledger| ledger.events[0].outcome = Some("rejected".to_owned())), [Breach::Wrong]);
    assert_eq!(found(|_, ledger| ledger.complaints.push("500".to_owned())), [Breach::Wrong]);
    let body = |_: &mut Evidence, ledger: &mut Ledger| ledger.events[0].body["place"] = json!("another one");
    assert_eq!(found(body), [Breach::Wrong]);
}
