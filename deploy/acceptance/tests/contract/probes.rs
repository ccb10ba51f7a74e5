//! How a platform is watched.

use std::time::Duration;

use acceptance::client::{Client, is_utc};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::wait;
use serde_json::json;

// contract: "`GET /health` | public"
// contract: "`GET /livez` | public"
// contract: "`GET /livez` | `/readyz`"
// contract: "`GET /metrics` | public inside the cluster"
// contract: "`GET /metrics` | Prometheus text"
// contract: "200/503 `{status:"ok""
// contract: "`processor-service` (`PORT` 8081"
pub(crate) async fn a_platform_that_is_well_says_so(platform: &Platform) {
    for served in platform.edges.iter().chain(&platform.processors) {
        let probe = Client::nobody(&served.url);
        let health = probe.get("/health").await.with_status(200);
        assert_eq!(health["status"], "ok", "{}: {health}", served.program.name());
        assert_eq!(health["checks"], json!({"database": "ok", "cache": "ok", "event_queue": "ok"}));
        assert!(is_utc(&health["timestamp"]), "{health}");
        for path in ["/livez", "/readyz"] {
            assert_eq!(probe.get(path).await.status, 200, "{} {path}", served.program.name());
        }
        let metrics = probe.get("/metrics").await;
        assert!(
            metrics.header("content-type").is_some_and(|value| value.starts_with("text/plain")),
            "{:?}",
            metrics.headers
        );
    }
}

// contract: "`shipping_http_requests_total{method,url,code}`"
// contract: "and `shipping_event_end_to_end_seconds`"
// contract: "names and labels of the reference"
pub(crate) async fn what_happens_is_counted_under_the_contract_s_names(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    ana.report(&report(&number, "delivered", 2)).await.problem(409, "INVALID_TRANSITION");
    let mut expected = vec![
        "shipping_http_requests_total{code=\"200\",method=\"POST\",url=\"/events\"}",
        "shipping_http_request_duration_seconds_bucket{method=\"POST\",url=\"/events\",le=",
        "shipping_events_processed_total{source=\"driver_app\",status=\"picked_up\"}",
        "shipping_events_dedup_total{result=\"duplicate\"}",
        "shipping_event_processing_duration_seconds_bucket{status=",
        "shipping_shipments_created_total{service_type=\"standard\"}",
        "shipping_event_end_to_end_seconds_bucket{",
        "shipping_outcomes_total{outcome=\"applied\"}",
        "shipping_outcomes_total{outcome=\"rejected\"}",
        "shipping_build_info{",
        "shipping_consumer_lag{partition=\"",
        "shipping_events_queue_depth{worker_id=\"0\"}",
    ];
    if !platform.processors.is_empty() {
        expected.push("shipping_circuit_state{dependency=\"redis\"} 0"); // one process depends on nothing
    }
    // What the processor counts may come a moment after the answer.
    let all = async || {
        let text = platform.metrics().await;
        expected.iter().all(|line| text.contains(line)).then_some(text)
    };
    let patience = Duration::from_secs(10);
    let metrics = match tokio::time::timeout(patience, wait::until("all metrics", patience * 2, all)).await {
        Ok((text, _)) => text,
        Err(_) => {
            let text = platform.metrics().await;
            let missing: Vec<_> = expected.iter().filter(|line| !text.contains(*line)).collect();
            panic!("missing: {missing:?} in\n{text}");
        }
    };
    assert!(!metrics.contains("99M-") && !metrics.contains("evt_"), "no caller grows a label set");
}
