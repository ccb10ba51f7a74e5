//! What the platform must answer to a history: a second reading of sections 2 and 3 of the contract, sequential and as simple as
//! they are, which shares nothing with the platform.

mod field;
mod strict;

use std::collections::HashMap;

use crate::outcome::Outcome;
use crate::plan::{Event, Plan, Policy};
use crate::player::Played;

/// What must become of `plan`.
#[must_use]
pub fn play(plan: &Plan<'_>) -> Played {
    match plan.policy {
        Policy::Strict => strict::play(plan),
        Policy::Field => field::play(plan),
    }
}

/// What tells two events of one history apart: the number and the source are always the same.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Second(i64),
    Id(&'a str),
}

impl<'a> Key<'a> {
    fn of(event: &'a Event<'_>) -> Self {
        match &event.source_event_id {
            Some(id) => Self::Id(id),
            None => Self::Second(event.unix_seconds()),
        }
    }
}

/// The keys of the events that came in.
#[derive(Default)]
struct Keys<'a>(HashMap<Key<'a>, Vec<&'a Event<'a>>>);

impl<'a> Keys<'a> {
    /// Remembers `event`, and says what becomes of it when its key was there before.
    fn taken_before(&mut self, event: &'a Event<'a>) -> Option<Outcome> {
        let known = self.0.entry(Key::of(event)).or_default();
        if known.iter().any(|earlier| same_payload(earlier, event)) {
            return Some(Outcome::Duplicate);
        }
        known.push(event);
        (known.len() > 1).then_some(Outcome::Conflict)
    }
}

/// Of what is posted; the spelling of the time and its fraction do not count.
fn same_payload(one: &Event<'_>, other: &Event<'_>) -> bool {
    let (scan, other_scan) = (one.scan, other.scan);
    scan.claim == other_scan.claim
        && one.reason == other.reason
        && scan.place == other_scan.place
        && scan.code == other_scan.code
        && scan.location == other_scan.location
        // With an id of its own, the second belongs to the payload; without one it is the key.
        && one.unix_seconds() == other.unix_seconds()
}

#[cfg(test)]
mod against_the_platform;
