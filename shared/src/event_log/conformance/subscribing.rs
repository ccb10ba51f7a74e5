//! What a subscriber promises.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Bench, Recorder, State, by_partition, expected, offsets_and_values, record};
use crate::event_log::{LogRecord, Position, Topic};

pub(super) fn everything_is_offered_in_order(bench: &Bench) {
    let mut positions = bench.append_numbered(0..1_000);
    bench.append_to(Topic::Changes, vec![record(7); 10]);
    let consumer = Recorder::default();
    consumer.run(&bench.log, || {
        consumer.wait_for_records(1_000);
        positions.extend(bench.append_numbered(1_000..1_500));
        let taken = consumer.wait_for_records(1_500);
        assert_eq!(offsets_and_values(&taken), expected(0..1_500, &positions));
        assert_eq!(by_position(taken), by_position(bench.read(Topic::Events)), "whole records");
        // The only member of its group owns everything.
        let all = usize::try_from(bench.log.partitions).expect("positive");
        consumer.wait("all partitions", |state| (state.assigned.len() == all).then_some(()));
    });
}

fn by_position(mut records: Vec<LogRecord>) -> Vec<LogRecord> {
    records.sort_by_key(|record| record.position);
    records
}

pub(super) fn a_new_run_continues_at_what_was_durable(bench: &Bench) {
    let positions = bench.append_numbered(0..600);
    let first = Recorder::default();
    let half = first.run(&bench.log, || {
        let half = middle_of_each(&first.wait_for_records(600));
        // The first partition's records are durable at once, those of the others only at the end.
        first.make_durable(&half[..1]);
        first.wait("the durable offsets to be asked for", |state| (state.asked >= 2).then_some(()));
        first.make_durable(&half[1..]);
        half
    });
    let rest = |partition: i32, offset: i64| {
        half.iter().find(|begin| begin.partition == partition).is_none_or(|begin| offset >= begin.offset)
    };
    let mut expected = expected(0..600, &positions);
    for (partition, records) in &mut expected {
        records.retain(|(offset, _)| rest(*partition, *offset));
    }
    let count = expected.values().map(Vec::len).sum();
    assert!(0 < count && count < 600);
    // Twice: what was not durable in the second run is offered again in the third.
    for _ in 0..2 {
        let next = Recorder::default();
        let taken = next.run(&bench.log, || next.wait_for_records(count));
        assert_eq!(offsets_and_values(&taken), expected, "from the durable offset on: no gap, nothing before it");
    }
}

/// For each partition, the position of the record in the middle of what was taken of it.
fn middle_of_each(taken: &[LogRecord]) -> Vec<Position> {
    by_partition(taken).values().map(|records| records[records.len() / 2].position).collect()
}

pub(super) fn what_becomes_durable_while_revoked_is_committed(bench: &Bench) {
    bench.append_numbered(0..200);
    let first = Recorder::default();
    first.make_durable_when_revoked();
    first.run(&bench.log, || first.wait_for_records(200));
    let revoked = first.wait("the revocation", |state| (!state.revoked.is_empty()).then(|| state.revoked.clone()));
    assert_eq!(revoked, (0..bench.log.partitions).collect(), "all partitions are revoked before the run ends");
    let positions = bench.append_numbered(200..300);
    let second = Recorder::default();
    let taken = second.run(&bench.log, || second.wait_for_records(100));
    assert_eq!(offsets_and_values(&taken), expected(200..300, &positions), "nothing is offered a second time");
}

pub(super) fn a_refused_record_is_offered_again(bench: &Bench) {
    let mut positions = bench.append_numbered(0..500);
    let consumer = Recorder::default();
    // That the same record comes again, and none before it, is checked by the recorder.
    consumer.refuse_every(3);
    consumer.run(&bench.log, || {
        consumer.wait_for_records(500);
        consumer.set_full(0..bench.log.partitions);
        positions.extend(bench.append_numbered(500..1_000));
        // Long enough for a log that pauses: it must find its way back.
        wait_while_alive(&consumer, Duration::from_secs(1));
        consumer.set_full([]);
        let taken = consumer.wait_for_records(1_000);
        assert_eq!(offsets_and_values(&taken), expected(0..1_000, &positions));
        consumer.wait_for_refusals(250);
    });
}

/// Waits until `alive` was said so much later than now.
fn wait_while_alive(consumer: &Recorder, time: Duration) {
    let until = Instant::now() + time;
    consumer.wait("a sign of life", |state| state.alive.last().filter(|&&last| last >= until).copied());
}

pub(super) fn one_full_partition_does_not_hold_up_the_others(bench: &Bench) {
    let mut positions = bench.append_numbered(0..400);
    let full = positions[0].partition;
    let consumer = Recorder::default();
    consumer.set_full([full]);
    consumer.run(&bench.log, || {
        for round in [400..800, 800..1_200] {
            let others = positions.iter().filter(|position| position.partition != full).count();
            consumer.wait_for_records(others);
            positions.extend(bench.append_numbered(round));
        }
        let others = positions.iter().filter(|position| position.partition != full).count();
        consumer.wait_for_records(others);
        consumer.wait_for_refusals(1);
        consumer.set_full([]);
        let taken = consumer.wait_for_records(1_200);
        assert_eq!(offsets_and_values(&taken), expected(0..1_200, &positions));
    });
}

pub(super) fn it_shows_that_it_is_alive(bench: &Bench) {
    let consumer = Recorder::default();
    consumer.run(&bench.log, || {
        let times = |state: &State| (state.alive.len() >= 3).then_some(state.asked);
        let asked = consumer.wait("signs of life of an idle run", times);
        consumer.wait("the question what is durable", |state| (state.asked > asked).then_some(()));
        bench.append_numbered(0..100);
        consumer.set_full(0..bench.log.partitions);
        wait_while_alive(&consumer, Duration::from_secs(2));
    });
    let times = consumer.wait("signs of life", |state| Some(state.alive.clone()));
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    // Promised is once a second; a machine full of other tests gets twice that.
    assert!(longest <= Some(Duration::from_secs(2)), "silent for {longest:?}");
}

pub(super) fn a_stop_ends_a_run_whose_consumer_is_full(bench: &Bench) {
    let positions = bench.append_numbered(0..100);
    let consumer = Recorder::default();
    consumer.set_full(0..bench.log.partitions);
    let started = consumer.run(&bench.log, || {
        consumer.wait_for_refusals(1);
        Instant::now()
    });
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    let mut taken = BTreeMap::new();
    let second = Recorder::default();
    second.run(&bench.log, || taken = offsets_and_values(&second.wait_for_records(100)));
    assert_eq!(taken, expected(0..100, &positions), "what was refused is not lost");
}

pub(super) fn the_lag_is_what_lies_behind_the_commit(bench: &Bench) {
    let expected = expected(0..300, &bench.append_numbered(0..300));
    let count = |records: &Vec<(i64, bytes::Bytes)>| i64::try_from(records.len()).expect("fits");
    let (half, consumer) = (i32::midpoint(bench.log.partitions, 1), Recorder::default());
    let lags = |behind: &BTreeMap<i32, i64>| {
        let told = |state: &State| behind.iter().all(|(partition, lag)| state.lag.get(partition) == Some(lag));
        consumer.wait(&format!("the lags {behind:?}"), |state| told(state).then_some(()));
    };
    consumer.run(&bench.log, || {
        consumer.wait_for_records(300);
        let mut behind: BTreeMap<i32, i64> =
            expected.iter().map(|(&partition, records)| (partition, count(records))).collect();
        // They are taken, and not committed.
        lags(&behind);
        let ends = expected.iter().filter(|(partition, _)| **partition < half);
        let ends = ends.map(|(&partition, records)| (partition, records.last().map_or(0, |(offset, _)| offset + 1)));
        let durable: Vec<Position> = ends.map(|(partition, offset)| Position { partition, offset }).collect();
        consumer.make_durable(&durable);
        behind.extend(durable.iter().map(|position| (position.partition, 0)));
        lags(&behind);
    });
}
