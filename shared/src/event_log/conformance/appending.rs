//! What an appender promises.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Bench, by_partition, expected, number, offsets_and_values, record};
use crate::event_log::murmur2::partition_of;
use crate::event_log::{Header, NewRecord, Position, Topic};

// contract: "`partitioner=murmur2_random`"
pub(super) fn a_key_has_one_partition(bench: &Bench) {
    let keyed = |n: usize| NewRecord { key: Some(format!("99M-{:06}", n % 1_000).into()), ..record(n) };
    let records: Vec<NewRecord> = (0..1_200).map(keyed).collect();
    let positions = bench.append(records.clone());
    for (record, position) in records.iter().zip(&positions) {
        let key = record.key.as_deref().expect("has one");
        assert_eq!(position.partition, partition_of(key, bench.log.partitions), "{key:?}");
    }
    let read = bench.read(Topic::Events);
    assert_eq!(read.len(), records.len());
    let mut partitions: HashMap<Bytes, i32> = HashMap::new();
    for record in read {
        let partition = record.position.partition;
        assert_eq!(*partitions.entry(record.key.expect("has one")).or_insert(partition), partition);
    }
}

pub(super) fn order_holds_within_and_between_calls(bench: &Bench) {
    let mut positions: Vec<Position> = Vec::new();
    for call in 0..20 {
        positions.extend(bench.append((call * 37..(call + 1) * 37).map(record).collect()));
    }
    let mut last: HashMap<i32, i64> = HashMap::new();
    for position in &positions {
        let before = last.insert(position.partition, position.offset);
        assert!(before.is_none_or(|before| before < position.offset), "{position:?} after {before:?}");
    }
    let read = bench.read(Topic::Events);
    assert_eq!(offsets_and_values(&read), expected(0..740, &positions));
    for records in by_partition(&read).values() {
        assert!(records.is_sorted_by_key(|record| number(record)), "the order of the appends is that of the log");
    }
}

// contract: "dead letters: original key, value"
pub(super) fn records_come_back_byte_for_byte(bench: &Bench) {
    let records = odd_records();
    let positions: Vec<Position> = records.iter().flat_map(|record| bench.append(vec![record.clone()])).collect();
    let read = bench.read(Topic::Events);
    assert_eq!(read.len(), records.len());
    for (record, position) in records.into_iter().zip(positions) {
        let found = read.iter().find(|found| found.position == position).expect("it stands where it was said to");
        assert_eq!((&found.key, &found.value), (&record.key, &record.value));
        assert_eq!(found.headers, record.headers, "all of them, in their order");
        assert_eq!(Some(found.timestamp), record.timestamp);
    }
}

/// Whatever a Kafka client may have written.
fn odd_records() -> Vec<NewRecord> {
    let binary: Bytes = (0..=255u8).cycle().take(70_000).collect();
    let header = |name: &'static str, value: Option<&Bytes>| Header { name: name.into(), value: value.cloned() };
    let plain = NewRecord {
        key: Some("99M-ODD".into()),
        partition: None,
        value: Some("{}".into()),
        headers: Vec::new(),
        timestamp: Some(1_700_000_000_123),
    };
    let all = vec![
        header("ce_id", Some(&"evt_1".into())),
        header("twice", Some(&"first".into())),
        header("null", None),
        header("twice", Some(&"second".into())),
        header("empty", Some(&Bytes::new())),
        header("binary", Some(&binary.slice(0..512))),
        header("", Some(&"no name".into())),
        header("twice", Some(&"first".into())),
        Header::text("größe", "größer"),
    ];
    vec![
        plain.clone(),
        NewRecord { headers: all.clone(), ..plain.clone() },
        NewRecord { key: Some(binary.slice(0..300)), value: Some(binary), ..plain.clone() },
        NewRecord { value: None, headers: vec![header("null", None)], ..plain.clone() },
        NewRecord { value: Some(Bytes::new()), timestamp: Some(1), ..plain.clone() },
        NewRecord { key: Some(Bytes::new()), ..plain.clone() },
        NewRecord { key: None, partition: Some(1), ..plain.clone() },
        NewRecord { key: None, value: None, partition: Some(0), headers: all, timestamp: Some(1_500_000_000_000) },
    ]
}

pub(super) fn a_record_without_a_time_gets_one(bench: &Bench) {
    let millis = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch");
        i64::try_from(now.as_millis()).expect("fits")
    };
    let before = millis();
    bench.append(vec![record(0)]);
    let (read, after) = (bench.read(Topic::Events), millis());
    assert!((before..=after).contains(&read[0].timestamp), "{before} ≤ {} ≤ {after}", read[0].timestamp);
}

pub(super) fn a_named_partition_wins_over_the_key(bench: &Bench) {
    let partitions = bench.log.partitions;
    let wanted: Vec<i32> = (0..3 * partitions).collect();
    let named = |&partition: &i32| NewRecord { partition: Some(partition), ..record(7) };
    let positions = bench.append_to(Topic::DeadLetters, wanted.iter().map(named).collect());
    for (wanted, position) in wanted.iter().zip(&positions) {
        assert_eq!(position.partition, wanted % partitions, "partition {wanted} of {partitions}");
    }
    let read = bench.read(Topic::DeadLetters);
    assert!(positions.iter().all(|position| read.iter().any(|record| record.position == *position)));
}

pub(super) fn end_of_is_one_past_the_last_record(bench: &Bench) {
    let end_of = |topic: Topic, key: &[u8]| {
        bench.runtime.block_on(bench.log.appender.end_of(topic, key)).expect("a reachable log knows its end")
    };
    let key = record(3).key.expect("has one");
    let empty = end_of(Topic::Events, &key);
    assert_eq!(empty.partition, partition_of(&key, bench.log.partitions));
    let mut last = Position { partition: empty.partition, offset: empty.offset - 1 };
    for _ in 0..3 {
        let position = *bench.append(vec![record(3); 5]).last().expect("five");
        assert!(position > last);
        let end = Position { partition: position.partition, offset: position.offset + 1 };
        assert_eq!(end_of(Topic::Events, &key), end);
        last = position;
    }
    assert_eq!(end_of(Topic::Changes, &key).offset, empty.offset, "another topic has another end");
}

pub(super) fn an_append_may_hold_five_thousand_records(bench: &Bench) {
    let positions = bench.append((0..5_000).map(record).collect());
    assert_eq!(offsets_and_values(&bench.read(Topic::Events)), expected(0..5_000, &positions));
    assert!(bench.append(Vec::new()).is_empty(), "and none");
}

pub(super) fn topics_are_apart(bench: &Bench) {
    for (n, topic) in Topic::ALL.into_iter().enumerate() {
        let positions = bench.append_to(topic, vec![record(n), record(n + 23)]);
        assert_eq!(offsets_and_values(&bench.read(topic)).len(), 1);
        let read: Vec<Position> = bench.read(topic).iter().map(|record| record.position).collect();
        assert_eq!(read, positions);
    }
}

pub(super) fn a_reachable_log_passes_its_check(bench: &Bench) {
    bench.runtime.block_on(bench.log.appender.check()).expect("it can be reached");
    bench.append(vec![record(0)]);
    bench.runtime.block_on(bench.log.appender.flush());
}
