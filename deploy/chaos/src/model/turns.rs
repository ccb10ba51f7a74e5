//! Whose turn it is: the records about one number in the order of the log, and when each of its events is judged. That is at once, unless a dead
//! letter of the shipment is waited for; then events wait behind it (contract section 3, parking).

use std::collections::HashMap;

use super::reading::{Created, Reading, Report, Said};
use crate::evidence::Position;

/// Most places in the queue of a shipment.
const PLACES: usize = 200;

/// What ended the wait of a parked event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleasedBy {
    /// The dead letter came again, and was not dead any more.
    Redrive,
    /// It was waited for long enough.
    Time,
    /// More waited than there are places.
    Room,
}

/// An event that is no duplicate.
pub(super) struct Event {
    /// Its record: the last one, for what was redriven with success.
    pub(super) report: Report,
    pub(super) fate: Fate,
    /// What was said of it before, in this order: `dead_lettered`, `parked`.
    pub(super) before: Vec<&'static str>,
    /// What released it, and where that stands in the log, when it was parked.
    pub(super) released: Option<(ReleasedBy, i64)>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// This, whatever else the shipment has come to: outcome and reason.
    Told(&'static str, &'static str),
    /// It waits.
    Parked,
    /// What the policy says.
    Judged,
}

/// A place in the queue.
enum Place {
    /// The dead letter at this offset; until this time, in milliseconds.
    DeadLetter { offset: i64, until: i64 },
    /// An event.
    Event(usize),
}

/// The records about one number.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) created: Option<Created>,
    pub(super) events: Vec<Event>,
    /// The events with a fate, in the order in which they met it.
    pub(super) order: Vec<usize>,
    pub(super) duplicates: usize,
    /// Where the records stand that nobody can read.
    pub(super) poison: Vec<Position>,
    /// Where those stand that the store refuses.
    pub(super) refused: Vec<Position>,
    /// What the model does not expect at all.
    pub(super) odd: Vec<String>,
    /// By their keys: the first event, and behind it those that are in conflict with it.
    claims: HashMap<String, Vec<usize>>,
    queue: Vec<Place>,
}

impl Turns {
    /// Takes the next record about the number.
    pub(super) fn take(&mut self, Reading { number, position, time, repeats, said }: Reading) {
        match said {
            Said::Created(created) => match &self.created {
                None if self.events.is_empty() => self.created = Some(created),
                Some(first) if first.event_id == created.event_id => self.duplicates += 1,
                _ => self.odd.push(format!("the creation of {number} at {position:?}")),
            },
            Said::Reported(report) => self.report(*report, time),
            Said::Poison => {
                self.poison.push(position);
                self.wait(position.1, time, repeats);
            }
            Said::Released(until) => {
                if until > time {
                    self.odd.push(format!("the release of {number} at {position:?}, which is before its time"));
                }
                self.release(until, position.1);
            }
        }
    }

    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    fn report(&mut self, report: Report, time: i64) {
        let (offset, repeats) = (report.position.1, report.repeats);
        let claims = self.claims.entry(report.key.clone()).or_default();
        let known = claims.iter().copied().find(|&earlier| self.events[earlier].report.says_the_same(&report));
        let was_refused = |earlier: usize| matches!(self.events[earlier].fate, Fate::Told("dead_lettered", _));
        let (index, is_first) = match known {
            Some(earlier) if repeats.is_some() && was_refused(earlier) => {
                self.order.retain(|&index| index != earlier);
                self.events[earlier].report = report;
                self.events[earlier].before.push("dead_lettered");
                (earlier, true)
            }
            Some(_) => {
                self.duplicates += 1;
                return self.came_to_something(repeats, offset);
            }
            None => {
                let index = self.events.len();
                self.events.push(Event { report, fate: Fate::Parked, before: Vec::new(), released: None });
                claims.push(index);
                (index, claims.len() == 1)
            }
        };
        let told = if is_first { self.told_at_once(index) } else { Some(("conflict", "KEY_CONFLICT")) };
        match told {
            None => self.take_turn(index),
            Some((outcome, reason)) => {
                self.events[index].fate = Fate::Told(outcome, reason);
                self.order.push(index);
                if outcome == "dead_lettered" {
                    self.refused.push(self.events[index].report.position);
                    self.wait(offset, time, repeats);
                } else {
                    self.came_to_something(repeats, offset);
                }
            }
        }
    }

    /// What becomes of an event whatever is waited for.
    fn told_at_once(&self, index: usize) -> Option<(&'static str, &'static str)> {
        let report = &self.events[index].report;
        if report.is_refused() {
            return Some(("dead_lettered", "STORE_REFUSED"));
        }
        let Some(created) = &self.created else { return Some(("rejected", "SHIPMENT_NOT_FOUND")) };
        // A client may report about its own shipments only.
        let is_foreign = report.client_id.as_ref().is_some_and(|client| *client != created.client_id);
        is_foreign.then_some(("rejected", "FORBIDDEN"))
    }

    /// What stands for a dead letter takes its place; any other event comes behind all that wait.
    fn take_turn(&mut self, index: usize) {
        let Report { position: (_, offset), repeats, .. } = self.events[index].report;
        match self.place_of(repeats) {
            Some(0) => {
                self.queue.remove(0);
                self.judge(index);
                self.go_on(ReleasedBy::Redrive, offset);
            }
            Some(place) => {
                self.park(index);
                self.queue[place] = Place::Event(index);
            }
            None => {
                if !self.queue.is_empty() {
                    self.make_room(offset);
                }
                if self.queue.is_empty() {
                    return self.judge(index);
                }
                self.park(index);
                self.queue.push(Place::Event(index));
            }
        }
    }

    fn park(&mut self, index: usize) {
        self.events[index].fate = Fate::Parked;
        self.events[index].before.push("parked");
    }

    fn judge(&mut self, index: usize) {
        self.events[index].fate = Fate::Judged;
        self.order.push(index);
    }

    /// The record at `offset` is dead. It is waited for, if the shipment parks, unless it repeats one that is.
    fn wait(&mut self, offset: i64, time: i64, repeats: Option<i64>) {
        let Some(seconds @ 1..) = self.created.as_ref().map(|created| created.park_seconds) else { return };
        if self.place_of(repeats).is_none() {
            self.make_room(offset);
            let until = time + seconds * 1_000;
            self.queue.push(Place::DeadLetter { offset: repeats.unwrap_or(offset), until });
        }
    }

    /// What repeats a dead letter was judged without regard to the queue: nothing else can come of that letter.
    fn came_to_something(&mut self, repeats: Option<i64>, offset: i64) {
        if let Some(place) = self.place_of(repeats) {
            self.queue.remove(place);
            self.go_on(ReleasedBy::Redrive, offset);
        }
    }

    fn release(&mut self, now: i64, offset: i64) {
        self.queue.retain(|place| !matches!(place, Place::DeadLetter { until, .. } if *until <= now));
        self.go_on(ReleasedBy::Time, offset);
    }

    /// The first dead letter is given up when the queue is full.
    fn make_room(&mut self, offset: i64) {
        if self.queue.len() >= PLACES {
            self.queue.remove(0);
            self.go_on(ReleasedBy::Room, offset);
        }
    }

    /// Judges what waits as far as the next dead letter, because of the record at `offset`.
    fn go_on(&mut self, by: ReleasedBy, offset: i64) {
        while let Some(&Place::Event(next)) = self.queue.first() {
            self.queue.remove(0);
            self.events[next].released = Some((by, offset));
            self.judge(next);
        }
    }

    /// The place that is kept for the dead letter at the offset that a record repeats.
    fn place_of(&self, repeats: Option<i64>) -> Option<usize> {
        let of = repeats?;
        self.queue.iter().position(|place| matches!(place, Place::DeadLetter { offset, .. } if *offset == of))
    }
}
