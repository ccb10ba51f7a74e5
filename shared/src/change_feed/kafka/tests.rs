//! On a real broker.

use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::Offset;

use super::*;
use crate::change_feed::conformance::{FeedUnderTest, every_promise_is_kept, record};
use crate::event_log::EventAppender;
use crate::event_log::kafka::tests::topic::{TestTopic, block_on, settings};
use crate::event_log::kafka::{KafkaAppender, ensure_topics};
use crate::real_servers;

/// Throws away what stands before a position, as brokers do when it is too old.
fn forget(topic: &TestTopic, oldest: Position) {
    let mut list = TopicPartitionList::new();
    let name = topic.settings.name(Topic::Changes);
    list.add_partition_offset(&name, oldest.partition, Offset::Offset(oldest.offset)).expect("an offset");
    let admin: AdminClient<DefaultClientContext> = topic.settings.client().create().expect("settings");
    let deleted = block_on(admin.delete_records(&list, &AdminOptions::new())).expect("records can be deleted");
    for element in deleted.elements() {
        element.error().expect("records can be deleted");
    }
}

#[test]
fn it_keeps_every_promise_of_a_feed() {
    if real_servers::address("KAFKA_BROKERS", "the conformance of the changes in Kafka").is_none() {
        return;
    }
    every_promise_is_kept(&|| {
        let topic = Arc::new(TestTopic::make(4));
        let settings = topic.settings.clone();
        let feed = KafkaChangeFeed::new(settings.clone());
        FeedUnderTest {
            partitions: 4,
            appender: Arc::new(KafkaAppender::new(settings).expect("settings")),
            feed: Arc::new(feed.clone()),
            reader: Arc::new(feed),
            forget: Box::new(move |oldest| forget(&topic, oldest)),
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_anew_is_told_from_the_old_one() {
    if real_servers::address("KAFKA_BROKERS", "changes whose topic is made anew").is_none() {
        return;
    }
    let topic = tokio::task::spawn_blocking(|| TestTopic::make(1)).await.expect("made");
    let feed = KafkaChangeFeed::new(topic.settings.clone());
    let append = async |count: usize| {
        // A new one each time: a producer remembers the old topic.
        let appender = KafkaAppender::new(topic.settings.clone()).expect("settings");
        appender.append(Topic::Changes, (0..count).map(record).collect()).await.all().expect("accepted");
    };
    append(20).await;
    let end = Position { partition: 0, offset: feed.bounds().await.expect("reachable")[0].end };
    let last = Stretch { partition: 0, from: end.offset - 1, until: end.offset };
    let last = feed.read(&[last], ReadLimit { records: 1, bytes: 1 }).await.expect("read").records.remove(0);
    assert!(!feed.later_before(&[end], last.timestamp).await.expect("reachable"), "it is the one that was there");
    let mut tail = feed.follow(&[end]).await.expect("followed");
    append(1).await;
    assert_eq!(tail.next().await.expect("it goes on").len(), 1);

    let admin: AdminClient<DefaultClientContext> = topic.settings.client().create().expect("settings");
    let name = topic.settings.name(Topic::Changes);
    admin.delete_topics(&[&name], &AdminOptions::new()).await.expect("deleted");
    // A deletion takes a moment.
    while ensure_topics(&topic.settings).await.is_err() || feed.bounds().await.is_ok_and(|bounds| bounds[0].end > 0) {
        tokio::task::yield_now().await;
    }
    append(1).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), tail.next()).await.expect("it does not hang");
    assert_eq!(ended.expect_err("the position is of another topic"), FeedError::OutOfRange);
    let stretch = Stretch { partition: 0, from: end.offset, until: end.offset + 1 };
    let read = feed.read(&[stretch], ReadLimit { records: 1, bytes: 1 }).await;
    assert_eq!(read.expect_err("the position is of another topic"), FeedError::OutOfRange);

    append(30).await;
    let grown = feed.read(&[stretch], ReadLimit { records: 1, bytes: 1 }).await.expect("it is reached now");
    assert_eq!(grown.records.len(), 1, "the position leads into the middle of another topic");
    assert!(feed.later_before(&[end], last.timestamp).await.expect("reachable"), "the times tell");
}

#[tokio::test]
async fn brokers_that_are_away_are_worth_another_attempt() {
    let feed = KafkaChangeFeed::new(settings("127.0.0.1:1", 3));
    let asked = feed.bounds().await.expect_err("nobody is there");
    assert!(matches!(asked, FeedError::Unavailable(_)), "{asked}");
    let stretch = Stretch { partition: 0, from: 0, until: 1 };
    let read = feed.read(&[stretch], ReadLimit { records: 1, bytes: 1 }).await.expect_err("nobody is there");
    assert!(matches!(read, FeedError::Unavailable(_)), "{read}");
}
