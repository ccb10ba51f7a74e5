//! Members that come and go in order, on a real broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::logged::{Lines, Logged};
use super::topic::{TestTopic, append_more, append_numbered, block_on, settings, values_by_partition};
use crate::event_log::Position;
use crate::event_log::conformance::{LogUnderTest, PATIENCE, Recorder};
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

/// A crash repeats what was done since the last commit, so one must not wait for long after the other.
#[test]
fn what_becomes_durable_is_committed_again_and_again() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "commits in Kafka") else { return };
    let (topic, consumer) = (TestTopic::make(1), Recorder::default());
    let log = log(&topic);
    append_numbered(&log, 0..100);
    let outsider: BaseConsumer = topic.settings.member().create().expect("settings");
    let committed = || {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition(&topic.settings.topic, 0);
        let offsets = outsider.committed_offsets(offsets, Duration::from_secs(10)).expect("the broker tells");
        offsets.elements_for_topic(&topic.settings.topic)[0].offset().to_raw().unwrap_or_default()
    };
    consumer.run(&log, || {
        consumer.wait_for_records(100);
        // So many that they take longer than anything is waited for here, when each waits until its predecessor is taken for lost.
        let begun = Instant::now();
        for offset in 1..=30 {
            consumer.make_durable(&[Position { partition: 0, offset }]);
            while committed() < offset {
                assert!(begun.elapsed() < PATIENCE, "{} of 30 commits", offset - 1);
                let asked = consumer.wait("", |state| Some(state.asked));
                consumer.wait("the next look for durable offsets", |state| (state.asked > asked).then_some(()));
            }
        }
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
