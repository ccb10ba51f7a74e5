//! One append call on its way: what was acknowledged, what was given up, and the one wake-up when all is settled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message};
use tokio::sync::oneshot;

use super::outage::Outage;
use super::{describe, log_error, log_line};
use crate::event_log::{AppendError, Appended, Position};

/// The records of one append call.
pub(super) struct Batch {
    state: Mutex<State>,
}

struct State {
    positions: Vec<Option<Position>>,
    unsettled: usize,
    /// The first record that was refused, and why.
    refused: Option<(usize, AppendError)>,
    settled: Option<oneshot::Sender<()>>,
}

impl Batch {
    /// A batch of `count` records, and what is told when all of them are settled.
    pub(super) fn new(count: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (settled, told) = oneshot::channel();
        let positions = vec![None; count];
        let state = State { positions, unsettled: count, refused: None, settled: Some(settled) };
        (Arc::new(Self { state: Mutex::new(state) }), told)
    }

    /// Record number `index` is settled.
    fn settle(&self, index: usize, result: Result<Position, AppendError>) {
        let mut state = self.state();
        match result {
            Ok(position) => state.positions[index] = Some(position),
            Err(error) => state.refuse(index, error),
        }
        state.settle(1);
    }

    /// The records from number `index` on were never handed over.
    pub(super) fn refuse_from(&self, index: usize, error: AppendError) {
        let mut state = self.state();
        let count = state.positions.len() - index;
        state.refuse(index, error);
        state.settle(count);
    }

    /// What is known now: the positions of the records before the first one that is refused or still on its way.
    pub(super) fn appended(&self) -> Appended {
        let mut state = self.state();
        let refused = state.refused.take();
        let end = refused.as_ref().map_or(state.positions.len(), |(index, _)| *index);
        let positions: Vec<Position> = state.positions[..end].iter().map_while(|position| *position).collect();
        let late = || AppendError::Unavailable("the brokers did not acknowledge in time".to_owned());
        let refused = match refused {
            Some((index, error)) if index == positions.len() => Some(error),
            // One before it is still on its way.
            _ => (positions.len() < state.positions.len()).then(late),
        };
        Appended { positions, refused }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, index: usize, error: AppendError) {
        if self.refused.as_ref().is_none_or(|(first, _)| index < *first) {
            self.refused = Some((index, error));
        }
    }

    fn settle(&mut self, count: usize) {
        self.unsettled -= count;
        if self.unsettled == 0
            && let Some(settled) = self.settled.take()
        {
            // Nobody listens any more when the caller's time was over.
            settled.send(()).unwrap_or_default();
        }
    }
}

/// One record of a batch, as librdkafka carries it.
pub(super) struct Delivery {
    pub(super) batch: Arc<Batch>,
    pub(super) index: usize,
}

/// Takes the reports of one producer.
pub(super) struct Deliveries {
    outage: Arc<Outage>,
    /// The producer is of no use any more.
    fatal: AtomicBool,
}

impl Deliveries {
    pub(super) fn new(outage: Arc<Outage>) -> Self {
        Self { outage, fatal: AtomicBool::new(false) }
    }

    /// Whether the producer must be replaced.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed)
    }

    /// Remembers when an error says that the producer is of no use any more.
    pub(super) fn note(&self, error: &KafkaError) {
        let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
        if fatal && !self.fatal.swap(true, Ordering::Relaxed) {
            tracing::error!(error = describe(error), "the producer cannot go on and is replaced");
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&error);
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let now = Instant::now();
        let settled = match result {
            Ok(message) => {
                self.outage.acknowledged(now);
                position(message.partition(), message.offset())
            }
            Err((error, _)) => {
                self.note(error);
                self.outage.given_up(now);
                Err(refusal(error))
            }
        };
        delivery.batch.settle(delivery.index, settled);
    }
}

/// The position of an acknowledged record. A broker that finds a record twice may have forgotten where the first one is; the
/// caller sends it again, which is safe.
fn position(partition: i32, offset: i64) -> Result<Position, AppendError> {
    let nowhere = || AppendError::Unavailable("acknowledged without a position".to_owned());
    (offset >= 0).then_some(Position { partition, offset }).ok_or_else(nowhere)
}

/// Why librdkafka did not take a record, or gave it up.
pub(super) fn refusal(error: &KafkaError) -> AppendError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::QueueFull) => AppendError::QueueFull,
        // About this very record. Everything else, what we do not know included, may pass.
        Some(Code::MessageSizeTooLarge | Code::InvalidTimestamp | Code::InvalidRecord) => {
            AppendError::Refused(describe(error))
        }
        _ => AppendError::Unavailable(describe(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Position {
        Position { partition: 0, offset }
    }

    fn away() -> AppendError {
        AppendError::Unavailable("away".to_owned())
    }

    #[test]
    fn what_was_acknowledged_behind_a_failure_counts_as_refused() {
        let (batch, mut told) = Batch::new(4);
        batch.settle(3, Ok(at(13)));
        batch.settle(2, Err(AppendError::QueueFull));
        batch.settle(1, Err(away()));
        assert!(told.try_recv().is_err(), "one is still on its way");
        batch.settle(0, Ok(at(10)));
        assert!(told.try_recv().is_ok());
        let appended = batch.appended();
        assert_eq!(appended.positions, [at(10)]);
        assert!(matches!(appended.refused, Some(AppendError::Unavailable(_))), "the reason of the first one");
    }

    #[test]
    fn what_was_never_handed_over_is_settled_at_once() {
        let (batch, mut told) = Batch::new(3);
        batch.settle(0, Ok(at(10)));
        batch.refuse_from(1, AppendError::QueueFull);
        assert!(told.try_recv().is_ok());
        let appended = batch.appended();
        assert_eq!(appended.positions, [at(10)]);
        assert!(matches!(appended.refused, Some(AppendError::QueueFull)));
    }

    #[test]
    fn when_time_is_over_the_prefix_that_is_acknowledged_counts() {
        let (batch, _told) = Batch::new(4);
        batch.settle(0, Ok(at(10)));
        batch.settle(2, Ok(at(12)));
        batch.settle(3, Err(AppendError::QueueFull));
        let appended = batch.appended();
        assert_eq!(appended.positions, [at(10)]);
        assert!(matches!(appended.refused, Some(AppendError::Unavailable(_))), "{:?}", appended.refused);
    }

    #[test]
    fn a_record_without_a_position_is_not_accepted() {
        assert!(position(0, -1001).is_err());
        assert_eq!(position(0, 7).expect("a position"), at(7));
    }
}
