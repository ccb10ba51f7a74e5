//! A consumer without room, on a real broker: pausing and resuming loses nothing and keeps the order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::logged::{Lines, Logged};
use super::topic::{TestTopic, append_more, append_numbered, values_by_partition};
use crate::event_log::conformance::{LogUnderTest, Recorder};
use crate::event_log::kafka::{KafkaAppender, KafkaSubscriber};

fn log(topic: &Arc<TestTopic>, lines: &Lines) -> LogUnderTest {
    let (settings, lines) = (topic.settings.clone(), lines.clone());
    LogUnderTest {
        partitions: settings.partitions,
        appender: Arc::new(KafkaAppender::new(settings.clone()).expect("settings")),
        subscriber: Box::new(move || Box::new(Logged(KafkaSubscriber::new(settings.clone()), lines.clone()))),
        read: Box::new(|_| Vec::new()),
    }
}

fn taken(consumer: &Recorder, count: usize) -> BTreeMap<i32, Vec<(i64, Bytes)>> {
    values_by_partition(&consumer.wait_for_records(count))
}

#[test]
fn paused_partitions_lose_nothing_and_keep_their_order_while_the_others_go_on() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "pausing in Kafka") else { return };
    let (topic, lines, consumer) = (Arc::new(TestTopic::make(4)), Lines::default(), Recorder::default());
    let log = log(&topic, &lines);
    let mut expected = append_numbered(&log, 0..20_000);
    consumer.set_full([0, 2]);
    let others = |expected: &BTreeMap<i32, Vec<_>>| expected[&1].len() + expected[&3].len();
    consumer.run(&log, || {
        for round in 1..=3 {
            consumer.wait_for_records(others(&expected));
            append_more(&log, round * 20_000..(round + 1) * 20_000, &mut expected);
        }
        consumer.wait_for_records(others(&expected));
        assert!(lines.count("paused: there is no room") > 0, "the test must make it pause");
        // Their end is 40,000 records away, of which librdkafka hears nothing.
        let lag = i64::try_from(expected[&0].len()).expect("fits");
        consumer.wait("the lag of a paused partition", |state| (state.lag.get(&0) == Some(&lag)).then_some(()));
        // Room comes and goes: pauses and resumes in any order.
        for full in [vec![0], vec![2, 1], vec![], vec![0, 1, 2, 3], vec![3], vec![]] {
            consumer.set_full(full);
            let refused = consumer.wait("refusals", |state| Some(state.refused));
            consumer
                .wait("a while", |state| (state.refused > refused + 20 || state.taken.len() == 80_000).then_some(()));
        }
        assert_eq!(taken(&consumer, 80_000), expected);
    });
    assert!(lines.count("resumed") > 0);
}

#[test]
fn a_slow_consumer_gets_everything_in_order() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "a slow consumer of Kafka") else { return };
    let (topic, lines, consumer) = (Arc::new(TestTopic::make(4)), Lines::default(), Recorder::default());
    let log = log(&topic, &lines);
    let expected = append_numbered(&log, 0..30_000);
    consumer.refuse_every(2);
    consumer.run(&log, || assert_eq!(taken(&consumer, 30_000), expected));
    assert_eq!(lines.count("paused"), 0, "room that comes at once is no reason to pause");
}

#[test]
fn a_paused_partition_that_goes_to_another_member_and_comes_back_is_not_paused_for_ever() {
    let Some(_) = crate::real_servers::address("KAFKA_BROKERS", "a paused partition of Kafka") else { return };
    let (topic, lines) = (Arc::new(TestTopic::make(4)), Lines::default());
    let log = log(&topic, &lines);
    let expected = append_numbered(&log, 0..20_000);
    let (first, second) = (Recorder::default(), Recorder::default());
    first.set_full(0..4);
    second.make_durable_when_revoked();
    let mut all = BTreeMap::new();
    first.run(&log, || {
        let paused = |_: &_| (lines.count("paused: there is no room") > 0).then_some(());
        first.wait("a pause", paused);
        let of_second = second.run(&log, || {
            second.wait("its half", |state| (state.assigned.len() == 2).then_some(()));
            let half = second.wait("it", |state| Some(state.assigned.clone()));
            let count: usize = half.iter().map(|partition| expected[partition].len()).sum();
            taken(&second, count)
        });
        first.wait("all partitions", |state| (state.assigned.len() == 4).then_some(()));
        first.set_full([]);
        let count = 20_000 - of_second.values().map(Vec::len).sum::<usize>();
        all = of_second;
        all.extend(taken(&first, count));
        let more = append_numbered(&log, 20_000..20_400);
        taken(&first, count + 400);
        assert_eq!(more.len(), 4, "each partition has new records, and all of them came");
    });
    assert_eq!(all, expected);
}
