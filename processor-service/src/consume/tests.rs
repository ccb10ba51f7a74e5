//! What the queue promises to the subscriber and to the lanes.

use shared::metrics::MetricRegistry;

use super::*;

fn lanes(count: usize) -> Arc<Lanes> {
    lanes_of(count, Strands::Partitions)
}

fn lanes_of(count: usize, strands: Strands) -> Arc<Lanes> {
    let metrics = Metrics::new(&MetricRegistry::default()).expect("an empty registry");
    Arc::new(Lanes::new(count, strands, Arc::new(metrics)))
}

fn record(partition: i32, offset: i64) -> LogRecord {
    let position = Position { partition, offset };
    LogRecord { position, key: None, value: Some(vec![b' '; 100].into()), headers: Vec::new(), timestamp: 0 }
}

fn keyed(offset: i64, key: &str) -> LogRecord {
    LogRecord { key: Some(key.to_owned().into()), ..record(0, offset) }
}

fn offer(lanes: &Lanes, record: LogRecord) {
    assert!(matches!(lanes.offer(record), Offer::Taken));
}

fn offer_all(lanes: &Lanes, partition: i32, offsets: std::ops::Range<i64>) {
    offsets.for_each(|offset| offer(lanes, record(partition, offset)));
}

async fn take(lanes: &Lanes, lane: usize) -> Batch {
    lanes.take(lane).await.expect("the queue is open")
}

fn offsets(batch: &Batch) -> Vec<i64> {
    batch.records.iter().map(|record| record.position.offset).collect()
}

fn at(partition: i32, offset: i64) -> Position {
    Position { partition, offset }
}

#[tokio::test(start_paused = true)]
async fn only_what_is_finished_is_durable_and_it_is_said_once() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1, 2]);
    offer_all(&lanes, 0, 5..8);
    offer_all(&lanes, 2, 0..1);
    let batch = take(&lanes, 0).await;
    assert_eq!(batch.records.len(), 4, "one lane takes whatever waits");
    assert!(lanes.durable().is_empty());
    assert_eq!(lanes.shown(0, &batch).len(), 2);
    assert!(lanes.durable().is_empty(), "to be seen is not enough");
    lanes.finished(0);
    let mut durable = lanes.durable();
    durable.sort_unstable();
    assert_eq!(durable, [at(0, 8), at(2, 1)]);
    assert!(lanes.durable().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_strand_is_in_one_lane_at_a_time_and_the_next_lane_takes_it_further() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1]);
    offer_all(&lanes, 0, 0..1);
    let first = take(&lanes, 0).await;
    offer_all(&lanes, 0, 1..300);
    offer_all(&lanes, 1, 0..1);
    let second = take(&lanes, 1).await;
    assert_eq!((second.records.len(), second.records[0].position), (1, at(1, 0)), "partition 0 is in lane 0");
    lanes.finished(0);
    assert_eq!(offsets(&take(&lanes, 0).await), (1..300).collect::<Vec<_>>());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_waits_a_moment_and_a_little_longer_for_a_lane_at_work() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1]);
    let begun = tokio::time::Instant::now();
    offer_all(&lanes, 0, 0..1);
    take(&lanes, 0).await;
    assert_eq!(begun.elapsed(), LINGER);

    let begun = tokio::time::Instant::now();
    offer_all(&lanes, 1, 0..1);
    take(&lanes, 1).await;
    assert_eq!(begun.elapsed(), OTHERS_AT_WORK, "lane 0 hangs, and the other partition goes on");
    lanes.finished(1);

    let begun = tokio::time::Instant::now();
    offer_all(&lanes, 1, 1..1 + SMALL_BATCH as i64);
    assert_eq!(take(&lanes, 1).await.records.len(), SMALL_BATCH);
    assert_eq!(begun.elapsed(), Duration::ZERO, "enough is there");
}

/// How long a small batch waits for a lane at work after batches that took so many milliseconds.
async fn wait_after(took: &[u64]) -> Duration {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1]);
    for (offset, &millis) in (0..).zip(took) {
        offer_all(&lanes, 0, offset..offset + 1);
        take(&lanes, 0).await;
        tokio::time::advance(Duration::from_millis(millis)).await;
        lanes.finished(0);
    }
    offer_all(&lanes, 0, 1_000..1_001);
    take(&lanes, 0).await;
    let begun = tokio::time::Instant::now();
    offer_all(&lanes, 1, 0..1);
    take(&lanes, 1).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_waits_for_others_as_long_as_small_batches_take_of_late() {
    let after_thirties = wait_after(&[30; 4]).await;
    assert!(OTHERS_AT_WORK < after_thirties && after_thirties < Duration::from_millis(30), "{after_thirties:?}");
    assert_eq!(wait_after(&[1; 4]).await, OTHERS_AT_WORK);
    assert_eq!(wait_after(&[500; 4]).await, BUSY_OTHERS_AT_WORK);
    assert_eq!(wait_after(&[[500; 4], [1; 4], [1; 4], [1; 4], [1; 4]].concat()).await, OTHERS_AT_WORK);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_is_woken_by_a_record_of_a_strand_that_is_free() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1]);
    offer_all(&lanes, 0, 0..1);
    take(&lanes, 0).await;
    offer_all(&lanes, 0, 1..3); // they wait for lane 0
    let waiting = tokio::spawn({
        let lanes = lanes.clone();
        async move { take(&lanes, 1).await }
    });
    tokio::task::yield_now().await;
    offer_all(&lanes, 1, 7..8);
    let taken = tokio::time::timeout(Duration::from_secs(1), waiting).await.expect("woken").expect("no panic");
    assert_eq!(offsets(&taken), [7]);
}

#[tokio::test(start_paused = true)]
async fn strands_take_turns_however_much_waits_of_one() {
    let lanes = lanes(1);
    lanes.assigned(&[0, 1, 2]);
    let mut ends = [0; 3];
    let mut fill = |partition: i32| {
        let end = &mut ends[partition as usize];
        while matches!(lanes.offer(record(partition, *end)), Offer::Taken) {
            *end += 1;
        }
    };
    (0..3).for_each(&mut fill);
    for turn in 0..3 {
        let begins_with = take(&lanes, 0).await.records[0].position.partition;
        assert_eq!(begins_with, turn);
        lanes.finished(0);
        fill(turn);
    }
}

#[tokio::test]
async fn a_revoked_partition_is_waited_for_and_what_was_not_begun_is_thrown_away() {
    let lanes = lanes(1);
    lanes.assigned(&[0, 1]);
    offer_all(&lanes, 0, 0..3);
    take(&lanes, 0).await;
    offer_all(&lanes, 0, 3..6);
    offer_all(&lanes, 1, 0..2);
    let revoking = {
        let lanes = lanes.clone();
        tokio::task::spawn_blocking(move || lanes.revoked(&[0]))
    };
    tokio::task::yield_now().await;
    lanes.finished(0);
    revoking.await.expect("no panic");
    assert_eq!(lanes.durable(), [at(0, 3)], "what was finished during the drain counts");
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
    assert!(lanes.shown(0, &batch).is_empty());
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
    assert_eq!(offsets(&take(&lanes, 0).await), [0, 1, 2, 3, 4], "what was waiting is offered again, in order");
}

#[tokio::test]
async fn a_full_strand_takes_nothing_until_a_batch_is_cut() {
    let lanes = lanes(1);
    lanes.assigned(&[0]);
    let mut offset = 0;
    let refused = loop {
        match lanes.offer(record(0, offset)) {
            Offer::Taken => offset += 1,
            Offer::Full(record) => break record,
        }
    };
    assert_eq!((offset, refused.position.offset), (2_000, 2_000), "the record comes back");
    assert!(!lanes.wait_for_room(0, Duration::ZERO));
    assert_eq!(take(&lanes, 0).await.records.len(), BATCH_RECORDS);
    assert!(lanes.wait_for_room(0, Duration::ZERO));
    offer(&lanes, *refused);
    lanes.finished(0);
    assert_eq!(offsets(&take(&lanes, 0).await), [2_000], "order is kept");
}

#[tokio::test]
async fn partitions_that_a_lane_cannot_write_leave_room_for_the_others() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1, 2, 3, 4, 5]);
    for stuck in 0..4 {
        offer_all(&lanes, stuck, 0..1);
    }
    assert_eq!(take(&lanes, 0).await.records.len(), 4); // for ever
    for stuck in 0..4 {
        offer_all(&lanes, stuck, 1..1_001);
    }
    offer_all(&lanes, 4, 0..100);
    assert!(matches!(lanes.offer(record(4, 100)), Offer::Full(_)), "the queue is full but for what is reserved");
    offer_all(&lanes, 5, 0..100);
    assert_eq!(take(&lanes, 1).await.records.len(), 200);
}

#[tokio::test]
async fn of_much_each_lane_takes_its_share_of_the_strands() {
    let lanes = lanes(2);
    lanes.assigned(&[0, 1, 2, 3]);
    for partition in 0..4 {
        offer_all(&lanes, partition, 0..100);
    }
    let partitions = |batch: &Batch| batch.records.iter().map(|record| record.position.partition).collect::<Vec<_>>();
    assert_eq!(partitions(&take(&lanes, 0).await), [[0; 100], [1; 100]].concat());
    assert_eq!(partitions(&take(&lanes, 1).await), [[2; 100], [3; 100]].concat());
}

#[tokio::test]
async fn every_lane_ends_when_the_queue_is_closed_and_empty() {
    let lanes = lanes(3);
    lanes.assigned(&[0]);
    offer_all(&lanes, 0, 0..1);
    let run = |lane| {
        let lanes = lanes.clone();
        async move {
            let mut batches = 0;
            while lanes.take(lane).await.is_some() {
                batches += 1;
                lanes.finished(lane);
            }
            batches
        }
    };
    let running: Vec<_> = (0..3).map(|lane| tokio::spawn(run(lane))).collect();
    tokio::task::yield_now().await;
    lanes.close();
    let mut batches = 0;
    for lane in running {
        batches += tokio::time::timeout(Duration::from_secs(5), lane).await.expect("it ends").expect("no panic");
    }
    assert_eq!(batches, 1);
}

/// Two keys of different shares, the first of which is cut first.
fn two_keys() -> [String; 2] {
    let of_share = |share| {
        let keys = (0..).map(|number| format!("99M-{number}"));
        keys.into_iter().find(|key| partition_of(key.as_bytes(), SHARES) == share).expect("one")
    };
    [of_share(0), of_share(1)]
}

/// `slow` at 11 is in lane 0, and `fast` at 10 and 12 in lane 1.
async fn two_lanes_in_one_partition() -> (Arc<Lanes>, Batch, Batch) {
    let lanes = lanes_of(2, Strands::Keys);
    lanes.assigned(&[0]);
    let [slow, fast] = two_keys();
    offer(&lanes, keyed(11, &slow));
    let of_slow = take(&lanes, 0).await;
    offer(&lanes, keyed(10, &fast));
    offer(&lanes, keyed(12, &fast));
    let of_fast = take(&lanes, 1).await;
    assert_eq!((offsets(&of_slow), offsets(&of_fast)), (vec![11], vec![10, 12]));
    (lanes, of_slow, of_fast)
}

#[tokio::test]
async fn a_partition_of_keys_is_as_far_as_the_lane_that_has_most_left() {
    let (lanes, of_slow, of_fast) = two_lanes_in_one_partition().await;
    assert_eq!(lanes.owned(), [0]);
    assert_eq!(lanes.shown(1, &of_fast), [at(0, 10)], "11 is not there yet");
    lanes.finished(1);
    assert_eq!(lanes.durable(), [at(0, 11)]);
    assert!(lanes.durable().is_empty());

    assert_eq!(lanes.shown(0, &of_slow), [at(0, 12)], "also what the other lane had shown");
    assert!(lanes.durable().is_empty());
    let [_, fast] = two_keys();
    offer(&lanes, keyed(13, &fast));
    lanes.finished(0);
    assert_eq!(lanes.durable(), [at(0, 13)]);
}

#[tokio::test]
async fn a_batch_of_an_older_generation_keeps_nothing_back() {
    let (lanes, _, _) = two_lanes_in_one_partition().await;
    lanes.revoked_within(&[0], Duration::ZERO);
    lanes.assigned(&[0]); // from 20 on: another member had done what lies before
    lanes.finished(1);
    let [slow, fast] = two_keys();
    offer(&lanes, keyed(20, &fast));
    offer(&lanes, keyed(21, &slow)); // behind what lane 0 is still at
    take(&lanes, 1).await;
    lanes.finished(1);
    assert_eq!(lanes.durable(), [at(0, 21)]);
}

#[tokio::test]
async fn what_is_given_up_keeps_a_partition_back_until_it_is_assigned_again() {
    let up_to_the_slow_one = [at(0, 11)];
    let (lanes, _, _) = two_lanes_in_one_partition().await;
    lanes.abandoned(0);
    lanes.finished(1);
    assert_eq!(lanes.durable(), up_to_the_slow_one, "its batch failed");

    let (lanes, _, _) = two_lanes_in_one_partition().await;
    lanes.finished(1);
    lanes.revoked_within(&[0], Duration::ZERO);
    lanes.abandoned(0);
    assert_eq!(lanes.durable(), up_to_the_slow_one, "it was not done in time");

    let (lanes, _, _) = two_lanes_in_one_partition().await;
    let [slow, fast] = two_keys();
    lanes.finished(0);
    offer(&lanes, keyed(13, &slow));
    offer(&lanes, keyed(14, &fast));
    lanes.finished(1);
    offer(&lanes, keyed(15, &fast));
    lanes.revoked_within(&[0], Duration::ZERO);
    assert_eq!(lanes.durable(), [at(0, 13)], "the rest was not begun");

    lanes.assigned(&[0]);
    offer(&lanes, keyed(11, &slow));
    take(&lanes, 0).await;
    lanes.finished(0);
    assert_eq!(lanes.durable(), [at(0, 12)]);
}

#[tokio::test]
async fn where_keys_are_told_apart_a_batch_is_four_times_as_large() {
    let lanes = lanes_of(1, Strands::Keys);
    lanes.assigned(&[0]);
    let records = i64::try_from(BATCH_OF_KEYS_RECORDS).expect("fits");
    // Each with a key of its own, so that no strand is full before the others.
    for offset in 0..=records {
        offer(&lanes, keyed(offset, &format!("99M-{offset}")));
    }
    assert_eq!(take(&lanes, 0).await.records.len(), BATCH_OF_KEYS_RECORDS);
}
