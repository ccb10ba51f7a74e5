//! The suite that every log passes, on a real broker.

use std::sync::Arc;

use super::topic::TestTopic;
use crate::event_log::conformance::{LogUnderTest, every_promise_is_kept};
use crate::event_log::kafka::{KafkaAppender, KafkaSubscriber, read_all};

#[test]
fn it_keeps_every_promise_of_a_log() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "the conformance of the log in Kafka") else { return };
    every_promise_is_kept(&|| {
        let topic = Arc::new(TestTopic::make(4));
        let appender = KafkaAppender::new(topic.settings.clone()).expect("settings");
        let read = Arc::clone(&topic);
        LogUnderTest {
            partitions: 4,
            appender: Arc::new(appender),
            subscriber: Box::new(move || Box::new(KafkaSubscriber::new(topic.settings.clone()))),
            read: Box::new(move |topic| read_all(&read.settings, topic).expect("reads")),
        }
    });
}
