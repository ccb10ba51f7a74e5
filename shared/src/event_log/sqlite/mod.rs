//! The log in the embedded file: one partition, number 0, of each topic.
//!
//! An append is one job of the writer thread, so that all requests that wait share one fsync ([`crate::sqlite`]). Offsets have no gaps.

mod headers;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::{APPEND_DEADLINE, AppendError, Appended, EventAppender, LogRecord, NewRecord, Position, Topic};
use crate::clock::Clock;
use crate::sqlite::{Database, DatabaseError, Reader};

pub use subscriber::SqliteSubscriber;

/// The only partition.
pub const PARTITION: i32 = 0;

/// The log of an embedded file. Clones are the same log.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    database: Arc<Database>,
    clock: Clock,
    news: Arc<News>,
}

/// How far the topic of events reaches, for the subscriber that waits for more.
#[derive(Debug, Default)]
struct News {
    end: Mutex<i64>,
    grown: Condvar,
}

impl News {
    fn end(&self) -> MutexGuard<'_, i64> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, end: i64) {
        let mut known = self.end();
        *known = end.max(*known);
        self.grown.notify_all();
    }

    /// Waits until there is a record at `offset`, at most `patience`; says how far the topic reaches.
    fn wait_for(&self, offset: i64, patience: Duration) -> i64 {
        let waited = self.grown.wait_timeout_while(self.end(), patience, |end| *end <= offset);
        let (end, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *end
    }
}

impl SqliteLog {
    /// The log in `database`. Records without a time of their own get it from `clock`. Blocks for one read.
    ///
    /// # Errors
    /// The database failed.
    pub fn open(database: Arc<Database>, clock: Clock) -> Result<Self, DatabaseError> {
        let end = database
            .read_blocking(Reader::Work, |connection| Ok::<_, DatabaseError>(end(connection, Topic::Events)?))?;
        let log = Self { database, clock, news: Arc::default() };
        log.news.tell(end);
        Ok(log)
    }

    /// The subscriber to this log. There is one group with one member: take one at a time.
    #[must_use]
    pub fn subscriber(&self) -> SqliteSubscriber {
        SqliteSubscriber::new(self.clone())
    }

    /// The records of `topic` from `from` on: at most `records`, and no more than about `bytes`, but at least one when there is one.
    fn read(&self, topic: Topic, from: i64, limit: ReadLimit) -> Result<Vec<LogRecord>, DatabaseError> {
        self.database.read_blocking(Reader::Work, |connection| {
            let mut statement = connection.prepare_cached(select(topic))?;
            let mut rows = statement.query((from, limit.records))?;
            let (mut records, mut bytes) = (Vec::new(), 0);
            while bytes < limit.bytes
                && let Some(row) = rows.next()?
            {
                let record = read_record(row)?;
                bytes += record.size();
                records.push(record);
            }
            Ok(records)
        })
    }

    /// The offset that the subscriber begins with.
    fn committed(&self) -> Result<i64, DatabaseError> {
        self.database.read_blocking(Reader::Work, |connection| {
            let sql = "SELECT coalesce(max(offset), 0) FROM log_committed";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
    }

    fn commit(&self, offset: i64) -> Result<(), DatabaseError> {
        self.database.write_blocking(move |connection| {
            let sql = "INSERT INTO log_committed (id, offset) VALUES (0, ?1)
                       ON CONFLICT (id) DO UPDATE SET offset = excluded.offset";
            connection.prepare_cached(sql)?.execute([offset])?;
            Ok(())
        })
    }
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
struct ReadLimit {
    records: i64,
    bytes: usize,
}

#[async_trait]
impl EventAppender for SqliteLog {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        if records.is_empty() {
            return Appended { positions: Vec::new(), refused: None };
        }
        let now = (self.clock)().as_millis();
        let news = self.news.clone();
        let insert = move |connection: &Connection| insert(connection, topic, &records, now);
        let tell = move |positions: &Vec<Position>| {
            if let (Topic::Events, Some(last)) = (topic, positions.last()) {
                news.tell(last.offset + 1);
            }
        };
        let inserted = tokio::time::timeout(APPEND_DEADLINE, self.database.write_now(insert, tell)).await;
        match inserted.unwrap_or_else(|_| Err(DatabaseError::TimedOut(APPEND_DEADLINE).into())) {
            Ok(positions) => Appended { positions, refused: None },
            Err(error) => Appended::nothing(error),
        }
    }

    async fn end_of(&self, topic: Topic, _key: &[u8]) -> Result<Position, AppendError> {
        let read = move |connection: &Connection| Ok::<_, AppendError>(end(connection, topic)?);
        let offset = self.database.read(Reader::Query, read).await?;
        Ok(Position { partition: PARTITION, offset })
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(self.database.check_writable().await?)
    }

    /// Nothing is kept back: an append has ended when it is answered.
    async fn flush(&self) {}
}

fn insert(
    connection: &Connection,
    topic: Topic,
    records: &[NewRecord],
    now: i64,
) -> Result<Vec<Position>, AppendError> {
    let first = end(connection, topic)?;
    let mut statement = connection.prepare_cached(match topic {
        Topic::Events => "INSERT INTO log_events (offset, timestamp, key, value, headers) VALUES (?1, ?2, ?3, ?4, ?5)",
        Topic::DeadLetters => {
            "INSERT INTO log_dead_letters (offset, timestamp, key, value, headers) VALUES (?1, ?2, ?3, ?4, ?5)"
        }
        Topic::Changes => {
            "INSERT INTO log_changes (offset, timestamp, key, value, headers) VALUES (?1, ?2, ?3, ?4, ?5)"
        }
    })?;
    let mut positions = Vec::with_capacity(records.len());
    for (offset, record) in (first..).zip(records) {
        let time = record.timestamp.unwrap_or(now);
        let headers = headers::encode(&record.headers);
        statement.execute((offset, time, record.key.as_deref(), record.value.as_deref(), headers))?;
        positions.push(Position { partition: PARTITION, offset });
    }
    Ok(positions)
}

/// One past the last record.
fn end(connection: &Connection, topic: Topic) -> rusqlite::Result<i64> {
    let sql = match topic {
        Topic::Events => "SELECT coalesce(max(offset) + 1, 0) FROM log_events",
        Topic::DeadLetters => "SELECT coalesce(max(offset) + 1, 0) FROM log_dead_letters",
        Topic::Changes => "SELECT coalesce(max(offset) + 1, 0) FROM log_changes",
    };
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

fn select(topic: Topic) -> &'static str {
    match topic {
        Topic::Events => {
            "SELECT offset, timestamp, key, value, headers FROM log_events WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
        }
        Topic::DeadLetters => {
            "SELECT offset, timestamp, key, value, headers FROM log_dead_letters WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
        }
        Topic::Changes => {
            "SELECT offset, timestamp, key, value, headers FROM log_changes WHERE offset >= ?1 ORDER BY offset LIMIT ?2"
        }
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<LogRecord> {
    let bytes = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<Vec<u8>>>(index)?.map(Bytes::from));
    let encoded = row.get_ref(4)?.as_blob()?;
    let malformed = |error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, Box::new(error));
    Ok(LogRecord {
        position: Position { partition: PARTITION, offset: row.get(0)? },
        timestamp: row.get(1)?,
        key: bytes(2)?,
        value: bytes(3)?,
        headers: headers::decode(encoded).map_err(malformed)?,
    })
}
