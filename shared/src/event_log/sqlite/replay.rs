//! The past of the embedded log. There is one process, so a group has a member when this process runs one.

use async_trait::async_trait;
use rusqlite::Connection;

use super::subscriber::CHUNK;
use super::{PARTITION, SqliteLog, SqliteSubscriber, end};
use crate::event_log::replay::{EventReplay, Held, Offsets, ReplayError, ReplayInParts, Stretch};
use crate::event_log::{EventSubscriber, Topic};
use crate::projection::Generation;
use crate::shipment::Timestamp;
use crate::sqlite::{DatabaseError, Reader};

impl From<DatabaseError> for ReplayError {
    fn from(error: DatabaseError) -> Self {
        Self(error.to_string())
    }
}

impl SqliteLog {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReplayError> {
        let asked = |connection: &Connection| Ok::<_, DatabaseError>(question(connection)?);
        Ok(self.database.read(Reader::Query, asked).await?)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, ReplayError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| ReplayError(error.to_string()))?;
    Ok(done?)
}

#[async_trait]
impl EventReplay for SqliteLog {
    async fn held(&self) -> Result<Held, ReplayError> {
        let sql = "SELECT coalesce(min(offset), 0) FROM log_events";
        let (begin, end) = self
            .ask(move |connection| {
                Ok((connection.query_row(sql, [], |row| row.get(0))?, end(connection, Topic::Events)?))
            })
            .await?;
        Ok(Held { begin: [(PARTITION, begin)].into(), end: [(PARTITION, end)].into() })
    }

    async fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError> {
        // No index tells it; a replay reads every record anyway.
        let sql = "SELECT min(offset) FROM log_events WHERE timestamp >= ?1";
        let offset = self
            .ask(move |connection| {
                let first: Option<i64> = connection.query_row(sql, [time.as_millis()], |row| row.get(0))?;
                first.map_or_else(|| end(connection, Topic::Events), Ok)
            })
            .await?;
        Ok([(PARTITION, offset)].into())
    }

    async fn committed(&self, generation: Generation) -> Result<Offsets, ReplayError> {
        let log = self.clone();
        let offset = blocking(move || log.committed_offset(generation)).await?;
        Ok(offset.map(|offset| (PARTITION, offset)).into_iter().collect())
    }

    async fn commit(&self, generation: Generation, offsets: &Offsets) -> Result<(), ReplayError> {
        if self.has_members(generation).await? {
            return Err(ReplayError("the group has a member".to_owned()));
        }
        let Some(&offset) = offsets.get(&PARTITION) else { return Ok(()) };
        let log = self.clone();
        blocking(move || log.commit(generation, offset)).await
    }

    async fn has_members(&self, generation: Generation) -> Result<bool, ReplayError> {
        Ok(self.news.members().contains(&generation))
    }

    async fn forget(&self, generation: Generation) -> Result<(), ReplayError> {
        if self.has_members(generation).await? {
            return Err(ReplayError("the group has a member".to_owned()));
        }
        let log = self.clone();
        blocking(move || {
            log.database.write_blocking(move |connection| {
                let sql = if generation == Generation::FIRST {
                    "DELETE FROM log_committed WHERE ?1 = 1"
                } else {
                    "DELETE FROM log_committed_by_generation WHERE generation = ?1"
                };
                connection.execute(sql, [generation.number()])?;
                Ok(())
            })
        })
        .await
    }

    fn member(&self, generation: Generation) -> Box<dyn EventSubscriber> {
        Box::new(SqliteSubscriber::new(self.clone(), generation))
    }

    fn replay(&self, stretch: Stretch) -> Box<dyn EventSubscriber> {
        let (log, committing, generation) = (self.clone(), self.clone(), stretch.commit);
        let read = move |_, from| log.read(Topic::Events, from, CHUNK).map_err(|error| error.to_string());
        let commit = move |offsets: &Offsets| match (generation, offsets.get(&PARTITION)) {
            (Some(generation), Some(&offset)) => {
                committing.commit(generation, offset).map_err(|error| error.to_string())
            }
            _ => Ok(()),
        };
        Box::new(ReplayInParts { stretch, read: Box::new(read), commit: Box::new(commit) })
    }
}
