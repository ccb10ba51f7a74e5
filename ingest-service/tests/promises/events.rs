//! `POST /events` and `POST /shipments`: what is accepted stands in the log, as the contract says it does.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::shipment::record::{CREATED_TYPE, REPORTED_TYPE};

use crate::world::{ADMIN, Announce, CLIENT, DRIVER, World, registration, report};

// contract: "`status_reported` is the event body as accepted"
// contract: "Records are CloudEvents 1.0"
// contract: "when it happened, by the source"
// contract: "`POST /events` | 202 `{event_id,status:"queued""
#[tokio::test]
async fn an_accepted_event_is_a_record_that_says_who_sent_it() {
    let world = World::new().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("content-type", "application/json"), ("traceparent", traceparent)];
    let body = report("99m-abc12345", "picked_up", 0).to_string();
    let answer = world.post_with(CLIENT, "/v1/events", &headers, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let json = answer.json();
    assert_eq!((&json["status"], &json["tracking_number"]), (&json!("queued"), &json!("99M-ABC12345")));
    assert_eq!(json["message"], "Event accepted for processing");
    let id = json["event_id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/events/{id}").as_str()));

    let [record] = world.records().try_into().expect("one record");
    assert_eq!(record.key.as_deref(), Some(b"99M-ABC12345".as_slice()));
    assert_eq!((record.header("ce_type"), record.header("ce_id")), (Some(REPORTED_TYPE), Some(id)));
    let trace = |header: Option<&str>| header.and_then(|text| text.split('-').nth(1)).map(str::to_owned);
    assert_eq!(trace(record.header("traceparent")), trace(Some(traceparent)), "one trace from caller to record");
    assert_eq!(trace(answer.header("traceparent")), trace(Some(traceparent)));
    let value: Value = serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
    assert_eq!(value["reporter"], json!({"sub": CLIENT, "role": "client", "client_id": "client_001"}));
    assert_eq!(value["recorded_at"], "2025-06-15T15:06:40Z");
}

// contract: "sending the same event again returns the same id"
// contract: "fractions of the second and spelling of the time zone"
#[tokio::test]
async fn the_same_event_has_the_same_id_however_it_is_spelled() {
    let world = World::new().await;
    let mut other = report("99M-ABC12345", "picked_up", 0);
    let first = world.post(DRIVER, "/events", &other).await;
    other["timestamp"] = json!("2025-06-15T06:00:00.75-06:00");
    other["tracking_number"] = json!("99m-abc12345");
    let second = world.post(DRIVER, "/events", &other).await;
    assert_eq!(first.json()["event_id"], second.json()["event_id"]);
    assert_eq!(world.records().len(), 2, "the window did not know it yet, so the processor decides");
}

#[tokio::test]
async fn an_event_that_the_window_knows_is_answered_without_a_record() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let event = report(&number, "picked_up", 0);
    let first = world.post(DRIVER, "/events", &event).await.json();
    world.process().await;
    let records = world.records().len();
    let again = world.post(DRIVER, "/events", &event).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!((&again.json()["status"], &again.json()["event_id"]), (&json!("duplicate"), &first["event_id"]));
    let waited = world.post_and_wait(DRIVER, &event).await;
    assert_eq!((waited.status, &waited.json()["status"]), (StatusCode::OK, &json!("duplicate")));
    assert_eq!(world.records().len(), records, "a retry storm does not reach the log");

    let mut other = event;
    other["notes"] = json!("something else in the same second");
    assert_eq!(world.post(DRIVER, "/events", &other).await.json()["status"], "queued");
    assert_eq!(world.records().len(), records + 1, "what is not the same goes to the processor");
}

// contract: "201 once it is applied and a GET finds it"
// contract: "Values, `snake_case` JSON: `shipment.created`"
#[tokio::test]
async fn a_registration_is_found_by_a_get_once_it_is_answered_201() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let mut body = registration();
    body["service_type"] = json!("same_day");
    body["recipient"] = json!({"name": "Ana"});
    let answer = world.post(CLIENT, "/shipments", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let number = json["tracking_number"].as_str().expect("a number").to_owned();
    let expected = json!({"tracking_number": number, "status": "created", "created_at": "2025-06-15T15:06:40Z",
        "client_id": "client_001", "service_type": "same_day", "estimated_delivery": "2025-06-16T03:06:40Z"});
    assert_eq!(json, expected);
    let location = answer.header("location").expect("a location").to_owned();
    assert_eq!(world.get(CLIENT, &location).await.status, StatusCode::OK);

    let [record] = world.records().try_into().expect("one record");
    assert_eq!(record.header("ce_type"), Some(CREATED_TYPE));
    let value: Value = serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
    let decided = json!({"tracking_number": number, "client_id": "client_001", "created_at": "2025-06-15T15:06:40Z",
        "estimated_delivery": "2025-06-16T03:06:40Z", "transition_policy": "strict", "allow_cancel_in_transit": false});
    for said in [&body, &decided] {
        for (member, said) in said.as_object().expect("an object") {
            let same = value[member] == *said || (said.is_number() && value[member].as_f64() == said.as_f64());
            assert!(same, "{member} in {value}"); // 15 is written 15.0
        }
    }
    assert_eq!(value.get("park_seconds"), None, "it does not park");
}

// contract: "A shipment is judged by one policy for its whole life"
// contract: "`allow_cancel_in_transit` (default from"
#[tokio::test]
async fn what_a_shipment_is_judged_by_stands_in_its_record_by_request_or_else_by_setting() {
    let settings = [("TRANSITION_POLICY", "field"), ("ALLOW_CANCEL_IN_TRANSIT", "true"), ("PARK_SECONDS", "90")];
    let world = World::set(&settings).await;
    let _processor = world.processor(Announce::Yes);
    for (asked, given) in [(Value::Null, "field"), (json!("strict"), "strict")] {
        let mut body = registration();
        body["transition_policy"] = asked;
        let answer = world.post(CLIENT, "/shipments", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let number = &answer.json()["tracking_number"];
        // By its number: which of the two has the smaller partition is chance.
        let values = world.records().into_iter().filter_map(|record| record.value);
        let mut values = values.map(|value| serde_json::from_slice::<Value>(&value).expect("JSON"));
        let value = values.find(|value| value["tracking_number"] == *number).expect("its record");
        assert_eq!(value["transition_policy"], given, "{value}");
        assert_eq!((&value["allow_cancel_in_transit"], &value["park_seconds"]), (&json!(true), &json!(90)), "{value}");
    }
}

// contract: "201 once it is applied and a GET finds it"
#[tokio::test(start_paused = true)]
async fn a_registration_that_takes_longer_is_answered_202_and_not_lost() {
    let world = World::new().await;
    let before = tokio::time::Instant::now();
    let answer = world.post(CLIENT, "/shipments", &registration()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(before.elapsed().as_secs(), 5);
    let members: Vec<_> = answer.json().as_object().expect("the same body").keys().cloned().collect();
    let expected = ["client_id", "created_at", "estimated_delivery", "service_type", "status", "tracking_number"];
    assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
    let location = answer.header("location").expect("a location").to_owned();
    assert_eq!(world.get(CLIENT, &location).await.failure().0, 404);
    world.process().await;
    assert_eq!(world.get(CLIENT, &location).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_registration_is_found_when_all_notices_are_lost() {
    let world = World::new().await;
    let _processor = world.processor(Announce::No);
    assert_eq!(world.post(CLIENT, "/shipments", &registration()).await.status, StatusCode::CREATED);
}

// contract: "A client's own `client_id` is taken from its token"
// contract: "an admin names it"
#[tokio::test]
async fn a_client_registers_for_itself_and_an_admin_says_for_whom() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    let mut body = registration();
    let nobody = world.post(ADMIN, "/shipments", &body).await;
    assert_eq!(nobody.fields(), [("client_id".to_owned(), "required".to_owned())]);
    body["client_id"] = json!("client_002");
    assert_eq!(world.post(ADMIN, "/shipments", &body).await.json()["client_id"], "client_002");
    let foreign = world.post(CLIENT, "/shipments", &body).await;
    assert_eq!(foreign.failure(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(foreign.fields(), [("client_id".to_owned(), "not_allowed".to_owned())]);
    body["client_id"] = json!("client_001");
    assert_eq!(world.post(CLIENT, "/shipments", &body).await.status, StatusCode::CREATED);
}
