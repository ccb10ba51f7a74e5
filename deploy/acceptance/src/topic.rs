//! A topic as any Kafka client sees it: read whole, written to past the platform, deleted.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

/// Longest time for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// A record with everything that a client can see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition; `None` to let the key decide.
    pub partition: Option<i32>,
    /// The offset, for one that was read.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers; a header may have no value, and a name may stand there twice.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record that is not there yet.
    #[must_use]
    pub fn new(key: &str, value: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), Some(value.into()))).collect();
        Self { partition: None, offset: -1, key: Some(key.into()), value: Some(value.into()), headers, timestamp: None }
    }

    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// The key as text.
    #[must_use]
    pub fn key_text(&self) -> &str {
        self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers);
    client
}

/// Everything that stands in `topic` now: by partition, then by offset.
///
/// # Panics
/// The broker does not answer.
pub async fn read(brokers: &str, topic: &str) -> Vec<Record> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_now(&brokers, &topic)).await.expect("reading does not panic")
}

fn read_now(brokers: &str, topic: &str) -> Vec<Record> {
    let mut consumer = client(brokers);
    // A group is asked for, and nothing is ever committed to it.
    consumer
        .set("group.id", "acceptance-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false");
    let consumer: BaseConsumer = consumer.create().expect("the settings are right");
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).expect("the broker answers");
    let partitions = metadata.topics().first().expect("the topic was asked for").partitions().len();
    // Where each partition that has something ends now. More may arrive while we read; it is not ours to count.
    let (mut from, mut ends) = (TopicPartitionList::new(), HashMap::new());
    for partition in 0..i32::try_from(partitions).expect("a few") {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER).expect("the broker answers");
        if low < high {
            ends.insert(partition, high);
        }
        from.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&from).expect("an assignment");
    let mut records = Vec::new();
    while !ends.is_empty() {
        let message = consumer.poll(ANSWER).expect("there is more").expect("the broker answers");
        let Some(&end) = ends.get(&message.partition()) else { continue };
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
        let all =
            message.headers().map(|all| all.iter().map(|one| (one.key.to_owned(), one.value.map(<[u8]>::to_vec))));
        records.push(Record {
            partition: Some(message.partition()),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: all.map(Iterator::collect).unwrap_or_default(),
            timestamp: message.timestamp().to_millis(),
        });
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Writes `records` into `topic` in their order, past the platform.
///
/// # Panics
/// The broker does not take one.
pub async fn write(brokers: &str, topic: &str, records: &[Record]) {
    let mut producer = client(brokers);
    producer.set("acks", "all").set("enable.idempotence", "true").set("partitioner", "murmur2_random");
    let producer: FutureProducer = producer.create().expect("the settings are right");
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: value.as_ref() });
        }
        let mut new = FutureRecord::to(topic).headers(headers);
        new.key = record.key.as_ref();
        new.payload = record.value.as_ref();
        new.partition = record.partition;
        new.timestamp = record.timestamp;
        producer.send(new, ANSWER).await.expect("the broker takes it");
    }
}

/// Deletes topics.
///
/// # Errors
/// What the broker said.
pub async fn delete(brokers: &str, topics: &[&str]) -> Result<(), String> {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let deleted = admin.delete_topics(topics, &options).await.map_err(|error| error.to_string())?;
    let failed: Vec<_> =
        deleted.into_iter().filter_map(Result::err).map(|(topic, code)| format!("{topic}: {code}")).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}
