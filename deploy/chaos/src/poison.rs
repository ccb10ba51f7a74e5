//! Records that cannot be processed, written past the platform by a client of their own.

use std::sync::Arc;
use std::time::Duration;

use acceptance::sample::{self, Sequence};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::yard::Yard;

/// Between two of them.
const EVERY: Duration = Duration::from_millis(700);
/// How long one may stay unacknowledged. Then it may be in the log or not, and the next one is written.
const PATIENCE_MS: u64 = 30_000;
/// The type of what sources report (contract section 5).
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

/// A record that nobody can process.
#[derive(Debug, PartialEq, Eq)]
struct Poison {
    key: Option<String>,
    value: Option<Vec<u8>>,
    ce_type: Option<&'static str>,
}

impl Poison {
    /// One of the kinds that there are, about the shipment `number`.
    fn about(number: &str, sequence: &mut Sequence) -> Self {
        let good = || sample::report(number, "picked_up", 1).to_string().into_bytes();
        let key = Some(number.to_owned());
        let value = |value: Vec<u8>| Self { key: Some(number.to_owned()), value: Some(value), ce_type: Some(REPORTED) };
        match sequence.below(6) {
            0 => Self { key, value: None, ce_type: Some(REPORTED) },
            1 => Self { key, value: Some(good()), ce_type: None },
            2 => Self { key, value: Some(good()), ce_type: Some("com.example.unknown.v1") },
            3 => value(b"{\"tracking_number\": ".to_vec()),
            4 => value(sample::report(number, "teleported", 1).to_string().into_bytes()),
            _ => Self { key: Some(format!("{number}X")), ..value(good()) },
        }
    }
}

/// Somebody who writes poison into the topic.
pub struct Poisoner {
    stop: CancellationToken,
    writing: JoinHandle<Vec<(i32, i64)>>,
}

impl Poisoner {
    /// Begins to write into `topic` of the brokers.
    ///
    /// # Panics
    /// The settings of the client are wrong.
    #[must_use]
    pub fn begin(brokers: &str, topic: &str, yard: &Arc<Yard>, seed: u64) -> Self {
        let mut settings = ClientConfig::new();
        // Not idempotent: such a producer can hang for ever when a broker hung, and poison may stand in the log twice.
        settings.set("bootstrap.servers", brokers).set("acks", "all");
        settings.set("partitioner", "murmur2_random").set("message.timeout.ms", PATIENCE_MS.to_string());
        settings.set("reconnect.backoff.max.ms", "500");
        let producer: FutureProducer = settings.create().expect("the settings are right");
        let (stop, topic, yard) = (CancellationToken::new(), topic.to_owned(), yard.clone());
        let writing = tokio::spawn(write(producer, topic, yard, Sequence::of(seed), stop.clone()));
        Self { stop, writing }
    }

    /// Ends, and returns where what was acknowledged stands: partitions and offsets.
    ///
    /// # Panics
    /// The writing panicked.
    pub async fn end(self) -> Vec<(i32, i64)> {
        self.stop.cancel();
        self.writing.await.expect("poison is written")
    }
}

async fn write(
    producer: FutureProducer,
    topic: String,
    yard: Arc<Yard>,
    mut sequence: Sequence,
    stop: CancellationToken,
) -> Vec<(i32, i64)> {
    let mut acknowledged = Vec::new();
    let mut pace = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        let Some(number) = yard.any(&mut sequence) else { continue };
        let poison = Poison::about(&number, &mut sequence);
        let mut headers = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("poison") });
        if let Some(ce_type) = poison.ce_type {
            headers = headers.insert(Header { key: "ce_type", value: Some(ce_type) });
        }
        let mut record = FutureRecord::to(&topic).headers(headers);
        record.key = poison.key.as_ref();
        record.payload = poison.value.as_ref();
        let delivered = producer.send(record, Duration::from_millis(PATIENCE_MS)).await;
        if let Ok(delivery) = delivered {
            acknowledged.push((delivery.partition, delivery.offset));
        }
    }
    acknowledged
}
