//! The field policy (contract section 2): the right status, whatever is missing, repeated, late or out of order.

use acceptance::client::{Client, text};
use acceptance::platform::Platform;
use acceptance::sample::{Sequence, parcel, report, scan, with};
use serde_json::{Value, json};

/// Entries that a shipment embeds besides those that raised its rank.
const EMBEDDED: usize = 200;

fn field_parcel() -> Value {
    with(parcel(), json!({"transition_policy": "field"}))
}

/// What a shipment shows but for what tells when its events came, and for what is its own.
fn shown(mut shipment: Value) -> Value {
    for member in ["tracking_number", "created_at", "updated_at", "estimated_delivery"] {
        shipment[member].take();
    }
    let anonymous = |entry: &mut Value| {
        entry["recorded_at"].take();
        entry["event_id"].take();
        if entry["status"] == "created" {
            entry["timestamp"].take();
        }
    };
    shipment["status_history"].as_array_mut().expect("a history").iter_mut().for_each(anonymous);
    anonymous(&mut shipment["last_scan"]);
    if shipment["exception"].is_object() {
        anonymous(&mut shipment["exception"]);
    }
    shipment
}

async fn settled(caller: &Client, events: &[Value]) -> Vec<Value> {
    let body = caller.post("/events/batch", &json!(events)).await.with_status(202);
    let ids = body["items"].as_array().expect("items").iter().map(|item| text(item, "event_id")).collect();
    caller.outcomes(ids).await
}

// contract: "Here the status is the fold of all"
// contract: "Every other scan (a repeat"
// contract: "Nothing about a known shipment is rejected but"
// contract: "A shipment shows `last_scan`"
// contract: "In both policies an event may carry a `kind`"
pub(crate) async fn scans_in_any_order_of_arrival_show_the_same_shipment(platform: &Platform) {
    let ana = platform.a_client().await;
    let scans = |number: &str| {
        vec![
            scan(number, "info_received", 1),
            report(number, "in_warehouse", 3),
            report(number, "in_transit", 4),
            report(number, "in_warehouse", 5),
            scan(number, "customs", 6),
            report(number, "picked_up", 7),
            scan(number, "delivery_attempt_failed", 8),
            report(number, "delivered", 9),
            scan(number, "exception", 10),
            report(number, "in_transit", 11),
        ]
    };
    let mut sequence = Sequence::of(7);
    let mut first = None;
    for arrival in 0..6 {
        let number = ana.register(&field_parcel()).await;
        let mut arrivals = scans(&number);
        match arrival {
            0 => {}
            1 => arrivals.reverse(),
            _ => (1..arrivals.len()).rev().for_each(|end| arrivals.swap(end, sequence.below(end + 1))),
        }
        arrivals.push(arrivals[4].clone());
        let outcomes = settled(&ana, &arrivals).await;
        for outcome in &outcomes {
            assert!(outcome["outcome"] == "applied" || outcome["outcome"] == "recorded", "{outcome}");
        }
        let shipment = shown(ana.shipment(&number).await);
        assert_eq!((&shipment["current_status"], &shipment["attempts"]), (&json!("delivered"), &json!(1)));
        assert_eq!((&shipment["version"], &shipment["exception"]["kind"]), (&json!(11), &json!("exception")));
        assert_eq!(shipment["last_scan"]["status"], "in_transit", "{shipment}");
        assert_eq!(shipment["transition_policy"], "field");
        assert_eq!(first.get_or_insert_with(|| shipment.clone()), &shipment, "arrival {arrival}");
    }
}

// contract: "A late scan is put into its place"
// contract: "Every other scan (a repeat"
// contract: "forward skips are allowed"
pub(crate) async fn a_late_scan_is_put_into_its_place_and_what_it_changes_is_shown(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&field_parcel()).await;
    let answer = ana.report(&report(&number, "in_transit", 30)).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("applied")));
    let late = ana.report(&report(&number, "delivered", 20)).await.with_status(200);
    assert_eq!(late["status"], "applied");
    let outcome = ana.outcome(&text(&late, "event_id")).await;
    assert_eq!((&outcome["from"], &outcome["to"]), (&json!("in_transit"), &json!("delivered")), "{outcome}");
    let repeated = ana.report(&report(&number, "delivered", 40)).await.with_status(200);
    assert_eq!(repeated["status"], "recorded", "a repeat moves nothing and is no error");
    let shipment = ana.shipment(&number).await;
    let moved: Vec<_> = shipment["status_history"].as_array().expect("a history").iter().collect();
    let moved: Vec<_> =
        moved.iter().filter(|entry| entry["status"] != "created").map(|entry| &entry["moved"]).collect();
    assert_eq!(moved, [true, false, false]);
}

// contract: "A shipment is judged by one policy for its whole life"
// contract: "forward skips are allowed"
pub(crate) async fn a_shipment_keeps_the_policy_that_it_was_registered_with(platform: &Platform) {
    let ana = platform.a_client().await;
    let (strict, field) = (ana.register(&parcel()).await, ana.register(&field_parcel()).await);
    let skipped = ana.report(&report(&strict, "delivered", 1)).await;
    skipped.problem(409, "INVALID_TRANSITION");
    ana.report(&report(&field, "delivered", 1)).await.with_status(200);
    for (number, policy, status) in [(&strict, "strict", "created"), (&field, "field", "delivered")] {
        let shipment = ana.shipment(number).await;
        assert_eq!((&shipment["transition_policy"], &shipment["current_status"]), (&json!(policy), &json!(status)));
    }
    let unknown = ana.post("/shipments", &with(parcel(), json!({"transition_policy": "loose"}))).await;
    unknown.problem(400, "VALIDATION_ERROR");
    assert_eq!(unknown.bad_fields(), ["transition_policy"]);
}

// contract: "The embedded history holds the newest 200 entries"
// contract: "when it changes between `in_warehouse` and `in_transit`"
pub(crate) async fn a_shipment_with_a_long_history_shows_the_newest_scans_and_what_raised_its_rank(
    platform: &Platform,
) {
    let ana = platform.a_client().await;
    let number = ana.register(&field_parcel()).await;
    let claims = ["in_warehouse", "in_transit"];
    let mut events: Vec<_> = (2..=700).map(|second| report(&number, claims[second as usize % 2], second)).collect();
    events.push(report(&number, "picked_up", 1));
    // The newest ones first, the oldest last: each but the first two hundred is older than all that is embedded.
    events.reverse();
    settled(&ana, &events).await;
    let shipment = ana.shipment(&number).await;
    let history = shipment["status_history"].as_array().expect("a history");
    // Registered now, the creation is the newest entry.
    assert_eq!(history.len(), EMBEDDED + 2, "the newest, the pick-up and the first hub");
    assert_eq!((&shipment["version"], &shipment["history_truncated"]), (&json!(701), &json!(701 - history.len())));
    assert_eq!((&history[0]["status"], &history[1]["status"]), (&json!("picked_up"), &json!("in_warehouse")));
    assert!(history.iter().all(|entry| entry["moved"] == true), "{shipment}");
    assert_eq!(shipment["current_status"], "in_warehouse");
}
