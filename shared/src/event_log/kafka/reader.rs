//! Reads a whole topic without a group: for tests, tools and replays.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::{KafkaSettings, describe, record};
use crate::event_log::{LogRecord, Topic};

/// Longest time that nothing may come before the reader gives up.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest time that one question to the brokers may take.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);

/// The topic could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the topic cannot be read: {0}")]
pub struct ReadError(String);

impl From<KafkaError> for ReadError {
    fn from(error: KafkaError) -> Self {
        Self(describe(&error))
    }
}

/// All records that a topic holds now: by partition, then by offset. Blocks.
///
/// # Errors
/// The brokers are away.
pub fn read_all(settings: &KafkaSettings, topic: Topic) -> Result<Vec<LogRecord>, ReadError> {
    let mut records = Vec::new();
    read_each(settings, topic, |record| records.push(record))?;
    records.sort_by_key(|record| record.position);
    Ok(records)
}

/// Gives each record that a topic holds now to `take`, those of one partition in their order. Blocks.
///
/// # Errors
/// The brokers are away.
pub fn read_each(settings: &KafkaSettings, topic: Topic, mut take: impl FnMut(LogRecord)) -> Result<(), ReadError> {
    let (consumer, name) = (open(settings)?, settings.name(topic));
    let mut ends: HashMap<i32, i64> = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..settings.partitions {
        let (begin, end) = consumer.fetch_watermarks(&name, partition, QUESTION_DEADLINE)?;
        if begin < end {
            ends.insert(partition, end);
            assignment.add_partition_offset(&name, partition, Offset::Offset(begin))?;
        }
    }
    consumer.assign(&assignment)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let record = record::record(&message);
                let (partition, next) = (record.position.partition, record.position.offset + 1);
                heard = Instant::now();
                // What came after the watermarks were taken is not part of "now".
                if let Some(&end) = ends.get(&partition) {
                    take(record);
                    if next >= end {
                        ends.remove(&partition);
                    }
                }
            }
            // The last offsets before the end may hold no record.
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.remove(&partition)),
            Some(Err(error)) => tracing::debug!(error = describe(&error), "reading a topic"),
            None => {}
        }
        if heard.elapsed() > SILENCE {
            return Err(ReadError(format!("nothing came for {SILENCE:?}")));
        }
    }
    Ok(())
}

fn open(settings: &KafkaSettings) -> Result<BaseConsumer, ReadError> {
    let mut config = settings.reader();
    config
        .set("client.id", "rastro-reader")
        // Without one there is no queue to read from. Nobody joins it and nothing is committed.
        .set("group.id", "rastro-reader")
        .set("enable.partition.eof", "true");
    Ok(config.create()?)
}
