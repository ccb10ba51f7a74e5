//! Topics of a test's own on the real broker.

use std::collections::BTreeMap;

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use crate::event_log::conformance::LogUnderTest;
use crate::event_log::kafka::{KafkaSettings, ensure_topics};
use crate::event_log::{LogRecord, NewRecord, Topic};
use crate::real_servers::{address, unique_name};

/// Three topics that nobody else uses; they go with it.
pub(crate) struct TestTopic {
    pub(crate) settings: KafkaSettings,
}

impl TestTopic {
    /// Makes them on the broker of `KAFKA_BROKERS`. Outside of an async runtime's workers.
    pub(crate) fn make(partitions: i32) -> Self {
        let settings = settings(&address("KAFKA_BROKERS", "a test").expect("was asked for before"), partitions);
        let made = Self { settings };
        block_on(ensure_topics(&made.settings)).expect("topics can be made");
        made
    }
}

/// Settings with a topic and a group that nobody else uses.
pub(crate) fn settings(brokers: &str, partitions: i32) -> KafkaSettings {
    let topic = format!("{}.events", unique_name("test"));
    let (brokers, group) = (brokers.to_owned(), format!("{topic}.group"));
    KafkaSettings { brokers, group, topic, partitions, replication_factor: 1, security: None }
}

/// Waits for a future on a runtime of its own.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    };
    // On a thread of its own: the caller may be inside of another runtime.
    std::thread::scope(|scope| scope.spawn(run).join()).expect("does not panic")
}

impl Drop for TestTopic {
    fn drop(&mut self) {
        let names = Topic::ALL.map(|topic| self.settings.name(topic));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin: AdminClient<DefaultClientContext> = self.settings.client().create().expect("settings");
        block_on(async {
            admin.delete_topics(&names, &AdminOptions::new()).await.expect("topics can be deleted");
            admin.delete_groups(&[&self.settings.group], &AdminOptions::new()).await.expect("groups can be deleted");
        });
    }
}

/// Appends the numbers of `range`, each under one of 23 keys; gives offsets and values of each partition.
pub(crate) fn append_numbered(log: &LogUnderTest, range: std::ops::Range<usize>) -> BTreeMap<i32, Vec<(i64, Bytes)>> {
    let record = |n: usize| NewRecord {
        key: Some(format!("99M-KEY{:02}", n % 23).into()),
        partition: None,
        value: Some(n.to_string().into()),
        headers: Vec::new(),
        timestamp: None,
    };
    let records: Vec<NewRecord> = range.map(record).collect();
    let mut partitions: BTreeMap<i32, Vec<(i64, Bytes)>> = BTreeMap::new();
    for chunk in records.chunks(2_000) {
        let positions = block_on(log.appender.append(Topic::Events, chunk.to_vec())).all().expect("accepted");
        for (position, record) in positions.into_iter().zip(chunk) {
            let value = record.value.clone().unwrap_or_default();
            partitions.entry(position.partition).or_default().push((position.offset, value));
        }
    }
    partitions
}

/// Appends more of them, and notes them behind what is `expected`.
pub(crate) fn append_more(
    log: &LogUnderTest,
    range: std::ops::Range<usize>,
    expected: &mut BTreeMap<i32, Vec<(i64, Bytes)>>,
) {
    for (partition, records) in append_numbered(log, range) {
        expected.entry(partition).or_default().extend(records);
    }
}

/// Offsets and values of each partition, in the order in which they came; panics unless the offsets grow.
pub(crate) fn values_by_partition(records: &[LogRecord]) -> BTreeMap<i32, Vec<(i64, Bytes)>> {
    let mut partitions: BTreeMap<i32, Vec<(i64, Bytes)>> = BTreeMap::new();
    for record in records {
        let before = partitions.entry(record.position.partition).or_default();
        assert!(before.last().is_none_or(|(last, _)| *last < record.position.offset), "{:?}", record.position);
        before.push((record.position.offset, record.value.clone().unwrap_or_default()));
    }
    partitions
}
