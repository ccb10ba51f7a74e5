//! What the queues promise to the subscriber.

use shared::metrics::MetricRegistry;

use super::*;

fn lanes(count: usize) -> Arc<Lanes> {
    of(count, Strands::Partitions)
}

fn of(count: usize, strands: Strands) -> Arc<Lanes> {
    let metrics = Metrics::new(&MetricRegistry::default()).expect("an empty registry");
    Arc::new(Lanes::new(count, strands, Arc::new(metrics)))
}

fn record(partition: i32, offset: i64) -> LogRecord {
    let position = Position { partition, offset };
    LogRecord { position, key: None, value: Some(vec![b' '; 100].into()), headers: Vec::new(), timestamp: 0 }
}

fn offer_all(lanes: &Lanes, partition: i32, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        assert!(matches!(lanes.offer(record(partition, offset)), Offer::Taken));
    }
}

async fn take(lanes: &Lanes, lane: usize) -> Batch {
    lanes.take(lane).await.expect("the queue is open")
}

#[tokio::test]
async fn only_what_is_finished_is_durable_and_it_is_said_once() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1, 2]);
    offer_all(&lanes, 0, 5..8);
    offer_all(&lanes, 2, 0..1);
    offer_all(&lanes, 1, 0..1);
    let batch = take(&lanes, 0).await;
    assert_eq!(batch.records.len(), 4, "partitions 0 and 2 share lane 0");
    assert!(lanes.durable().is_empty());
    lanes.finished(0);
    let mut durable = lanes.durable();
    durable.sort_unstable();
    assert_eq!(durable, [Position { partition: 0, offset: 8 }, Position { partition: 2, offset: 1 }]);
    assert!(lanes.durable().is_empty());
}

#[tokio::test]
async fn a_revoked_partition_is_waited_for_and_what_was_not_begun_is_thrown_away() {
    let lanes = lanes(1);
    lanes.assigned(&[0, 1]);
    offer_all(&lanes, 0, 0..3);
    let batch = take(&lanes, 0).await;
    offer_all(&lanes, 0, 3..6);
    offer_all(&lanes, 1, 0..2);
    let revoking = {
        let lanes = lanes.clone();
        tokio::task::spawn_blocking(move || lanes.revoked(&[0]))
    };
    tokio::task::yield_now().await;
    lanes.finished(0);
    revoking.await.expect("no panic");
    assert_eq!(lanes.durable(), [Position { partition: 0, offset: 3 }], "what was finished during the drain counts");
    let next = take(&lanes, 0).await;
    assert!(next.records.iter().all(|record| record.position.partition == 1), "partition 0 is another member's");
    offer_all(&lanes, 0, 6..7);
    lanes.finished(0);
    lanes.close();
    assert!(lanes.take(0).await.is_none(), "a straggler of a revoked partition is not taken");
}

#[tokio::test]
async fn a_batch_of_an_older_generation_marks_nothing() {
    let lanes = lanes(1);
    lanes.assigned(&[0]);
    offer_all(&lanes, 0, 0..3);
    let batch = take(&lanes, 0).await;
    lanes.assigned(&[0]); // it was lost and came back before the batch was done
    lanes.finished(0);
    assert!(lanes.durable().is_empty());
}

#[tokio::test]
async fn a_partition_that_is_assigned_again_begins_anew() {
    let lanes = lanes(1);
    lanes.assigned(&[0]);
    offer_all(&lanes, 0, 3..5);
    lanes.assigned(&[0]); // it was lost without a word; another member died before it committed anything
    offer_all(&lanes, 0, 0..5);
    let offsets: Vec<_> = take(&lanes, 0).await.records.iter().map(|record| record.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4], "what was waiting is offered again, in order");
}

#[tokio::test]
async fn a_full_queue_takes_nothing_until_a_batch_is_cut() {
    let lanes = lanes(1);
    lanes.assigned(&[0]);
    let mut offset = 0;
    let refused = loop {
        match lanes.offer(record(0, offset)) {
            Offer::Taken => offset += 1,
            Offer::Full(record) => break record,
        }
    };
    assert_eq!((offset, refused.position.offset), (4_000, 4_000), "the record comes back");
    assert!(!lanes.wait_for_room(0, Duration::ZERO));
    let batch = take(&lanes, 0).await;
    assert_eq!(batch.records.len(), BATCH_RECORDS);
    assert!(lanes.wait_for_room(0, Duration::ZERO));
    assert!(matches!(lanes.offer(*refused), Offer::Taken));
    lanes.finished(0);
    let rest = take(&lanes, 0).await;
    assert_eq!(rest.records.first().map(|record| record.position.offset), Some(2_000), "order is kept");
}
