//! Rows and shipments: each event took effect once, in order, as the model says.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::{Breach, Found};
use crate::evidence::{Evidence, Position, Row};
use crate::model::{Account, Expected, Judged};

pub(super) fn check(found: &mut Found, evidence: &Evidence, expected: &Expected) {
    rows(found, evidence, expected);
    for number in evidence.numbers.iter().filter(|number| !expected.accounts.contains_key(*number)) {
        found.add(Breach::Doubled, format!("{number} is a shipment, and no record creates it"));
    }
    for (number, account) in &expected.accounts {
        match evidence.shipments.get(number) {
            None => found.add(Breach::Lost, format!("{number} was created and is no shipment")),
            Some(shipment) => Shipment { number, shipment, account }.check(found),
        }
    }
}

/// Every outcome.
fn rows(found: &mut Found, evidence: &Evidence, expected: &Expected) {
    let mut by_position: BTreeMap<Position, &Row> = BTreeMap::new();
    for row in &evidence.rows {
        if let Some(other) = by_position.insert(row.position, row) {
            found.add(Breach::Doubled, format!("one record has two outcomes: {row:?}, {other:?}"));
        }
    }
    for (number, Judged { event_id, position, outcome, reason, released, .. }) in expected.judged() {
        let Some(row) = by_position.remove(position) else {
            found.add(Breach::Lost, format!("{event_id} at {position:?} has no outcome; it must be {outcome}"));
            continue;
        };
        let released_at = released.map(|(_, offset)| offset);
        let told = (row.outcome.as_str(), row.reason.as_deref(), row.released_at);
        let right = row.number == number && told == (outcome, reason.as_deref(), released_at);
        found.unless(right, Breach::Wrong, || {
            format!("{event_id} must be {outcome} {reason:?}, released at {released_at:?}: {row:?}")
        });
    }
    for row in by_position.values() {
        found.add(Breach::Doubled, format!("an outcome that no record can have: {row:?}"));
    }
}

struct Shipment<'a> {
    number: &'a str,
    shipment: &'a Value,
    account: &'a Account,
}

impl Shipment<'_> {
    fn check(&self, found: &mut Found) {
        let Self { number, shipment, account } = self;
        let history: &[Value] = shipment["status_history"].as_array().map(Vec::as_slice).unwrap_or_default();
        let wrong = |what: &str| format!("{number}: {what}: {shipment}");
        found.unless(shipment["current_status"] == account.status, Breach::Wrong, || {
            wrong(&format!("current_status must be {}", account.status))
        });
        let times: Vec<_> = history.iter().filter_map(|entry| entry["timestamp"].as_str()).collect();
        found.unless(times.is_sorted(), Breach::Reordered, || wrong("the history is not in order of time"));
        self.entries(found, history);
        let moved: BTreeSet<_> = history.iter().filter(|entry| entry["moved"] == true).filter_map(id).collect();
        let moves: BTreeSet<_> = account.moves.iter().map(String::as_str).collect();
        found.unless(moved == moves, Breach::Wrong, || wrong(&format!("these must have moved it: {moves:?}")));
        found.unless(shipment["version"] == account.history().len() + 1, Breach::Doubled, || {
            wrong(&format!("version must be {}", account.history().len() + 1))
        });
        if let Some(shown) = &account.shown {
            let (last, exception) = (id(&shipment["last_scan"]), id(&shipment["exception"]));
            // Without a report the last scan is the creation.
            let right = shipment["attempts"] == shown.attempts
                && (shown.last_scan.is_none() || last == shown.last_scan.as_deref())
                && exception == shown.exception.as_deref();
            found.unless(right, Breach::Wrong, || wrong(&format!("must show {shown:?}")));
        }
    }

    /// Each event that entered is there once, in its place.
    fn entries(&self, found: &mut Found, history: &[Value]) {
        let Self { number, account, .. } = self;
        let Some(creation) = account.judged.first() else { return };
        let (mut once, mut shown) = (HashSet::new(), Vec::new());
        for event in history.iter().filter_map(id) {
            if !once.insert(event) {
                found.add(Breach::Doubled, format!("{number}: {event} stands in its history twice"));
            } else if event != creation.event_id {
                shown.push(event);
            }
        }
        let must = account.history();
        let missing: Vec<_> = must.iter().filter(|event| !once.contains(**event)).collect();
        found.unless(missing.is_empty(), Breach::Lost, || format!("{number}: not in its history: {missing:?}"));
        found.unless(once.contains(creation.event_id.as_str()), Breach::Lost, || format!("{number}: its creation"));
        let known: HashSet<_> = must.iter().collect();
        let more: Vec<_> = shown.iter().filter(|event| !known.contains(event)).collect();
        found.unless(more.is_empty(), Breach::Doubled, || format!("{number}: must not be in its history: {more:?}"));
        if missing.is_empty() && more.is_empty() {
            found.unless(shown == must, Breach::Reordered, || format!("{number}: {shown:?} must be {must:?}"));
        }
    }
}

fn id(entry: &Value) -> Option<&str> {
    entry["event_id"].as_str()
}
