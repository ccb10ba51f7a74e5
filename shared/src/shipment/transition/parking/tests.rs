use serde_json::json;

use super::super::RejectReason;
use super::*;
use crate::shipment::{
    Claim, Event, EventBody, Reporter, ShipmentCreated, Status, StatusReported, TrackingNumber, UnknownFields,
};

const LIFE: [&str; 4] = ["picked_up", "in_warehouse", "in_transit", "delivered"];
/// Seconds that the shipments of these tests park.
const PARKED_FOR: i64 = 60;

fn number() -> TrackingNumber {
    "99M-ABC12345".parse().expect("well-formed")
}

fn at(offset: i64) -> LogPosition {
    LogPosition { epoch: 1, offset }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_millis(1_748_764_800_000 + second * 1_000)
}

fn created(policy: &str, park_seconds: i64) -> Shipment {
    let body = json!({"tracking_number": number(), "client_id": "c", "created_at": time(0), "origin_address": "a",
        "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
        "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c",
        "transition_policy": policy, "park_seconds": park_seconds});
    let created = ShipmentCreated::from_json(body, time(0)).expect("valid");
    let event = IdentifiedEvent::from(Event::Created(Box::new(created)));
    judge(None, None, &event, at(0)).shipment.expect("created")
}

/// The report of `status` at `second`.
fn report(status: &str, second: i64) -> IdentifiedEvent {
    let body =
        json!({"tracking_number": number(), "status": status, "timestamp": time(second), "source": "driver_app"});
    let body = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
    Event::Reported(StatusReported { body, recorded_at: time(second), reporter: None }).into()
}

/// A shipment whose records are taken one after the other.
struct Taken {
    shipment: Shipment,
    next: i64,
    /// The outcomes that were final, in the order in which they became so, by what was claimed.
    told: Vec<(&'static str, Outcome)>,
}

impl Taken {
    fn of(policy: &str) -> Self {
        Self { shipment: created(policy, PARKED_FOR), next: 1, told: Vec::new() }
    }

    fn turn(&mut self, turn: Turn) {
        self.next += 1;
        let released = turn.released.iter().map(|(event, judgement)| (event.report.claim.as_str(), judgement.outcome));
        self.told.extend(released);
        self.shipment = turn.shipment.unwrap_or_else(|| self.shipment.clone());
    }

    /// Takes a report; tells what became of it.
    fn take(&mut self, event: &IdentifiedEvent, repeats: Option<i64>) -> Outcome {
        let turn = take(Some(&self.shipment), None, event, at(self.next), repeats);
        let outcome = turn.own.as_ref().expect("its own").outcome;
        if outcome != Outcome::Parked {
            self.told.push((event.report.claim.as_str(), outcome));
        }
        self.turn(turn);
        outcome
    }

    /// A dead letter, at `second`; gives its offset.
    fn dead_letter(&mut self, second: i64) -> i64 {
        let offset = self.next;
        self.turn(wait(&self.shipment, at(offset), time(second), None));
        offset
    }

    fn release(&mut self, second: i64) {
        self.turn(release(&self.shipment, time(second), at(self.next)));
    }

    fn statuses(&self) -> Vec<&'static str> {
        self.shipment.state.status_history.iter().map(|entry| entry.claim.as_str()).collect()
    }
}

#[test]
fn a_state_without_parked_events_is_written_as_ever() {
    let state = serde_json::to_value(&created("strict", PARKED_FOR).state).expect("JSON");
    assert_eq!(state.get("parked"), None);
    let mut taken = Taken::of("strict");
    taken.dead_letter(1);
    taken.take(&report("in_warehouse", 2), None);
    let text = serde_json::to_string(&taken.shipment.state).expect("JSON");
    let read: crate::shipment::ShipmentState = serde_json::from_str(&text).expect("reads back");
    assert_eq!(read, taken.shipment.state);
    assert_eq!(read.parked_until(), Some(time(1 + PARKED_FOR)));
}

#[test]
fn whichever_step_is_a_dead_letter_a_redrive_brings_everything_to_where_it_would_be() {
    for policy in ["strict", "field"] {
        let mut whole = Taken::of(policy);
        for (second, status) in (1..).zip(LIFE) {
            whole.take(&report(status, second), None);
        }
        for (dead, step) in LIFE.into_iter().enumerate() {
            let mut taken = Taken::of(policy);
            let mut letter = None;
            for (index, status) in LIFE.into_iter().enumerate() {
                let second = index as i64 + 1;
                if index == dead {
                    letter = Some((taken.dead_letter(second), report(status, second)));
                } else {
                    let expected = if index < dead { Outcome::Applied } else { Outcome::Parked };
                    assert_eq!(taken.take(&report(status, second), None), expected, "{status} behind {step}");
                }
            }
            let (offset, mended) = letter.expect("one step is dead");
            let position = taken.next;
            assert_eq!(taken.take(&mended, Some(offset)), Outcome::Applied);
            assert_eq!(taken.told, whole.told, "{policy}, {step}: in the order of the log");
            assert_eq!(taken.shipment.state.status_history, whole.shipment.state.status_history);
            assert_eq!(taken.shipment.state.version, whole.shipment.state.version);
            assert_eq!((taken.shipment.state.position, taken.shipment.state.parked_until()), (at(position), None));
        }
    }
}

#[test]
fn behind_two_dead_letters_events_wait_for_each() {
    let mut taken = Taken::of("strict");
    let first = taken.dead_letter(1);
    taken.take(&report("in_warehouse", 2), None);
    let second = taken.dead_letter(3);
    taken.take(&report("delivered", 4), None);
    assert_eq!(taken.take(&report("in_transit", 3), Some(second)), Outcome::Parked, "it has its place, not its turn");
    assert_eq!(taken.shipment.state.parked.len(), 4);
    assert_eq!(taken.take(&report("picked_up", 1), Some(first)), Outcome::Applied);
    assert_eq!(taken.statuses(), ["created", "picked_up", "in_warehouse", "in_transit", "delivered"]);
    assert!(taken.shipment.state.parked.is_empty());
}

// contract: "What is known of an event whatever comes"
#[test]
fn what_is_known_whatever_comes_is_told_at_once() {
    let mut taken = Taken::of("strict");
    let letter = taken.dead_letter(1);
    let parked = report("in_warehouse", 2);
    taken.take(&parked, None);
    let told = |event: &IdentifiedEvent, first| {
        let turn = take(Some(&taken.shipment), first, event, at(9), None);
        assert_eq!((turn.shipment, turn.released.len()), (None, 0), "and changes nothing");
        let own = turn.own.expect("its own");
        (own.outcome, own.reason)
    };
    assert_eq!(told(&parked, Some(parked.id.payload)), (Outcome::Duplicate, None));
    let other = report("cancelled", 2);
    assert_eq!(told(&other, Some(parked.id.payload)), (Outcome::Conflict, Some(RejectReason::KeyConflict)));
    let mut foreign = report("in_transit", 3);
    let (sub, role) = ("bob".to_owned(), "client".to_owned());
    foreign.reporter = Some(Reporter { sub, role, client_id: Some("another".to_owned()) });
    assert_eq!(told(&foreign, None), (Outcome::Rejected, Some(RejectReason::Forbidden)));

    // The same of a redriven record: that is what came of its dead letter.
    let turn = take(Some(&taken.shipment), Some(parked.id.payload), &parked, at(9), Some(letter));
    assert_eq!(turn.own.map(|own| own.outcome), Some(Outcome::Duplicate));
    let released: Vec<_> = turn.released.iter().map(|(event, judgement)| (event.position, judgement.outcome)).collect();
    assert_eq!(released, [(at(2), Outcome::Rejected)]);
    assert_eq!(turn.shipment.expect("advanced").state.parked, []);
}

#[test]
fn a_dead_letter_that_is_redriven_in_vain_keeps_its_place_and_its_time() {
    let mut taken = Taken::of("strict");
    let letter = taken.dead_letter(1);
    taken.take(&report("in_warehouse", 2), None);
    let again = wait(&taken.shipment, at(taken.next), time(50), Some(letter));
    assert_eq!(again, Turn::default());
    taken.turn(again);
    assert_eq!(taken.take(&report("picked_up", 1), Some(letter)), Outcome::Applied, "however often");
    assert_eq!(taken.statuses(), ["created", "picked_up", "in_warehouse"]);
}

#[test]
fn a_release_gives_up_what_was_waited_for_long_enough_and_nothing_else() {
    let mut taken = Taken::of("strict");
    taken.take(&report("picked_up", 1), None);
    taken.dead_letter(2);
    taken.take(&report("in_transit", 3), None);
    let second = taken.dead_letter(30);
    taken.take(&report("cancelled", 31), None);
    let before = taken.shipment.clone();
    taken.release(2 + PARKED_FOR - 1);
    assert_eq!(taken.shipment, before, "too early: nothing happens, the state does not even advance");
    taken.release(2 + PARKED_FOR);
    assert_eq!(taken.told[1..], [("in_transit", Outcome::Rejected)], "judged without what was given up");
    assert_eq!(taken.shipment.state.parked_until(), Some(time(30 + PARKED_FOR)));
    taken.release(2 + PARKED_FOR);
    taken.release(30 + PARKED_FOR);
    assert_eq!(taken.told[2..], [("cancelled", Outcome::Applied)]);
    assert_eq!(taken.shipment.state.current_status, Status::Cancelled);
    assert_eq!(
        taken.take(&report("in_warehouse", 30), Some(second)),
        Outcome::Rejected,
        "too late: an event like any other"
    );
}

#[test]
fn a_full_queue_gives_up_its_first_dead_letter_and_loses_nothing() {
    let mut taken = Taken::of("field");
    taken.dead_letter(1);
    for second in 2..=limits::PARKED as i64 {
        assert_eq!(taken.take(&report("in_transit", second), None), Outcome::Parked);
    }
    assert_eq!(taken.shipment.state.parked.len(), limits::PARKED);
    assert_eq!(taken.take(&report("delivered", 1_000), None), Outcome::Applied, "it is behind all that were released");
    assert_eq!(taken.told.len(), limits::PARKED);
    assert!(taken.shipment.state.parked.is_empty());

    let letters: Vec<_> = (0..limits::PARKED as i64).map(|second| taken.dead_letter(second)).collect();
    taken.dead_letter(500);
    assert_eq!(taken.shipment.state.parked.len(), limits::PARKED, "bounded, whatever arrives");
    let first = &taken.shipment.state.parked[0];
    assert!(
        matches!(first, Place::Waiting { of, .. } if of.offset == letters[1]),
        "the oldest was given up: {first:?}"
    );
}

#[test]
fn a_shipment_that_was_created_without_it_does_not_park() {
    let shipment = created("strict", 0);
    assert_eq!(wait(&shipment, at(1), time(1), None), Turn::default());
    assert_eq!(release(&shipment, time(1_000), at(2)), Turn::default());
    let turn = take(Some(&shipment), None, &report("picked_up", 2), at(3), Some(1));
    assert_eq!(turn.own.map(|own| own.outcome), Some(Outcome::Applied));
    assert_eq!(Claim::Status(turn.shipment.expect("advanced").state.current_status), Claim::Status(Status::PickedUp));
}
