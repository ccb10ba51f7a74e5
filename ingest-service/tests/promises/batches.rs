//! `POST /events/batch`: a result for each item, and the order kept.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::event_log::memory::MemoryLog;
use shared::event_log::{AppendError, Appended, EventAppender, NewRecord, Position, Topic};

use crate::world::{Answer, DRIVER, World, now, report};

fn statuses(answer: &Answer) -> Vec<String> {
    let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["status"].as_str().unwrap_or_default().to_owned()).collect()
}

fn five() -> Vec<Value> {
    (0..5).map(|minute| report("99M-ABC12345", "picked_up", minute)).collect()
}

// contract: "also a bare array and `application/x-ndjson`"
// contract: "202 `{received,queued,rejected,message"
#[tokio::test]
async fn the_three_forms_do_the_same() {
    let lines: String = five().iter().map(|event| format!("{event}\n")).collect();
    let forms = [
        ("application/json", json!({"events": five()}).to_string()),
        ("application/json", json!(five()).to_string()),
        ("application/x-ndjson", lines),
    ];
    let mut answers = Vec::new();
    for (media, body) in forms {
        let world = World::new().await;
        let answer = world.post_with(DRIVER, "/events/batch", &[("content-type", media)], body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(world.records().len(), 5);
        answers.push(answer.json());
    }
    assert_eq!(answers[0]["received"], 5);
    assert_eq!(
        (&answers[0]["queued"], &answers[0]["rejected"], &answers[0]["duplicates"]),
        (&json!(5), &json!(0), &json!(0))
    );
    assert_eq!(answers[0]["message"], "All events accepted for processing");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

// contract: "Valid items are queued, bad ones reported"
#[tokio::test]
async fn bad_items_are_reported_with_index_and_reason_and_good_ones_are_queued() {
    let world = World::new().await;
    let mut events = five();
    events[1]["status"] = json!("lost");
    events[1]["colour"] = json!("red");
    events[3] = json!(7);
    let answer = world.post(DRIVER, "/events/batch", &json!({"events": events})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(statuses(&answer), ["queued", "rejected", "queued", "rejected", "queued"]);
    let json = answer.json();
    assert_eq!((&json["received"], &json["queued"], &json["rejected"]), (&json!(5), &json!(3), &json!(2)));
    let bad = &json["items"][1];
    assert_eq!((&bad["index"], &bad["event_id"]), (&json!(1), &Value::Null));
    assert_eq!(bad["error"]["error"], "VALIDATION_ERROR");
    assert_eq!(bad["error"]["errors"][0]["field"], "status");
    assert_eq!(bad["error"]["errors"][1]["field"], "colour");
    assert_eq!(world.records().len(), 3);

    let mut lines = five().iter().map(ToString::to_string).collect::<Vec<_>>();
    lines[2] = "{\"tracking_number\": ".to_owned();
    let headers = [("content-type", "application/x-ndjson")];
    let answer = world.post_with(DRIVER, "/events/batch", &headers, lines.join("\n")).await;
    assert_eq!(statuses(&answer), ["queued", "queued", "rejected", "queued", "queued"]);
}

// contract: "none valid: 400"
#[tokio::test]
async fn a_batch_without_a_valid_item_is_refused_and_every_item_is_named() {
    let world = World::new().await;
    let mut event = report("99M-ABC12345", "lost", 0);
    event["source"] = json!("");
    let answer = world.post(DRIVER, "/events/batch", &json!([event, {}])).await;
    assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()));
    let fields: Vec<_> = answer.fields().into_iter().map(|(field, _)| field).collect();
    let expected = [
        "events[0].status",
        "events[0].source",
        "events[1].tracking_number",
        "events[1].status",
        "events[1].timestamp",
        "events[1].source",
    ];
    assert_eq!(fields, expected);
    for (body, code) in [(json!([]), "too_short"), (json!(vec![json!({}); 21]), "too_long")] {
        let answer = world.post(DRIVER, "/events/batch", &body).await;
        assert_eq!(answer.fields(), [("events".to_owned(), code.to_owned())]);
    }
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn items_that_the_window_knows_are_duplicates_and_reach_no_log() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let events: Vec<_> = [("picked_up", 0), ("in_warehouse", 1), ("in_transit", 2)]
        .map(|(status, minute)| report(&number, status, minute))
        .to_vec();
    world.post(DRIVER, "/events/batch", &json!(events[..2])).await;
    world.process().await;
    let answer = world.post(DRIVER, "/events/batch", &json!(events)).await;
    assert_eq!(statuses(&answer), ["duplicate", "duplicate", "queued"]);
    assert_eq!((&answer.json()["duplicates"], &answer.json()["queued"]), (&json!(2), &json!(1)));
    world.process().await;
    let records = world.records().len();
    let again = world.post(DRIVER, "/events/batch", &json!(events)).await;
    assert_eq!((again.status, statuses(&again)), (StatusCode::ACCEPTED, vec!["duplicate".to_owned(); 3]));
    assert_eq!(world.records().len(), records);
}

/// A log that takes the first records of an append and refuses the rest.
struct Brittle {
    log: MemoryLog,
    takes: usize,
}

#[async_trait]
impl EventAppender for Brittle {
    async fn append(&self, topic: Topic, mut records: Vec<NewRecord>) -> Appended {
        records.truncate(self.takes);
        let Appended { positions, .. } = self.log.append(topic, records).await;
        Appended { positions, refused: Some(AppendError::Unavailable("the broker of secret-host died".to_owned())) }
    }

    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError> {
        self.log.end_of(topic, key).await
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

// contract: "after the first item that the broker refused"
#[tokio::test]
async fn after_the_first_refused_item_all_later_ones_are_refused_too() {
    let log = MemoryLog::new(4, || now().as_millis());
    let brittle = Arc::new(Brittle { log: log.clone(), takes: 2 });
    let world = World::with(|ports| ports.log = brittle).await;
    let mut events = five();
    events[1]["status"] = json!("lost");
    let answer = world.post(DRIVER, "/events/batch", &json!(events)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(statuses(&answer), ["queued", "rejected", "queued", "rejected", "rejected"]);
    let json = answer.json();
    assert_eq!((&json["queued"], &json["rejected"]), (&json!(2), &json!(3)));
    assert_eq!(json["items"][3]["error"]["error"], "SERVICE_UNAVAILABLE");
    assert!(json["items"][3]["event_id"].is_string(), "it can be sent again, and will have this id");
    assert!(!answer.text.contains("secret-host"));
    assert_eq!(log.records(Topic::Events).len(), 2, "what is queued is in the log, and nothing else");
}

#[tokio::test]
async fn a_batch_of_which_the_log_took_nothing_is_put_off() {
    let world = World::new().await;
    world.log.set_away(true);
    let answer = world.post(DRIVER, "/events/batch", &json!(five())).await;
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(world.records(), []);
}
