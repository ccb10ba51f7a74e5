//! The past of the log, and the offsets of groups, on a real broker.

use super::topic::{TestTopic, settings};
use crate::event_log::conformance::replaying;
use crate::event_log::kafka::{KafkaAppender, KafkaReplay, ensure_topics};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_of_the_log_in_kafka_keeps_every_promise() {
    let Some(brokers) = crate::real_servers::address("KAFKA_BROKERS", "the past of the log in Kafka") else { return };
    let topic = TestTopic { settings: settings(&brokers, 4) };
    ensure_topics(&topic.settings).await.expect("topics can be made");
    let appender = KafkaAppender::new(topic.settings.clone()).expect("settings");
    replaying::run(&KafkaReplay::new(topic.settings.clone()), &appender).await;
}
