//! A lane: takes batches of its partitions and applies them, one after the other. A batch that fails for a passing reason is tried
//! again for ever, and holds up this lane only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::event_log::{AppendError, LogRecord, NewRecord, Topic};
use shared::shipment::Timestamp;
use shared::telemetry::{TraceContext, spans};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::Ports;
use crate::config::Config;
use crate::consume::{Batch, Lanes};
use crate::dead_letter::{Attempts, dead_letter, without_value};
use crate::failure::Failure;
use crate::item::Content;
use crate::metrics::Metrics;
use crate::partition::{Decision, Work};
use crate::storm::StormBreaker;

/// When a batch became durable, and how long that took from its decision on.
#[derive(Clone, Copy)]
struct Durable {
    at: Timestamp,
    took: Duration,
}

/// How often a lane that stands at a storm looks whether it may go on, or has lost its partitions.
const HOLD_LOOK: Duration = Duration::from_secs(1);

/// The header of a record with the trace of the request that it came with.
const TRACEPARENT: &str = "traceparent";

/// How a batch ended.
enum Applied {
    /// All of it is durable.
    Durable,
    /// It was given up: its partitions are another member's.
    Lost,
}

/// How one attempt ended.
enum Attempt {
    /// All of it is durable.
    Done(Box<Decision>, Durable),
    /// The store refused some of it, or has some of it already: it has to be decided again.
    Again,
    /// The storm breaker let none of it through.
    Held,
}

pub(crate) struct Lane {
    index: usize,
    lanes: Arc<Lanes>,
    ports: Ports,
    clock: Clock,
    metrics: Arc<Metrics>,
    storm: Arc<StormBreaker>,
    epoch: i64,
    topic: String,
    group: String,
    /// The batch before held known events, so this one will too: to find it out by an insertion costs one.
    looks_up: bool,
    /// Others learn of what is decided. Not so in a rebuild, where they have learnt of it long ago.
    pub(crate) publishes: bool,
}

impl Lane {
    pub(crate) fn new(
        index: usize,
        lanes: Arc<Lanes>,
        config: &Config,
        ports: Ports,
        clock: Clock,
        metrics: Arc<Metrics>,
        storm: Arc<StormBreaker>,
    ) -> Self {
        let (topic, group) = (config.topic.clone(), config.group.clone());
        let epoch = config.epoch;
        Self { index, lanes, ports, clock, metrics, storm, epoch, topic, group, looks_up: false, publishes: true }
    }

    /// Applies batches until the queue is closed, or at once when `end` is cancelled.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        while let Some(batch) = self.lanes.take(self.index).await {
            let (exported, logged) = self.spans(&batch);
            let applying = self.apply(&batch).instrument(logged).instrument(exported.clone());
            let applied = end.run_until_cancelled(applying).await;
            if !matches!(applied, Some(Applied::Durable)) {
                spans::failed(&exported);
            }
            match applied {
                Some(Applied::Durable) => self.lanes.finished(self.index),
                Some(Applied::Lost) | None => self.lanes.abandoned(self.index),
            }
        }
        tracing::debug!(lane = self.index, "lane ended");
    }

    /// The span of a batch for the exporter, and the one that puts its trace into log lines. Where nothing is exported, that is the trace of
    /// the first request that it is work of. At the level of errors, so that it is there at each level.
    fn spans(&self, batch: &Batch) -> (Span, Span) {
        let (lane, records) = (self.index, &batch.records);
        let exported = spans::batch(lane, records.len(), records.iter().map(|record| record.header(TRACEPARENT)));
        let trace = TraceContext::of(&exported).or_else(|| records.iter().find_map(trace_of));
        let logged = tracing::error_span!("batch", trace_id = trace.map(|trace| trace.trace_id()), lane);
        (exported, logged)
    }

    /// Applies a batch, however often it takes.
    async fn apply(&mut self, batch: &Batch) -> Applied {
        let mut work = Work::decode(batch, self.epoch, self.looks_up);
        let mut attempts = Attempts { count: 1, first_failed_at: (self.clock)() };
        loop {
            self.lanes.beat(self.index);
            match self.attempt(&mut work, attempts).await {
                Ok(Attempt::Done(decision, durable)) => {
                    self.storm.passed(decision.share(batch));
                    self.looks_up = decision.duplicates > 0;
                    self.count(&work, &decision, durable);
                    say(batch, &decision, attempts, durable);
                    decision.remember_states(&mut self.lanes.cache(), batch);
                    return Applied::Durable;
                }
                Ok(Attempt::Again) => {} // what was refused is poison now, and what is there is looked up
                Ok(Attempt::Held) => {
                    if !self.hold(batch).await {
                        return Applied::Lost;
                    }
                    // Much may have happened meanwhile.
                    work.forget_states(&mut self.lanes.cache());
                }
                Err(failure) => {
                    // A write may have happened although it failed: only the store knows now.
                    work.forget_states(&mut self.lanes.cache());
                    self.pause(&failure, attempts.count, batch).await;
                }
            }
            attempts.count = attempts.count.saturating_add(1);
        }
    }

    async fn attempt(&mut self, work: &mut Work<'_>, attempts: Attempts) -> Result<Attempt, Failure> {
        let started = Instant::now();
        let decision = work.decide(&self.ports, &self.lanes).await?;
        if !self.storm.admits(decision.share(work.batch)) {
            return Ok(Attempt::Held);
        }
        if !work.write_rows(&self.ports, &decision).await? {
            return Ok(Attempt::Again);
        }
        if self.publishes {
            self.bury(work, &decision, attempts).await?;
        }
        if !work.write_states(&self.ports, &decision).await? {
            return Ok(Attempt::Again);
        }
        let durable = Durable { at: (self.clock)(), took: started.elapsed() };
        if !self.publishes {
            return Ok(Attempt::Done(Box::new(decision), durable));
        }
        self.announce(work.batch).await;
        let changes = decision.changes(&self.ports).await?;
        if !changes.is_empty() {
            let span = spans::publishing("changes", changes.len());
            self.ports.log.append(Topic::Changes, changes).instrument(span).await.all()?;
        }
        self.remember_keys(&decision).await;
        Ok(Attempt::Done(Box::new(decision), durable))
    }

    /// Stands still before a batch of which nothing is written, until an operator lets the storm through; `false` when all of its
    /// partitions went to other members meanwhile.
    async fn hold(&self, batch: &Batch) -> bool {
        let first = batch.records.first().map(|record| record.position);
        tracing::error!(lane = self.index, records = batch.records.len(), ?first, "stopped at a storm of dead letters");
        while self.lanes.owns_any_of(batch) {
            self.lanes.beat(self.index);
            if self.storm.is_let_through().await {
                return true;
            }
            tokio::time::sleep(HOLD_LOOK).await;
        }
        false
    }

    /// Step 6: writes the dead letters and waits until they are acknowledged.
    async fn bury(&self, work: &mut Work<'_>, decision: &Decision, attempts: Attempts) -> Result<(), AppendError> {
        let dead = || decision.dead.iter().filter(|(index, _)| !work.buried.contains(index));
        let letter = |(index, cause): &(usize, _)| {
            dead_letter(&work.batch.records[*index], cause, &self.topic, &self.group, attempts)
        };
        let letters: Vec<NewRecord> = dead().map(letter).collect();
        if letters.is_empty() {
            return Ok(());
        }
        let span = spans::publishing("dead letters", letters.len());
        match self.ports.log.append(Topic::DeadLetters, letters.clone()).instrument(span).await.all() {
            Err(AppendError::Refused(why)) => {
                tracing::error!(%why, letters = letters.len(), "dead letters refused; writing them without their values");
                let short = letters.iter().map(without_value).collect();
                self.ports.log.append(Topic::DeadLetters, short).await.all()?;
            }
            written => drop(written?),
        }
        work.buried.extend(decision.dead.iter().map(|(index, _)| *index));
        Ok(())
    }

    /// Tells the edge's window, which profits from knowing early. Nobody depends on it.
    async fn remember_keys(&self, decision: &Decision) {
        let decided = decision.decided();
        if !decided.is_empty()
            && let Err(error) = self.ports.window.remember(&decided).await
        {
            self.metrics.error("dedup_window_unavailable");
            tracing::debug!(%error, "the dedup window does not know of a batch");
        }
    }

    /// Wakes the callers that wait: a reader finds what the batch did. What follows from it need not have happened yet, and nobody
    /// depends on it.
    async fn announce(&self, batch: &Batch) {
        let shown = self.lanes.shown(self.index, batch);
        if let Err(error) = self.ports.announcer.announce(&shown).await {
            self.metrics.error("announce_failed");
            tracing::debug!(%error, "nobody was told that a batch is applied");
        }
    }

    async fn pause(&self, failure: &Failure, attempt: u32, batch: &Batch) {
        let pause = Failure::pause(attempt);
        self.metrics.error(failure.reason());
        tracing::error!(
            error = failure as &dyn std::error::Error,
            lane = self.index,
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
        let shown =
            work.items.iter().zip(&work.batch.records).filter(|(item, _)| matches!(item.content, Content::Event(_)));
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
                trace_id = trace_of(&work.batch.records[*index]).map(|trace| trace.trace_id()),
                partition = position.partition,
                offset = position.log.offset,
                "record moved to the dead letters"
            );
        }
    }
}

/// The trace of the request that a record came with.
fn trace_of(record: &LogRecord) -> Option<TraceContext> {
    TraceContext::read(record.header(TRACEPARENT)?)
}

/// The one line of a batch.
fn say(batch: &Batch, decision: &Decision, attempts: Attempts, durable: Durable) {
    tracing::info!(
        records = batch.records.len(),
        decided = decision.rows.len(),
        duplicates = decision.duplicates,
        dead_letters = decision.dead.len(),
        attempts = attempts.count,
        took_ms = u64::try_from(durable.took.as_millis()).unwrap_or(u64::MAX),
        "a batch was applied"
    );
}
