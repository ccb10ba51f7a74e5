//! The log in the embedded file: one partition, number 0, of each topic.
//!
//! An append is one job of the writer thread, so that all requests that wait share one fsync ([`crate::sqlite`]). Offsets have no gaps.
//! Changes that are older than [`CHANGES_KEPT`] are deleted by the appends of newer ones.

mod headers;
mod replay;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::watch;

use super::{
    APPEND_DEADLINE, AppendError, Appended, CHANGES_KEPT, EventAppender, LogRecord, NewRecord, Position, Topic,
};
use crate::clock::Clock;
use crate::projection::Generation;
use crate::sqlite::{Database, DatabaseError, Reader};

pub use subscriber::SqliteSubscriber;

/// The only partition.
pub const PARTITION: i32 = 0;
/// Most changes that one append deletes: more than it adds, so that what is too old goes away, and few enough that nobody waits for it.
const FORGOTTEN_AT_ONCE: i64 = 2_000;

/// The log of an embedded file. Clones are the same log.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    database: Arc<Database>,
    clock: Clock,
    news: Arc<News>,
    /// One past the last change, for those who follow them.
    changes: Arc<watch::Sender<i64>>,
}

/// How far the topic of events reaches, for the subscriber that waits for more.
#[derive(Debug, Default)]
struct News {
    end: Mutex<i64>,
    grown: Condvar,
    /// Generations whose group has a member.
    members: Mutex<Vec<Generation>>,
}

impl News {
    fn end(&self) -> MutexGuard<'_, i64> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Generation>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
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
        let ends = |connection: &Connection| {
            Ok::<_, DatabaseError>((end(connection, Topic::Events)?, end(connection, Topic::Changes)?))
        };
        let (events, changes) = database.read_blocking(Reader::Work, ends)?;
        let log = Self { database, clock, news: Arc::default(), changes: Arc::new(watch::Sender::new(changes)) };
        log.news.tell(events);
        Ok(log)
    }

    /// The subscriber to this log, of the first generation's group. There is one member: take one at a time.
    #[must_use]
    pub fn subscriber(&self) -> SqliteSubscriber {
        SqliteSubscriber::new(self.clone(), Generation::FIRST)
    }

    /// The records of `topic` from `from` on: at most `records`, and no more than about `bytes`, but at least one when there is one.
    fn read(&self, topic: Topic, from: i64, limit: ReadLimit) -> Result<Vec<LogRecord>, DatabaseError> {
        self.database.read_blocking(Reader::Work, |connection| Ok(records(connection, topic, from, limit)?))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// One past the last change, as it grows.
    pub(crate) fn end_of_changes(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// The offset that the subscriber begins with.
    fn committed(&self, generation: Generation) -> Result<i64, DatabaseError> {
        Ok(self.committed_offset(generation)?.unwrap_or(0))
    }

    fn committed_offset(&self, generation: Generation) -> Result<Option<i64>, DatabaseError> {
        self.database.read_blocking(Reader::Work, |connection| {
            let sql = if generation == Generation::FIRST {
                "SELECT offset FROM log_committed WHERE ?1 = 1"
            } else {
                "SELECT offset FROM log_committed_by_generation WHERE generation = ?1"
            };
            Ok(connection.prepare_cached(sql)?.query_row([generation.number()], |row| row.get(0)).optional()?)
        })
    }

    fn commit(&self, generation: Generation, offset: i64) -> Result<(), DatabaseError> {
        self.database.write_blocking(move |connection| {
            let sql = if generation == Generation::FIRST {
                "INSERT INTO log_committed (id, offset) VALUES (?1 - 1, ?2)
                 ON CONFLICT (id) DO UPDATE SET offset = excluded.offset"
            } else {
                "INSERT INTO log_committed_by_generation (generation, offset) VALUES (?1, ?2)
                 ON CONFLICT (generation) DO UPDATE SET offset = excluded.offset"
            };
            connection.prepare_cached(sql)?.execute((generation.number(), offset))?;
            Ok(())
        })
    }
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimit {
    pub(crate) records: i64,
    pub(crate) bytes: usize,
}

#[async_trait]
impl EventAppender for SqliteLog {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        if records.is_empty() {
            return Appended { positions: Vec::new(), refused: None };
        }
        let now = (self.clock)().as_millis();
        let (news, changes) = (self.news.clone(), self.changes.clone());
        // Encoded here, so that the writer's thread does nothing but write.
        let headers: Vec<Vec<u8>> = records.iter().map(|record| headers::encode(&record.headers)).collect();
        let insert = move |connection: &Connection| insert(connection, topic, &records, &headers, now);
        let tell = move |positions: &Vec<Position>| {
            let Some(end) = positions.last().map(|last| last.offset + 1) else { return };
            match topic {
                Topic::Events => news.tell(end),
                Topic::Changes => drop(changes.send_replace(end)), // told in order: by the one thread that writes
                Topic::DeadLetters => {}
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
    headers: &[Vec<u8>],
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
    for ((offset, record), headers) in (first..).zip(records).zip(headers) {
        let time = record.timestamp.unwrap_or(now);
        statement.execute((offset, time, record.key.as_deref(), record.value.as_deref(), headers))?;
        positions.push(Position { partition: PARTITION, offset });
    }
    if topic == Topic::Changes {
        forget_old_changes(connection, first, now)?;
    }
    Ok(positions)
}

/// Deletes some of the changes before `first` that are older than changes are kept. The newest one stays, because it says where the topic ends.
fn forget_old_changes(connection: &Connection, first: i64, now: i64) -> rusqlite::Result<()> {
    let too_old = now.saturating_sub(i64::try_from(CHANGES_KEPT.as_millis()).unwrap_or(i64::MAX));
    let oldest = "SELECT offset, timestamp FROM log_changes ORDER BY offset LIMIT 1";
    let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let oldest = connection.prepare_cached(oldest)?.query_row([], row).optional()?;
    let Some((oldest, _)) = oldest.filter(|&(_, timestamp)| timestamp < too_old) else { return Ok(()) };
    let delete = "DELETE FROM log_changes WHERE offset < ?1 AND timestamp < ?2";
    let before = first.min(oldest + FORGOTTEN_AT_ONCE);
    connection.prepare_cached(delete)?.execute((before, too_old)).map(drop)
}

/// The oldest offset that is there, or the end when nothing is; and the end.
pub(crate) fn bounds(connection: &Connection, topic: Topic) -> rusqlite::Result<(i64, i64)> {
    let (end, first) = (end(connection, topic)?, records(connection, topic, 0, ReadLimit { records: 1, bytes: 1 })?);
    Ok((first.first().map_or(end, |record| record.position.offset), end))
}

/// The records of `topic` from `from` on, as far as `limit` allows.
pub(crate) fn records(
    connection: &Connection,
    topic: Topic,
    from: i64,
    limit: ReadLimit,
) -> rusqlite::Result<Vec<LogRecord>> {
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

/// A copy of a row: one piece of memory for its key, value and headers.
fn read_record(row: &Row<'_>) -> rusqlite::Result<LogRecord> {
    let (key, value) = (row.get_ref(2)?.as_blob_or_null()?, row.get_ref(3)?.as_blob_or_null()?);
    let headers = row.get_ref(4)?.as_blob()?;
    let all = [key, value, Some(headers)];
    let mut memory = Vec::with_capacity(all.iter().flatten().map(|part| part.len()).sum());
    all.iter().flatten().for_each(|part| memory.extend_from_slice(part));
    let mut rest = Bytes::from(memory);
    // In the order in which they were put in.
    let mut take = |part: Option<&[u8]>| part.map(|part| rest.split_to(part.len()));
    let (key, value) = (take(key), take(value));
    let malformed = |error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, Box::new(error));
    Ok(LogRecord {
        position: Position { partition: PARTITION, offset: row.get(0)? },
        timestamp: row.get(1)?,
        key,
        value,
        headers: headers::decode(&rest).map_err(malformed)?,
    })
}
