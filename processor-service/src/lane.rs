//! A lane: takes batches of its partitions and applies them, one after the other. A batch that fails for a passing reason is tried
//! again for ever, and holds up this lane only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::event_log::{AppendError, NewRecord, Topic};
use shared::shipment::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Ports;
use crate::cache::Cache;
use crate::config::Config;
use crate::consume::{Batch, LaneQueue};
use crate::dead_letter::{Attempts, dead_letter, without_value};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::partition::{Decision, Work};

/// When a batch became durable, and how long that took from its decision on.
#[derive(Clone, Copy)]
struct Durable {
    at: Timestamp,
    took: Duration,
}

pub(crate) struct Lane {
    queue: Arc<LaneQueue>,
    ports: Ports,
    cache: Cache,
    clock: Clock,
    metrics: Arc<Metrics>,
    epoch: i64,
    topic: String,
    group: String,
    /// Others learn of what is decided. Not so in a rebuild, where they have learnt of it long ago.
    pub(crate) publishes: bool,
}

impl Lane {
    pub(crate) fn new(
        queue: Arc<LaneQueue>,
        config: &Config,
        ports: Ports,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (topic, group) = (config.topic.clone(), config.group.clone());
        let (cache, epoch) = (Cache::new(config.lanes), config.epoch);
        Self { queue, ports, cache, clock, metrics, epoch, topic, group, publishes: true }
    }

    /// Applies batches until the queue is closed, or at once when `end` is cancelled.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        while let Some(batch) = self.queue.take().await {
            let applied = end.run_until_cancelled(self.apply(&batch)).await;
            match applied {
                Some(()) => self.queue.finished(&batch),
                None => self.queue.abandoned(),
            }
        }
        tracing::debug!(lane = self.queue.index(), "lane ended");
    }

    /// Applies a batch, however often it takes.
    async fn apply(&mut self, batch: &Batch) {
        let mut work = Work::decode(batch, self.epoch);
        let mut attempts = Attempts { count: 1, first_failed_at: (self.clock)() };
        loop {
            self.queue.beat();
            match self.attempt(&mut work, attempts).await {
                Ok(Some((decision, durable))) => {
                    self.count(&work, &decision, durable);
                    decision.remember_states(&mut self.cache, batch);
                    return;
                }
                Ok(None) => {} // some documents were refused and are poison now: decide again without them
                Err(failure) => {
                    // A write may have happened although it failed: only the store knows now.
                    self.cache.clear();
                    self.pause(&failure, attempts.count, batch).await;
                }
            }
            attempts.count = attempts.count.saturating_add(1);
        }
    }

    async fn attempt(
        &mut self,
        work: &mut Work<'_>,
        attempts: Attempts,
    ) -> Result<Option<(Decision, Durable)>, Failure> {
        let started = Instant::now();
        let decision = work.decide(&self.ports, &mut self.cache).await?;
        if !work.write(&self.ports, &decision).await? {
            return Ok(None);
        }
        let durable = Durable { at: (self.clock)(), took: started.elapsed() };
        if !self.publishes {
            return Ok(Some((decision, durable)));
        }
        self.bury(work, &decision, attempts).await?;
        let changes = decision.changes(&self.ports).await?;
        if !changes.is_empty() {
            self.ports.log.append(Topic::Changes, changes).await.all()?;
        }
        self.tell(&decision, work.batch).await;
        Ok(Some((decision, durable)))
    }

    /// Writes the dead letters and waits until they are acknowledged.
    async fn bury(&self, work: &Work<'_>, decision: &Decision, attempts: Attempts) -> Result<(), AppendError> {
        if decision.dead.is_empty() {
            return Ok(());
        }
        let letter = |(index, cause): &(usize, _)| {
            dead_letter(&work.batch.records[*index], cause, &self.topic, &self.group, attempts)
        };
        let letters: Vec<NewRecord> = decision.dead.iter().map(letter).collect();
        match self.ports.log.append(Topic::DeadLetters, letters.clone()).await.all() {
            Err(AppendError::Refused(why)) => {
                tracing::error!(%why, letters = letters.len(), "dead letters refused; writing them without their values");
                let short = letters.iter().map(without_value).collect();
                self.ports.log.append(Topic::DeadLetters, short).await.all()?;
            }
            written => drop(written?),
        }
        Ok(())
    }

    /// Tells those who profit from knowing early: the edge's window and the callers that wait. Nobody depends on it.
    async fn tell(&self, decision: &Decision, batch: &Batch) {
        let decided = decision.decided();
        if !decided.is_empty()
            && let Err(error) = self.ports.window.remember(&decided).await
        {
            self.metrics.error("dedup_window_unavailable");
            tracing::debug!(%error, "the dedup window does not know of a batch");
        }
        if let Err(error) = self.ports.announcer.announce(&batch.ends()).await {
            self.metrics.error("announce_failed");
            tracing::debug!(%error, "nobody was told that a batch is applied");
        }
    }

    async fn pause(&self, failure: &Failure, attempt: u32, batch: &Batch) {
        let pause = Failure::pause(attempt);
        self.metrics.error(failure.reason());
        tracing::error!(
            error = failure as &dyn std::error::Error,
            lane = self.queue.index(),
            records = batch.records.len(),
            first = ?batch.records.first().map(|record| record.position),
            attempt,
            pause_ms = pause.as_millis(),
            "a batch failed and will be tried again"
        );
        tokio::time::sleep(pause).await;
    }

    fn count(&self, work: &Work<'_>, decision: &Decision, durable: Durable) {
        let age = |accepted: i64| {
            let millis = durable.at.as_millis().saturating_sub(accepted);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0)) // the clocks of two machines differ a little
        };
        // Poison is never shown, and a record without a time says nothing of its age.
        let shown = work.items.iter().zip(&work.batch.records).filter(|(item, _)| item.content.is_ok());
        let ages = shown.map(|(_, record)| record.timestamp).filter(|&accepted| accepted > 0).map(age);
        self.metrics.batch(decision, ages, durable.took);
        for (index, cause) in &decision.dead {
            let position = work.items[*index].position;
            self.metrics.dead_letter(cause.class);
            if !self.publishes {
                continue;
            }
            tracing::warn!(
                class = cause.class,
                why = %cause.message,
                partition = position.partition,
                offset = position.log.offset,
                "record moved to the dead letters"
            );
        }
    }
}
