//! What each program of the pair counts (contract section 8).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptance::platform::{Platform, Served};
use acceptance::sample::{parcel, report};
use acceptance::wait;

/// Longest time until what has happened is counted.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many partitions the topic has (contract section 5).
const PARTITIONS: usize = 12;
/// So many shipments have some on every partition.
const SHIPMENTS: usize = 60;

/// A name and its labels, in the order of the alphabet.
type Name = (&'static str, &'static [&'static str]);

const EDGE: &[Name] = &[
    ("shipping_build_info", &["service", "version"]),
    ("shipping_circuit_state", &["dependency"]),
    ("shipping_events_dedup_total", &["result"]),
    ("shipping_http_request_duration_seconds_bucket", &["le", "method", "url"]),
    ("shipping_http_requests_total", &["code", "method", "url"]),
    ("shipping_shipments_created_total", &["service_type"]),
    ("shipping_stream_resets_total", &["reason"]),
    ("shipping_streams_open", &[]),
];

const PROCESSOR: &[Name] = &[
    ("shipping_build_info", &["service", "version"]),
    ("shipping_circuit_state", &["dependency"]),
    ("shipping_consumer_lag", &["partition"]),
    ("shipping_dead_letters_total", &["reason"]),
    ("shipping_dlq_storm_open", &[]),
    ("shipping_event_end_to_end_seconds_bucket", &["le"]),
    ("shipping_event_processing_duration_seconds_bucket", &["le", "status"]),
    ("shipping_events_dedup_total", &["result"]),
    ("shipping_events_errors_total", &["reason"]),
    ("shipping_events_processed_total", &["source", "status"]),
    ("shipping_events_queue_depth", &["worker_id"]),
    ("shipping_outcomes_total", &["outcome"]),
];

/// The labels of each name that a program shows.
fn shown(text: &str) -> BTreeMap<&str, BTreeSet<Vec<&str>>> {
    let mut names: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a name and a value"));
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once("\"}")).map_or("", |(labels, _)| labels);
        let mut labels: Vec<_> = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0)).collect();
        labels.sort_unstable();
        names.entry(name).or_default().insert(labels);
    }
    names
}

fn missing<'a>(text: &str, names: &'a [Name]) -> Vec<&'a Name> {
    let shown = shown(text);
    let is_shown = |(name, labels): &&Name| shown.get(name).is_some_and(|all| all.iter().eq([&labels.to_vec()]));
    names.iter().filter(|name| !is_shown(name)).collect()
}

/// The partitions of which a program tells the lag.
async fn lags(served: &Served) -> BTreeSet<usize> {
    let text = served.metrics().await;
    let lines = text.lines().filter_map(|line| line.strip_prefix("shipping_consumer_lag{partition=\""));
    let lag = |line: &str| {
        let (partition, lag) = line.split_once("\"} ").expect("a partition and a lag");
        assert!(lag.parse::<i64>().is_ok_and(|lag| lag >= 0), "{line}");
        partition.parse().expect("a number")
    };
    lines.map(lag).collect()
}

// contract: "`shipping_http_requests_total{method,url,code}`"
// contract: "and `shipping_event_end_to_end_seconds`"
pub(crate) async fn every_name_of_the_contract_is_shown_by_each_program(platform: &Platform) {
    let ana = platform.a_client().await;
    let numbers = ana.register_many(&parcel(), SHIPMENTS).await;
    for edge in &platform.edges {
        let at = ana.before(&edge.url);
        at.report(&report(&numbers[0], "picked_up", 1)).await.with_status(200);
    }
    for number in &numbers[1..] {
        ana.accepted(&report(number, "picked_up", 1)).await;
    }
    let programs = platform.edges.iter().map(|edge| (edge, EDGE));
    for (served, names) in programs.chain(platform.processors.iter().map(|processor| (processor, PROCESSOR))) {
        let mut left = Vec::new();
        let all = async || {
            left = missing(&served.metrics().await, names);
            left.is_empty().then_some(())
        };
        let waited = tokio::time::timeout(PATIENCE, wait::until("all names", PATIENCE * 2, all)).await;
        assert!(waited.is_ok(), "{} lacks {left:?}:\n{}", served.program.name(), served.metrics().await);
        let text = served.metrics().await;
        assert!(!text.contains("99M-") && !text.contains("evt_"), "no caller grows a label set");
        assert!(text.contains("shipping_circuit_state{dependency=\"kafka\"} 0"), "{text}");
    }
    // The lag of a partition is told by its owner and by nobody else.
    let owned = async || {
        let both = [lags(&platform.processors[0]).await, lags(&platform.processors[1]).await];
        (both[0].is_disjoint(&both[1]) && both[0].len() + both[1].len() == PARTITIONS).then_some(())
    };
    wait::until("every partition has a lag", PATIENCE, owned).await;
}
