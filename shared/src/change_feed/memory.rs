//! The feed of the log in memory, for tests.

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Bounds, ChangeFeed, FeedError, Piece, ReadLimit, Stretch, TAIL_CHUNK, Tail};
use crate::event_log::memory::MemoryLog;
use crate::event_log::murmur2::partition_of;
use crate::event_log::{EventAppender, LogRecord, Position, Topic, TopicReader};
use crate::shipment::TrackingNumber;

#[async_trait]
impl ChangeFeed for MemoryLog {
    fn partition_of(&self, number: TrackingNumber) -> i32 {
        partition_of(number.as_str().as_bytes(), self.partitions())
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, FeedError> {
        self.bounds_of(Topic::Changes).await
    }

    async fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        self.read_topic(Topic::Changes, stretches, limit).await
    }

    async fn later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError> {
        self.check().await.map_err(|error| FeedError::Unavailable(error.to_string()))?;
        let last = |position: &Position| {
            let before = Position { offset: position.offset - 1, ..*position };
            self.records_from(Topic::Changes, before, 1).into_iter().find(|record| record.position == before)
        };
        Ok(positions.iter().filter_map(last).any(|record| record.timestamp > time))
    }

    async fn follow(&self, from: &[Position]) -> Result<Box<dyn Tail>, FeedError> {
        Ok(Box::new(MemoryTail { log: self.clone(), next: from.to_vec(), news: self.news_of_changes() }))
    }
}

#[async_trait]
impl TopicReader for MemoryLog {
    async fn bounds_of(&self, topic: Topic) -> Result<Vec<Bounds>, FeedError> {
        self.check().await.map_err(|error| FeedError::Unavailable(error.to_string()))?;
        Ok((0..self.partitions()).map(|partition| self.held(topic, partition)).collect())
    }

    async fn read_topic(&self, topic: Topic, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        self.check().await.map_err(|error| FeedError::Unavailable(error.to_string()))?;
        let (mut piece, mut bytes) = (Piece::default(), 0);
        for &Stretch { partition, from, until } in stretches {
            let mut next = from.max(until);
            if from < until {
                let room = limit.records.saturating_sub(piece.records.len()).saturating_add(1);
                for record in self.held_from(topic, Position { partition, offset: from }, room)? {
                    if record.position.offset >= until {
                        break;
                    }
                    if piece.records.len() >= limit.records || bytes >= limit.bytes {
                        next = record.position.offset;
                        break;
                    }
                    bytes += record.size();
                    piece.records.push(record);
                }
            }
            piece.next.push(Position { partition, offset: next });
        }
        Ok(piece)
    }
}

impl MemoryLog {
    fn held(&self, topic: Topic, partition: i32) -> Bounds {
        let (oldest, end) = self.held_offsets(topic, partition);
        Bounds { oldest, end }
    }

    fn held_from(&self, topic: Topic, from: Position, most: usize) -> Result<Vec<LogRecord>, FeedError> {
        let Bounds { oldest, end } = self.held(topic, from.partition);
        if !(oldest..=end).contains(&from.offset) {
            return Err(FeedError::OutOfRange);
        }
        Ok(self.records_from(topic, from, most))
    }
}

struct MemoryTail {
    log: MemoryLog,
    next: Vec<Position>,
    news: watch::Receiver<()>,
}

#[async_trait]
impl Tail for MemoryTail {
    async fn next(&mut self) -> Result<Vec<LogRecord>, FeedError> {
        loop {
            self.news.mark_unchanged();
            let mut records = Vec::new();
            for next in &mut self.next {
                let room = TAIL_CHUNK - records.len();
                records.extend(self.log.held_from(Topic::Changes, *next, room)?);
                if let Some(last) = records.last().filter(|last| last.position.partition == next.partition) {
                    next.offset = last.position.offset + 1;
                }
            }
            if !records.is_empty() {
                return Ok(records);
            }
            let ended = |_| FeedError::Unavailable("the log is gone".to_owned());
            self.news.changed().await.map_err(ended)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::change_feed::conformance::{FeedUnderTest, every_promise_is_kept};

    #[test]
    fn it_keeps_every_promise_of_a_feed() {
        every_promise_is_kept(&|| {
            let log = MemoryLog::new(5, || crate::clock::system().as_millis());
            let forgetful = log.clone();
            FeedUnderTest {
                partitions: 5,
                appender: Arc::new(log.clone()),
                feed: Arc::new(log.clone()),
                reader: Arc::new(log),
                forget: Box::new(move |oldest| forgetful.forget(Topic::Changes, oldest)),
            }
        });
    }
}
