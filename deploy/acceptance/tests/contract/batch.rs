//! Many events in one request.

use acceptance::client::{Answer, text};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report, with};
use serde_json::{Value, json};

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn items(body: &Value, member: &str) -> Vec<Value> {
    body["items"].as_array().expect("a result for each item").iter().map(|item| item[member].clone()).collect()
}

// contract: "also a bare array and `application/x-ndjson`"
// contract: "202 `{received,queued,rejected,message"
pub(crate) async fn a_batch_is_one_in_all_three_forms(platform: &Platform) {
    let ana = platform.a_client().await;
    for form in ["object", "array", "lines"] {
        let number = ana.register(&parcel()).await;
        let events = vec![report(&number, "picked_up", 1), report(&number, "in_warehouse", 2)];
        let call = ana.call("POST", "/events/batch");
        let answer: Answer = match form {
            "object" => call.json(&json!({"events": events})).send().await,
            "array" => call.json(&json!(events)).send().await,
            _ => call.body("application/x-ndjson", lines(&events)).send().await,
        };
        let body = answer.with_status(202);
        assert_eq!(
            (&body["received"], &body["queued"], &body["rejected"]),
            (&json!(2), &json!(2), &json!(0)),
            "{form}"
        );
        assert!(body["message"].is_string(), "{form}: {body}");
        assert_eq!(items(&body, "index"), [json!(0), json!(1)], "{form}");
        assert_eq!(items(&body, "status"), [json!("queued"), json!("queued")], "{form}");
        for item in body["items"].as_array().expect("items") {
            assert_eq!(ana.outcome(&text(item, "event_id")).await["outcome"], "applied", "{form}");
        }
    }
}

// contract: "judged in log order"
// contract: "sending the same event again returns the same id"
pub(crate) async fn a_batch_is_applied_in_its_order(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let way = ["picked_up", "in_warehouse", "in_transit", "delivered"];
    let mut events: Vec<_> = way.iter().zip(1..).map(|(status, second)| report(&number, status, second)).collect();
    events.push(events[0].clone());
    events.push(with(events[1].clone(), json!({"notes": "another"})));
    let body = ana.post("/events/batch", &json!(events)).await.with_status(202);
    assert_eq!(body["queued"], 6);
    let ids: Vec<_> = body["items"].as_array().expect("items").iter().map(|item| text(item, "event_id")).collect();
    assert_eq!(ids[0], ids[4], "the same event has the same id");
    let outcomes = ana.outcomes(ids).await;
    let words: Vec<_> = outcomes.iter().map(|outcome| text(outcome, "outcome")).collect();
    assert_eq!(words, ["applied", "applied", "applied", "applied", "applied", "conflict"]);
    let offsets: Vec<_> = outcomes[..4].iter().map(|outcome| outcome["offset"].as_i64()).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert_eq!(ana.shipment(&number).await["current_status"], "delivered");
}

// contract: "Valid items are queued, bad ones reported"
// contract: "202 `{received,queued,rejected,message"
pub(crate) async fn bad_items_are_reported_and_the_others_are_queued(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let events = [
        report(&number, "picked_up", 1),
        report(&number, "lost", 2),
        json!(7),
        report(&number, "in_warehouse", 3),
        with(report("99m_1", "in_transit", 4), json!({"surprise": 1})),
    ];
    for (form, at) in [("array", 0), ("lines", 10)] {
        let call = ana.call("POST", "/events/batch");
        let answer = match form {
            "array" => call.json(&json!(events)).send().await,
            _ => call.body("application/x-ndjson", lines(&events) + "{\"tracking_number\":\n").send().await,
        };
        let body = answer.with_status(202);
        let received = if at == 0 { 5 } else { 6 };
        assert_eq!((&body["received"], &body["rejected"]), (&json!(received), &json!(received - 2)), "{form}: {body}");
        let errors = items(&body, "error");
        assert_eq!(items(&body, "index"), (0..received).map(Value::from).collect::<Vec<_>>(), "{form}");
        assert_eq!((&errors[0], &errors[3]), (&Value::Null, &Value::Null), "{form}: {body}");
        for (index, fields) in [(1, vec!["status"]), (2, vec![""]), (4, vec!["surprise", "tracking_number"])] {
            assert_eq!(
                (&body["items"][index]["status"], &errors[index]["error"]),
                (&json!("rejected"), &json!("VALIDATION_ERROR"))
            );
            assert_eq!(body["items"][index]["event_id"], Value::Null);
            let errors = errors[index]["errors"].as_array().expect("errors");
            let mut named: Vec<_> = errors.iter().map(|error| text(error, "field")).collect();
            named.sort();
            assert_eq!(named, fields, "{form}: {body}");
        }
        let ids = [0, 3].map(|index: usize| text(&body["items"][index], "event_id"));
        for outcome in ana.outcomes(ids.to_vec()).await {
            assert_eq!(outcome["outcome"], "applied", "{form}: {outcome}");
        }
    }
    assert_eq!(ana.shipment(&number).await["version"], 3, "the second time they were duplicates");
}

// contract: "none valid: 400"
pub(crate) async fn a_batch_without_a_valid_item_is_refused(platform: &Platform) {
    let ana = platform.a_client().await;
    let bad = report("99M-ABC12345", "lost", 1);
    let answer = ana.post("/events/batch", &json!([bad, {}])).await;
    answer.problem(400, "VALIDATION_ERROR");
    let fields = answer.bad_fields();
    assert!(fields.contains(&"events[0].status") && fields.contains(&"events[1].source"), "{fields:?}");
    for nothing in [json!([]), json!({"events": []}), json!({}), json!({"events": 7}), json!("events")] {
        ana.post("/events/batch", &nothing).await.problem(400, "VALIDATION_ERROR");
    }
    let answer =
        ana.post("/events/batch", &json!({"events": [report("99M-ABC12345", "picked_up", 1)], "evnets": []})).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["evnets"]);
    ana.call("POST", "/events/batch").body("application/json", "[{]").send().await.problem(400, "INVALID_JSON");
    ana.call("POST", "/events/batch").body("text/csv", "a,b").send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
}

// contract: "also a bare array and `application/x-ndjson`"
pub(crate) async fn a_batch_is_bounded_in_items_and_in_bytes(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let mut events: Vec<_> = (1..=1000).map(|second| report(&number, "picked_up", second)).collect();
    let body = ana.post("/events/batch", &json!(events)).await.with_status(202);
    assert_eq!((&body["received"], &body["queued"]), (&json!(1000), &json!(1000)));
    events.push(report(&number, "picked_up", 1001));
    ana.post("/events/batch", &json!(events)).await.problem(400, "VALIDATION_ERROR");
    let large = vec![b' '; 1024 * 1024 + 1];
    ana.call("POST", "/events/batch").body("application/json", large).send().await.problem(413, "PAYLOAD_TOO_LARGE");
    let last = body["items"].as_array().and_then(|items| items.last()).expect("a thousand items");
    assert_eq!(ana.outcome(&text(last, "event_id")).await["reason"], "INVALID_TRANSITION");
    assert_eq!(ana.shipment(&number).await["version"], 2, "one of a thousand pick-ups was the first");
}
