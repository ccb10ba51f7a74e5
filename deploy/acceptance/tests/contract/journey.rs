//! From the label to the door.

use acceptance::client::{is_utc, text};
use acceptance::platform::Platform;
use acceptance::sample::{at, parcel, report, scan, with};
use serde_json::{Value, json};

// contract: "times RFC 3339 in UTC with `Z`"
// contract: "Shipment answer: `tracking_number"
// contract: "it is always `recorded`"
// contract: "200 shipment with `status_history`"
// contract: "the final outcome within N s"
// contract: "when it happened, by the source"
// contract: "In both policies an event may carry a `kind`"
pub(crate) async fn a_parcel_goes_from_its_label_to_delivered_and_its_history_tells_how(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    let events = [
        // 09:00:01.250 in Mexico City is 15:00:01.250 in UTC.
        with(report(&number, "picked_up", 1), json!({"timestamp": "2025-02-12T09:00:01.250-06:00"})),
        with(
            report(&number, "in_warehouse", 2),
            json!({"source": "warehouse_scanner", "place": "Hub Puebla", "code": "ARR-1"}),
        ),
        with(report(&number, "in_transit", 3), json!({"location": {"lat": 0, "lng": 0}})),
        scan(&number, "out_for_delivery", 4),
        with(report(&number, "delivered", 5), json!({"notes": "left with the neighbour", "reason": "neighbour"})),
    ];
    let expected = ["applied", "applied", "applied", "recorded", "applied"];
    for (event, expected) in events.iter().zip(expected) {
        let answer = driver.report(event).await;
        assert_eq!(answer.header("preference-applied"), Some("wait=20"));
        let body = answer.with_status(200);
        assert_eq!((&body["status"], &body["tracking_number"]), (&json!(expected), &json!(number)), "{body}");
    }

    let shipment = ana.shipment(&number).await;
    assert_eq!(shipment["current_status"], "delivered");
    assert_eq!((&shipment["version"], &shipment["attempts"]), (&json!(6), &json!(0)));
    assert_eq!((&shipment["exception"], &shipment["transition_policy"]), (&Value::Null, &json!("strict")));
    let mut history = shipment["status_history"].as_array().expect("a history").clone();
    assert_eq!(history.len(), 6);
    // The history is in order of timestamp, and these events happened before the label was made.
    let creation = history.pop().expect("six entries");
    assert_eq!((&creation["status"], &creation["source"]), (&json!("created"), &json!("api")));
    let shown = |member: &str| history.iter().map(|entry| entry[member].clone()).collect::<Vec<_>>();
    assert_eq!(
        shown("status"),
        [json!("picked_up"), json!("in_warehouse"), json!("in_transit"), Value::Null, json!("delivered")]
    );
    assert_eq!(shown("kind")[3], "out_for_delivery");
    assert_eq!(shown("moved"), [true, true, true, false, true].map(Value::from));
    let times = ["2025-02-12T15:00:01.250Z".to_owned(), at(2), at(3), at(4), at(5)];
    assert_eq!(shown("timestamp"), times.map(Value::from));
    assert!(
        shown("recorded_at").iter().chain([&shipment["created_at"], &shipment["updated_at"]]).all(is_utc),
        "{shipment}"
    );
    assert_eq!((&shown("place")[1], &shown("code")[1]), (&json!("Hub Puebla"), &json!("ARR-1")));
    assert_eq!((&shown("source")[0], &shown("source")[1]), (&json!("driver_app"), &json!("warehouse_scanner")));
    assert_eq!(shown("location")[2]["lat"].as_f64(), Some(0.0), "0 is a coordinate");
    assert_eq!(shown("location")[0], Value::Null);
    assert_eq!(shown("reason")[4], "neighbour");
}

// contract: "8 characters of Crockford base32"
// contract: "201 once it is applied and a GET finds it"
// contract: "A client's own `client_id` is taken from its token"
// contract: "Shipment body (`POST /shipments`), flat"
// contract: "Shipment answer: `tracking_number"
pub(crate) async fn a_registration_is_found_when_it_is_answered_and_keeps_all_that_was_said(platform: &Platform) {
    let ana = platform.a_client().await;
    let more = json!({"service_type": "next_day", "reference": "PO-7", "metadata": {"floor": "3"},
        "sender": {"name": "Zoë", "email": "zoe@example.com"}, "recipient": {"name": "José", "phone": "+52 55 1234 5678"}});
    let answer = ana.post("/shipments", &with(parcel(), more.clone())).await;
    let place = answer.header("location").map(str::to_owned);
    let registered = answer.with_status(201);
    let number = text(&registered, "tracking_number");
    let (prefix, suffix) = number.split_at(4);
    assert!(prefix == "99M-" && suffix.len() == 8, "{number}");
    assert!(suffix.bytes().all(|byte| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte)), "{number}");
    assert_eq!((&registered["status"], &registered["client_id"]), (&json!("created"), &json!(ana.client_id())));
    assert_eq!(registered["service_type"], "next_day");
    assert!(is_utc(&registered["created_at"]) && is_utc(&registered["estimated_delivery"]), "{registered}");

    let shipment = ana.get(&place.expect("a 201 says where")).await.with_status(200);
    for member in ["tracking_number", "client_id", "service_type", "created_at", "estimated_delivery"] {
        assert_eq!(shipment[member], registered[member], "{member}");
    }
    for (member, said) in more.as_object().expect("an object") {
        for (inner, said) in said.as_object().into_iter().flatten() {
            assert_eq!(shipment[member][inner], *said, "{member}.{inner} in {shipment}");
        }
    }
    assert_eq!(shipment["reference"], "PO-7");
    assert_eq!(
        shipment["origin"],
        json!({"address": parcel()["origin_address"], "coordinates": {"lat": 19.4326, "lng": -99.1332}})
    );
    assert_eq!(shipment["destination"]["coordinates"]["lng"].as_f64(), Some(0.0), "0 is a coordinate");
    let package = &shipment["package"];
    assert_eq!((package["weight_kg"].as_f64(), package["dimensions"]["height"].as_f64()), (Some(5.5), Some(15.0)));
    assert_eq!((&shipment["current_status"], &shipment["version"]), (&json!("created"), &json!(1)));
    assert_eq!(shipment["status_history"].as_array().map(Vec::len), Some(1));
}

// contract: "is accepted on input, upper-cased"
// contract: "`search` is a tracking-number prefix"
pub(crate) async fn a_tracking_number_may_be_written_in_lower_case(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let lower = number.to_lowercase();
    assert_eq!(ana.shipment(&lower).await["tracking_number"], *number);
    let answer = ana.report(&report(&lower, "picked_up", 1)).await.with_status(200);
    assert_eq!((&answer["tracking_number"], &answer["status"]), (&json!(number), &json!("applied")));
    let again = ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    assert_eq!((&again["event_id"], &again["status"]), (&answer["event_id"], &json!("duplicate")));
    assert_eq!(ana.shipment(&number).await["current_status"], "picked_up");
    let found = ana.get(&format!("/shipments?search={lower}")).await.with_status(200);
    assert_eq!(found["pagination"]["total"], 1);
}

// contract: "In both policies an event may carry a `kind`"
// contract: "it is always `recorded`"
// contract: "A shipment shows `last_scan`"
pub(crate) async fn a_scan_without_a_status_is_recorded_and_moves_nothing(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    for (kind, second) in [("delivery_attempt_failed", 1), ("delivery_attempt_failed", 2), ("exception", 3)] {
        let answer = driver.report(&with(scan(&number, kind, second), json!({"reason": "nobody-there"}))).await;
        assert_eq!(answer.with_status(200)["status"], "recorded");
    }
    let shipment = ana.shipment(&number).await;
    assert_eq!((&shipment["current_status"], &shipment["attempts"]), (&json!("created"), &json!(2)));
    assert_eq!(
        (&shipment["exception"]["kind"], &shipment["exception"]["reason"]),
        (&json!("exception"), &json!("nobody-there"))
    );
    driver.report(&report(&number, "picked_up", 4)).await.with_status(200);
    let shipment = ana.shipment(&number).await;
    assert_eq!((&shipment["current_status"], &shipment["exception"]), (&json!("picked_up"), &Value::Null));
}

// contract: "Under `strict`, order is log order"
// contract: "judged in log order"
pub(crate) async fn an_event_that_comes_late_is_applied_when_the_whitelist_allows_it(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    driver.report(&report(&number, "picked_up", 500)).await.with_status(200);
    let late = driver.report(&report(&number, "in_warehouse", 100)).await.with_status(200);
    assert_eq!(late["status"], "applied", "log order decides, not the source's clock");
    let shipment = ana.shipment(&number).await;
    assert_eq!(shipment["current_status"], "in_warehouse");
    let times: Vec<_> =
        shipment["status_history"].as_array().expect("a history").iter().map(|entry| &entry["timestamp"]).collect();
    assert_eq!(times[..2], [&json!(at(100)), &json!(at(500))], "the history keeps both times, in their order");
    assert_eq!(shipment["last_scan"]["status"], "picked_up", "the newest report by its own time");
}

// contract: "`created` | `picked_up`, `cancelled`"
// contract: "`in_transit` | `delivered`"
// contract: "`delivered`, `cancelled` | terminal"
pub(crate) async fn a_parcel_may_be_cancelled_until_it_is_in_transit(platform: &Platform) {
    let ana = platform.a_client().await;
    let (early, late) = (ana.register(&parcel()).await, ana.register(&parcel()).await);
    ana.report(&report(&early, "cancelled", 1)).await.with_status(200);
    ana.report(&report(&early, "picked_up", 2)).await.problem(409, "INVALID_TRANSITION");
    for (status, second) in [("picked_up", 1), ("in_warehouse", 2), ("in_transit", 3)] {
        ana.report(&report(&late, status, second)).await.with_status(200);
    }
    let answer = ana.report(&report(&late, "cancelled", 4)).await;
    let problem = answer.problem(409, "INVALID_TRANSITION");
    assert_eq!((&problem["from"], &problem["to"]), (&json!("in_transit"), &json!("cancelled")));
    assert_eq!(ana.shipment(&early).await["current_status"], "cancelled");
    assert_eq!(ana.shipment(&late).await["current_status"], "in_transit");
}
