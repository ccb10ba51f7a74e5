//! Members that come and go in order, on a real broker.

use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::logged::{Lines, Logged};
use super::topic::{TestTopic, append_more, append_numbered, block_on, settings, values_by_partition};
use crate::event_log::conformance::{LogUnderTest, Recorder};
use crate::event_log::kafka::{KafkaAppender, KafkaSubscriber, ensure_topics};

fn log(topic: &TestTopic) -> LogUnderTest {
    let settings = topic.settings.clone();
    LogUnderTest {
        partitions: settings.partitions,
        appender: Arc::new(KafkaAppender::new(settings.clone()).expect("settings")),
        subscriber: Box::new(move || Box::new(KafkaSubscriber::new(settings.clone()))),
        read: Box::new(|_| Vec::new()),
    }
}

#[test]
fn members_share_the_partitions_and_each_record_goes_to_one_of_them_while_they_come_and_go() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "a group of members in Kafka") else { return };
    let topic = TestTopic::make(6);
    let log = log(&topic);
    let (first, second) = (Recorder::default(), Recorder::default());
    // What is drained on a revocation is committed, so that the next owner begins behind it.
    first.make_durable_when_revoked();
    second.make_durable_when_revoked();
    let mut expected = append_numbered(&log, 0..1_000);
    first.run(&log, || {
        first.wait_for_records(1_000);
        second.run(&log, || {
            second.wait("half of the partitions", |state| (state.assigned.len() == 3).then_some(()));
            first.wait("the other half", |state| (state.assigned.len() == 3).then_some(()));
            append_more(&log, 1_000..3_000, &mut expected);
            let got = |recorder: &Recorder| recorder.wait("", |state| Some(state.taken.len()));
            second.wait("its share", |state| (state.taken.len() + got(&first) == 3_000).then_some(()));
        });
        first.wait("all partitions", |state| (state.assigned.len() == 6).then_some(()));
        append_more(&log, 3_000..4_000, &mut expected);
        let of_second = second.wait("its end", |state| Some(state.taken.clone()));
        let mut all = first.wait_for_records(4_000 - of_second.len());
        assert!(!of_second.is_empty(), "both had work");
        for records in [&all, &of_second] {
            values_by_partition(records);
        }
        all.extend(of_second);
        all.sort_by_key(|record| record.position);
        assert_eq!(values_by_partition(&all), expected, "each record once, none left out");
    });
}

#[test]
fn a_subscriber_waits_for_a_topic_that_is_not_there_yet() {
    let Some(brokers) = crate::real_servers::address("KAFKA_BROKERS", "a late topic in Kafka") else { return };
    let topic = TestTopic { settings: settings(&brokers, 2) };
    let (log, consumer) = (log(&topic), Recorder::default());
    consumer.run(&log, || {
        consumer.wait("signs of life", |state| (!state.alive.is_empty()).then_some(()));
        block_on(ensure_topics(&topic.settings)).expect("topics can be made");
        let expected = append_numbered(&log, 0..100);
        assert_eq!(values_by_partition(&consumer.wait_for_records(100)), expected);
    });
}

#[test]
fn an_offset_that_the_log_does_not_hold_is_an_error_in_the_log_and_everything_is_offered() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "offsets of an older topic in Kafka") else { return };
    let (topic, lines, consumer) = (TestTopic::make(2), Lines::default(), Recorder::default());
    let (settings, written) = (topic.settings.clone(), lines.clone());
    let subscriber = move || Logged(KafkaSubscriber::new(settings.clone()), written.clone());
    let log = LogUnderTest { subscriber: Box::new(move || Box::new(subscriber())), ..log(&topic) };
    let expected = append_numbered(&log, 0..100);
    let mut offsets = TopicPartitionList::new();
    for partition in 0..2 {
        let older = Offset::Offset(1_000_000);
        offsets.add_partition_offset(&topic.settings.topic, partition, older).expect("an offset");
    }
    let outsider: BaseConsumer = topic.settings.member().create().expect("settings");
    outsider.commit(&offsets, CommitMode::Sync).expect("a group without members takes any commit");
    drop(outsider);
    consumer.run(&log, || {
        assert_eq!(values_by_partition(&consumer.wait_for_records(100)), expected);
    });
    assert_eq!(lines.count("ERROR"), 2, "one for each partition");
    assert_eq!(lines.count("was the topic made anew?"), 2);
}
