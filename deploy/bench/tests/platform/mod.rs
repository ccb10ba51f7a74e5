//! As much of the platform as a measurement needs, in memory: it keeps what it is sent, after a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

/// How the platform behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Behaviour {
    /// After an event is accepted, until it can be read.
    pub(crate) visible_after: Duration,
    /// Events of this status are accepted and never seen again.
    pub(crate) forgets: Option<&'static str>,
    /// Batches of this status are refused.
    pub(crate) refuses: Option<&'static str>,
    /// How long the first batch takes.
    pub(crate) first_batch_takes: Duration,
}

struct Platform {
    behaviour: Behaviour,
    shipments: Mutex<HashMap<String, Vec<Value>>>,
    batches: Mutex<usize>,
}

/// Starts a platform and returns its URL. It ends with the runtime.
pub(crate) async fn start(behaviour: Behaviour) -> String {
    let platform = Arc::new(Platform { behaviour, shipments: Mutex::default(), batches: Mutex::default() });
    let router = Router::new()
        .route("/auth/login", post(async || Json(json!({"token": "t"}))))
        .route("/shipments", post(register))
        .route("/shipments/{number}", get(show))
        .route("/events", post(report))
        .route("/events/batch", post(report_batch))
        .with_state(platform);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

type Answer = (StatusCode, Json<Value>);

async fn register(State(platform): State<Arc<Platform>>) -> Answer {
    let mut shipments = platform.shipments.lock().expect("no panic holds it");
    let number = format!("99M-{:08}", shipments.len());
    shipments.insert(number.clone(), vec![json!({"status": "created", "moved": true, "event_id": "evt_0"})]);
    (StatusCode::CREATED, Json(json!({"tracking_number": number})))
}

async fn show(State(platform): State<Arc<Platform>>, Path(number): Path<String>) -> Answer {
    let shipments = platform.shipments.lock().expect("no panic holds it");
    (StatusCode::OK, Json(json!({"tracking_number": number, "status_history": shipments[&number]})))
}

/// Keeps an event and returns its id.
fn keep(platform: &Arc<Platform>, event: &Value) -> String {
    let number = event["tracking_number"].as_str().expect("has a number").to_owned();
    let claim = event["status"].as_str().or_else(|| event["kind"].as_str()).expect("claims something");
    let id = format!("evt_{}_{claim}", &number[4..]);
    if platform.behaviour.forgets == Some(claim) {
        return id;
    }
    let entry = json!({"status": event["status"], "moved": event["status"].is_string(), "event_id": id});
    let platform = platform.clone();
    tokio::spawn(async move {
        tokio::time::sleep(platform.behaviour.visible_after).await;
        let mut shipments = platform.shipments.lock().expect("no panic holds it");
        shipments.get_mut(&number).expect("is registered").push(entry);
    });
    id
}

async fn report(State(platform): State<Arc<Platform>>, Json(event): Json<Value>) -> Answer {
    let id = keep(&platform, &event);
    tokio::time::sleep(platform.behaviour.visible_after).await;
    (StatusCode::OK, Json(json!({"event_id": id, "status": "applied"})))
}

async fn report_batch(State(platform): State<Arc<Platform>>, Json(body): Json<Value>) -> Answer {
    let first = {
        let mut batches = platform.batches.lock().expect("no panic holds it");
        *batches += 1;
        *batches == 1
    };
    if first {
        tokio::time::sleep(platform.behaviour.first_batch_takes).await;
    }
    let events = body["events"].as_array().expect("a list");
    if platform.behaviour.refuses.is_some_and(|status| events[0]["status"] == status) {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "SERVICE_UNAVAILABLE", "message": "later"})));
    }
    let items = events.iter().enumerate();
    let items: Vec<_> = items
        .map(|(index, event)| json!({"index": index, "event_id": keep(&platform, event), "status": "queued"}))
        .collect();
    let count = events.len();
    (
        StatusCode::ACCEPTED,
        Json(json!({"received": count, "queued": count, "rejected": 0, "message": "m", "items": items})),
    )
}
