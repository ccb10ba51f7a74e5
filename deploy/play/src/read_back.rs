//! Compares a shipment that was read back with what the platform answered about its events.

use crate::api::{HistoryEntry, Shipment};
use crate::history::{Scan, Status};
use crate::outcome::Outcome;
use crate::player::Decided;

/// The status of the shipment; `None` when it is none of the six.
#[must_use]
pub fn final_status(shipment: &Shipment) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status.as_str() == shipment.current_status)
}

/// Everything in which `shipment` is not what the answers said: one entry for each applied event and no other, in order of
/// the times, those of the same time in the order in which they were posted.
#[must_use]
pub fn compare(number: &str, source: &str, decided: &[Decided<'_>], shipment: &Shipment) -> Vec<String> {
    let mut wrong = Vec::new();
    if shipment.tracking_number != number {
        wrong.push(format!("tracking_number: {}", shipment.tracking_number));
    }
    let moved = decided.iter().rev().find(|decided| decided.outcome == Outcome::Applied);
    let expected = moved.map_or(Status::Created, |decided| decided.scan.status);
    if final_status(shipment) != Some(expected) {
        wrong.push(format!("current_status: expected {expected}, got {}", shipment.current_status));
    }

    let is_creation = |entry: &&HistoryEntry| entry.status.as_deref() == Some(Status::Created.as_str());
    let (creations, entries): (Vec<_>, Vec<_>) = shipment.status_history.iter().partition(is_creation);
    if creations.len() != 1 {
        wrong.push(format!("status_history: expected created once, got it {} times", creations.len()));
    }
    let ordered = shipment.status_history.is_sorted_by_key(|entry| entry.timestamp);
    if !ordered {
        wrong.push("status_history: is not in order of timestamp".to_owned());
    }
    let mut expected: Vec<_> = decided.iter().filter(|decided| decided.outcome.is_in_history()).collect();
    expected.sort_by_key(|decided| decided.scan.unix_millis()); // stable
    if expected.len() != entries.len() {
        wrong.push(format!(
            "status_history: expected {} entries besides created, got {}",
            expected.len(),
            entries.len()
        ));
    }
    for (index, (decided, entry)) in expected.iter().zip(entries).enumerate() {
        let differing = differing_members(source, decided, entry);
        if !differing.is_empty() {
            wrong.push(format!("status_history, entry {} besides created: {}", index + 1, differing.join(", ")));
        }
    }
    wrong
}

fn differing_members(source: &str, decided: &Decided<'_>, entry: &HistoryEntry) -> Vec<String> {
    let Scan { occurred, status, place, code, location, .. } = decided.scan;
    let millis = entry.timestamp.unix_timestamp_nanos().div_euclid(1_000_000);
    let same_id = decided.event_id.as_ref().is_none_or(|id| *id == entry.event_id);
    let members = [
        ("status", entry.status.as_deref() == Some(status.as_str()), status.to_string()),
        ("moved", entry.moved == (decided.outcome == Outcome::Applied), decided.outcome.to_string()),
        ("timestamp", millis == i128::from(decided.scan.unix_millis()), occurred.clone()),
        ("source", entry.source == source, source.to_owned()),
        ("place", entry.place == *place, format!("{place:?}")),
        ("code", entry.code == *code, format!("{code:?}")),
        ("location", entry.location == *location, format!("{location:?}")),
        ("event_id", same_id, format!("{:?}", decided.event_id)),
    ];
    let differing = members.into_iter().filter(|(_, same, _)| !same);
    differing.map(|(member, _, expected)| format!("{member} is not {expected}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::read;

    const HISTORY: &str = r#"{"carrier":"andes","number":"A1","events":[
        {"occurred":"2024-05-01T10:00:00-05:00","status":"picked_up","place":"Quito","code":"PU","lat":0,"lng":-78},
        {"occurred":"2024-05-01T12:00:00-05:00","status":"in_transit"},
        {"occurred":"2024-05-01T14:00:00.250-05:00","status":"in_warehouse"}]}"#;

    fn shipment() -> serde_json::Value {
        serde_json::json!({"tracking_number": "99M-ABC12345", "current_status": "in_warehouse", "status_history": [
            {"status": "picked_up", "kind": null, "moved": true, "timestamp": "2024-05-01T15:00:00Z", "source": "andes",
                "place": "Quito", "code": "PU", "location": {"lat": 0.0, "lng": -78.0}, "event_id": "evt_1"},
            {"status": "in_warehouse", "moved": true, "timestamp": "2024-05-01T19:00:00.250Z", "source": "andes",
                "location": null, "event_id": "evt_3"},
            {"status": "created", "moved": true, "timestamp": "2026-01-01T00:00:00Z", "source": "api", "event_id": "evt_0"}
        ]})
    }

    fn wrong(change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
        let histories = read(HISTORY.replace('\n', "").as_bytes()).expect("a history");
        let outcomes = [Outcome::Applied, Outcome::Rejected("INVALID_TRANSITION".to_owned()), Outcome::Applied];
        let ids = [Some("evt_1".to_owned()), None, Some("evt_3".to_owned())];
        let scans = histories[0].scans.iter().zip(outcomes).zip(ids);
        let decided: Vec<_> = scans.map(|((scan, outcome), event_id)| Decided { scan, outcome, event_id }).collect();
        let mut read_back = shipment();
        change(&mut read_back);
        let read_back = serde_json::from_value(read_back).expect("a shipment");
        compare("99M-ABC12345", "andes", &decided, &read_back)
    }

    #[test]
    fn what_was_answered_and_is_there_is_right() {
        assert_eq!(wrong(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let first = |member: &'static str, value: serde_json::Value| {
            wrong(move |shipment| shipment["status_history"][0][member] = value)
        };
        assert_eq!(
            first("place", "Lima".into()),
            ["status_history, entry 1 besides created: place is not Some(\"Quito\")"]
        );
        assert_eq!(first("moved", false.into()), ["status_history, entry 1 besides created: moved is not applied"]);
        assert_eq!(first("event_id", "evt_9".into()).len(), 1);
        assert_eq!(first("location", serde_json::Value::Null).len(), 1);
        assert_eq!(first("timestamp", "2024-05-01T15:00:01Z".into()).len(), 1);
        assert_eq!(wrong(|shipment| shipment["current_status"] = "delivered".into()).len(), 1);
        assert_eq!(wrong(|shipment| shipment["tracking_number"] = "99M-OTHER123".into()).len(), 1);
    }

    #[test]
    fn a_missing_doubled_or_moved_entry_is_found() {
        let entries = |change: fn(&mut Vec<serde_json::Value>)| {
            wrong(|shipment| change(shipment["status_history"].as_array_mut().expect("a list")))
        };
        let contains = |wrong: &[String], what: &str| wrong.iter().any(|text| text.contains(what));
        assert!(contains(&entries(|entries| _ = entries.remove(1)), "expected 2 entries besides created, got 1"));
        assert!(contains(&entries(|entries| entries.insert(0, entries[0].clone())), "got 3"));
        assert!(contains(&entries(|entries| entries.swap(0, 1)), "is not in order of timestamp"));
        assert!(contains(&entries(|entries| _ = entries.pop()), "expected created once, got it 0 times"));
    }
}
