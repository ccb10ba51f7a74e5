//! Reads stretches.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::{FeedConsumer, Shared, meaning, unavailable};
use crate::change_feed::{FeedError, Piece, READ_DEADLINE, ReadLimit, Stretch};
use crate::event_log::kafka::{describe, record};
use crate::event_log::{LogRecord, Position, Topic};

/// How long a broker keeps the question for records that are not there.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait for one record before the time is looked at.
const POLL: Duration = Duration::from_millis(100);

/// A partition that is not read to its end yet.
struct Open {
    /// Its place in the answer.
    index: usize,
    until: i64,
    /// There is nothing more on it at present.
    at_end: bool,
}

/// Reads with `consumer`. Blocks.
pub(super) fn read(
    shared: &Shared,
    consumer: &FeedConsumer,
    topic: Topic,
    stretches: &[Stretch],
    limit: ReadLimit,
) -> Result<Piece, FeedError> {
    let next = stretches.iter().map(|stretch| Position { partition: stretch.partition, offset: stretch.from });
    let mut piece = Piece { records: Vec::new(), next: next.collect() };
    let filled = || stretches.iter().enumerate().filter(|(_, stretch)| stretch.from < stretch.until);
    if filled().any(|(_, stretch)| stretch.from < 0) {
        return Err(FeedError::OutOfRange);
    }
    let open = filled().map(|(index, stretch)| {
        let open = Open { index, until: stretch.until, at_end: false };
        (stretch.partition, open)
    });
    let mut open: HashMap<i32, Open> = open.collect();
    if open.is_empty() {
        return Ok(piece);
    }
    let places = shared.at(topic, filled().map(|(_, stretch)| (stretch.partition, Offset::Offset(stretch.from))));
    let assigned = places.and_then(|places| consumer.assign(&places));
    assigned.map_err(|error| unavailable(&error))?;
    collect(consumer, limit, &mut open, &mut piece)?;
    consumer.unassign().map_err(|error| unavailable(&error))?;
    Ok(piece)
}

/// Takes records until all partitions are read to their ends, or the limit is reached, or the time is over.
fn collect(
    consumer: &FeedConsumer,
    limit: ReadLimit,
    open: &mut HashMap<i32, Open>,
    piece: &mut Piece,
) -> Result<(), FeedError> {
    let (deadline, mut bytes, mut trouble) = (Instant::now() + READ_DEADLINE, 0, None);
    while !open.is_empty() && piece.records.len() < limit.records && bytes < limit.bytes {
        if Instant::now() >= deadline {
            return late(open, piece, trouble);
        }
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                let record = record::record(&message);
                bytes += take(record, open, piece);
            }
            // The end may lie before `until` for a moment, after a fail-over of the leader: it is waited for.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(open) = open.get_mut(&partition) {
                    open.at_end = true;
                }
            }
            Some(Err(error)) => match meaning(&error) {
                Some(error) => return Err(error),
                None => trouble = Some(describe(&error)),
            },
        }
    }
    Ok(())
}

/// Adds a record when it belongs to a stretch; says how many bytes it has.
fn take(record: LogRecord, open: &mut HashMap<i32, Open>, piece: &mut Piece) -> usize {
    let Position { partition, offset } = record.position;
    let Some(stretch) = open.get_mut(&partition) else { return 0 };
    stretch.at_end = false;
    let (index, until) = (stretch.index, stretch.until);
    piece.next[index].offset = (offset + 1).min(until);
    if offset + 1 >= until {
        open.remove(&partition);
    }
    if offset >= until {
        return 0; // the last offsets of the stretch hold no record
    }
    let bytes = record.size();
    piece.records.push(record);
    bytes
}

/// The time is over. Where there was nothing more for so long, the last offsets of the stretch hold no record.
fn late(open: &HashMap<i32, Open>, piece: &mut Piece, trouble: Option<String>) -> Result<(), FeedError> {
    if piece.records.is_empty() && open.values().all(|open| !open.at_end) {
        let why = trouble.unwrap_or_else(|| format!("nothing came within {READ_DEADLINE:?}"));
        return Err(FeedError::Unavailable(why));
    }
    for open in open.values().filter(|open| open.at_end) {
        piece.next[open.index].offset = open.until;
    }
    Ok(())
}
