//! Nothing is answered 201 or 202 that the log does not hold; and what each dependency's absence means.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::json;
use shared::dedup_window::{Decided, DedupWindow, WindowError};
use shared::number_lease::{NumberLease, NumberLeases};
use shared::shipment::{EventId, Outcome};
use shared::shipment_store::StoreError;

use crate::world::{ADMIN, Announce, CLIENT, DRIVER, World, registration, report};

// contract: "only after the broker acknowledged the record"
// contract: "400 malformed or invalid, 401"
#[tokio::test]
async fn with_the_log_away_nothing_is_accepted_and_nothing_is_kept_for_later() {
    let world = World::new().await;
    world.log.set_away(true);
    let event = report("99M-ABC12345", "picked_up", 0);
    for (user, path, body) in [
        (DRIVER, "/events", event.clone()),
        (CLIENT, "/shipments", registration()),
        (DRIVER, "/events/batch", json!([event])),
    ] {
        let answer = world.post(user, path, &body).await;
        assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()), "{path}");
        assert!(answer.header("retry-after").is_some(), "{path}");
        assert!(!answer.text.contains("told to be away"), "what the log said is not for the caller");
    }
    assert_eq!(world.post_and_wait(DRIVER, &event).await.failure().0, 503);
    world.log.set_away(false);
    assert_eq!(world.records(), [], "nothing was queued behind the caller's back");
}

// contract: "400 malformed or invalid, 401"
#[tokio::test(start_paused = true)]
async fn with_the_database_away_events_are_accepted_and_queries_are_put_off() {
    let world = World::new().await;
    world.bearer(DRIVER).await;
    let number = world.shipment("client_001").await; // takes a lease of numbers
    world.store.set_away(true);
    let before = world.records().len();
    assert_eq!(world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await.status, StatusCode::ACCEPTED);
    let batch = json!([report(&number, "in_warehouse", 1)]);
    assert_eq!(world.post(DRIVER, "/events/batch", &batch).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.post(CLIENT, "/shipments", &registration()).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.records().len(), before + 3, "all of them are safe");
    let id = "evt_ABC12345_0000000000000000000000";
    for path in [format!("/shipments/{number}"), "/shipments".to_owned(), format!("/events/{id}")] {
        let answer = world.get(ADMIN, &path).await;
        assert_eq!((answer.failure().0, answer.header("retry-after")), (503, Some("2")), "{path}");
    }
    world.store.set_away(false);
    world.process().await;
    let shown = world.get(ADMIN, &format!("/shipments/{number}")).await.json();
    assert_eq!(shown["current_status"], "in_warehouse", "everything is applied, in order, when it is back");
}

/// A window that cannot be reached.
struct Away;

#[async_trait]
impl DedupWindow for Away {
    async fn look_up(&self, _: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        Err(WindowError("redis://:hunter2@cache refused".to_owned()))
    }

    async fn remember(&self, _: &[Decided]) -> Result<(), WindowError> {
        Err(WindowError("away".to_owned()))
    }

    async fn check(&self) -> Result<(), WindowError> {
        Err(WindowError("away".to_owned()))
    }
}

// contract: "200/503 `{status:"ok""
// contract: "a duplicate is never applied twice"
#[tokio::test]
async fn with_the_window_away_nothing_changes_but_a_metric_and_the_health() {
    let world = World::with(|ports| ports.window = Arc::new(Away)).await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(Announce::Yes);
    let event = report(&number, "picked_up", 0);
    assert_eq!(world.post_and_wait(DRIVER, &event).await.json()["status"], "applied");
    assert_eq!(world.post_and_wait(DRIVER, &event).await.json()["status"], "duplicate");
    let metrics = world.get(ADMIN, "/metrics").await.text;
    assert!(metrics.contains("shipping_events_dedup_total{result=\"window_unavailable\"} 2"), "{metrics}");
    let health = world.get(ADMIN, "/health").await;
    assert_eq!((health.status, &health.json()["status"]), (StatusCode::OK, &json!("degraded")));
    assert_eq!(health.json()["checks"]["cache"], "unavailable");
    let ready = world.get(ADMIN, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
}

/// A store of leases that does not answer.
struct Silent;

#[async_trait]
impl NumberLeases for Silent {
    async fn lease(&self, _: u32) -> Result<NumberLease, StoreError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_number_a_registration_is_put_off_in_time() {
    let world = World::with(|ports| ports.leases = Arc::new(Silent)).await;
    world.bearer(CLIENT).await;
    let before = tokio::time::Instant::now();
    let answer = world.post(CLIENT, "/shipments", &registration()).await;
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(before.elapsed().as_secs() < 10);
    assert_eq!(world.records(), []);
}

/// A window that answers for fewer keys than it was asked about.
struct Short;

#[async_trait]
impl DedupWindow for Short {
    async fn look_up(&self, _: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        Ok(vec![None])
    }

    async fn remember(&self, _: &[Decided]) -> Result<(), WindowError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_window_that_answers_too_little_loses_no_event() {
    let world = World::with(|ports| ports.window = Arc::new(Short)).await;
    let events = [0, 1, 2].map(|minute| report("99M-ABC12345", "picked_up", minute));
    let answer = world.post(DRIVER, "/events/batch", &json!(events)).await;
    assert_eq!((answer.status, &answer.json()["queued"]), (StatusCode::ACCEPTED, &json!(3)));
    assert_eq!(world.records().len(), 3);
}
