//! Topics are made once, as they must be, on a real broker.

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::topic::{TestTopic, settings};
use crate::event_log::Topic;
use crate::event_log::kafka::{KafkaSettings, TopicsError, ensure_topics};

// contract: "never repartitioned in place"
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_by_many_at_once_and_never_repartitioned() {
    let Some(brokers) = crate::real_servers::address("KAFKA_BROKERS", "the topics in Kafka") else { return };
    let topic = TestTopic { settings: settings(&brokers, 3) };
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let settings = topic.settings.clone();
        all.spawn(async move { ensure_topics(&settings).await });
    }
    while let Some(ensured) = all.join_next().await {
        ensured.expect("does not panic").expect("made, or there already");
    }
    let other = KafkaSettings { partitions: 5, ..topic.settings.clone() };
    let refused = ensure_topics(&other).await.expect_err("another number of partitions");
    let line = refused.to_string();
    assert!(matches!(refused, TopicsError::Partitions { found: 3, wanted: 5, .. }), "{line}");
    assert!(line.contains(&topic.settings.topic), "{line}");
    ensure_topics(&topic.settings).await.expect("nothing was changed");

    let admin: AdminClient<DefaultClientContext> = topic.settings.client().create().expect("settings");
    let names = Topic::ALL.map(|of| topic.settings.name(of));
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = admin.describe_configs(&resources, &AdminOptions::new()).await.expect("described");
    let retention = described.into_iter().map(|resource| {
        let resource = resource.expect("described");
        resource.get("retention.ms").and_then(|entry| entry.value.clone()).expect("is set")
    });
    assert_eq!(retention.collect::<Vec<_>>(), ["-1", "-1", "604800000"]);
}

#[tokio::test]
async fn brokers_that_are_away_are_worth_another_attempt() {
    let refused = ensure_topics(&settings("127.0.0.1:1", 3)).await.expect_err("nobody is there");
    assert!(matches!(refused, TopicsError::Unavailable(_)), "{refused}");
}
