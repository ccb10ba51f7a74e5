//! Callers that register parcels and report on them, one event after the other, and send again whatever was not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Where the program listens; `None` while it is away.
pub(crate) type Address = watch::Receiver<Option<String>>;

/// What all workers share.
pub(crate) struct Site {
    pub(crate) client: Client,
    pub(crate) token: String,
    pub(crate) address: Address,
    /// How many requests were acknowledged.
    pub(crate) acknowledged: watch::Sender<u64>,
    /// No new parcels.
    pub(crate) finishing: AtomicBool,
    /// How many requests had to be sent again.
    pub(crate) repeated: AtomicU64,
    /// How many parcels somebody began to register, each under a key of its own.
    pub(crate) parcels: AtomicU64,
}

/// A parcel with all that was acknowledged about it, in order.
pub(crate) struct Parcel {
    pub(crate) number: String,
    /// Each event: its id, and the outcome that it must have.
    pub(crate) events: Vec<(String, &'static str)>,
}

/// What each parcel goes through: its status or kind, and what must become of it.
const WAY: [(&str, &str, &str); 12] = [
    ("kind", "info_received", "recorded"),
    ("status", "picked_up", "applied"),
    ("status", "delivered", "rejected"),
    ("status", "in_warehouse", "applied"),
    ("kind", "other", "recorded"),
    ("kind", "exception", "recorded"),
    ("status", "in_warehouse", "rejected"),
    ("status", "in_transit", "applied"),
    ("kind", "out_for_delivery", "recorded"),
    ("kind", "delivery_attempt_failed", "recorded"),
    ("status", "delivered", "applied"),
    ("kind", "other", "recorded"),
];

impl Site {
    /// Sends parcel after parcel on its way until told to finish. An odd worker posts batches, an even one single events.
    pub(crate) async fn work(self: Arc<Self>, worker: usize) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        while !self.finishing.load(Ordering::SeqCst) {
            parcels.push(if worker % 2 == 1 { self.in_batches().await } else { self.one_by_one().await });
        }
        parcels
    }

    async fn one_by_one(&self) -> Parcel {
        let (number, created) = self.register().await;
        let mut events = Vec::new();
        for (step, (member, word, outcome)) in WAY.into_iter().enumerate() {
            let answer = self.post("/events", &event(&number, &created, step, member, word)).await;
            events.push((text(&answer["event_id"]), outcome));
            if step == 1 {
                // The same id with another payload.
                let answer = self.post("/events", &event(&number, &created, step, "status", "cancelled")).await;
                events.push((text(&answer["event_id"]), "conflict"));
            }
        }
        Parcel { number, events }
    }

    async fn in_batches(&self) -> Parcel {
        let (number, created) = self.register().await;
        let mut events = Vec::new();
        for (begin, steps) in WAY.chunks(4).enumerate().map(|(chunk, steps)| (chunk * 4, steps)) {
            let each = steps.iter().enumerate();
            let batch: Vec<Value> =
                each.map(|(step, (member, word, _))| event(&number, &created, begin + step, member, word)).collect();
            let answer = self.post("/events/batch", &json!({"events": batch})).await;
            let items = answer["items"].as_array().expect("one for each event");
            assert!(items.iter().all(|item| item["error"].is_null()), "{answer}");
            events.extend(items.iter().zip(steps).map(|(item, step)| (text(&item["event_id"]), step.2)));
        }
        Parcel { number, events }
    }

    /// A new parcel: its number and when it was created.
    async fn register(&self) -> (String, String) {
        let key = format!("parcel-{}", self.parcels.fetch_add(1, Ordering::Relaxed));
        let answer = self.post_under("/shipments", Some(&key), &parcel()).await;
        (text(&answer["tracking_number"]), text(&answer["created_at"]))
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.post_under(path, None, body).await
    }

    /// Posts until it is acknowledged.
    async fn post_under(&self, path: &str, key: Option<&str>, body: &Value) -> Value {
        loop {
            let mut address = self.address.clone();
            let at = address.wait_for(Option::is_some).await.expect("the test is there").clone().unwrap_or_default();
            let mut request = self.client.post(format!("{at}{path}")).bearer_auth(&self.token).json(body);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let answer = match request.send().await {
                Ok(response) => Some((response.status(), response.json::<Value>().await)),
                Err(error) => {
                    assert!(!error.is_timeout(), "{path} was not answered at all");
                    None
                }
            };
            match answer {
                Some((StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED, Ok(answer))) => {
                    self.acknowledged.send_modify(|count| *count += 1);
                    return answer;
                }
                // Away: an answer was cut off, or the program is shutting down. Go on with the next one.
                None | Some((_, Err(_))) => {
                    let next = address.wait_for(|now| now.as_ref().is_some_and(|now| *now != at)).await;
                    drop(next.expect("the test is there"));
                }
                Some((StatusCode::SERVICE_UNAVAILABLE, Ok(_))) => tokio::task::yield_now().await,
                Some((status, Ok(problem))) => panic!("{path} {body}: {status} {problem}"),
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gets what must be there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let at = self.address.borrow().clone().expect("the program runs");
        let response = self.client.get(format!("{at}{path}")).bearer_auth(&self.token).send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("JSON")
    }

    /// Waits until all that was acknowledged before has its outcome: the log has one partition, so its last record tells.
    pub(crate) async fn settle(&self) {
        let (number, created) = self.register().await;
        let at = self.address.borrow().clone().expect("the program runs");
        let last = event(&number, &created, 1, "status", "picked_up");
        let request = self.client.post(format!("{at}/events")).bearer_auth(&self.token).header("prefer", "wait=30");
        let response = request.json(&last).send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK, "the processor has not caught up within 30 s");
    }
}

/// A registration.
pub(crate) fn parcel() -> Value {
    json!({"client_id": "client_001", "origin_address": "a", "origin_lat": 1, "origin_lng": 1,
        "destination_address": "b", "destination_lat": 1, "destination_lng": 1, "weight_kg": 1, "length_cm": 1,
        "width_cm": 1, "height_cm": 1, "content_description": "c"})
}

/// Event number `step` of a parcel: a millisecond after the one before it, and with an id of its own, because the key without
/// one tells seconds apart and no less.
fn event(number: &str, created: &str, step: usize, member: &str, word: &str) -> Value {
    let created = shared::shipment::Timestamp::parse(created).expect("a time");
    let timestamp = created.plus(std::time::Duration::from_millis(step as u64 + 1)).to_string();
    json!({"tracking_number": number, member: word, "source": "driver_app", "timestamp": timestamp,
        "source_event_id": format!("step-{step}")})
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
