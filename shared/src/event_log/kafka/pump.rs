//! Moves records from librdkafka to the consumer, on one thread, at the consumer's pace.
//!
//! When a partition's records find no room, they wait here in order, a few of them, while other partitions go on. When too many
//! wait, nothing is polled for a moment: librdkafka's own prefetch is bounded. Only when that lasts are the full partitions paused,
//! which throws their prefetch away; the others go on, and rebalances are served.

use std::collections::btree_map::{BTreeMap, Entry};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use tokio_util::sync::CancellationToken;

use super::membership::{Membership, Owned};
use super::{describe, record};
use crate::event_log::{COMMIT_INTERVAL, LogRecord, Offer};

/// Longest time between two polls, so that rebalances are served and a stop is seen.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// While some records wait: how long to wait for room before looking for records of others.
const ROOM_INTERVAL: Duration = Duration::from_millis(10);
/// Records that may wait for room before polling stops.
const WAITING_RECORDS: usize = 1_000;
/// Bytes that may wait for room before polling stops.
const WAITING_BYTES: usize = 4 << 20;
/// How long nothing is polled before the full partitions are paused. A healthy store makes room in less.
const PAUSE_AFTER: Duration = Duration::from_millis(200);
/// Records that are taken from librdkafka before other duties are looked at.
const SLICE: usize = 500;
/// How often `alive` is said; promised is once a second.
const ALIVE_INTERVAL: Duration = Duration::from_millis(250);
/// How often the ends of paused partitions are looked up: librdkafka does not see them grow.
const ENDS_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time that one such look may take.
const ENDS_DEADLINE: Duration = Duration::from_millis(200);
/// The same complaint is logged again after this long.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Pump<'a, 'b> {
    kafka: &'a BaseConsumer<Membership<'b>>,
    membership: &'a Membership<'b>,
    committed_at: Instant,
    alive_at: Option<Instant>,
    ends_at: Instant,
    /// Since when nothing is polled because too much waits.
    stopped: Option<Instant>,
    /// Records and bytes that wait, those of paused partitions left out.
    waiting: (usize, usize),
    complaints: BTreeMap<String, Instant>,
}

impl<'a, 'b> Pump<'a, 'b> {
    pub(super) fn new(kafka: &'a BaseConsumer<Membership<'b>>) -> Self {
        let (membership, now) = (kafka.context().as_ref(), Instant::now());
        let (alive_at, stopped, complaints) = (None, None, BTreeMap::new());
        Self { kafka, membership, committed_at: now, alive_at, ends_at: now, stopped, waiting: (0, 0), complaints }
    }

    /// Pumps until `stop`.
    ///
    /// # Errors
    /// The client cannot go on.
    pub(super) fn run(mut self, stop: &CancellationToken) -> Result<(), KafkaError> {
        while !stop.is_cancelled() {
            self.other_duties();
            let first_waiting = self.offer_waiting();
            if self.is_too_much() {
                self.hold(first_waiting);
                continue;
            }
            self.stopped = None;
            // With records waiting, only what is there is taken; then room is waited for.
            let patience = if first_waiting.is_none() { POLL_INTERVAL } else { Duration::ZERO };
            let came = self.poll_slice(patience)?;
            if came == 0
                && let Some(partition) = first_waiting
            {
                self.membership.consumer().wait_for_room(partition, ROOM_INTERVAL);
            }
        }
        Ok(())
    }

    fn other_duties(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.committed_at) >= COMMIT_INTERVAL {
            self.membership.commit(self.kafka);
            self.committed_at = now;
        }
        let due = self.alive_at.is_none_or(|at| now.duration_since(at) >= ALIVE_INTERVAL);
        if due && self.membership.is_healthy() {
            self.membership.consumer().alive();
            self.alive_at = Some(now);
        }
        if now.duration_since(self.ends_at) >= ENDS_INTERVAL {
            self.look_up_ends();
            self.ends_at = now;
        }
    }

    /// Offers what waits, in order; resumes the paused partitions of which nothing waits any more. Gives a partition of which
    /// something still waits.
    fn offer_waiting(&mut self) -> Option<i32> {
        let consumer = self.membership.consumer();
        let (first, resumed) = self.membership.owned(|owned| {
            self.waiting = (0, 0);
            let (mut first, mut resumed) = (None, Vec::new());
            for (&partition, owned) in owned.iter_mut() {
                offer_in_order(owned, |record| consumer.offer(record));
                if owned.waiting.is_empty() {
                    if std::mem::take(&mut owned.paused) {
                        resumed.push(partition);
                    }
                } else {
                    first = first.or(Some(partition));
                    if !owned.paused {
                        self.waiting.0 += owned.waiting.len();
                        self.waiting.1 += owned.waiting.iter().map(LogRecord::size).sum::<usize>();
                    }
                }
            }
            (first, resumed)
        });
        if !resumed.is_empty() {
            tracing::debug!(partitions = ?resumed, "resumed");
            let list = self.membership.list(resumed);
            let result = self.kafka.resume(&list);
            self.complain_about(result);
        }
        first
    }

    fn is_too_much(&self) -> bool {
        self.waiting.0 >= WAITING_RECORDS || self.waiting.1 >= WAITING_BYTES
    }

    /// Waits for room instead of polling; pauses the full partitions when that lasts.
    fn hold(&mut self, waiting: Option<i32>) {
        let since = *self.stopped.get_or_insert_with(Instant::now);
        let left = PAUSE_AFTER.saturating_sub(since.elapsed());
        if let Some(partition) = waiting
            && !left.is_zero()
        {
            self.membership.consumer().wait_for_room(partition, left.min(POLL_INTERVAL));
            return;
        }
        let full = self.membership.owned(|owned| {
            let full = owned.iter_mut().filter(|(_, owned)| !owned.waiting.is_empty() && !owned.paused);
            full.map(|(&partition, owned)| {
                owned.paused = true;
                partition
            })
            .collect::<Vec<_>>()
        });
        tracing::debug!(partitions = ?full, "paused: there is no room");
        let list = self.membership.list(full);
        let result = self.kafka.pause(&list);
        self.complain_about(result);
        self.stopped = None;
    }

    /// Takes at most [`SLICE`] records from librdkafka; waits for the first one. Says how many came.
    fn poll_slice(&mut self, patience: Duration) -> Result<usize, KafkaError> {
        let (mut patience, mut came) = (patience, 0);
        while came < SLICE && !self.is_too_much() {
            match self.kafka.poll(patience) {
                None => break,
                Some(Ok(message)) => {
                    let record = record::record(&message);
                    drop(message);
                    self.take(record);
                    came += 1;
                }
                Some(Err(error)) if is_fatal(&error) => return Err(error),
                Some(Err(error)) => self.complain(&error),
            }
            patience = Duration::ZERO;
        }
        Ok(came)
    }

    /// Offers a record that came, behind those that wait.
    fn take(&mut self, record: LogRecord) {
        let (position, size) = (record.position, record.size());
        let consumer = self.membership.consumer();
        let waits = self.membership.owned(|owned| {
            // One of a partition that was just revoked is the next owner's.
            let owned = owned.get_mut(&position.partition)?;
            if position.offset < owned.next {
                tracing::error!(?position, next = owned.next, "the log went back: was the topic made anew?");
            }
            owned.next = position.offset + 1;
            owned.waiting.push_back(record);
            offer_in_order(owned, |record| consumer.offer(record));
            Some(!owned.waiting.is_empty())
        });
        if waits == Some(true) {
            self.waiting.0 += 1;
            self.waiting.1 += size;
        }
    }

    /// The lag of paused partitions, of which librdkafka hears nothing.
    fn look_up_ends(&mut self) {
        let paused: Vec<i32> = self
            .membership
            .owned(|owned| owned.iter().filter(|(_, owned)| owned.paused).map(|(&partition, _)| partition).collect());
        if paused.is_empty() {
            return;
        }
        let committed = self.kafka.committed_offsets(self.membership.list(paused), ENDS_DEADLINE);
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => return self.complain(&error),
        };
        for element in committed.elements() {
            match self.kafka.fetch_watermarks(element.topic(), element.partition(), ENDS_DEADLINE) {
                Ok((begin, end)) => {
                    let committed = if let Offset::Offset(offset) = element.offset() { offset } else { begin };
                    self.membership.end_is(element.partition(), end, committed);
                }
                Err(error) => return self.complain(&error),
            }
        }
    }

    fn complain_about(&mut self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            self.complain(&error);
        }
    }

    /// Logs an error that librdkafka gets over by itself, and not again for a while.
    fn complain(&mut self, error: &KafkaError) {
        let now = Instant::now();
        self.complaints.retain(|_, at| now.duration_since(*at) < COMPLAINT_INTERVAL);
        if let Entry::Vacant(new) = self.complaints.entry(describe(error)) {
            tracing::warn!(error = new.key(), "the subscriber met an error and goes on");
            new.insert(now);
        }
    }
}

/// Offers what waits until one is refused.
fn offer_in_order(owned: &mut Owned, offer: impl Fn(LogRecord) -> Offer) {
    while let Some(record) = owned.waiting.pop_front() {
        if let Offer::Full(record) = offer(record) {
            owned.waiting.push_front(*record);
            break;
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}
