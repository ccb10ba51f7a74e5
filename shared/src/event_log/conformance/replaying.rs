//! What every log's past must do: [`run`] wants a new, empty log whose group of the first generation has no member.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{PATIENCE, offsets_and_values, record};
use crate::event_log::replay::{EventReplay, Offsets, Stretch};
use crate::event_log::{EventAppender, LogRecord, Offer, PartitionConsumer, Position, Topic};
use crate::projection::Generation;
use crate::shipment::Timestamp;

/// Records of the suite.
const RECORDS: usize = 3_000;

/// Takes what it is offered, every third time only when it is offered again.
#[derive(Default)]
struct Taker(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    records: Vec<LogRecord>,
    offers: usize,
    durable: Offsets,
    assigned: usize,
}

impl Taker {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartitionConsumer for Taker {
    fn assigned(&self, _: &[i32]) {
        self.taken().assigned += 1;
    }

    fn offer(&self, record: LogRecord) -> Offer {
        let mut taken = self.taken();
        taken.offers += 1;
        if taken.offers.is_multiple_of(3) {
            return Offer::Full(Box::new(record));
        }
        taken.durable.insert(record.position.partition, record.position.offset + 1);
        taken.records.push(record);
        Offer::Taken
    }

    fn wait_for_room(&self, _: i32, _: Duration) -> bool {
        true
    }

    fn durable(&self) -> Vec<Position> {
        let durable = std::mem::take(&mut self.taken().durable);
        durable.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
    }

    fn revoked(&self, _: &[i32]) {}

    fn lag(&self, _: i32, _: i64) {}

    fn alive(&self) {}
}

/// What a replay of `stretch` offers.
async fn replayed(log: &dyn EventReplay, stretch: Stretch) -> Vec<LogRecord> {
    let subscriber = log.replay(stretch);
    let run = tokio::task::spawn_blocking(move || {
        let taker = Taker::default();
        subscriber.run(&taker, &CancellationToken::new()).expect("it reads");
        std::mem::take(&mut taker.taken().records)
    });
    tokio::time::timeout(PATIENCE, run).await.expect("it ends by itself").expect("no panic")
}

/// Runs the suite.
///
/// # Panics
/// The log breaks a promise.
pub async fn run(log: &dyn EventReplay, appender: &dyn EventAppender) {
    let before = crate::clock::system();
    let mut positions = Vec::new();
    for chunk in (0..RECORDS).map(record).collect::<Vec<_>>().chunks(100) {
        positions.extend(appender.append(Topic::Events, chunk.to_vec()).await.all().expect("appended"));
    }
    let held = log.held().await.expect("reachable");
    let all = replayed(log, Stretch { from: Offsets::new(), to: held.end.clone(), commit: None }).await;
    assert_eq!(all.len(), RECORDS, "everything, from the first record on");
    let expected = super::expected(0..RECORDS, &positions);
    assert_eq!(offsets_and_values(&all), expected);
    for (partition, records) in &expected {
        let ends = (held.begin[partition], held.end[partition]);
        assert_eq!(Some(ends), records.first().zip(records.last()).map(|(first, last)| (first.0, last.0 + 1)));
    }
    it_ends_where_it_should(log, &expected).await;
    offsets_are_kept_for_each_generation(log, &held.end).await;
    a_group_with_a_member_is_left_alone(log).await;
    let times = log.offsets_at(before).await.expect("reachable");
    assert!(expected.iter().all(|(partition, records)| times[partition] <= records[0].0), "{times:?}");
    let later = Timestamp::from_millis(crate::clock::system().as_millis() + 3_600_000);
    assert_eq!(log.offsets_at(later).await.expect("reachable"), held.end, "nothing is so late");
}

async fn it_ends_where_it_should(log: &dyn EventReplay, records: &BTreeMap<i32, Vec<(i64, bytes::Bytes)>>) {
    let middle = |part: usize| -> Offsets {
        records.iter().map(|(partition, records)| (*partition, records[records.len() * part / 3].0)).collect()
    };
    let (from, to) = (middle(1), middle(2));
    let some = replayed(log, Stretch { from: from.clone(), to: to.clone(), commit: None }).await;
    for (partition, records) in offsets_and_values(&some) {
        let offsets: Vec<i64> = records.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            (offsets.first(), offsets.last().map(|last| last + 1)),
            (Some(&from[&partition]), Some(to[&partition]))
        );
    }
    assert_eq!(offsets_and_values(&some).len(), records.len(), "of each partition");
    let nothing = replayed(log, Stretch { from: to.clone(), to, commit: None }).await;
    assert_eq!(nothing.len(), 0);
}

async fn offsets_are_kept_for_each_generation(log: &dyn EventReplay, end: &Offsets) {
    let (first, second) = (Generation::FIRST, Generation::new(2).expect("a number"));
    assert_eq!(log.committed(second).await.expect("reachable"), Offsets::new());
    replayed(log, Stretch { from: Offsets::new(), to: end.clone(), commit: Some(second) }).await;
    let committed = log.committed(second).await.expect("reachable");
    assert!(end.iter().filter(|(_, end)| **end > 0).all(|(partition, end)| committed.get(partition) == Some(end)));
    assert_eq!(log.committed(first).await.expect("reachable"), Offsets::new(), "another group's");
    let back: Offsets = end.keys().map(|&partition| (partition, 1)).collect();
    log.commit(second, &back).await.expect("committed");
    assert_eq!(log.committed(second).await.expect("reachable"), back, "also back");
    for _ in 0..2 {
        log.forget(second).await.expect("forgotten, and again");
    }
    assert_eq!(log.committed(second).await.expect("reachable"), Offsets::new());
}

async fn a_group_with_a_member_is_left_alone(log: &dyn EventReplay) {
    let third = Generation::new(3).expect("a number");
    let (member, stop) = (log.member(third), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::task::spawn_blocking(move || member.run(&Taker::default(), &stopped));
    let until = async |wanted: bool| {
        while log.has_members(third).await.expect("reachable") != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, until(true)).await.expect("the member is seen");
    assert!(log.forget(third).await.is_err(), "it has a member");
    stop.cancel();
    running.await.expect("no panic").expect("ended");
    tokio::time::timeout(PATIENCE, until(false)).await.expect("it is seen to have left");
    log.commit(third, &[(0, 2)].into()).await.expect("committed");
    assert_eq!(log.committed(third).await.expect("reachable").get(&0), Some(&2));
    log.forget(third).await.expect("forgotten");
}
