//! Every metric, and every label of it, that an alert, a panel or a page of the runbook names is shown by the programs.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::coverage;
use acceptance::platform::{Platform, Served};
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::wait;
use serde_json::Value;

use crate::PATIENCE;

/// Enough shipments for each of two processors to have some.
const SHIPMENTS: usize = 30;
/// Labels that Prometheus adds when it scrapes.
const SCRAPED: [&str; 3] = ["job", "instance", "namespace"];

/// The names of metrics with the labels that selectors ask for.
type Named = BTreeMap<String, BTreeSet<String>>;

/// The metrics that `text` names, by their beginning `shipping_`, with the labels between their braces.
fn named(text: &str) -> Named {
    let mut named = Named::new();
    for (at, _) in text.match_indices("shipping_") {
        let part_of_a_word = text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_');
        let rest = &text[at..];
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        // The database is called `shipping_system`.
        if part_of_a_word || name.starts_with("shipping_system") {
            continue;
        }
        let selectors =
            behind.strip_prefix('{').and_then(|inside| inside.split_once('}')).map_or("", |(inside, _)| inside);
        let labels =
            selectors.split(',').filter_map(|selector| selector.split_once(['=', '!'])).map(|(label, _)| label.trim());
        let labels = labels.filter(|label| {
            !label.is_empty() && label.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
        });
        named.entry(name.to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    named
}

/// The metrics that a program shows, with the labels of their lines.
fn shown(text: &str) -> Named {
    let mut shown = Named::new();
    for line in text.lines() {
        // A counter without lines is there all the same.
        if let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            shown.entry(name.to_owned()).or_default();
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a name and a value"));
        let labels = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once("\"}")).map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0.to_owned()));
        shown.entry(name.to_owned()).or_default().extend(labels);
    }
    shown
}

/// Which of `wanted` nobody shows, or not with that label.
fn missing(wanted: &Named, shown: &Named) -> Vec<String> {
    let lacks = |(name, labels): (&String, &BTreeSet<String>)| {
        let Some(there) = shown.get(name) else { return vec![name.clone()] };
        let unknown = labels.iter().filter(|label| !there.contains(*label) && !SCRAPED.contains(&label.as_str()));
        unknown.map(|label| format!("{name}{{{label}}}")).collect()
    };
    wanted.iter().flat_map(lacks).collect()
}

fn read(path: &str) -> String {
    let path = coverage::root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    fn collect(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                queries.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| collect(value, queries));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, queries)),
            _ => {}
        }
    }
    let mut queries = Vec::new();
    let dashboard = serde_json::from_str(&read("deploy/grafana/dashboards/rastro.json")).expect("a JSON document");
    collect(&dashboard, &mut queries);
    queries
}

/// All that names metrics.
fn texts() -> Vec<String> {
    let mut texts = queries();
    texts.extend(["recording", "alerts"].map(|file| read(&format!("deploy/prometheus/rules/{file}.yml"))));
    texts.push(read("k8s/components/keda/scaled-object.yaml"));
    texts.push(read("docs/runbook.md"));
    let pages = std::fs::read_dir(coverage::root().join("docs/runbook")).expect("a folder of pages");
    texts.extend(pages.map(|page| std::fs::read_to_string(page.expect("a page").path()).expect("readable")));
    texts
}

async fn scrape(platform: &Platform) -> Named {
    let mut all = Named::new();
    let programs: Vec<&Served> = platform.edges.iter().chain(&platform.processors).collect();
    for served in programs {
        for (name, labels) in shown(&served.metrics().await) {
            all.entry(name).or_default().extend(labels);
        }
    }
    all
}

#[tokio::test]
async fn whatever_alerts_panels_and_pages_name_is_shown_by_the_programs() {
    let name = "whatever_alerts_panels_and_pages_name_is_shown_by_the_programs";
    let Some(servers) = Servers::given(name) else { return };
    let mut wanted = Named::new();
    for text in texts() {
        for (name, labels) in named(&text) {
            wanted.entry(name).or_default().extend(labels);
        }
    }
    assert!(wanted.len() > 20, "{wanted:?}");
    let platform = Platform::pair(&servers, 1, 2).await;
    let ana = platform.a_client().await;
    for number in ana.register_many(&parcel(), SHIPMENTS).await {
        ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
        // Another report in the same second is a conflict, and a dead letter.
        ana.accepted(&report(&number, "in_warehouse", 1)).await;
    }
    let mut left = Vec::new();
    let all = async || {
        left = missing(&wanted, &scrape(&platform).await);
        left.is_empty().then_some(())
    };
    let waited = tokio::time::timeout(PATIENCE, wait::until("all metrics", PATIENCE * 2, all)).await;
    assert!(waited.is_ok(), "named, and not shown: {left:?}");
}

#[test]
fn what_is_recorded_is_what_alerts_and_panels_ask_for() {
    let recording = read("deploy/prometheus/rules/recording.yml");
    let recorded: BTreeSet<_> = recording.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    assert!(!recorded.is_empty());
    let texts = [queries(), vec![read("deploy/prometheus/rules/alerts.yml")]].concat();
    let asked = texts
        .iter()
        .flat_map(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter)));
    let unknown: BTreeSet<_> = asked.filter(|word| word.starts_with("rastro:") && !recorded.contains(word)).collect();
    assert!(unknown.is_empty(), "asked for, and not recorded: {unknown:?}");
}

#[test]
fn a_metric_or_a_label_that_is_not_there_would_be_found() {
    let query =
        r#"sum by (url) (rate(shipping_http_requests_total{code=~"5..", route!="/x", job="a"}[5m])) / shipping_speed"#;
    let text = "# TYPE shipping_http_requests_total counter\nshipping_http_requests_total{code=\"200\",url=\"/x\"} 1\n";
    assert_eq!(missing(&named(query), &shown(text)), ["shipping_http_requests_total{route}", "shipping_speed"]);
    let histogram = "# TYPE shipping_wait_seconds histogram\nshipping_wait_seconds_bucket{le=\"+Inf\"} 0\nshipping_wait_seconds_count 0\n";
    for part in ["_bucket", "_count"] {
        assert!(missing(&named(&format!("shipping_wait_seconds{part}")), &shown(histogram)).is_empty());
    }
}
