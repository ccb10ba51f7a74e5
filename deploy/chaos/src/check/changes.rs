//! The changes: each applied one is published at least once, in order for each shipment, and nothing else is.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Breach, Found};
use crate::evidence::{Evidence, Position, Row};
use crate::model::Expected;

pub(super) fn check(found: &mut Found, evidence: &Evidence, expected: &Expected) {
    let rows: HashMap<Position, &Row> = evidence.rows.iter().map(|row| (row.position, row)).collect();
    let mut published: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for change in &evidence.changes {
        let event = change.header("ce_id").unwrap_or_default();
        let events = published.entry(change.key_text()).or_default();
        // Whoever reads them knows one that came before by its event_id.
        if !events.contains(&event) {
            events.push(event);
        }
        let value: Value = serde_json::from_slice(change.value.as_deref().unwrap_or_default()).unwrap_or_default();
        let offset = value["offset"].as_i64().unwrap_or(-1);
        let partition = value["partition"].as_i64().and_then(|partition| i32::try_from(partition).ok());
        let row = rows.get(&(partition.unwrap_or(-1), offset));
        let right = row.is_some_and(|row| row.outcome == "applied" && value["to"].as_str() == row.to.as_deref());
        found.unless(right, Breach::Wrong, || format!("the change {value} does not follow from {row:?}"));
    }
    for (number, account) in &expected.accounts {
        let applied = account.judged.iter().filter(|event| event.outcome == "applied");
        let must: Vec<_> = applied.map(|event| event.event_id.as_str()).collect();
        let changes = published.remove(number.as_str()).unwrap_or_default();
        if changes == must {
            continue;
        }
        let missing: Vec<_> = must.iter().filter(|event| !changes.contains(event)).collect();
        let more: Vec<_> = changes.iter().filter(|event| !must.contains(event)).collect();
        found.unless(missing.is_empty(), Breach::Lost, || format!("{number}: changes not published: {missing:?}"));
        found.unless(more.is_empty(), Breach::Doubled, || format!("{number}: changes that never were: {more:?}"));
        if missing.is_empty() && more.is_empty() {
            found.add(Breach::Reordered, format!("the changes of {number}: {changes:?} must be {must:?}"));
        }
    }
    for number in published.keys() {
        found.add(Breach::Doubled, format!("changes of {number}, which is no shipment"));
    }
}
