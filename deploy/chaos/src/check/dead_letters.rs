//! The dead letters: exactly the poison, what the store refuses, and the conflicts, each at least once, byte for byte.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use acceptance::topic::Record;

use super::{Breach, Found};
use crate::evidence::{Evidence, Position, position};
use crate::model::Expected;

/// The classes of records that can be read.
const CONFLICT: &str = "KEY_CONFLICT";
const REFUSED: &str = "STORE_REFUSED";

pub(super) fn check(found: &mut Found, evidence: &Evidence, expected: &Expected) {
    let originals: HashMap<Position, &Record> =
        evidence.events.iter().map(|record| (position(record), record)).collect();
    let conflicts = expected.judged().filter(|(_, event)| event.outcome == "conflict").map(|(_, event)| event.position);
    // Which of the other classes poison has is not ours to say.
    let must: BTreeMap<Position, Option<&str>> = (expected.poison.iter().map(|&at| (at, None)))
        .chain(expected.refused.iter().map(|&at| (at, Some(REFUSED))))
        .chain(conflicts.map(|at| (at, Some(CONFLICT))))
        .collect();
    let mut there = BTreeSet::new();
    for letter in &evidence.dead_letters {
        let number = |name: &str| letter.header(name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
        let at = (i32::try_from(number("dlq.partition")).unwrap_or(-1), number("dlq.offset"));
        there.insert(at);
        let class = letter.header("dlq.error.class");
        match must.get(&at) {
            None => found.add(Breach::Doubled, format!("a dead letter of {at:?}, which could be processed: {class:?}")),
            Some(must) => {
                let right = class.filter(|class| [CONFLICT, REFUSED].contains(class)) == *must;
                found
                    .unless(right, Breach::Wrong, || format!("the dead letter of {at:?} says {class:?}, not {must:?}"));
            }
        }
        let same = originals.get(&at).is_some_and(|original| is_same(letter, original));
        found.unless(same, Breach::Wrong, || format!("the dead letter of {at:?} is not its original"));
    }
    for (at, class) in must.iter().filter(|(at, _)| !there.contains(at)) {
        found.add(Breach::Lost, format!("the {} at {at:?} has no dead letter", class.unwrap_or("poison")));
    }
}

/// Key, value, time, and the headers, which others follow.
fn is_same(letter: &Record, original: &Record) -> bool {
    letter.key == original.key
        && letter.value == original.value
        && letter.timestamp == original.timestamp
        && letter.headers.starts_with(&original.headers)
}
