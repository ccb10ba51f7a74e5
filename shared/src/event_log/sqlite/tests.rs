use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event_log::conformance::{LogUnderTest, every_promise_is_kept};
use crate::event_log::{EventSubscriber, Header, Offer, PartitionConsumer};

fn open(path: &Path) -> SqliteLog {
    let database = Database::open(path).expect("opens");
    SqliteLog::open(Arc::new(database), crate::clock::system).expect("reads")
}

fn record(number: usize) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(format!("99M-{number}"))),
        partition: None,
        value: Some(Bytes::from(vec![0, 255, u8::try_from(number % 256).expect("a byte")])),
        headers: vec![Header::text("a", "1"), Header { name: "a".into(), value: None }],
        timestamp: Some(7),
    }
}

/// Takes every record, in rooms of `room`, and calls those durable that it was asked to.
struct Taker {
    taken: watch::Sender<Vec<i64>>,
    room: AtomicI64,
    durable: AtomicI64,
    revoked: AtomicI64,
}

impl Taker {
    fn new(durable: i64) -> Self {
        let revoked = AtomicI64::new(0);
        Self { taken: watch::Sender::default(), room: AtomicI64::new(3), durable: AtomicI64::new(durable), revoked }
    }

    fn offsets(&self) -> Vec<i64> {
        self.taken.borrow().clone()
    }

    async fn until(&self, count: usize) {
        let mut taken = self.taken.subscribe();
        taken.wait_for(|offsets| offsets.len() >= count).await.expect("the taker is there");
    }
}

impl PartitionConsumer for Taker {
    fn assigned(&self, partitions: &[i32]) {
        assert_eq!(partitions, [PARTITION]);
    }

    fn offer(&self, record: LogRecord) -> Offer {
        if self.room.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Offer::Full(Box::new(record));
        }
        self.taken.send_modify(|offsets| offsets.push(record.position.offset));
        Offer::Taken
    }

    fn wait_for_room(&self, _partition: i32, _patience: Duration) -> bool {
        self.room.store(3, Ordering::SeqCst);
        true
    }

    fn durable(&self) -> Vec<Position> {
        match self.durable.swap(-1, Ordering::SeqCst) {
            -1 => Vec::new(),
            offset => vec![Position { partition: PARTITION, offset }],
        }
    }

    fn revoked(&self, _partitions: &[i32]) {
        self.revoked.fetch_add(1, Ordering::SeqCst);
    }

    fn lag(&self, _partition: i32, records: i64) {
        assert!(records >= 0);
    }

    fn alive(&self) {}
}

/// Runs a subscriber until `count` records were taken.
async fn take(log: &SqliteLog, taker: Arc<Taker>, count: usize) {
    let stop = CancellationToken::new();
    let run = {
        let (subscriber, taker, stop) = (Box::new(log.subscriber()), taker.clone(), stop.clone());
        tokio::task::spawn_blocking(move || subscriber.run(&*taker, &stop))
    };
    taker.until(count).await;
    stop.cancel();
    run.await.expect("no panic").expect("ended well");
    assert_eq!(taker.revoked.load(Ordering::SeqCst), 1);
}

#[test]
fn it_keeps_every_promise_of_a_log() {
    every_promise_is_kept(&|| {
        let directory = tempfile::tempdir().expect("a directory");
        let log = open(&directory.path().join("rastro.sqlite"));
        let (read, subscribed) = (log.clone(), log.clone());
        let all = ReadLimit { records: i64::MAX, bytes: usize::MAX };
        LogUnderTest {
            partitions: 1,
            appender: Arc::new(log),
            subscriber: Box::new(move || Box::new(subscribed.subscriber())),
            read: Box::new(move |topic| {
                assert!(directory.path().exists(), "the file lives as long as the log");
                read.read(topic, 0, all).expect("reads")
            }),
        }
    });
}

#[tokio::test]
async fn records_come_back_byte_for_byte_after_the_file_was_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rastro.sqlite");
    let bare = NewRecord { key: None, partition: Some(5), value: None, headers: Vec::new(), timestamp: None };
    {
        let log = open(&path);
        let appended = log.append(Topic::DeadLetters, vec![record(1), bare.clone()]).await.all().expect("appended");
        assert_eq!(appended.iter().map(|position| position.offset).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(log.end_of(Topic::Events, b"k").await.expect("read").offset, 0, "topics are apart");
    }
    let log = open(&path);
    let records = log.read(Topic::DeadLetters, 0, ReadLimit { records: 10, bytes: 1 << 20 }).expect("read");
    assert_eq!(records[0], record(1).at(Position { partition: PARTITION, offset: 0 }, 0));
    assert_eq!((&records[1].key, &records[1].value, records[1].timestamp > 7), (&None, &None, true));
    assert_eq!(log.end_of(Topic::DeadLetters, b"k").await.expect("read").offset, 2);
    let one = log.read(Topic::DeadLetters, 0, ReadLimit { records: 10, bytes: 1 }).expect("read");
    assert_eq!(one.len(), 1, "a record that is larger than the limit is read alone");
}

#[tokio::test]
async fn concurrent_appends_keep_the_order_within_each_and_leave_no_gap() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(&directory.path().join("rastro.sqlite"));
    let appends = (0..20).map(|number| {
        let log = log.clone();
        tokio::spawn(async move { log.append(Topic::Events, vec![record(number); 10]).await.all().expect("appended") })
    });
    let mut offsets = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        let positions = append.await.expect("no panic");
        assert!(positions.windows(2).all(|pair| pair[1].offset == pair[0].offset + 1));
        offsets.extend(positions.into_iter().map(|position| position.offset));
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_goes_on_behind_what_was_durable_and_is_woken_by_appends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rastro.sqlite");
    {
        let log = open(&path);
        log.append(Topic::Events, (0..10).map(record).collect()).await.all().expect("appended");
        let taker = Arc::new(Taker::new(4));
        take(&log, taker.clone(), 10).await;
        assert_eq!(taker.offsets(), (0..10).collect::<Vec<_>>(), "in order, however little room there is");
    }
    let log = open(&path);
    let taker = Arc::new(Taker::new(-1));
    let later = {
        let (log, taker) = (log.clone(), taker.clone());
        tokio::spawn(async move {
            taker.until(6).await;
            log.append(Topic::Events, vec![record(10)]).await.all().expect("appended");
        })
    };
    take(&log, taker.clone(), 7).await;
    later.await.expect("no panic");
    assert_eq!(taker.offsets(), (4..11).collect::<Vec<_>>(), "from the committed offset on, and then the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_of_the_embedded_log_keeps_every_promise() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Arc::new(Database::open(&directory.path().join("rastro.sqlite")).expect("opens"));
    let log = SqliteLog::open(database, crate::clock::system).expect("opens");
    crate::event_log::conformance::replaying::run(&log, &log).await;
}
