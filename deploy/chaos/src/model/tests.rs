//! Parking, told record by record.

use acceptance::sample::{report, with};
use acceptance::topic::Record;
use serde_json::{Value, json};

use super::{Account, Expected, ReleasedBy, fold};
use crate::refusals;

const NUMBER: &str = "99M-ABC12345";
const SECONDS: i64 = 4;
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

/// A log of one shipment: each record stands one second behind the one before it.
struct Log(Vec<Record>);

impl Log {
    fn of_one_that_parks(seconds: i64) -> Self {
        let created = json!({"tracking_number": NUMBER, "transition_policy": "strict", "client_id": "client_001",
            "created_at": "2026-01-01T00:00:00Z", "park_seconds": seconds});
        Self(Vec::new()).and("creation", "com.rastro.shipment.created.v1", &created, None)
    }

    fn and(mut self, id: &str, ce_type: &str, value: &Value, repeats: Option<i64>) -> Self {
        let of = repeats.map(|offset| format!("events/3/{offset}"));
        let mut headers = vec![("ce_id", id), ("ce_type", ce_type)];
        headers.extend(of.as_deref().map(|of| ("x-replay-of", of)));
        let offset = i64::try_from(self.0.len()).expect("a few");
        let record = Record::new(NUMBER, value.to_string(), &headers);
        self.0.push(Record { partition: Some(3), offset, timestamp: Some(offset * 1_000), ..record });
        self
    }

    fn reported(self, id: &str, status: &str, second: i64) -> Self {
        self.and(id, REPORTED, &report(NUMBER, status, second), None)
    }

    /// The store refuses it, unless it repeats one that was refused.
    fn refused(self, id: &str, status: &str, second: i64, repeats: Option<i64>) -> Self {
        let place = json!({"place": refusals::place("source", second)});
        self.and(id, REPORTED, &with(report(NUMBER, status, second), place), repeats)
    }

    fn poison(self, repeats: Option<i64>) -> Self {
        self.and("poison", "com.example.other", &json!({}), repeats)
    }

    fn released(self, second: i64) -> Self {
        let until = format!("1970-01-01T00:00:{second:02}Z");
        let value = json!({"tracking_number": NUMBER, "until": until});
        self.and("release", "com.rastro.shipment.parking_released.v1", &value, None)
    }

    fn fold(&self) -> Expected {
        fold(&self.0)
    }
}

/// An event, its outcome, and what released it where.
type Told<'a> = (&'a str, &'a str, Option<(ReleasedBy, i64)>);

/// The events in the order in which they were judged, with what became of them.
fn told(expected: &Expected) -> Vec<Told<'_>> {
    let Account { judged, .. } = &expected.accounts[NUMBER];
    judged.iter().skip(1).map(|event| (event.event_id.as_str(), event.outcome, event.released)).collect()
}

#[test]
fn what_comes_behind_a_dead_letter_is_judged_in_its_order_when_that_is_mended() {
    let log = Log::of_one_that_parks(SECONDS).poison(None).reported("second", "in_warehouse", 2);
    assert_eq!(told(&log.fold()), [("second", "parked", None)]);
    assert_eq!(log.fold().waiting, [NUMBER]);
    let log = log.reported("third", "in_transit", 3).poison(Some(1));
    assert_eq!(log.fold().poison.len(), 2);
    assert_eq!(log.fold().waiting, [NUMBER], "redriven in vain");
    let expected = log.and("first", REPORTED, &report(NUMBER, "picked_up", 1), Some(1)).fold();
    let released = Some((ReleasedBy::Redrive, 5));
    let must = [("first", "applied", None), ("second", "applied", released), ("third", "applied", released)];
    assert_eq!(told(&expected), must);
    assert!(expected.waiting.is_empty());
}

#[test]
fn what_was_waited_for_long_enough_is_given_up_and_nothing_before() {
    let log = Log::of_one_that_parks(SECONDS).poison(None).reported("second", "in_warehouse", 2).released(2);
    assert_eq!(told(&log.fold()), [("second", "parked", None)], "it is not due");
    let log = log.reported("third", "in_transit", 3).reported("fourth", "delivered", 4).released(5);
    let released = Some((ReleasedBy::Time, 6));
    let must = ["second", "third", "fourth"].map(|event| (event, "rejected", released));
    assert_eq!(told(&log.fold()), must, "without the first one they are no steps");
    assert!(log.fold().odd.is_empty());
    assert_eq!(log.released(59).fold().odd.len(), 1, "a time that has not come");
}

#[test]
fn what_the_store_refused_is_judged_in_its_place_when_it_comes_again_and_known_until_then() {
    let log = Log::of_one_that_parks(SECONDS).refused("first", "picked_up", 1, None);
    let log = log.reported("second", "in_warehouse", 2).refused("first", "picked_up", 1, None);
    assert_eq!(told(&log.fold()), [("first", "dead_lettered", None), ("second", "parked", None)]);
    assert_eq!((log.fold().duplicates, log.fold().refused.len()), (1, 1));
    let expected = log.refused("first", "picked_up", 1, Some(1)).fold();
    let must = [("first", "applied", None), ("second", "applied", Some((ReleasedBy::Redrive, 4)))];
    assert_eq!(told(&expected), must);
    let first = &expected.accounts[NUMBER].judged[1];
    assert_eq!((first.position, &first.before[..]), ((3, 4), &["dead_lettered"][..]));
}

#[test]
fn a_dead_letter_behind_another_one_keeps_its_own_place() {
    let log = Log::of_one_that_parks(SECONDS).poison(None).refused("second", "in_warehouse", 2, None);
    let log = log.refused("second", "in_warehouse", 2, Some(2));
    assert_eq!(told(&log.fold()), [("second", "parked", None)]);
    let expected = log.reported("third", "in_transit", 3).released(5).fold();
    let must = ["second", "third"].map(|event| (event, "rejected", Some((ReleasedBy::Time, 5))));
    assert_eq!(told(&expected), must);
    assert_eq!(expected.accounts[NUMBER].judged[1].before, ["dead_lettered", "parked"]);
}

#[test]
fn a_full_queue_gives_up_its_first_dead_letter() {
    let mut log = Log::of_one_that_parks(SECONDS).poison(None);
    for second in 0..199 {
        log = log.and(&second.to_string(), REPORTED, &report(NUMBER, "picked_up", second), None);
    }
    assert_eq!(told(&log.fold())[0].1, "parked");
    let expected = log.reported("one too many", "in_warehouse", 300).fold();
    assert_eq!(told(&expected)[0], ("0", "applied", Some((ReleasedBy::Room, 201))));
    assert_eq!(told(&expected)[199], ("one too many", "applied", None));
    assert!(expected.waiting.is_empty());
}

#[test]
fn a_shipment_that_does_not_park_waits_for_nothing() {
    let expected = Log::of_one_that_parks(0).poison(None).reported("second", "picked_up", 2).fold();
    assert_eq!(told(&expected), [("second", "applied", None)]);
}
