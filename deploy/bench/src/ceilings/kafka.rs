//! The bare log: a producer that waits for its acknowledgements request by request, as the edge does, and a consumer that reads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::Rate;
use crate::failure::Failure;
use crate::numbers::{Suffix, suffix};
use crate::specimen::pair::Record;

/// Partitions, the default of `KAFKA_PARTITIONS`.
pub const PARTITIONS: i32 = 12;
/// Records of a warm-up: some for each partition.
pub const WARM_UP: usize = 200;
/// Longest time for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two attempts to hand over a record while the queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);

/// The records of one request that are not acknowledged yet.
pub struct Request {
    left: AtomicUsize,
    failed: AtomicBool,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

/// Counts acknowledgements.
pub struct Acknowledgements;

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Arc<Request>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Arc<Request>) {
        if result.is_err() {
            request.failed.store(true, Ordering::Relaxed);
        }
        if request.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let done = request.done.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Whoever does not wait any more need not be told.
            done.map(|done| done.send(()).ok());
        }
    }
}

/// A topic, and what appends to it.
#[derive(Clone)]
pub struct BareLog {
    brokers: String,
    topic: String,
    producer: Arc<ThreadedProducer<Acknowledgements>>,
}

fn client(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("allow.auto.create.topics", "false");
    client
}

impl BareLog {
    /// An appender to `topic`, which is there. It is told what the platform's is told.
    ///
    /// # Errors
    /// A setting is wrong.
    pub fn open(brokers: &str, topic: &str) -> Result<Self, Failure> {
        let mut config = client(brokers);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("batch.size", "1000000")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "65536");
        let producer = Arc::new(config.create_with_context(Acknowledgements)?);
        Ok(Self { brokers: brokers.to_owned(), topic: topic.to_owned(), producer })
    }

    /// Makes the topic.
    ///
    /// # Errors
    /// The broker does not.
    pub async fn make_topic(&self) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = client(&self.brokers).create()?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
        let topic = NewTopic::new(&self.topic, PARTITIONS, TopicReplication::Fixed(1));
        for made in admin.create_topics([&topic], &options).await? {
            made.map_err(|(_, code)| KafkaError::AdminOp(code))?;
        }
        Ok(())
    }

    /// Deletes the topic.
    ///
    /// # Errors
    /// The broker does not.
    pub async fn delete_topic(&self) -> Result<(), Failure> {
        acceptance::topic::delete(&self.brokers, &[&self.topic]).await.map_err(Failure::NotMeasured)
    }

    fn send(&self, record: &Record, suffix: Suffix, request: &Arc<Request>) -> Result<(), KafkaError> {
        let (key, value) = (record.key.stamp(suffix), record.value.stamp(suffix));
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: Some(&value.stamp(suffix)) });
        }
        let new = BaseRecord::with_opaque_to(&self.topic, Arc::clone(request));
        let mut new = new.key(&key).payload(&value).headers(headers);
        loop {
            match self.producer.send(new) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    new = back;
                    std::thread::sleep(QUEUE_FULL_PAUSE);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Appends `record` for each shipment of a request, and returns when all are acknowledged.
    ///
    /// # Errors
    /// One of them is not.
    pub async fn append(&self, record: &Record, suffixes: &[Suffix]) -> Result<(), Failure> {
        let (done, acknowledged) = oneshot::channel();
        let (left, done) = (AtomicUsize::new(suffixes.len()), Mutex::new(Some(done)));
        let request = Arc::new(Request { left, failed: AtomicBool::new(false), done });
        for &suffix in suffixes {
            self.send(record, suffix, &request)?;
        }
        let lost = || Failure::NotMeasured("a record was not acknowledged".to_owned());
        acknowledged.await.map_err(|_| lost())?;
        if request.failed.load(Ordering::Relaxed) { Err(lost()) } else { Ok(()) }
    }

    /// Appends a few records, so that the connections are there and the leaders known.
    ///
    /// # Errors
    /// See [`BareLog::append`].
    pub async fn warm_up(&self, record: &Record) -> Result<(), Failure> {
        // The last ones of all: nobody gets so far.
        let suffixes: Vec<_> = (0..WARM_UP as u64).map(|index| suffix(u64::MAX - index)).collect();
        self.append(record, &suffixes).await
    }

    /// Appends `record` for each of `suffixes` in requests of `batch`, of which `connections` are under way at a time, until all are appended
    /// or the time is over.
    ///
    /// # Errors
    /// See [`BareLog::append`].
    pub async fn produce(&self, record: &Record, suffixes: &[Suffix], load: Load) -> Result<Rate, Failure> {
        let (begin, next) = (Instant::now(), AtomicUsize::new(0));
        let connection = async || {
            let mut count = 0;
            while begin.elapsed() < load.at_most {
                let first = next.fetch_add(load.batch, Ordering::Relaxed);
                let Some(rest) = suffixes.get(first..).filter(|rest| !rest.is_empty()) else { break };
                let request = &rest[..rest.len().min(load.batch)];
                self.append(record, request).await?;
                count += request.len();
            }
            Ok::<_, Failure>(count)
        };
        let counts = try_join_all((0..load.connections).map(|_| connection())).await?;
        Ok(Rate { count: counts.into_iter().sum(), took: begin.elapsed() })
    }

    /// Waits for what is under way.
    ///
    /// # Errors
    /// It is not acknowledged in time.
    pub fn flush(&self) -> Result<(), Failure> {
        Ok(self.producer.flush(ANSWER)?)
    }

    /// Reads the topic from its beginning, until `wanted` records are read or the time is over.
    ///
    /// # Errors
    /// The broker fails.
    pub fn consume(&self, wanted: usize, at_most: Duration) -> Result<Rate, Failure> {
        let mut config = client(&self.brokers);
        config
            .set("group.id", "bench-ceiling")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer = config.create()?;
        let mut from = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            from.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&from)?;
        let (mut count, mut begin) = (0, Instant::now());
        while count < wanted && begin.elapsed() < at_most {
            let Some(message) = consumer.poll(ANSWER) else { break };
            message?;
            if count == 0 {
                // The first one has waited for connections that a consumer makes once in its life.
                begin = Instant::now();
            }
            count += 1;
        }
        Ok(Rate { count, took: begin.elapsed() })
    }
}

/// How to append.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Records in a request.
    pub batch: usize,
    /// Requests under way at a time.
    pub connections: usize,
    /// How long at most.
    pub at_most: Duration,
}
