//! A stream goes on where it was, after a kill.

use std::collections::HashSet;

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::log_in;
use crate::rastro::Rastro;

/// Whoever listens.
struct Listener {
    response: Response,
    text: String,
    last_id: String,
}

impl Listener {
    /// Listens from now on, or from behind an id; the head of the stream says from where.
    async fn open(rastro: &Rastro, path: &str, token: &str, last_id: Option<&str>) -> Self {
        let mut request = Client::new().get(format!("{}{path}", rastro.address)).bearer_auth(token);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("answered");
        assert_eq!(response.status(), 200);
        let mut listener = Self { response, text: String::new(), last_id: String::new() };
        while listener.last_id.is_empty() {
            assert_eq!(listener.block().await, None, "nothing is told before it is said where it begins");
        }
        listener
    }

    /// The data of the next block, if it has some.
    async fn block(&mut self) -> Option<Value> {
        let (block, rest) = loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                break (block.to_owned(), rest.to_owned());
            }
            let more = self.response.chunk().await.expect("it does not break").expect("it goes on");
            self.text.push_str(std::str::from_utf8(&more).expect("text"));
        };
        self.text = rest;
        let member = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        if let Some(id) = member("id: ") {
            self.last_id = id.to_owned();
        }
        member("data: ").map(|data| serde_json::from_str(data).expect("JSON"))
    }

    /// The status after the next change that is not `known` by its event: one that was killed before it committed publishes it again.
    async fn change(&mut self, known: &mut HashSet<String>) -> Value {
        loop {
            if let Some(change) = self.block().await
                && known.insert(change["event_id"].to_string())
                && change["to"] != "created"
            {
                return change["to"].clone();
            }
        }
    }
}

async fn post(rastro: &Rastro, token: &str, path: &str, body: &Value) -> Value {
    let request = Client::new().post(format!("{}{path}", rastro.address)).bearer_auth(token).json(body);
    let answer = request.header("prefer", "wait=20").send().await.expect("answered");
    assert!(answer.status().is_success(), "{answer:?}");
    answer.json().await.expect("JSON")
}

// contract: "`Last-Event-ID` goes on behind that place"
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_after_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rastro = Rastro::start(directory.path());
    let token = log_in(&Client::new(), &rastro.address).await;
    let parcel = json!({"client_id": "client_001", "origin_address": "Calle 5 #123, Puebla", "origin_lat": 19, "origin_lng": -98,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19, "destination_lng": -98, "weight_kg": 1,
        "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "Books"});
    let number = post(&rastro, &token, "/shipments", &parcel).await["tracking_number"].clone();
    let paths = ["/stream".to_owned(), format!("/shipments/{}/stream", number.as_str().expect("a number"))];
    let mut callers = Vec::new();
    for path in &paths {
        callers.push((path, Listener::open(&rastro, path, &token, None).await.last_id, HashSet::new()));
    }
    for (second, status) in ["picked_up", "in_warehouse", "in_transit", "delivered"].into_iter().enumerate() {
        // It happens while nobody listens; then the process is killed, and whoever listened comes back.
        let report = json!({"tracking_number": number, "status": status, "source": "driver_app",
            "timestamp": format!("2025-02-12T15:00:0{second}Z")});
        assert_eq!(post(&rastro, &token, "/events", &report).await["status"], "applied");
        for (path, id, known) in &mut callers {
            let mut listener = Listener::open(&rastro, path, &token, Some(id)).await;
            assert_eq!(listener.change(&mut known.clone()).await, status, "{path}: this one, and none twice");
            rastro.kill();
            rastro = Rastro::start(directory.path());
            let mut again = Listener::open(&rastro, path, &token, Some(id)).await;
            assert_eq!(again.change(known).await, status, "{path}: the same again from the same place");
            id.clone_from(&again.last_id);
        }
    }
    assert!(rastro.terminate().await.success());
}
