//! Brokers that are away, on librdkafka's mock cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio_util::sync::CancellationToken;

use super::topic::settings;
use crate::event_log::conformance::Recorder;
use crate::event_log::kafka::{KafkaAppender, KafkaSettings, KafkaSubscriber};
use crate::event_log::{
    APPEND_DEADLINE, AppendError, Appended, EventAppender, EventSubscriber, NewRecord, SubscribeError, Topic,
};

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A machine full of other tests gets this much on top of what is promised.
const SLACK: Duration = Duration::from_millis(500);
/// What counts as "at once".
const AT_ONCE: Duration = Duration::from_millis(100);

fn cluster() -> (Cluster, KafkaSettings) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    let settings = settings(&cluster.bootstrap_servers(), 2);
    for topic in Topic::ALL {
        cluster.create_topic(&settings.name(topic), 2, 1).expect("a topic");
    }
    (cluster, settings)
}

fn record(n: usize) -> NewRecord {
    let (key, value) = (Some("99M-AWAY01".into()), Some(n.to_string().into()));
    NewRecord { key, partition: None, value, headers: Vec::new(), timestamp: None }
}

async fn append(appender: KafkaAppender, n: usize) -> (Appended, Duration) {
    let start = Instant::now();
    let appended = appender.append(Topic::Events, vec![record(n)]).await;
    (appended, start.elapsed())
}

fn is_away(appended: &Appended) -> bool {
    appended.positions.is_empty() && matches!(appended.refused, Some(AppendError::Unavailable(_)))
}

/// Appends again and again, without waiting for the answers, until one comes that `wanted` wants; says how long that took.
async fn until(appender: &KafkaAppender, wanted: impl Fn(&(Appended, Duration)) -> bool) -> Duration {
    let (start, mut attempts) = (Instant::now(), tokio::task::JoinSet::new());
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        tokio::select! {
            _ = ticks.tick() => drop(attempts.spawn(append(appender.clone(), 0))),
            Some(answer) = attempts.join_next() => {
                if wanted(&answer.expect("does not panic")) {
                    return start.elapsed();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_refused_in_time_then_at_once_and_accepted_soon_after_the_broker_is_back() {
    let (cluster, settings) = cluster();
    let appender = KafkaAppender::new(settings).expect("settings");
    append(appender.clone(), 0).await.0.all().expect("the broker is there");

    cluster.broker_down(-1).expect("down");
    let first = tokio::spawn(append(appender.clone(), 1));
    let silence = until(&appender, |(appended, took)| is_away(appended) && *took < AT_ONCE).await;
    assert!(silence < Duration::from_secs(2) + SLACK * 2, "refused at once only after {silence:?}");
    let (appended, took) = first.await.expect("does not panic");
    assert!(is_away(&appended) && took <= APPEND_DEADLINE + SLACK, "{appended:?} after {took:?}");
    // It goes on refusing at once, although nothing is on its way any more but the probes.
    let again = until(&appender, |(appended, took)| is_away(appended) && *took < AT_ONCE).await;
    assert!(again < SLACK, "{again:?}");

    cluster.broker_up(-1).expect("up");
    let recovered = until(&appender, |(appended, _)| appended.refused.is_none()).await;
    assert!(recovered < Duration::from_secs(1) + SLACK, "accepted again after {recovered:?}");
    let (appended, _) = append(appender.clone(), 2).await;
    appended.all().expect("and not only a probe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_never_was_there_is_a_refusal_in_time_too() {
    let appender = KafkaAppender::new(settings("127.0.0.1:1", 2)).expect("settings");
    let (appended, took) = append(appender.clone(), 0).await;
    assert!(is_away(&appended) && took <= APPEND_DEADLINE + SLACK, "{appended:?} after {took:?}");
    let again = until(&appender, |(appended, took)| is_away(appended) && *took < AT_ONCE).await;
    assert!(again < SLACK, "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_and_ends_fail_in_time_and_come_back() {
    let (cluster, settings) = cluster();
    let appender = KafkaAppender::new(settings).expect("settings");
    appender.check().await.expect("the broker is there");
    assert_eq!(appender.end_of(Topic::Events, b"99M-AWAY01").await.expect("the broker is there").offset, 0);

    cluster.broker_down(-1).expect("down");
    // What was true a second ago stands.
    let mut took = Duration::ZERO;
    while took < Duration::from_secs(3) && appender.check().await.is_ok() {
        took += AT_ONCE;
        tokio::time::sleep(AT_ONCE).await;
    }
    let start = Instant::now();
    appender.check().await.expect_err("the broker is away");
    assert!(start.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", start.elapsed());
    for _ in 0..3 {
        let start = Instant::now();
        appender.end_of(Topic::Events, b"99M-AWAY01").await.expect_err("the broker is away");
        assert!(start.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", start.elapsed());
    }
    let start = Instant::now();
    appender.end_of(Topic::Events, b"99M-AWAY01").await.expect_err("the broker is away");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());

    cluster.broker_up(-1).expect("up");
    let start = Instant::now();
    while appender.check().await.is_err() || appender.end_of(Topic::Events, b"99M-AWAY01").await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "it does not come back");
        tokio::time::sleep(AT_ONCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_cannot_go_on_is_replaced() {
    let (cluster, settings) = cluster();
    let appender = KafkaAppender::new(settings).expect("settings");
    append(appender.clone(), 0).await.0.all().expect("the broker is there");
    let refuse = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED];
    cluster.request_errors(RDKafkaApiKey::Produce, &refuse);
    let (appended, _) = append(appender.clone(), 1).await;
    assert!(is_away(&appended), "{appended:?}");
    let (appended, took) = append(appender.clone(), 2).await;
    appended.all().expect("by another producer");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_subscriber_is_not_alive_while_the_broker_is_away_and_goes_on_when_it_is_back() {
    let (cluster, settings) = cluster();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let appender = KafkaAppender::new(settings.clone()).expect("settings");
    let appending = |n| runtime.block_on(append(appender.clone(), n)).0.all().expect("the broker is there");
    let (consumer, stop) = (Recorder::default(), CancellationToken::new());
    let subscriber = Box::new(KafkaSubscriber::new(settings));
    appending(0);
    std::thread::scope(|scope| {
        let _stopping = stop.clone().drop_guard();
        let running = scope.spawn(|| subscriber.run(&consumer, &stop));
        consumer.wait_for_records(1);
        consumer.wait("signs of life", |state| (state.alive.len() > 2).then_some(()));

        cluster.broker_down(-1).expect("down");
        let start = Instant::now();
        let last = || consumer.wait("a sign of life", |state| state.alive.last().copied());
        while last().elapsed() < Duration::from_secs(3) {
            assert!(start.elapsed() < Duration::from_secs(30), "still alive");
            std::thread::sleep(AT_ONCE);
        }
        let said = consumer.wait("signs of life", |state| Some(state.alive.len()));

        cluster.broker_up(-1).expect("up");
        consumer.wait("a new sign of life", |state| (state.alive.len() > said).then_some(()));
        while runtime.block_on(append(appender.clone(), 1)).0.refused.is_some() {
            assert!(start.elapsed() < Duration::from_secs(60), "no append");
        }
        consumer.wait("the next record", |state| (state.taken.len() > 1).then_some(()));

        cluster.broker_down(-1).expect("down");
        let start = Instant::now();
        stop.cancel();
        running.join().expect("does not panic").expect("a stop is no failure");
        assert!(start.elapsed() < Duration::from_secs(20), "a stop took {:?}", start.elapsed());
    });
    // Both live as long as the cluster.
    drop((Arc::new(appender), cluster));
}

#[test]
fn a_member_that_the_group_throws_out_for_good_ends_with_an_error() {
    let (cluster, settings) = cluster();
    let (consumer, stop) = (Recorder::default(), CancellationToken::new());
    let subscriber = Box::new(KafkaSubscriber::new(settings));
    std::thread::scope(|scope| {
        let _stopping = stop.clone().drop_guard();
        let running = scope.spawn(|| subscriber.run(&consumer, &stop));
        consumer.wait("partitions", |state| (state.assigned.len() == 2).then_some(()));
        cluster.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
        let start = Instant::now();
        while !running.is_finished() {
            assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
            std::thread::sleep(AT_ONCE);
        }
        let ended = running.join().expect("does not panic");
        assert!(matches!(ended, Err(SubscribeError::Fatal(_))), "{ended:?}");
        consumer.wait("the revocation", |state| (state.revoked.len() == 2).then_some(()));
    });
    drop(cluster);
}
