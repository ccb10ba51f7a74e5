//! Records that cannot be processed, written past the platform by a client of their own, and what some of them should have been, written when
//! somebody has mended them.

use std::sync::Arc;
use std::time::Duration;

use acceptance::sample::{self, Sequence};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use shared::shipment::{EventBody, UnknownFields};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::yard::Yard;

/// Between two of them.
const EVERY: Duration = Duration::from_millis(700);
/// One record of so many is mended poison, if there is some to mend: as much as is chosen for it. So it comes in time or too late.
const MENDED: usize = 5;
/// How long one may stay unacknowledged. Then it may be in the log or not, and the next one is written.
const PATIENCE_MS: u64 = 30_000;
/// The type of what sources report (contract section 5).
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

/// A record that is written past the platform.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    key: Option<String>,
    value: Option<Vec<u8>>,
    ce_id: String,
    ce_type: Option<&'static str>,
    /// Topic, partition and offset of what it repeats.
    replay_of: Option<String>,
}

impl Written {
    /// One of the kinds of poison that there are, about the shipment `number`.
    fn poison(number: &str, sequence: &mut Sequence) -> Self {
        let good = || sample::report(number, "picked_up", 1).to_string().into_bytes();
        let key = Some(number.to_owned());
        let of = |key, value, ce_type| Self { key, value, ce_id: "poison".to_owned(), ce_type, replay_of: None };
        let value = |value: Vec<u8>| of(Some(number.to_owned()), Some(value), Some(REPORTED));
        match sequence.below(6) {
            0 => of(key, None, Some(REPORTED)),
            1 => of(key, Some(good()), None),
            2 => of(key, Some(good()), Some("com.example.unknown.v1")),
            3 => value(b"{\"tracking_number\": ".to_vec()),
            4 => value(sample::report(number, "teleported", 1).to_string().into_bytes()),
            _ => Self { key: Some(format!("{number}X")), ..value(good()) },
        }
    }

    /// What the record at `of` about the shipment `number` should have been; `count` tells it from all others.
    fn mended(number: &str, of: String, count: usize, sequence: &mut Sequence) -> Self {
        let statuses = ["picked_up", "in_warehouse", "in_transit", "delivered"];
        let status = statuses[sequence.below(statuses.len())];
        let second = i64::try_from(count).unwrap_or_default();
        let own = json!({"source": "mender", "source_event_id": format!("mended-{count}")});
        let event = sample::with(sample::report(number, status, second), own);
        let value = event.to_string().into_bytes();
        let body = EventBody::from_json(event, UnknownFields::Refuse).expect("a valid event");
        let (key, ce_id) = (Some(number.to_owned()), body.event_id().to_string());
        Self { key, value: Some(value), ce_id, ce_type: Some(REPORTED), replay_of: Some(of) }
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
    let (mut acknowledged, mut to_mend) = (Vec::new(), Vec::<(String, String)>::new());
    let mut pace = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        let Some(number) = yard.any(&mut sequence) else { continue };
        let written = if sequence.below(MENDED) == 0 && !to_mend.is_empty() {
            let (number, of) = to_mend.swap_remove(sequence.below(to_mend.len()));
            Written::mended(&number, of, acknowledged.len(), &mut sequence)
        } else {
            Written::poison(&number, &mut sequence)
        };
        let Some(at) = append(&producer, &topic, &written).await else { continue };
        acknowledged.push(at);
        if written.replay_of.is_none() && sequence.below(MENDED - 1) == 0 {
            to_mend.push((number, format!("{topic}/{}/{}", at.0, at.1)));
        }
    }
    acknowledged
}

/// Where it stands, when that was acknowledged.
async fn append(producer: &FutureProducer, topic: &str, written: &Written) -> Option<(i32, i64)> {
    let all = [
        ("ce_id", Some(written.ce_id.as_str())),
        ("ce_type", written.ce_type),
        ("x-replay-of", written.replay_of.as_deref()),
    ];
    let mut headers = OwnedHeaders::new();
    for (key, value) in all.into_iter().filter(|(_, value)| value.is_some()) {
        headers = headers.insert(Header { key, value });
    }
    let mut record = FutureRecord::to(topic).headers(headers);
    record.key = written.key.as_ref();
    record.payload = written.value.as_ref();
    let delivered = producer.send(record, Duration::from_millis(PATIENCE_MS)).await;
    delivered.ok().map(|delivery| (delivery.partition, delivery.offset))
}
