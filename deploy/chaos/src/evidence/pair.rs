//! The evidence about a pair: read from the servers, past the fault proxy, by clients of its own.

use std::time::Duration;

use acceptance::client::Client;
use acceptance::servers::Servers;
use acceptance::{topic, wait};
use futures::{StreamExt, TryStreamExt};
use mongodb::bson::{Document, doc};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{Evidence, Row};

/// Longest time until the processors have committed everything.
const COMMITTED: Duration = Duration::from_secs(120);
/// Longest time for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);
/// How many shipments are asked for at a time.
const AT_A_TIME: usize = 32;

/// Waits until the group has committed the whole topic: then its effects are durable, its dead letters and changes acknowledged.
///
/// # Panics
/// It does not, in time, or the broker does not answer.
pub async fn settled(brokers: &str, topic: &str, group: &str) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = settings.create().expect("the settings are right");
    let topic = topic.to_owned();
    let look = move || {
        let metadata = consumer.fetch_metadata(Some(&topic), ANSWER).expect("the broker answers");
        let mut wanted = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            wanted.add_partition(&topic, partition.id());
        }
        let committed = consumer.committed_offsets(wanted, ANSWER).expect("the broker answers");
        committed.elements().iter().all(|element| {
            let (_, end) = consumer.fetch_watermarks(&topic, element.partition(), ANSWER).expect("the broker answers");
            end == 0 || element.offset() == Offset::Offset(end)
        })
    };
    let look = std::sync::Arc::new(look);
    wait::until("everything is committed", COMMITTED, async || {
        let look = look.clone();
        tokio::task::spawn_blocking(move || look()).await.expect("looking does not panic").then_some(())
    })
    .await;
}

/// Gathers everything. `admin` asks the edge directly.
///
/// # Panics
/// A server does not answer, or holds what cannot be read.
pub async fn gather(servers: &Servers, name: &str, admin: &Client) -> Evidence {
    let topic = |suffix: &str| format!("{name}.{suffix}");
    let brokers = &servers.kafka_brokers;
    let events = topic::read(brokers, &topic("events")).await;
    let dead_letters = topic::read(brokers, &topic("events.dlq")).await;
    let changes = topic::read(brokers, &topic("changes")).await;

    let mongo = mongodb::Client::with_uri_str(&servers.mongo_uri).await.expect("a connection string");
    let database = mongo.database(name);
    let found = database.collection::<Document>("status_events").find(doc! {}).await.expect("MongoDB answers");
    let rows = found.map_ok(|document| row(&document)).try_collect().await.expect("MongoDB answers");
    let found = database.collection::<Document>("shipments").find(doc! {}).projection(doc! {"_id": 1}).await;
    let found = found.expect("MongoDB answers").map_ok(|document| text(&document, "_id").unwrap_or_default());
    let numbers: std::collections::BTreeSet<String> = found.try_collect().await.expect("MongoDB answers");

    let shown = numbers.iter().map(async |number| (number.clone(), admin.shipment(number).await));
    let shipments = futures::stream::iter(shown).buffer_unordered(AT_A_TIME).collect().await;
    Evidence { events, dead_letters, changes, rows, numbers, shipments }
}

fn row(document: &Document) -> Row {
    Row {
        number: text(document, "tracking_number").unwrap_or_default(),
        position: (i32::try_from(number(document, "p")).expect("a partition"), number(document, "o")),
        outcome: text(document, "outcome").unwrap_or_default(),
        reason: text(document, "reason"),
        to: text(document, "to"),
        released_at: document.get_document("released_at").ok().map(|released| number(released, "o")),
    }
}

fn number(document: &Document, name: &str) -> i64 {
    let value = document.get(name).expect("a position is whole");
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).expect("a whole number")
}

fn text(document: &Document, name: &str) -> Option<String> {
    document.get_str(name).ok().map(str::to_owned)
}
