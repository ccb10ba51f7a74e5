//! Compares a shipment that was read back with what the platform answered about its events.

use crate::api::{HistoryEntry, Shipment};
use crate::claim::Status;
use crate::document::Document;
use crate::history::Scan;
use crate::outcome::Outcome;
use crate::plan::{Plan, Policy};
use crate::player::Decided;

/// A shipment as it was read back.
#[derive(Debug, PartialEq)]
pub struct ReadBack {
    /// Its status; `None` when it is none of the six.
    pub final_status: Option<Status>,
    /// What else it shows, under the field policy.
    pub document: Option<Document>,
    /// Everything in which it is not what the answers said.
    pub wrong: Vec<String>,
}

/// Reads `shipment`, and finds everything in which it is not what the answers said: one entry for each event that is in the history
/// and no other, in order of the times, those of the same time in the order in which they were posted.
///
/// Which of them moved the status, the answers say under the strict policy only. Under the field policy a scan that comes later can
/// change it; there the history must bear out the status, and the rest is in the document.
#[must_use]
pub fn compare(number: &str, plan: &Plan<'_>, decided: &[Decided<'_>], shipment: &Shipment) -> ReadBack {
    let mut wrong = Vec::new();
    if shipment.tracking_number != number {
        wrong.push(format!("tracking_number: {}", shipment.tracking_number));
    }
    let final_status = Status::ALL.into_iter().find(|status| status.as_str() == shipment.current_status);
    let (creations, entries): (Vec<_>, Vec<_>) = shipment.status_history.iter().partition(|entry| is_creation(entry));
    if creations.len() != 1 {
        wrong.push(format!("status_history: expected created once, got it {} times", creations.len()));
    }
    if shipment.history_truncated > 0 {
        let hidden = shipment.history_truncated;
        wrong.push(format!("status_history: {hidden} entries are not shown, and only a whole history can be compared"));
    }
    if !shipment.status_history.is_sorted_by_key(|entry| entry.timestamp) {
        wrong.push("status_history: is not in order of timestamp".to_owned());
    }
    let moved = match plan.policy {
        Policy::Strict => {
            let moved = decided.iter().rev().find(|decided| decided.outcome == Outcome::Applied);
            moved.map(|decided| decided.event.scan.claim.as_str())
        }
        Policy::Field => entries.iter().rev().find(|entry| entry.moved).and_then(|entry| entry.status.as_deref()),
    };
    let expected = moved.unwrap_or(Status::Created.as_str());
    if shipment.current_status != expected {
        wrong.push(format!("current_status: expected {expected}, got {}", shipment.current_status));
    }

    let mut expected: Vec<_> = decided.iter().filter(|decided| decided.outcome.is_in_history()).collect();
    expected.sort_by_key(|decided| decided.event.millis); // stable
    if expected.len() != entries.len() {
        wrong.push(format!(
            "status_history: expected {} entries besides created, got {}",
            expected.len(),
            entries.len()
        ));
    }
    for (index, (decided, entry)) in expected.iter().zip(entries).enumerate() {
        let differing = differing_members(plan, decided, entry);
        if !differing.is_empty() {
            wrong.push(format!("status_history, entry {} besides created: {}", index + 1, differing.join(", ")));
        }
    }
    let document = (plan.policy == Policy::Field).then(|| document(&expected, shipment, &mut wrong));
    ReadBack { final_status, document, wrong }
}

fn is_creation(entry: &HistoryEntry) -> bool {
    entry.status.as_deref() == Some(Status::Created.as_str())
}

fn differing_members(plan: &Plan<'_>, decided: &Decided<'_>, entry: &HistoryEntry) -> Vec<String> {
    let event = decided.event;
    let Scan { claim, place, code, location, .. } = event.scan;
    let (source, reason, timestamp) = (&plan.history.carrier, &event.reason, &event.timestamp);
    let said = |word: &Option<String>, member| word.as_deref() == Some(claim.as_str()) && member == claim.member();
    let claimed = said(&entry.status, "status") && entry.kind.is_none();
    let claimed = claimed || (said(&entry.kind, "kind") && entry.status.is_none());
    let moved = plan.policy == Policy::Field || entry.moved == (decided.outcome == Outcome::Applied);
    let millis = entry.timestamp.unix_timestamp_nanos().div_euclid(1_000_000);
    let same_id = decided.event_id.as_ref().is_none_or(|id| *id == entry.event_id);
    let members = [
        (claim.member(), claimed, claim.to_string()),
        ("moved", moved, decided.outcome.to_string()),
        ("timestamp", millis == i128::from(event.millis), timestamp.clone()),
        ("source", entry.source == *source, source.clone()),
        ("place", entry.place == *place, format!("{place:?}")),
        ("code", entry.code == *code, format!("{code:?}")),
        ("reason", entry.reason == *reason, format!("{reason:?}")),
        ("location", entry.location == *location, format!("{location:?}")),
        ("event_id", same_id, format!("{:?}", decided.event_id)),
    ];
    let differing = members.into_iter().filter(|(_, same, _)| !same);
    differing.map(|(member, _, expected)| format!("{member} is not {expected}")).collect()
}

/// What the shipment shows of the events `in_history`.
fn document(in_history: &[&Decided<'_>], shipment: &Shipment, wrong: &mut Vec<String>) -> Document {
    let mut place = |member: &str, entry: &HistoryEntry| {
        let posted = in_history.iter().find(|decided| decided.event_id.as_ref() == Some(&entry.event_id));
        if posted.is_none() {
            wrong.push(format!("{member}: {} is no event in the history", entry.event_id));
        }
        posted.map(|decided| decided.index)
    };
    let moves = shipment.status_history.iter().filter(|entry| entry.moved && !is_creation(entry));
    Document {
        moves: moves.filter_map(|entry| place("status_history", entry)).collect(),
        attempts: shipment.attempts,
        last_scan: shipment
            .last_scan
            .as_ref()
            .filter(|scan| !is_creation(scan))
            .and_then(|scan| place("last_scan", scan)),
        exception: shipment.exception.as_ref().and_then(|entry| place("exception", entry)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::history::read;
    use crate::plan::Options;

    const HISTORY: &str = r#"{"carrier":"andes","number":"A1","events":[
        {"occurred":"2024-05-01T10:00:00-05:00","status":"picked_up","place":"Quito","code":"PU","lat":0,"lng":-78},
        {"occurred":"2024-05-01T12:00:00-05:00","status":"in_transit"},
        {"occurred":"2024-05-01T14:00:00.250-05:00","status":"in_warehouse"}]}"#;

    fn shipment() -> Value {
        json!({"tracking_number": "99M-ABC12345", "current_status": "in_warehouse",
            "attempts": 0, "last_scan": null, "exception": null, "history_truncated": 0, "status_history": [
            {"status": "picked_up", "kind": null, "moved": true, "timestamp": "2024-05-01T15:00:00Z", "source": "andes",
                "place": "Quito", "code": "PU", "location": {"lat": 0.0, "lng": -78.0}, "event_id": "evt_1"},
            {"status": "in_warehouse", "moved": true, "timestamp": "2024-05-01T19:00:00.250Z", "source": "andes",
                "location": null, "event_id": "evt_3"},
            {"status": "created", "moved": true, "timestamp": "2026-01-01T00:00:00Z", "source": "api", "event_id": "evt_0"}
        ]})
    }

    /// Reads `shipment` back after the events of `history`, each of them with its outcome and id.
    fn read_back(policy: Policy, history: &str, answers: &[(Outcome, Option<&str>)], shipment: Value) -> ReadBack {
        let histories = read(history.replace('\n', "").as_bytes()).expect("a history");
        let plan = Plan::of(&histories[0], &Options::of(policy));
        let decided = plan.events.iter().zip(answers).enumerate().map(|(index, (event, (outcome, id)))| Decided {
            index,
            event,
            outcome: outcome.clone(),
            event_id: id.map(str::to_owned),
        });
        let decided: Vec<_> = decided.collect();
        let shipment = serde_json::from_value(shipment).expect("a shipment");
        compare("99M-ABC12345", &plan, &decided, &shipment)
    }

    fn wrong(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let rejected = Outcome::Rejected("INVALID_TRANSITION".to_owned());
        let answers = [(Outcome::Applied, Some("evt_1")), (rejected, None), (Outcome::Applied, Some("evt_3"))];
        let mut shipment = shipment();
        change(&mut shipment);
        let read_back = read_back(Policy::Strict, HISTORY, &answers, shipment);
        assert_eq!(read_back.document, None);
        read_back.wrong
    }

    #[test]
    fn what_was_answered_and_is_there_is_right() {
        assert_eq!(wrong(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let first =
            |member: &'static str, value: Value| wrong(move |shipment| shipment["status_history"][0][member] = value);
        assert_eq!(
            first("place", "Lima".into()),
            ["status_history, entry 1 besides created: place is not Some(\"Quito\")"]
        );
        assert_eq!(first("moved", false.into()), ["status_history, entry 1 besides created: moved is not applied"]);
        assert_eq!(first("kind", "other".into()), ["status_history, entry 1 besides created: status is not picked_up"]);
        assert_eq!(first("reason", "delay".into()).len(), 1);
        assert_eq!(first("event_id", "evt_9".into()).len(), 1);
        assert_eq!(first("location", Value::Null).len(), 1);
        assert_eq!(first("timestamp", "2024-05-01T15:00:01Z".into()).len(), 1);
        assert_eq!(wrong(|shipment| shipment["current_status"] = "delivered".into()).len(), 1);
        assert_eq!(wrong(|shipment| shipment["tracking_number"] = "99M-OTHER123".into()).len(), 1);
    }

    #[test]
    fn a_missing_doubled_or_moved_entry_is_found() {
        let entries = |change: fn(&mut Vec<Value>)| {
            wrong(|shipment| change(shipment["status_history"].as_array_mut().expect("a list")))
        };
        let contains = |wrong: &[String], what: &str| wrong.iter().any(|text| text.contains(what));
        assert!(contains(&entries(|entries| _ = entries.remove(1)), "expected 2 entries besides created, got 1"));
        assert!(contains(&entries(|entries| entries.insert(0, entries[0].clone())), "got 3"));
        assert!(contains(&entries(|entries| entries.swap(0, 1)), "is not in order of timestamp"));
        assert!(contains(&entries(|entries| _ = entries.pop()), "expected created once, got it 0 times"));
        assert!(contains(&wrong(|shipment| shipment["history_truncated"] = 3.into()), "3 entries are not shown"));
    }

    const LATE: &str = r#"{"carrier":"andes","number":"A1","events":[
        {"occurred":"2024-05-01T10:00:00Z","status":"in_warehouse"},
        {"occurred":"2024-05-01T11:00:00Z","status":"picked_up"},
        {"occurred":"2024-05-01T12:00:00Z","status":null,"kind":"exception","reason":"delay"}]}"#;

    fn late(change: impl FnOnce(&mut Value)) -> ReadBack {
        let entry = |hour: u8, id: &str| {
            let timestamp = format!("2024-05-01T{hour}:00:00Z");
            json!({"moved": false, "timestamp": timestamp, "source": "andes", "event_id": id})
        };
        let (mut first, mut second, mut third) = (entry(10, "evt_1"), entry(11, "evt_2"), entry(12, "evt_3"));
        (first["status"], first["moved"]) = (json!("in_warehouse"), json!(true));
        second["status"] = json!("picked_up");
        (third["kind"], third["reason"]) = (json!("exception"), json!("delay"));
        let mut creation = entry(23, "evt_0");
        creation["status"] = json!("created");
        let mut shipment = json!({"tracking_number": "99M-ABC12345", "current_status": "in_warehouse", "attempts": 0,
            "history_truncated": 0, "last_scan": third, "exception": third, "status_history": [first, second, third, creation]});
        change(&mut shipment);
        // As they were judged when they came, the newest first: that the pick-up moved something then does not count.
        let answers = [Outcome::Applied, Outcome::Applied, Outcome::Recorded];
        let answers: Vec<_> = answers.into_iter().zip([Some("evt_1"), Some("evt_2"), Some("evt_3")]).collect();
        read_back(Policy::Field, LATE, &answers, shipment)
    }

    #[test]
    fn a_field_shipment_is_read_as_it_stands_in_the_end() {
        let document = Document { moves: vec![0], attempts: 0, last_scan: Some(2), exception: Some(2) };
        let expected =
            ReadBack { final_status: Some(Status::InWarehouse), document: Some(document), wrong: Vec::new() };
        assert_eq!(late(|_| ()), expected);
        let only_created = late(|shipment| shipment["last_scan"] = shipment["status_history"][3].clone());
        assert_eq!(only_created.document.expect("a document").last_scan, None);
    }

    #[test]
    fn the_history_of_a_field_shipment_must_bear_out_its_status() {
        let wrong = |change: fn(&mut Value)| late(change).wrong;
        let expected = ["current_status: expected in_warehouse, got picked_up"];
        assert_eq!(wrong(|shipment| shipment["current_status"] = json!("picked_up")), expected);
        assert_eq!(wrong(|shipment| shipment["status_history"][1]["moved"] = json!(true)).len(), 1);
        let expected = ["last_scan: evt_9 is no event in the history"];
        assert_eq!(wrong(|shipment| shipment["last_scan"]["event_id"] = json!("evt_9")), expected);
        let expected = ["status_history, entry 3 besides created: kind is not exception"];
        assert_eq!(wrong(|shipment| shipment["status_history"][2]["kind"] = json!("other")), expected);
    }
}
