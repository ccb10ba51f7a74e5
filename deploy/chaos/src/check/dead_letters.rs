//! The dead letters: exactly the poison and the conflicts, each at least once, byte for byte.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use acceptance::topic::Record;

use super::{Breach, Found};
use crate::evidence::{Evidence, Position, position};
use crate::model::Expected;

pub(super) fn check(found: &mut Found, evidence: &Evidence, expected: &Expected) {
    let originals: HashMap<Position, &Record> =
        evidence.events.iter().map(|record| (position(record), record)).collect();
    let conflicts = expected.judged().filter(|(_, event)| event.outcome == "conflict").map(|(_, event)| event.position);
    let must: BTreeMap<Position, bool> =
        expected.poison.iter().map(|&at| (at, true)).chain(conflicts.map(|at| (at, false))).collect();
    let mut there = BTreeSet::new();
    for letter in &evidence.dead_letters {
        let number = |name: &str| letter.header(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
        let at = (i32::try_from(number("dlq.partition")).unwrap_or(-1), number("dlq.offset"));
        there.insert(at);
        let class = letter.header("dlq.error.class");
        match must.get(&at) {
            None => found.add(Breach::Doubled, format!("a dead letter of {at:?}, which could be processed: {class:?}")),
            Some(poison) => found.unless(*poison != (class == Some("KEY_CONFLICT")), Breach::Wrong, || {
                format!("the dead letter of {at:?} says {class:?}")
            }),
        }
        let same = originals.get(&at).is_some_and(|original| is_same(letter, original));
        found.unless(same, Breach::Wrong, || format!("the dead letter of {at:?} is not its original"));
    }
    for (at, poison) in must.iter().filter(|(at, _)| !there.contains(at)) {
        let what = if *poison { "poison" } else { "conflict" };
        found.add(Breach::Lost, format!("the {what} at {at:?} has no dead letter"));
    }
}

/// Key, value, time, and the headers, which others follow.
fn is_same(letter: &Record, original: &Record) -> bool {
    letter.key == original.key
        && letter.value == original.value
        && letter.timestamp == original.timestamp
        && letter.headers.starts_with(&original.headers)
}
