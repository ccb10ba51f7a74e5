//! What callers were told, against the log: everything that was acknowledged stands in it, with the content that was sent, in the order
//! in which it was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{Breach, Found};
use crate::evidence::{Evidence, Position, position};
use crate::ledger::{Acknowledged, Ledger};
use crate::model::{Expected, Judged};

/// Members of a body that its record must hold as they were sent.
const KEPT: [&str; 7] = ["tracking_number", "status", "kind", "timestamp", "source", "place", "source_event_id"];

pub(super) fn check(
    found: &mut Found,
    evidence: &Evidence,
    expected: &Expected,
    ledgers: &[Ledger],
    poison: &[Position],
) {
    let mut first: HashMap<&str, (Position, &[u8])> = HashMap::new();
    for record in &evidence.events {
        if let Some(id) = record.header("ce_id") {
            first.entry(id).or_insert_with(|| (position(record), record.value.as_deref().unwrap_or_default()));
        }
    }
    let judged: HashMap<&str, &Judged> = expected.judged().map(|(_, event)| (event.event_id.as_str(), event)).collect();
    for ledger in ledgers {
        for complaint in &ledger.complaints {
            found.add(Breach::Wrong, complaint);
        }
        events(found, &first, &judged, ledger);
    }
    registrations(found, evidence, ledgers);
    let there: HashSet<Position> = evidence.events.iter().map(position).collect();
    for at in poison.iter().filter(|at| !there.contains(at)) {
        found.add(Breach::Lost, format!("the record that was acknowledged at {at:?}"));
    }
}

/// Events of one caller.
fn events(
    found: &mut Found,
    first: &HashMap<&str, (Position, &[u8])>,
    judged: &HashMap<&str, &Judged>,
    ledger: &Ledger,
) {
    let mut seen = HashSet::new();
    let mut last: BTreeMap<&str, Position> = BTreeMap::new();
    for Acknowledged { event_id, body, outcome } in &ledger.events {
        let Some(&(at, value)) = first.get(event_id.as_str()) else {
            found.add(Breach::Lost, format!("{event_id} was acknowledged and is not in the log: {body}"));
            continue;
        };
        if let (Some(said), Some(&is)) = (outcome, judged.get(event_id.as_str())) {
            let right = said == is.outcome || is.before.iter().any(|before| said == before);
            found.unless(right, Breach::Wrong, || format!("{event_id} was answered with {said}: {is:?}"));
        }
        if !seen.insert(event_id) {
            continue;
        }
        let value: Value = serde_json::from_slice(value).unwrap_or_default();
        let differing: Vec<_> = KEPT.into_iter().filter(|&member| value[member] != body[member]).collect();
        found.unless(differing.is_empty(), Breach::Wrong, || {
            format!("{differing:?} of {event_id}: {body} became {value}")
        });
        let number = body["tracking_number"].as_str().unwrap_or_default();
        if let Some(before) = last.insert(number, at).filter(|_| ledger.one_by_one) {
            let in_order = before.0 == at.0 && before.1 < at.1;
            found.unless(in_order, Breach::Reordered, || format!("{event_id} at {at:?} was sent after {before:?}"));
        }
    }
}

/// Each key has one shipment, and each shipment one key.
fn registrations(found: &mut Found, evidence: &Evidence, ledgers: &[Ledger]) {
    let (mut keys, mut registered) = (BTreeSet::new(), BTreeSet::new());
    for one in ledgers.iter().flat_map(|ledger| &ledger.registered) {
        keys.insert(&one.key);
        found.unless(registered.insert(&one.number), Breach::Wrong, || format!("{} was given out twice", one.number));
        found.unless(evidence.numbers.contains(&one.number), Breach::Lost, || {
            format!("the shipment {} of {} was acknowledged", one.number, one.key)
        });
    }
    for number in evidence.numbers.iter().filter(|number| !registered.contains(number)) {
        found.add(Breach::Doubled, format!("nobody was told of {number}: a registration was made twice"));
    }
}
