//! Parking: while a dead letter of a shipment may still be repaired, its later events wait behind it, and are judged in the order in which they
//! came when it is.
//!
//! - A record that nobody can read, or whose event the store refuses, gets a [`Place`] at the end of the queue ([`wait`]). From then on each new
//!   event of the shipment is `parked` and gets the next place; what is known of it whatever comes (a duplicate, a conflict, a second
//!   creation, another client's report) is told at once.
//! - A redriven record stands in the place of the one that it repeats ([`take`]). When that is the first place, it is judged, and what waits behind
//!   it up to the next dead letter.
//! - A `released` record gives up the dead letters that were waited for long enough ([`release`]). So does a queue that is full, with its first.
//!
//! Whatever is released is judged at the position of the record that released it. All of it is a function of the log: how long is waited
//! stands in the shipment's creation, the time of a dead letter is that of its record, and the time that has come stands in the `released` record.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::{IdentifiedEvent, Judgement, Outcome, by_key, by_policy, by_terms, judge};
use crate::shipment::limits;
use crate::shipment::state::{LogPosition, ParkedEvent, Place, Shipment};
use crate::shipment::{PayloadHash, Timestamp};

/// What one record does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What became of the record's own event, if it has one.
    pub own: Option<Judgement>,
    /// What became of parked events, in the order in which they were judged. The own event of a redriven record was judged before them, any other
    /// after them.
    pub released: Vec<(Arc<ParkedEvent>, Judgement)>,
    /// The shipment after, when its state has advanced.
    pub shipment: Option<Shipment>,
}

/// Judges one record with an event as [`judge`] does, unless events of its shipment are parked. `repeats` is the record that it repeats when it
/// was redriven, by its offset.
#[must_use]
pub fn take(
    shipment: Option<&Shipment>,
    first: Option<PayloadHash>,
    event: &IdentifiedEvent,
    position: LogPosition,
    repeats: Option<i64>,
) -> Turn {
    let Some(shipment) = shipment.filter(|shipment| !shipment.state.parked.is_empty()) else {
        let mut own = judge(shipment, first, event, position);
        let shipment = own.shipment.take();
        return Turn { own: Some(own), released: Vec::new(), shipment };
    };
    let mut queue = Queue::of(shipment, position);
    let place = repeats.and_then(|offset| queue.place_of(offset));
    let known = by_key(Some(shipment), first, event).or_else(|| by_terms(shipment, event));
    let own = match (known, place) {
        (Some(known), None) => return Turn { own: Some(known), ..Turn::default() },
        // Nothing else can come of that dead letter.
        (Some(known), Some(place)) => {
            queue.places.remove(place);
            known
        }
        (None, Some(0)) => {
            queue.places.remove(0);
            queue.judge(event)
        }
        (None, Some(place)) => {
            queue.places[place] = parked(event, position);
            not_yet(event)
        }
        (None, None) => {
            queue.make_room();
            if queue.places.is_empty() {
                queue.judge(event)
            } else {
                queue.places.push(parked(event, position));
                not_yet(event)
            }
        }
    };
    queue.drain();
    queue.end(Some(own))
}

/// A dead letter of `shipment` whose record stands at `position` and bears the `time`: it may be repaired, and so its place is kept. One that was
/// redriven in vain keeps the place of the record that it `repeats`.
#[must_use]
pub fn wait(shipment: &Shipment, position: LogPosition, time: Timestamp, repeats: Option<i64>) -> Turn {
    let mut queue = Queue::of(shipment, position);
    let has_place = repeats.is_some_and(|offset| queue.place_of(offset).is_some());
    if shipment.terms.park_seconds == 0 || has_place {
        return Turn::default();
    }
    queue.make_room();
    let until = time.plus(Duration::from_secs(shipment.terms.park_seconds.into()));
    let of = LogPosition { offset: repeats.unwrap_or(position.offset), ..position };
    queue.places.push(Place::Waiting { of, until });
    queue.end(None)
}

/// Nothing can come any more of the dead letter that the record at `position` `repeats`: its place is given up.
#[must_use]
pub fn settle(shipment: &Shipment, position: LogPosition, repeats: Option<i64>) -> Turn {
    let mut queue = Queue::of(shipment, position);
    let Some(place) = repeats.and_then(|offset| queue.place_of(offset)) else { return Turn::default() };
    queue.places.remove(place);
    queue.drain();
    queue.end(None)
}

/// It is `until` by now: dead letters that were waited for until then are given up.
#[must_use]
pub fn release(shipment: &Shipment, until: Timestamp, position: LogPosition) -> Turn {
    let mut queue = Queue::of(shipment, position);
    queue.places.retain(|place| !matches!(place, Place::Waiting { until: due, .. } if *due <= until));
    if queue.places.len() == shipment.state.parked.len() {
        return Turn::default();
    }
    queue.drain();
    queue.end(None)
}

fn parked(event: &IdentifiedEvent, position: LogPosition) -> Place {
    Place::Event(Arc::new(ParkedEvent {
        position,
        event_id: event.id,
        report: event.report.clone(),
        recorded_at: event.recorded_at,
        reporter: event.reporter.clone(),
        refused_at: event.refused_at,
    }))
}

fn not_yet(event: &IdentifiedEvent) -> Judgement {
    let to = event.report.claim.status();
    Judgement { outcome: Outcome::Parked, reason: None, from: None, to, late: false, version: None, shipment: None }
}

impl From<&ParkedEvent> for IdentifiedEvent {
    fn from(parked: &ParkedEvent) -> Self {
        let ParkedEvent { event_id: id, recorded_at, refused_at, .. } = *parked;
        let (report, reporter) = (parked.report.clone(), parked.reporter.clone());
        Self { id, report, recorded_at, reporter, created: None, refused_at }
    }
}

/// The queue of a shipment while one record is worked on.
struct Queue {
    shipment: Shipment,
    places: Vec<Place>,
    released: Vec<(Arc<ParkedEvent>, Judgement)>,
    position: LogPosition,
}

impl Queue {
    fn of(shipment: &Shipment, position: LogPosition) -> Self {
        let mut shipment = shipment.clone();
        let places = mem::take(&mut shipment.state.parked);
        Self { shipment, places, released: Vec::new(), position }
    }

    /// The place that is kept for the dead letter at `offset`.
    fn place_of(&self, offset: i64) -> Option<usize> {
        self.places.iter().position(|place| matches!(place, Place::Waiting { of, .. } if of.offset == offset))
    }

    fn judge(&mut self, event: &IdentifiedEvent) -> Judgement {
        let mut judgement = by_policy(&self.shipment, event, self.position);
        if let Some(after) = judgement.shipment.take() {
            self.shipment = after;
        }
        judgement
    }

    /// Judges the events at the front.
    fn drain(&mut self) {
        let waiting = self.places.iter().position(|place| matches!(place, Place::Waiting { .. }));
        for place in self.places.drain(..waiting.unwrap_or(self.places.len())).collect::<Vec<_>>() {
            let Place::Event(event) = place else { continue };
            let judgement = self.judge(&IdentifiedEvent::from(&*event));
            self.released.push((event, judgement));
        }
    }

    /// Gives up the first dead letter when there is no room for another place.
    fn make_room(&mut self) {
        if self.places.len() >= limits::PARKED {
            self.places.remove(0);
            self.drain();
        }
    }

    fn end(mut self, own: Option<Judgement>) -> Turn {
        self.shipment.state.parked = self.places;
        self.shipment.state.position = self.position;
        Turn { own, released: self.released, shipment: Some(self.shipment) }
    }
}

#[cfg(test)]
mod tests;
