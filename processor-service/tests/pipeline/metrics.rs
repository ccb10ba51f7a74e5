//! What is counted.

use std::collections::BTreeSet;

use shared::event_log::NewRecord;
use shared::metrics::MetricRegistry;
use shared::shipment::record;

use crate::world::{World, changed, created, now, number, reported, whole_life};

/// What stands on the registry after `records` were applied.
async fn counted(world: &World, records: Vec<NewRecord>) -> MetricRegistry {
    let positions = world.append(records).await;
    let running = world.start();
    world.settled(&positions).await;
    // The counters move after the notice; a stopped processor has finished with them.
    let registry = running.registry.clone();
    running.stop().await;
    registry
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
    }
}

// contract: "Same key, same payload: `duplicate`"
// contract: "`shipping_http_requests_total{method,url,code}`"
// contract: "and `shipping_event_end_to_end_seconds`"
#[tokio::test]
async fn what_was_done_is_counted() {
    let mut events = whole_life(number(1));
    events.push(events[1].clone());
    events.push(reported(number(1), "picked_up", 9));
    events.push(changed(number(1), "cancelled", 1, |_| ()));
    let mut records: Vec<_> = events.iter().map(|event| record::encode(event, None)).collect();
    records.push(NewRecord { value: None, ..records[0].clone() });
    let text = counted(&World::new(), records).await.text().expect("encodes");
    let lines = [
        r#"shipping_outcomes_total{outcome="applied"} 5"#,
        r#"shipping_outcomes_total{outcome="duplicate"} 1"#,
        r#"shipping_outcomes_total{outcome="rejected"} 1"#,
        r#"shipping_outcomes_total{outcome="conflict"} 1"#,
        r#"shipping_outcomes_total{outcome="dead_lettered"} 1"#,
        r#"shipping_outcomes_total{outcome="recorded"} 0"#,
        r#"shipping_events_dedup_total{result="new"} 6"#,
        r#"shipping_events_dedup_total{result="duplicate"} 1"#,
        r#"shipping_events_dedup_total{result="conflict"} 1"#,
        r#"shipping_events_processed_total{source="driver_app",status="delivered"} 1"#,
        r#"shipping_dead_letters_total{reason="NO_VALUE"} 1"#,
        r#"shipping_dead_letters_total{reason="KEY_CONFLICT"} 1"#,
        r#"shipping_dead_letters_total{reason="STORE_REFUSED"} 0"#,
        r#"shipping_events_errors_total{reason="store_unavailable"} 0"#,
        r#"shipping_events_errors_total{reason="announce_failed"} 0"#,
        r#"shipping_event_processing_duration_seconds_count{status="delivered"} 1"#,
        r#"shipping_events_queue_depth{worker_id="0"} 0"#,
        r#"shipping_build_info{service="processor-service",version="0.1.0"} 1"#,
        // Not the one that nobody will ever see.
        "shipping_event_end_to_end_seconds_count 8",
    ];
    assert_lines(&text, &lines);
}

#[tokio::test]
async fn the_age_of_an_event_is_taken_from_its_record_and_finds_a_bucket() {
    let (day, mut records) = (24 * 3_600_000, Vec::new());
    // From another clock, this moment, three seconds, two minutes, forty minutes, a day; and of one nobody knows.
    for (minute, age) in (1..).zip([-50, 0, 3_000, 120_000, 2_400_000, day, now().as_millis()]) {
        let event = reported(number(1), "picked_up", minute);
        records.push(NewRecord { timestamp: Some(now().as_millis() - age), ..record::encode(&event, None) });
    }
    let text = counted(&World::new(), records).await.text().expect("encodes");
    let bucket = |le: &str, count: u32| format!("shipping_event_end_to_end_seconds_bucket{{le=\"{le}\"}} {count}");
    let lines = [("0.002", 2), ("2", 2), ("5", 3), ("60", 3), ("300", 4), ("900", 4), ("3600", 5), ("+Inf", 6)];
    for (le, count) in lines {
        assert_lines(&text, &[&bucket(le, count)]);
    }
}

// contract: "`source` is bounded"
#[tokio::test]
async fn ten_thousand_sources_make_a_hundred_labels_and_one_for_the_others() {
    let world = World::new();
    let mut events = vec![created(number(1))];
    for n in 0..10_000 {
        events.push(changed(number(1), "in_transit", 1 + n, |body| {
            body["status"] = serde_json::Value::Null;
            body["kind"] = "other".into();
            body["source"] = format!("source_{n}").into();
        }));
    }
    let records = events.iter().map(|event| record::encode(event, None)).collect();
    let text = counted(&world, records).await.text().expect("encodes");
    let lines = text.lines().filter(|line| line.starts_with("shipping_events_processed_total{"));
    let labels: BTreeSet<&str> = lines.filter_map(|line| line.split("source=\"").nth(1)?.split('"').next()).collect();
    assert_eq!(labels.len(), 101, "{labels:?}");
    let others = "shipping_events_processed_total{source=\"other\",status=\"other\"} ";
    let count = text.lines().find_map(|line| line.strip_prefix(others)).expect("it is there");
    // The creation has one of the hundred.
    assert_eq!(count, "9901");
    assert!(text.len() < 100_000, "a scrape of {} bytes", text.len());
}
