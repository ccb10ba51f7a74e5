//! The feed in Apache Kafka.
//!
//! Reads and questions take one of a few consumers that are kept for them, since to make one and to connect it takes longer than to
//! read a page. A tail has a consumer and a thread of its own. None of them is a member of a group: partitions are assigned by hand, and
//! nothing is committed.

mod leaders;
mod read;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::{BOUNDS_DEADLINE, Bounds, ChangeFeed, FeedError, Piece, ReadLimit, Stretch, Tail};
use crate::event_log::kafka::questions::Questions;
use crate::event_log::kafka::{KafkaSettings, Logged, describe};
use crate::event_log::murmur2::partition_of;
use crate::event_log::{Position, Topic, TopicReader};
use crate::shipment::TrackingNumber;

/// Consumers that are kept for the next read. One costs a few threads and a connection to each broker.
const IDLE_CONSUMERS: usize = 4;
/// Kilobytes that a consumer fetches ahead, at most.
const PREFETCH_KBYTES: u32 = 4_096;
/// Most bytes of one answer of a broker: some thousand changes. librdkafka wants no less than the largest record that it would send.
const FETCH_BYTES: u32 = 1 << 20;
/// Most bytes of one partition in it, so that each of them has its share.
const PARTITION_BYTES: u32 = 256 << 10;

type FeedConsumer = BaseConsumer<Logged>;

/// Reads the topic of changes of one cluster, and any other topic of it from any position on. Clones share everything. It connects when
/// it is first used.
#[derive(Clone)]
pub struct KafkaChangeFeed {
    shared: Arc<Shared>,
}

struct Shared {
    settings: KafkaSettings,
    idle: Mutex<Vec<FeedConsumer>>,
    bounds: Arc<Questions<Topic, Vec<Bounds>>>,
}

impl KafkaChangeFeed {
    /// The feed of the topic that `settings` name.
    #[must_use]
    pub fn new(settings: KafkaSettings) -> Self {
        Self { shared: Arc::new(Shared { settings, idle: Mutex::default(), bounds: Arc::default() }) }
    }
}

fn unavailable(error: &KafkaError) -> FeedError {
    FeedError::Unavailable(describe(error))
}

/// What an error means that a consumer meets; `None` when it gets over it by itself.
fn meaning(error: &KafkaError) -> Option<FeedError> {
    use RDKafkaErrorCode as Code;
    match error {
        KafkaError::MessageConsumption(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Some(FeedError::OutOfRange),
        KafkaError::MessageConsumptionFatal(_) => Some(unavailable(error)),
        _ => None,
    }
}

impl Shared {
    /// A new consumer whose partitions will be assigned by hand.
    fn open(&self, longest_wait: Duration) -> Result<FeedConsumer, KafkaError> {
        let mut config = self.settings.reader();
        config
            .set("client.id", "rastro-changes")
            // Without one there is no queue to read from. Nobody joins it and nothing is committed.
            .set("group.id", "rastro-changes")
            // A position that is not there must be told, and not be taken for another one.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", longest_wait.as_millis().to_string())
            .set("fetch.max.bytes", FETCH_BYTES.to_string())
            .set("max.partition.fetch.bytes", PARTITION_BYTES.to_string())
            .set("queued.max.messages.kbytes", PREFETCH_KBYTES.to_string());
        config.create_with_context(Logged)
    }

    /// The partitions of `topic` at these offsets.
    fn at(
        &self,
        topic: Topic,
        places: impl IntoIterator<Item = (i32, Offset)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let (name, mut list) = (self.settings.name(topic), TopicPartitionList::new());
        for (partition, offset) in places {
            list.add_partition_offset(&name, partition, offset)?;
        }
        Ok(list)
    }

    /// Lets `work` use one of the consumers. Blocks. One with which something failed is not used again.
    fn with_consumer<T>(&self, work: impl FnOnce(&FeedConsumer) -> Result<T, FeedError>) -> Result<T, FeedError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let consumer = match idle {
            Some(consumer) => consumer,
            None => self.open(read::LONGEST_WAIT).map_err(|error| unavailable(&error))?,
        };
        let done = work(&consumer)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONSUMERS {
            idle.push(consumer);
        }
        Ok(done)
    }

    /// Asks the brokers for the first record of each partition that bears a later time, and whether it stands before its position. Blocks.
    fn ask_later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError> {
        let (name, first_later) = (self.settings.name(Topic::Changes), Offset::Offset(time.saturating_add(1)));
        let places = self.at(Topic::Changes, positions.iter().map(|position| (position.partition, first_later)));
        let places = places.map_err(|error| unavailable(&error))?;
        self.with_consumer(|consumer| {
            let answered = consumer.offsets_for_times(places, BOUNDS_DEADLINE).map_err(|error| unavailable(&error))?;
            for position in positions {
                let found = answered.find_partition(&name, position.partition);
                let unknown = || FeedError::Unavailable(format!("partition {} is not known", position.partition));
                let found = found.ok_or_else(unknown)?;
                found.error().map_err(|error| unavailable(&error))?;
                // Where there is none, the brokers say -1, which stands for the end.
                if found.offset().to_raw().is_some_and(|offset| (0..position.offset).contains(&offset)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Asks the brokers what each partition holds: one question to each of them for all oldest offsets, and one for all ends.
    fn ask_bounds(&self, topic: Topic) -> Result<Vec<Bounds>, String> {
        let name = self.settings.name(topic);
        let ask = |consumer: &FeedConsumer, offset: Offset| -> Result<Vec<i64>, KafkaError> {
            let look_up = || match consumer.fetch_metadata(Some(&name), BOUNDS_DEADLINE / 8) {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the leaders of a topic cannot be looked up"),
            };
            leaders::when_known(BOUNDS_DEADLINE / 8, look_up, || {
                let all = self.at(topic, (0..self.settings.partitions).map(|partition| (partition, offset)))?;
                // The protocol knows one question, for the offset at a time, and two times that mean the beginning and the end.
                let answered = consumer.offsets_for_times(all, BOUNDS_DEADLINE / 4)?;
                let offset = |partition| match answered.find_partition(&name, partition) {
                    Some(element) => element.error().map(|()| element.offset().to_raw().unwrap_or(-1)),
                    None => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition)),
                };
                (0..self.settings.partitions).map(offset).collect()
            })
        };
        let asked = self.with_consumer(|consumer| {
            let oldest = ask(consumer, Offset::Beginning).map_err(|error| unavailable(&error))?;
            let ends = ask(consumer, Offset::End).map_err(|error| unavailable(&error))?;
            let bounds = oldest.into_iter().zip(ends).map(|(oldest, end)| Bounds { oldest, end });
            Ok(bounds.collect::<Vec<_>>())
        });
        match asked {
            Ok(bounds) if bounds.iter().any(|bounds| bounds.oldest < 0 || bounds.end < bounds.oldest) => {
                Err("the brokers do not know yet where a partition begins and ends".to_owned())
            }
            Ok(bounds) => Ok(bounds),
            Err(FeedError::Unavailable(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[async_trait]
impl ChangeFeed for KafkaChangeFeed {
    fn partition_of(&self, number: TrackingNumber) -> i32 {
        partition_of(number.as_str().as_bytes(), self.shared.settings.partitions)
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, FeedError> {
        self.bounds_of(Topic::Changes).await
    }

    async fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        self.read_topic(Topic::Changes, stretches, limit).await
    }

    async fn later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError> {
        let (shared, positions) = (Arc::clone(&self.shared), positions.to_vec());
        let asked = tokio::task::spawn_blocking(move || shared.ask_later_before(&positions, time));
        asked.await.unwrap_or_else(|error| Err(FeedError::Unavailable(error.to_string())))
    }

    async fn follow(&self, from: &[Position]) -> Result<Box<dyn Tail>, FeedError> {
        let (shared, from) = (Arc::clone(&self.shared), from.to_vec());
        let followed = tokio::task::spawn_blocking(move || tail::follow(&shared, &from));
        let tail = followed.await.unwrap_or_else(|error| Err(FeedError::Unavailable(error.to_string())))?;
        Ok(Box::new(tail))
    }
}

#[async_trait]
impl TopicReader for KafkaChangeFeed {
    async fn bounds_of(&self, topic: Topic) -> Result<Vec<Bounds>, FeedError> {
        let shared = Arc::clone(&self.shared);
        self.shared.bounds.ask(topic, move || shared.ask_bounds(topic)).await.map_err(FeedError::Unavailable)
    }

    async fn read_topic(&self, topic: Topic, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        let (shared, stretches) = (Arc::clone(&self.shared), stretches.to_vec());
        let read = tokio::task::spawn_blocking(move || {
            shared.with_consumer(|consumer| read::read(&shared, consumer, topic, &stretches, limit))
        });
        read.await.unwrap_or_else(|error| Err(FeedError::Unavailable(error.to_string())))
    }
}
