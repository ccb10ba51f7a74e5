//! Appends to the log.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::Mutex;

use super::delivery::{Batch, Deliveries, Delivery, refusal};
use super::outage::Outage;
use super::questions::Questions;
use super::{ClientError, KafkaSettings, describe, record, topics};
use crate::breaker::{Breaker, CircuitState};
use crate::event_log::murmur2::partition_of;
use crate::event_log::{APPEND_DEADLINE, AppendError, Appended, EventAppender, NewRecord, Position, Topic};

/// Longest time that the question for the end of a partition may take.
const END_DEADLINE: Duration = Duration::from_millis(1_500);
/// Longest time that a look at the brokers may take; the check promises two seconds.
const CHECK_DEADLINE: Duration = Duration::from_millis(1_800);
/// How long the result of a check stands, so that health calls do not hammer the brokers.
const CHECK_STANDS: Duration = Duration::from_secs(1);

type EventProducer = ThreadedProducer<Deliveries>;

/// Appends to the topics of one cluster. Clones share everything.
#[derive(Clone)]
pub struct KafkaAppender {
    shared: Arc<Shared>,
}

struct Shared {
    settings: KafkaSettings,
    producer: RwLock<Arc<EventProducer>>,
    outage: Arc<Outage>,
    ends: Arc<Questions<(Topic, i32), i64>>,
    /// For questions that no record is part of.
    breaker: Breaker,
    checked: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl KafkaAppender {
    /// An appender. It connects by itself, now or when the brokers are there.
    ///
    /// # Errors
    /// A setting is wrong.
    pub fn new(settings: KafkaSettings) -> Result<Self, ClientError> {
        let outage = Arc::new(Outage::default());
        let producer = RwLock::new(Arc::new(producer(&settings, &outage)?));
        let (ends, breaker, checked) = (Arc::default(), Breaker::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { settings, producer, outage, ends, breaker, checked }) })
    }

    /// Whether calls go through to the brokers, for the metric.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        if self.shared.outage.is_away(Instant::now()) { CircuitState::Open } else { self.shared.breaker.state() }
    }

    /// The producer, a new one when the last one could not go on, or hangs.
    async fn producer(&self) -> Result<Arc<EventProducer>, AppendError> {
        let current = self.shared.producer();
        if !current.context().is_fatal() && !self.shared.outage.gives_producer_up(Instant::now()) {
            return Ok(current);
        }
        let shared = Arc::clone(&self.shared);
        // To drop a producer takes up to half a second.
        let replaced = tokio::task::spawn_blocking(move || shared.replace(current)).await;
        let unavailable = |error: &dyn std::fmt::Display| AppendError::Unavailable(error.to_string());
        replaced.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
    }
}

fn producer(settings: &KafkaSettings, outage: &Arc<Outage>) -> Result<EventProducer, ClientError> {
    let context = Deliveries::new(Arc::clone(outage));
    settings.producer().create_with_context(context).map_err(|error| ClientError::new(&error))
}

impl Shared {
    fn producer(&self) -> Arc<EventProducer> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new producer in the place of `broken`, unless somebody else did. Blocks.
    fn replace(&self, broken: Arc<EventProducer>) -> Result<Arc<EventProducer>, ClientError> {
        let mut place = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&place, &broken) {
            *place = Arc::new(producer(&self.settings, &self.outage)?);
        }
        let current = Arc::clone(&place);
        // The last owner gives up what is still on its way; others may append meanwhile.
        drop(place);
        drop(broken);
        Ok(current)
    }

    /// Hands one record of a batch over. Never blocks.
    fn send(
        &self,
        producer: &EventProducer,
        topic: &str,
        new: &NewRecord,
        delivery: Delivery,
    ) -> Result<(), AppendError> {
        let mut message: BaseRecord<'_, [u8], [u8], Box<Delivery>> =
            BaseRecord::with_opaque_to(topic, Box::new(delivery));
        message.partition = new.partition.map(|partition| partition.rem_euclid(self.settings.partitions));
        message.key = new.key.as_deref();
        message.payload = new.value.as_deref();
        message.timestamp = new.timestamp;
        message.headers = record::headers(&new.headers);
        // Before it is on its way: its report may come before `send` returns.
        self.outage.sent(Instant::now());
        producer.send(message).map_err(|(error, _)| {
            producer.context().note(&error);
            self.outage.given_up(Instant::now());
            refusal(&error)
        })
    }
}

#[async_trait]
impl EventAppender for KafkaAppender {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        if records.is_empty() {
            return Appended { positions: Vec::new(), refused: None };
        }
        if !self.shared.outage.allows(Instant::now()) {
            return Appended::nothing(AppendError::Unavailable("the brokers acknowledge nothing".to_owned()));
        }
        let producer = match self.producer().await {
            Ok(producer) => producer,
            Err(error) => return Appended::nothing(error),
        };
        let (batch, settled) = Batch::new(records.len());
        let name = self.shared.settings.name(topic);
        for (index, new) in records.iter().enumerate() {
            let delivery = Delivery { batch: Arc::clone(&batch), index };
            if let Err(error) = self.shared.send(&producer, &name, new, delivery) {
                batch.refuse_from(index, error);
                break;
            }
        }
        // They are copied. And a producer that is replaced meanwhile must not be dropped here, where it would block.
        drop((records, producer));
        // Settled or late: the batch knows what is acknowledged.
        tokio::time::timeout(APPEND_DEADLINE, settled).await.ok();
        batch.appended()
    }

    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError> {
        let partition = partition_of(key, self.shared.settings.partitions);
        if !self.shared.breaker.allows(Instant::now()) {
            return Err(AppendError::Unavailable("the brokers do not answer".to_owned()));
        }
        let (shared, name) = (Arc::clone(&self.shared), self.shared.settings.name(topic));
        let ask = move || {
            let ends = shared.producer().client().fetch_watermarks(&name, partition, END_DEADLINE);
            ends.map(|(_, end)| end).map_err(|error| describe(&error))
        };
        let end = self.shared.ends.ask((topic, partition), ask).await;
        match end {
            Ok(_) => self.shared.breaker.succeeded(),
            Err(_) => self.shared.breaker.failed(Instant::now()),
        }
        end.map(|offset| Position { partition, offset }).map_err(AppendError::Unavailable)
    }

    async fn check(&self) -> Result<(), AppendError> {
        // Who comes while somebody looks waits for that result.
        let mut checked = self.shared.checked.lock().await;
        let standing = checked.as_ref().filter(|(at, _)| at.elapsed() < CHECK_STANDS);
        let result = if let Some((_, result)) = standing {
            result.clone()
        } else {
            let shared = Arc::clone(&self.shared);
            let look = move || topics::check_events(shared.producer().client(), &shared.settings, CHECK_DEADLINE);
            let result = tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(error.to_string()));
            *checked = Some((Instant::now(), result.clone()));
            result
        };
        result.map_err(AppendError::Unavailable)
    }

    async fn flush(&self) {
        let producer = self.shared.producer();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(APPEND_DEADLINE)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(error = describe(&error), "not everything was acknowledged at the end");
        }
    }
}
