//! A platform in memory for these tests: the real reading of bodies and the real judgement (`shared::shipment`), as much
//! HTTP as a play needs, and faults that a play must find.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{
    Event, EventBody, EventId, LogPosition, Outcome, PayloadHash, RowId, Shipment, ShipmentCreated, StatusReported,
    Timestamp, UnknownFields, judge,
};

/// What the platform does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It never waits for the outcome, as `Prefer: wait` asks it to: allowed, and it has to be looked up.
    AnswersAtOnce,
    /// It answers for what it then forgets.
    ForgetsDeliveries,
    /// It takes a step that the whitelist does not have.
    AppliesWhatItShouldReject,
    /// It refuses an event.
    RefusesDeliveries,
    /// It gives a second outcome to what it has seen before.
    AppliesDuplicates,
    /// It judges every shipment strictly, whatever was agreed.
    JudgesStrictly,
    /// It counts one failed attempt too many.
    MiscountsAttempts,
    /// It takes the scan that came in last for the newest.
    MistakesTheLastScan,
}

struct Platform {
    fault: Fault,
    shipments: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    shipment: Shipment,
    records: i64,
    /// The event that entered the history last.
    newest: Option<EventId>,
    rows: HashMap<RowId, (PayloadHash, Outcome, Option<&'static str>)>,
}

/// Starts a platform and returns its URL. It ends with the runtime.
pub(crate) async fn start(fault: Fault) -> String {
    let platform = Arc::new(Platform { fault, shipments: Mutex::default() });
    let router = Router::new()
        .route("/auth/login", post(login))
        .route("/shipments", post(register))
        .route("/shipments/{number}", get(show))
        .route("/events", post(report))
        .route("/events/{id}", get(outcome))
        .with_state(platform);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

type Answer = (StatusCode, Json<Value>);

async fn login(Json(body): Json<Value>) -> Answer {
    match body["password"].as_str() {
        Some("password123") => {
            (StatusCode::OK, Json(json!({"token": "t", "expires_in": 86400, "token_type": "Bearer"})))
        }
        _ => (
            StatusCode::UNAUTHORIZED,
            Json(json!({"error": "UNAUTHORIZED", "message": "unknown user or wrong password"})),
        ),
    }
}

async fn register(State(platform): State<Arc<Platform>>, Json(mut body): Json<Value>) -> Answer {
    let mut shipments = platform.shipments.lock().expect("no panic holds it");
    let number = format!("99M-{:08}", shipments.len());
    body["tracking_number"] = json!(number);
    if platform.fault == Fault::JudgesStrictly {
        body["transition_policy"] = json!("strict");
    }
    let created = ShipmentCreated::from_json(body, shared::clock::system()).expect("a valid registration");
    let event = IdentifiedEvent::from(Event::Created(Box::new(created)));
    let shipment = judge(None, None, &event, LogPosition { epoch: 0, offset: 0 }).shipment.expect("was created");
    shipments.insert(number.clone(), Kept { shipment, records: 0, newest: None, rows: HashMap::new() });
    (StatusCode::CREATED, Json(json!({"tracking_number": number, "status": "created"})))
}

async fn show(State(platform): State<Arc<Platform>>, Path(number): Path<String>) -> Answer {
    let shipments = platform.shipments.lock().expect("no panic holds it");
    let kept = &shipments[&number];
    let mut answer = serde_json::to_value(&kept.shipment.state).expect("serialises");
    answer["tracking_number"] = json!(number);
    if platform.fault == Fault::MiscountsAttempts {
        answer["attempts"] = json!(kept.shipment.state.attempts + 1);
    }
    if let Some(newest) = kept.newest.filter(|_| platform.fault == Fault::MistakesTheLastScan) {
        let entries = answer["status_history"].as_array().expect("a list");
        let entry = entries.iter().find(|entry| entry["event_id"] == newest.to_string()).cloned();
        answer["last_scan"] = entry.expect("is in the history");
    }
    (StatusCode::OK, Json(answer))
}

async fn report(State(platform): State<Arc<Platform>>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    assert_eq!(headers.get("authorization").map(|value| value.as_bytes()), Some(b"Bearer t".as_slice()));
    assert_eq!(headers.get("prefer").map(|value| value.as_bytes()), Some(b"wait=30".as_slice()));
    let body = EventBody::from_json(body, UnknownFields::Refuse).expect("a valid event");
    let delivers = body.claim.as_str() == "delivered";
    if delivers && platform.fault == Fault::RefusesDeliveries {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "UNAVAILABLE", "message": "later"})));
    }
    let mut shipments = platform.shipments.lock().expect("no panic holds it");
    let kept = shipments.get_mut(body.tracking_number.as_str()).expect("is registered");
    let forget = (delivers && platform.fault == Fault::ForgetsDeliveries).then(|| kept.shipment.clone());
    let (id, outcome, reason) = decide(kept, platform.fault, body);
    if let Some(before) = forget {
        kept.shipment = before;
    }
    let id = id.id.to_string();
    if platform.fault == Fault::AnswersAtOnce {
        return (StatusCode::ACCEPTED, Json(json!({"event_id": id, "status": "queued"})));
    }
    match outcome {
        Outcome::Applied | Outcome::Recorded | Outcome::Duplicate => {
            (StatusCode::OK, Json(json!({"event_id": id, "outcome": outcome})))
        }
        _ => (StatusCode::CONFLICT, Json(json!({"error": reason, "message": "no", "event_id": id}))),
    }
}

fn decide(kept: &mut Kept, fault: Fault, body: EventBody) -> (IdentifiedEvent, Outcome, Option<&'static str>) {
    kept.records += 1;
    let reported = StatusReported { body, recorded_at: Timestamp::default(), reporter: None };
    let event = IdentifiedEvent::from(Event::Reported(reported));
    let (first, conflict) = (event.id.first_row(), event.id.conflict_row());
    let known = kept.rows.get(&conflict).or_else(|| kept.rows.get(&first)).map(|&(payload, _, _)| payload);
    let mut judgement = judge(Some(&kept.shipment), known, &event, LogPosition { epoch: 0, offset: kept.records });
    let lenient = match judgement.outcome {
        Outcome::Rejected => fault == Fault::AppliesWhatItShouldReject,
        Outcome::Duplicate => fault == Fault::AppliesDuplicates,
        _ => false,
    };
    if lenient {
        (judgement.outcome, judgement.reason) = (Outcome::Applied, None);
    }
    let reason = judgement.reason.map(|reason| reason.as_str());
    let row = if judgement.outcome == Outcome::Conflict { conflict } else { first };
    kept.rows.entry(row).or_insert((event.id.payload, judgement.outcome, reason));
    if let Some(after) = judgement.shipment {
        kept.shipment = after;
        kept.newest = Some(event.id);
    }
    (event, judgement.outcome, reason)
}

async fn outcome(State(platform): State<Arc<Platform>>, Path(id): Path<String>) -> Answer {
    let id: EventId = id.parse().expect("an event id");
    let mut shipments = platform.shipments.lock().expect("no panic holds it");
    let kept = shipments.get_mut(id.tracking_number.as_str()).expect("is registered");
    kept.records += 1;
    if kept.records % 2 == 1 {
        return (StatusCode::OK, Json(json!({"event_id": id, "outcome": "queued"})));
    }
    let first = kept.rows.get(&id.first_row()).filter(|(payload, _, _)| *payload == id.payload);
    let &(_, outcome, reason) = first.or_else(|| kept.rows.get(&id.conflict_row())).expect("was accepted");
    (StatusCode::OK, Json(json!({"event_id": id, "outcome": outcome, "reason": reason})))
}
