//! The feed of the embedded log. Who follows it is woken by the appends; nothing polls.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    BOUNDS_DEADLINE, Bounds, ChangeFeed, FeedError, Piece, READ_DEADLINE, ReadLimit, Stretch, TAIL_CHUNK, Tail,
};
use crate::event_log::sqlite::{self, PARTITION, SqliteLog};
use crate::event_log::{LogRecord, Position, Topic, TopicReader};
use crate::shipment::TrackingNumber;
use crate::sqlite::{DatabaseError, Reader};

/// Most bytes of a tail's chunk: a chunk of usual changes has 200 KB.
const TAIL_BYTES: usize = 4 << 20;

impl From<DatabaseError> for FeedError {
    fn from(error: DatabaseError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<rusqlite::Error> for FeedError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

#[async_trait]
impl ChangeFeed for SqliteLog {
    fn partition_of(&self, _number: TrackingNumber) -> i32 {
        PARTITION
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, FeedError> {
        self.bounds_of(Topic::Changes).await
    }

    async fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        self.read_topic(Topic::Changes, stretches, limit).await
    }

    async fn later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError> {
        let last: Vec<i64> = positions.iter().filter(|at| at.partition == PARTITION).map(|at| at.offset - 1).collect();
        let read = move |connection: &Connection| {
            let mut later = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM log_changes WHERE offset = ?1 AND timestamp > ?2)")?;
            for offset in last {
                if later.query_row((offset, time), |row| row.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        within(BOUNDS_DEADLINE, self.database().read(Reader::Query, read)).await
    }

    async fn follow(&self, from: &[Position]) -> Result<Box<dyn Tail>, FeedError> {
        let next = from.iter().find(|position| position.partition == PARTITION).map(|position| position.offset);
        // Of no partition there is nothing to wait for.
        let next = next.ok_or(FeedError::OutOfRange)?;
        Ok(Box::new(SqliteTail { log: self.clone(), next, end: self.end_of_changes() }))
    }
}

#[async_trait]
impl TopicReader for SqliteLog {
    async fn bounds_of(&self, topic: Topic) -> Result<Vec<Bounds>, FeedError> {
        let read = move |connection: &Connection| {
            let (oldest, end) = sqlite::bounds(connection, topic)?;
            Ok(vec![Bounds { oldest, end }])
        };
        within(BOUNDS_DEADLINE, self.database().read(Reader::Query, read)).await
    }

    async fn read_topic(&self, topic: Topic, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        let stretches = stretches.to_vec();
        let read = move |connection: &Connection| read_stretches(connection, topic, &stretches, limit);
        within(READ_DEADLINE, self.database().read(Reader::Query, read)).await
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, FeedError>>) -> Result<T, FeedError> {
    let late = |_| Err(DatabaseError::TimedOut(deadline).into());
    tokio::time::timeout(deadline, work).await.unwrap_or_else(late)
}

fn read_stretches(
    connection: &Connection,
    topic: Topic,
    stretches: &[Stretch],
    limit: ReadLimit,
) -> Result<Piece, FeedError> {
    let mut piece = Piece::default();
    for &Stretch { partition, from, until } in stretches {
        let mut next = from;
        if from < until && partition == PARTITION {
            let most = until.saturating_sub(from).min(i64::try_from(limit.records).unwrap_or(i64::MAX));
            let mut records = read_from(connection, topic, from, most, limit.bytes)?;
            records.retain(|record| record.position.offset < until);
            // Offsets have no gaps here: what is not there is behind the end, or beyond the limit.
            next = records.last().map_or(from, |last| last.position.offset + 1);
            piece.records.append(&mut records);
        }
        piece.next.push(Position { partition, offset: next });
    }
    Ok(piece)
}

/// At most so many records from `from` on, which must be within what the topic holds.
fn read_from(
    connection: &Connection,
    topic: Topic,
    from: i64,
    records: i64,
    bytes: usize,
) -> Result<Vec<LogRecord>, FeedError> {
    let (oldest, end) = sqlite::bounds(connection, topic)?;
    if !(oldest..=end).contains(&from) {
        return Err(FeedError::OutOfRange);
    }
    Ok(sqlite::records(connection, topic, from, sqlite::ReadLimit { records, bytes })?)
}

struct SqliteTail {
    log: SqliteLog,
    next: i64,
    end: watch::Receiver<i64>,
}

#[async_trait]
impl Tail for SqliteTail {
    async fn next(&mut self) -> Result<Vec<LogRecord>, FeedError> {
        let next = self.next;
        let told = *self.end.borrow();
        if told < next {
            // What is committed can be read a moment before it is told.
            let end = |connection: &Connection| Ok::<_, FeedError>(sqlite::bounds(connection, Topic::Changes)?.1);
            if self.log.database().read(Reader::Query, end).await? < next {
                return Err(FeedError::OutOfRange);
            }
        }
        let ended = |_| DatabaseError::Closed;
        self.end.wait_for(|end| *end > next).await.map_err(ended)?;
        let most = i64::try_from(TAIL_CHUNK).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| read_from(connection, Topic::Changes, next, most, TAIL_BYTES);
        let records = self.log.database().read(Reader::Query, read).await?;
        // There is one, since the end lies behind it.
        self.next = records.last().map_or(next, |last| last.position.offset + 1);
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::change_feed::conformance::{FeedUnderTest, every_promise_is_kept, record};
    use crate::event_log::{CHANGES_KEPT, EventAppender};
    use crate::shipment::Timestamp;
    use crate::sqlite::Database;

    /// Deletes what stands before a position, as appends do when it is too old.
    fn forget(log: &SqliteLog, oldest: Position) {
        let delete = move |connection: &Connection| {
            connection.execute("DELETE FROM log_changes WHERE offset < ?1", [oldest.offset])?;
            Ok::<_, DatabaseError>(())
        };
        log.database().write_blocking(delete).expect("deleted");
    }

    #[test]
    fn it_keeps_every_promise_of_a_feed() {
        every_promise_is_kept(&|| {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("rastro.sqlite");
            let database = Arc::new(Database::open(&file).expect("opens"));
            let log = SqliteLog::open(database, crate::clock::system).expect("opens");
            let forgetful = log.clone();
            FeedUnderTest {
                partitions: 1,
                appender: Arc::new(log.clone()),
                feed: Arc::new(log.clone()),
                reader: Arc::new(log),
                forget: Box::new(move |oldest| {
                    assert!(directory.path().exists(), "the file lives as long as the log");
                    forget(&forgetful, oldest);
                }),
            }
        });
    }

    static NOW: AtomicI64 = AtomicI64::new(0);

    #[tokio::test]
    async fn changes_go_when_they_are_too_old_and_the_end_stays_where_it_is() {
        const BEGIN: i64 = 1_750_000_000_000;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rastro.sqlite");
        let clock = || Timestamp::from_millis(NOW.load(Ordering::SeqCst));
        let kept = i64::try_from(CHANGES_KEPT.as_millis()).expect("fits");
        let bounds = async |log: &SqliteLog| log.bounds().await.expect("reads")[0];
        {
            let log = SqliteLog::open(Arc::new(Database::open(&path).expect("opens")), clock).expect("opens");
            let append = async |count: usize| {
                log.append(Topic::Changes, (0..count).map(record).collect()).await.all().expect("appended");
            };
            NOW.store(BEGIN, Ordering::SeqCst);
            append(5_000).await;
            NOW.store(BEGIN + kept, Ordering::SeqCst);
            append(10).await;
            assert_eq!(bounds(&log).await, Bounds { oldest: 0, end: 5_010 }, "not older than they are kept");
            NOW.store(BEGIN + kept + 1, Ordering::SeqCst);
            append(1).await;
            assert_eq!(bounds(&log).await, Bounds { oldest: 2_000, end: 5_011 }, "a few at a time");
            append(1).await;
            append(1).await;
            assert_eq!(bounds(&log).await, Bounds { oldest: 5_000, end: 5_013 });
            NOW.store(BEGIN + 3 * kept, Ordering::SeqCst);
            append(1).await;
            assert_eq!(bounds(&log).await, Bounds { oldest: 5_013, end: 5_014 });
        }
        let log = SqliteLog::open(Arc::new(Database::open(&path).expect("opens")), clock).expect("opens");
        assert_eq!(bounds(&log).await, Bounds { oldest: 5_013, end: 5_014 }, "offsets are never given out twice");
    }
}
