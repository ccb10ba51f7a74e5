//! What operators and probes see.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use crate::world::{ADMIN, Answer, DRIVER, World, report};

async fn open(world: &World, path: &str) -> Answer {
    world.send(Request::get(path).body(Body::empty()).expect("well-formed")).await
}

// contract: "200/503 `{status:"ok""
#[tokio::test]
async fn health_says_what_is_away_in_the_contract_s_words() {
    let world = World::new().await;
    let well = open(&world, "/health").await;
    let expected = json!({"status": "ok", "timestamp": "2025-06-15T15:06:40Z",
        "checks": {"database": "ok", "cache": "ok", "event_queue": "ok"}});
    assert_eq!((well.status, well.json()), (StatusCode::OK, expected));

    let world = World::new().await;
    world.store.set_away(true);
    let sick = open(&world, "/v1/health").await;
    assert_eq!((sick.status, &sick.json()["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unhealthy")));
    assert_eq!(sick.json()["checks"], json!({"database": "unavailable", "cache": "ok", "event_queue": "ok"}));
}

// contract: "live never looks at dependencies"
// contract: "ready does, and turns false on shutdown"
#[tokio::test]
async fn ready_means_that_events_are_accepted_and_the_body_says_what_is_missing() {
    let world = World::new().await;
    assert_eq!(open(&world, "/readyz").await.json()["status"], "ready");

    let world = World::new().await;
    world.store.set_away(true);
    let without_queries = open(&world, "/readyz").await;
    assert_eq!(without_queries.status, StatusCode::OK, "events are still accepted");
    assert!(without_queries.text.contains("queries answer 503"), "{}", without_queries.text);

    let world = World::new().await;
    world.log.set_away(true);
    let deaf = open(&world, "/readyz").await;
    assert_eq!((deaf.status, &deaf.json()["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not_ready")));
    assert!(deaf.text.contains("the log cannot be reached"), "{}", deaf.text);
    assert_eq!(open(&world, "/livez").await.status, StatusCode::OK, "restarting us would not repair it");
}

// contract: "ready does, and turns false on shutdown"
#[tokio::test]
async fn ready_turns_false_on_shutdown_and_live_does_not() {
    let world = World::new().await;
    assert_eq!(open(&world, "/readyz").await.status, StatusCode::OK);
    world.stop.cancel();
    let answer = open(&world, "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("shutting down"), "{}", answer.text);
    assert_eq!(open(&world, "/livez").await.status, StatusCode::OK);
}

// contract: "`url` is the route pattern"
#[tokio::test]
async fn no_caller_can_grow_the_labels_of_the_metrics() {
    let world = World::new().await;
    for path in ["/shipments/99M-AAAAAA", "/shipments/99M-BBBBBB", "/secret/path", "/another"] {
        world.get(ADMIN, path).await;
    }
    world.post(DRIVER, "/events", &report("99M-AAAAAA", "picked_up", 0)).await;
    let odd = Method::from_bytes(b"BREW").expect("a token");
    world.send(Request::builder().method(odd).uri("/events").body(Body::empty()).expect("well-formed")).await;
    let text = open(&world, "/metrics").await.text;
    for line in [
        "shipping_http_requests_total{code=\"404\",method=\"GET\",url=\"/shipments/{tracking_number}\"} 2",
        "shipping_http_requests_total{code=\"404\",method=\"GET\",url=\"unmatched\"} 2",
        "shipping_http_requests_total{code=\"202\",method=\"POST\",url=\"/events\"} 1",
        "shipping_http_requests_total{code=\"405\",method=\"other\",url=\"/events\"} 1",
        "shipping_http_request_duration_seconds_count{method=\"POST\",url=\"/events\"} 1",
        "shipping_events_dedup_total{result=\"window_miss\"} 1",
        "shipping_shipments_created_total{service_type=\"standard\"} 0",
        "shipping_build_info{service=\"ingest-service\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("AAAAAA") && !text.contains("BREW"));
}

#[tokio::test]
async fn two_edges_in_one_process_count_for_themselves() {
    let (one, other) = (World::new().await, World::new().await);
    open(&one, "/livez").await;
    let line = "shipping_http_requests_total{code=\"200\",method=\"GET\",url=\"/livez\"} 1";
    assert!(one.registry.text().expect("encodes").contains(line));
    assert!(!other.registry.text().expect("encodes").contains(line));
}

#[tokio::test]
async fn a_scrape_asks_nobody_and_every_metric_says_what_it_is() {
    let world = World::new().await;
    world.post(DRIVER, "/events", &report("99M-AAAAAA", "picked_up", 0)).await;
    world.store.set_away(true);
    world.log.set_away(true);
    let answer = open(&world, "/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").is_some_and(|value| value.starts_with("text/plain")));
    let types = answer.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in types {
        let help = answer.text.lines().find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|help| help.len() > 15), "{name}: {help:?}");
        assert!(name.starts_with("shipping_") || name.starts_with("process_"), "{name}");
    }
    // The longest answer, to `Prefer: wait=30` after a slow append, has a bucket.
    let bucket = |le: &str| {
        format!("shipping_http_request_duration_seconds_bucket{{method=\"POST\",url=\"/events\",le=\"{le}\"}}")
    };
    for le in ["0.001", "1.024", "32.768", "65.536"] {
        assert!(answer.text.contains(&bucket(le)), "{le} in {}", answer.text);
    }
}

#[tokio::test]
async fn ten_thousand_sources_do_not_grow_what_the_edge_shows() {
    let world = World::new().await;
    let sources = async |range: std::ops::Range<u32>| {
        let events: Vec<_> = range
            .map(|n| {
                let mut event = report("99M-AAAAAA", "picked_up", 0);
                event["source"] = json!(format!("source_{n}"));
                event
            })
            .collect();
        let answer = world.post(DRIVER, "/events/batch", &json!(events)).await;
        assert_eq!(answer.json()["queued"], events.len(), "{}", answer.text);
    };
    sources(0..20).await;
    let before = open(&world, "/metrics").await.text.lines().count();
    for batch in 1..500 {
        sources(batch * 20..batch * 20 + 20).await;
    }
    let text = open(&world, "/metrics").await.text;
    // Those of the first scrape itself.
    let scrape = text.lines().filter(|line| line.contains("/metrics")).count();
    assert_eq!(text.lines().count() - scrape, before, "{text}");
    assert!(!text.contains("source_"));
}
