//! How fast the log in Kafka takes and gives records, on the broker of `KAFKA_BROKERS`:
//!
//! `cargo run --release -p shared --features kafka --example kafka_rates [records]`

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use shared::event_log::kafka::{KafkaAppender, KafkaSettings, KafkaSubscriber, ensure_topics};
use shared::event_log::{
    EventAppender, EventSubscriber, Header, LogRecord, NewRecord, Offer, PartitionConsumer, Position, Topic,
};
use shared::real_servers::unique_name;
use shared::settings::Environment;
use tokio_util::sync::CancellationToken;

const TASKS: usize = 16;
const BATCH: usize = 100;
/// About what the value of a status event weighs.
const VALUE_BYTES: usize = 300;

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is writable");
}

/// The headers that every record of ours has.
fn event(n: usize) -> NewRecord {
    let headers = vec![
        Header::text("ce_specversion", "1.0"),
        Header::text("ce_type", "com.rastro.shipment.status_reported.v1"),
        Header::text("ce_source", "/ingest-service"),
        Header::text("ce_id", format!("evt_{n:032}")),
        Header::text("ce_time", "2026-01-01T00:00:00.000Z"),
        Header::text("ce_subject", format!("99M-{:08}", n % 50_000)),
        Header::text("content-type", "application/json"),
    ];
    let key = Some(format!("99M-{:08}", n % 50_000).into());
    NewRecord { key, partition: None, value: Some(vec![b'x'; VALUE_BYTES].into()), headers, timestamp: None }
}

async fn append_all(appender: &KafkaAppender, records: usize) {
    let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (appender, next, times) = (appender.clone(), Arc::clone(&next), Arc::clone(&times));
        tasks.spawn(async move {
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= records {
                    return;
                }
                let batch = (first..first + BATCH).map(event).collect();
                let start = Instant::now();
                appender.append(Topic::Events, batch).await.all().expect("accepted");
                times.lock().unwrap_or_else(PoisonError::into_inner).push(start.elapsed());
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("does not panic");
    }
    let (took, mut times) =
        (start.elapsed(), std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner)));
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize];
    let rate = records as f64 / took.as_secs_f64();
    say(&format!("append: {rate:.0}/s in {TASKS} tasks of {BATCH}; p50 {:?}, p99 {:?}", at(0.5), at(0.99)));
}

/// Takes everything.
struct Taker {
    ends: Mutex<Vec<i64>>,
    taken: AtomicUsize,
    first: Mutex<Option<Instant>>,
    wanted: usize,
    stop: CancellationToken,
}

impl PartitionConsumer for Taker {
    fn assigned(&self, _: &[i32]) {}

    fn offer(&self, record: LogRecord) -> Offer {
        let Position { partition, offset } = record.position;
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends[usize::try_from(partition).expect("positive")] = offset + 1;
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if taken == 1 {
            *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        if taken == self.wanted {
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).expect("was set");
            let rate = taken as f64 / first.elapsed().as_secs_f64();
            say(&format!("subscribe: {rate:.0}/s"));
            self.stop.cancel();
        }
        Offer::Taken
    }

    fn wait_for_room(&self, _: i32, _: Duration) -> bool {
        true
    }

    fn durable(&self) -> Vec<Position> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        (0..).zip(ends.iter()).map(|(partition, &offset)| Position { partition, offset }).collect()
    }

    fn revoked(&self, _: &[i32]) {}

    fn lag(&self, _: i32, _: i64) {}

    fn alive(&self) {}
}

#[tokio::main]
async fn main() {
    let records = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of records"));
    let environment = Environment::of_process();
    let name = unique_name("rates");
    let settings = KafkaSettings::from_environment(&environment).expect("settings");
    let settings = KafkaSettings { topic: format!("{name}.events"), group: name, ..settings };
    ensure_topics(&settings).await.expect("a broker");
    let appender = KafkaAppender::new(settings.clone()).expect("settings");
    append_all(&appender, BATCH).await;
    append_all(&appender, records).await;

    let mut times: Vec<Duration> = Vec::new();
    for n in 0..200 {
        let start = Instant::now();
        appender.append(Topic::Events, vec![event(n)]).await.all().expect("accepted");
        times.push(start.elapsed());
    }
    times.sort();
    say(&format!("append of one record, one at a time: p50 {:?}, p99 {:?}", times[100], times[198]));
    let start = Instant::now();
    for _ in 0..200 {
        appender.end_of(Topic::Events, b"99M-00000001").await.expect("a broker");
    }
    say(&format!("end_of, one at a time: {:?}", start.elapsed() / 200));

    let ends = Mutex::new(vec![0; usize::try_from(settings.partitions).expect("positive")]);
    let (taken, first, stop) = (AtomicUsize::new(0), Mutex::new(None), CancellationToken::new());
    let taker = Taker { ends, taken, first, wanted: records + BATCH + 200, stop: stop.clone() };
    let subscriber = Box::new(KafkaSubscriber::new(settings.clone()));
    tokio::task::spawn_blocking(move || subscriber.run(&taker, &stop)).await.expect("runs").expect("reads");

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().expect("settings");
    let names = Topic::ALL.map(|topic| settings.name(topic));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    admin.delete_topics(&names, &AdminOptions::new()).await.expect("topics can be deleted");
}
