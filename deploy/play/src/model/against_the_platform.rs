//! Whether the model and the platform's own decision read the contract alike.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::Value;
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{self, EventBody, LogPosition, ShipmentCreated, StatusReported, Timestamp, UnknownFields};

use super::play;
use crate::api::{event_body, shipment_body};
use crate::document::Document;
use crate::history::{History, read};
use crate::order::Order;
use crate::plan::{Ids, Options, Plan, Policy, Scans};

const NUMBER: &str = "99M-ABC12345";

/// Outcomes, final status and document, in words.
type Seen = (Vec<String>, String, Option<Document>);

/// The platform's own judgement of the very bodies that would be posted.
fn judged_by_the_platform(plan: &Plan<'_>) -> Seen {
    let mut created = shipment_body(plan);
    created["tracking_number"] = NUMBER.into();
    let created = ShipmentCreated::from_json(created, shared::clock::system()).expect("a valid registration");
    let position = |offset| LogPosition { epoch: 0, offset };
    let event = IdentifiedEvent::from(shipment::Event::Created(Box::new(created)));
    let mut current = shipment::judge(None, None, &event, position(0)).shipment;
    let (mut first, mut conflicts) = (HashMap::new(), Vec::new());
    let (mut outcomes, mut ids) = (Vec::new(), Vec::new());
    for (offset, event) in (1..).zip(&plan.events) {
        let body = event_body(NUMBER, &plan.history.carrier, event);
        let body = EventBody::from_json(body, UnknownFields::Refuse).expect("a valid event");
        let reported = StatusReported { body, recorded_at: Timestamp::default(), reporter: None };
        let event = IdentifiedEvent::from(shipment::Event::Reported(reported));
        let id = event.id;
        let known =
            if conflicts.contains(&id.conflict_row()) { Some(id.payload) } else { first.get(&id.first_row()).copied() };
        let judgement = shipment::judge(current.as_ref(), known, &event, position(offset));
        match judgement.outcome {
            shipment::Outcome::Conflict => conflicts.push(id.conflict_row()),
            _ => _ = first.entry(id.first_row()).or_insert(id.payload),
        }
        let reason = judgement.reason.filter(|_| judgement.outcome == shipment::Outcome::Rejected);
        outcomes.push(match reason {
            Some(reason) => format!("{} {reason}", judgement.outcome),
            None => judgement.outcome.to_string(),
        });
        ids.push(id.to_string());
        current = judgement.shipment.or(current);
    }
    let state = serde_json::to_value(current.expect("was created").state).expect("serialises");
    let status = state["current_status"].as_str().expect("a status").to_owned();
    (outcomes, status, (plan.policy == Policy::Field).then(|| document(&state, &ids)))
}

/// `ids` are those of the posted events.
fn document(state: &Value, ids: &[String]) -> Document {
    let place = |entry: &Value| {
        let posted = entry["event_id"].as_str().and_then(|id| ids.iter().position(|known| known == id));
        posted.filter(|_| entry["status"] != "created")
    };
    let history = state["status_history"].as_array().expect("a list").iter();
    Document {
        moves: history.filter(|entry| entry["moved"] == true).filter_map(place).collect(),
        attempts: state["attempts"].as_u64().expect("a count"),
        last_scan: place(&state["last_scan"]),
        exception: place(&state["exception"]),
    }
}

fn modelled(plan: &Plan<'_>) -> Seen {
    let played = play(plan);
    let outcomes = played.results.iter();
    let outcomes = outcomes.map(|result| result.as_ref().map_or_else(ToString::to_string, ToString::to_string));
    let status = played.final_status.map(|status| status.to_string());
    (outcomes.collect(), status.expect("a status"), played.document)
}

/// A history of scans (second, claim, place, whether the time is missing), in the order of the list.
fn a_history(scans: &[(u8, u8, u8, bool)]) -> History {
    let claims = [
        r#""status":"picked_up""#,
        r#""status":"in_warehouse""#,
        r#""status":"in_transit""#,
        r#""status":"delivered""#,
        r#""status":"cancelled""#,
        r#""status":null,"kind":"exception","reason":"delay""#,
        r#""status":null,"kind":"delivery_attempt_failed""#,
        r#""status":null,"kind":"returned""#,
        r#""status":null,"kind":"other","reason":"customs""#,
    ];
    let scan = |&(second, claim, place, time_missing): &(u8, u8, u8, bool)| {
        let claim = claims[usize::from(claim)];
        let place = ["null", r#""Bogotá""#, r#""Lima""#][usize::from(place)];
        let time = if time_missing { "00:00:00".to_owned() } else { format!("10:00:0{second}") };
        format!(r#"{{"occurred":"2024-05-01T{time}Z","time_missing":{time_missing},{claim},"place":{place}}}"#)
    };
    let events: Vec<_> = scans.iter().map(scan).collect();
    let line = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
    read(line.as_bytes()).expect("a history").remove(0)
}

fn scans() -> impl Strategy<Value = Vec<(u8, u8, u8, bool)>> {
    proptest::collection::vec((0..8_u8, 0..9_u8, 0..3_u8, proptest::bool::weighted(0.2)), 0..20)
}

fn options(policy: Policy) -> impl Strategy<Value = Options> {
    let choices = (0..3_usize, any::<u64>(), 0..2_usize, 0..2_usize);
    choices.prop_map(move |(order, seed, scans, ids)| Options {
        policy,
        order: Order::ALL[order],
        seed,
        scans: Scans::ALL[scans],
        ids: Ids::ALL[ids],
    })
}

#[test]
fn one_of_each_outcome() {
    let status = |second, claim, place| (second, claim, place, false);
    let scans = [(0, 0, 1), (0, 0, 1), (0, 1, 1), (0, 1, 1), (1, 2, 0), (2, 1, 0), (3, 4, 0), (4, 5, 0)];
    let history = a_history(&scans.map(|(second, claim, place)| status(second, claim, place)));
    let plan = Plan::of(&history, &Options { scans: Scans::All, ..Options::of(Policy::Strict) });
    let expected = [
        "applied",
        "duplicate",
        "conflict",
        "duplicate", // of the conflict
        "rejected INVALID_TRANSITION",
        "applied",
        "applied",
        "recorded",
    ];
    let (outcomes, status, _) = modelled(&plan);
    assert_eq!(outcomes, expected);
    assert_eq!(status, "cancelled");
}

proptest! {
    // contract: "whatever else is rejected with `INVALID_TRANSITION`"
    #[test]
    fn the_model_and_the_platform_read_the_strict_policy_alike(
        scans in scans(), options in options(Policy::Strict)
    ) {
        let history = a_history(&scans);
        let plan = Plan::of(&history, &options);
        prop_assert_eq!(modelled(&plan), judged_by_the_platform(&plan));
    }

    // contract: "A scan moves the status when its rank is higher"
    // contract: "A shipment shows `last_scan`"
    #[test]
    fn the_model_and_the_platform_read_the_field_policy_alike(scans in scans(), options in options(Policy::Field)) {
        let history = a_history(&scans);
        let plan = Plan::of(&history, &options);
        prop_assert_eq!(modelled(&plan), judged_by_the_platform(&plan));
    }

    #[test]
    fn what_a_field_shipment_shows_in_the_end_does_not_depend_on_the_order_of_arrival(
        scans in scans(), seed in any::<u64>()
    ) {
        let history = a_history(&scans);
        let field = Options::of(Policy::Field);
        let in_time = shown(&Plan::of(&history, &field));
        for order in [Order::Listed, Order::Shuffled] {
            prop_assert_eq!(shown(&Plan::of(&history, &Options { order, seed, ..field })), in_time.clone());
        }
    }
}

/// The end of `plan`, with scans named by their ids, because their places depend on the order.
fn shown(plan: &Plan<'_>) -> (String, Vec<String>, u64, Option<String>, Option<String>) {
    let (_, status, document) = modelled(plan);
    let Document { moves, attempts, last_scan, exception } = document.expect("a document");
    let id = |index: usize| plan.events[index].source_event_id.clone().expect("an id");
    (status, moves.into_iter().map(id).collect(), attempts, last_scan.map(id), exception.map(id))
}
