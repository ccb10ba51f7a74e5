//! The one member of a generation's group.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{PARTITION, ReadLimit, SqliteLog};
use crate::event_log::{
    COMMIT_INTERVAL, EventSubscriber, LogRecord, Offer, PartitionConsumer, Position, SubscribeError, Topic,
};
use crate::projection::Generation;
use crate::sqlite::DatabaseError;

/// Records read at once: as many as the processor takes in one batch. The bytes bound what unusually large records keep in memory.
pub(super) const CHUNK: ReadLimit = ReadLimit { records: 2_000, bytes: 4 << 20 };
/// Longest wait for news before the subscriber looks whether it should stop or commit. An append wakes it at once.
const IDLE: Duration = Duration::from_millis(50);

/// Offers the records of the topic of events, from the committed offset on. See [`SqliteLog::subscriber`].
#[derive(Debug)]
pub struct SqliteSubscriber {
    log: SqliteLog,
    generation: Generation,
    next: i64,
    /// What became durable and is not committed yet.
    durable: Option<i64>,
    committed: i64,
    committed_at: Instant,
}

impl SqliteSubscriber {
    pub(super) fn new(log: SqliteLog, generation: Generation) -> Self {
        Self { log, generation, next: 0, durable: None, committed: 0, committed_at: Instant::now() }
    }

    /// Offers what is there, in order, and returns when there is no more or `stop` is cancelled.
    fn offer_all(&mut self, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), DatabaseError> {
        loop {
            let records = self.log.read(Topic::Events, self.next, CHUNK)?;
            if records.is_empty() {
                return Ok(());
            }
            for record in records {
                let next = record.position.offset + 1;
                if !self.offer(consumer, record, stop) {
                    return Ok(());
                }
                self.next = next;
            }
            self.tick(consumer);
        }
    }

    /// Offers one record until it is taken; `false` when `stop` was cancelled before.
    fn offer(&mut self, consumer: &dyn PartitionConsumer, record: LogRecord, stop: &CancellationToken) -> bool {
        let mut offered = consumer.offer(record);
        while let Offer::Full(record) = offered {
            if stop.is_cancelled() {
                return false;
            }
            consumer.wait_for_room(PARTITION, IDLE);
            self.tick(consumer);
            offered = consumer.offer(*record);
        }
        !stop.is_cancelled()
    }

    /// What has to be done from time to time.
    fn tick(&mut self, consumer: &dyn PartitionConsumer) {
        consumer.alive();
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit(consumer);
            consumer.lag(PARTITION, *self.log.news.end() - self.committed);
        }
    }

    fn commit(&mut self, consumer: &dyn PartitionConsumer) {
        let news = consumer.durable().into_iter().filter(|position| position.partition == PARTITION);
        self.durable = news.map(|Position { offset, .. }| offset).chain(self.durable).max();
        self.committed_at = Instant::now();
        let Some(offset) = self.durable else { return };
        match self.log.commit(self.generation, offset) {
            Ok(()) => {
                self.committed = offset;
                self.durable = None;
            }
            // Tried again with the next one. Until then a restart would repeat work, nothing else.
            Err(error) => tracing::warn!(%error, offset, "the offset was not committed"),
        }
    }
}

impl EventSubscriber for SqliteSubscriber {
    fn run(
        mut self: Box<Self>,
        consumer: &dyn PartitionConsumer,
        stop: &CancellationToken,
    ) -> Result<(), SubscribeError> {
        let fatal = |error: DatabaseError| SubscribeError::Fatal(error.to_string());
        self.committed = self.log.committed(self.generation).map_err(fatal)?;
        self.next = self.committed;
        self.log.news.members().push(self.generation);
        consumer.assigned(&[PARTITION]);
        tracing::info!(offset = self.next, "reading the log from the committed offset");
        let mut ended = Ok(());
        while ended.is_ok() && !stop.is_cancelled() {
            self.tick(consumer);
            if self.log.news.wait_for(self.next, IDLE) > self.next {
                ended = self.offer_all(consumer, stop);
            }
        }
        consumer.revoked(&[PARTITION]);
        self.commit(consumer);
        self.log.news.members().retain(|&member| member != self.generation);
        ended.map_err(fatal)
    }
}
