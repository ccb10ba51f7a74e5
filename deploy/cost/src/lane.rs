//! A whole lane, between a subscriber that offers records and ports that take everything and hold nothing: what a batch costs besides the
//! stores, the look-ups, the cache and the metrics included.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use async_trait::async_trait;
use processor_service::config::Config;
use processor_service::consume::Strands;
use processor_service::{Ports, Processor};
use shared::applied::{AnnounceError, AppliedAnnouncer};
use shared::dedup_window::{Decided, DedupWindow, WindowError};
use shared::event_log::{
    AppendError, Appended, EventAppender, LogRecord, NewRecord, Offer, PartitionConsumer, Position, Topic,
};
use shared::metrics::MetricRegistry;
use shared::operator_log::memory::MemoryOperatorLog;
use shared::shipment::{EventId, LogPosition, Outcome, RowId, Shipment, TrackingNumber};
use shared::shipment_store::{EventRow, Inserted, KnownKey, ParkedShipment, ShipmentWriter, StateWrite, StoreError};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::sample::{PARTITION, journey, time};

/// Records in a batch: so many that the lane waits for no more.
pub(crate) const BATCH: u32 = 200;

/// A lane and the batches that it gets, one a round.
pub(crate) struct WholeLane {
    runtime: Runtime,
    processor: Processor,
    lane: RefCell<Pin<Box<dyn Future<Output = ()>>>>,
    batches: RefCell<Vec<Vec<LogRecord>>>,
}

impl WholeLane {
    /// A lane with batches for so many rounds.
    pub(crate) fn new(rounds: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let config = Config {
            lanes: 1,
            strands: Strands::Partitions,
            epoch: 1,
            topic: "events".to_owned(),
            group: "group".to_owned(),
            storm_percent: 0,
        };
        let nowhere = Arc::new(Nowhere);
        let ports = Ports {
            store: nowhere.clone(),
            log: nowhere.clone(),
            window: nowhere.clone(),
            announcer: nowhere,
            operators: Arc::new(MemoryOperatorLog::default()),
        };
        let processor = Processor::new(config, ports.clone(), || time(900), &MetricRegistry::default())
            .expect("a registry of its own");
        processor.lanes().assigned(&[PARTITION]);
        let lane = tokio::task::unconstrained(processor.lane(0, ports, CancellationToken::new()));
        let mut batches = batches(rounds);
        batches.reverse(); // the next one is taken from the end
        Self { runtime, processor, lane: RefCell::new(Box::pin(lane)), batches: RefCell::new(batches) }
    }

    /// Has one batch applied.
    pub(crate) fn round(&self) {
        let batch = self.batches.borrow_mut().pop().expect("a batch for each round");
        let lanes = self.processor.lanes();
        for record in batch {
            assert!(matches!(lanes.offer(record), Offer::Taken), "there is room for a batch");
        }
        let _within = self.runtime.enter();
        let ended = self.lane.borrow_mut().as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(ended.is_pending() && lanes.durable().len() == 1, "the batch is durable");
    }
}

/// In each batch a fifth is created and goes its first, second, third and fourth step in the four batches behind it.
fn batches(rounds: u32) -> Vec<Vec<LogRecord>> {
    let journey = journey();
    let each = BATCH as usize / journey.len();
    let (rounds, mut offset) = (rounds as usize, 0);
    let mut batch = |round: usize| {
        let steps = journey.iter().enumerate().filter(|(step, _)| *step <= round);
        let records =
            steps.flat_map(|(step, record)| (0..each).map(move |place| (record, (round - step) * each + place)));
        let records = records.map(|(record, shipment)| {
            offset += 1;
            of_shipment(record, shipment, offset)
        });
        records.collect::<Vec<_>>()
    };
    // The first four are not full, and the lane would wait for more.
    let begin: Vec<_> = (0..journey.len() - 1).flat_map(&mut batch).collect();
    std::iter::once(begin).chain((journey.len() - 1..).map(batch).take(rounds - 1)).collect()
}

/// The record of a journey as one about another shipment.
fn of_shipment(record: &LogRecord, shipment: usize, offset: i64) -> LogRecord {
    let number = format!("99M-{shipment:08}");
    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).expect("a tracking number");
    let value = record.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).expect("JSON");
    LogRecord {
        position: Position { partition: PARTITION, offset },
        value: Some(value.replace(key, &number).into()),
        key: Some(number.into()),
        headers: record.headers.clone(),
        timestamp: record.timestamp,
    }
}

/// Servers that take everything and hold nothing.
struct Nowhere;

#[async_trait]
impl ShipmentWriter for Nowhere {
    async fn states(&self, _: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        Ok(HashMap::new())
    }

    async fn known_keys(&self, _: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        Ok(HashMap::new())
    }

    async fn rows(&self, _: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        let is_applied = |row: &EventRow| row.outcome == Outcome::Applied;
        assert!(rows.iter().all(is_applied), "every step of a journey moves its shipment");
        Ok(Inserted::All)
    }

    async fn replace_events(&self, _: &[EventRow]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write_states(&self, _: &[StateWrite]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn released_at(&self, _: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn parked(&self, _: &[i32], _: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl EventAppender for Nowhere {
    async fn append(&self, _: Topic, records: Vec<NewRecord>) -> Appended {
        let position = |_| Position { partition: PARTITION, offset: 0 };
        Appended { positions: records.into_iter().map(position).collect(), refused: None }
    }

    async fn end_of(&self, _: Topic, _: &[u8]) -> Result<Position, AppendError> {
        Ok(Position { partition: PARTITION, offset: 0 })
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

#[async_trait]
impl DedupWindow for Nowhere {
    async fn look_up(&self, keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        Ok(vec![None; keys.len()])
    }

    async fn remember(&self, _: &[Decided]) -> Result<(), WindowError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(())
    }
}

#[async_trait]
impl AppliedAnnouncer for Nowhere {
    async fn announce(&self, _: &[Position]) -> Result<(), AnnounceError> {
        Ok(())
    }
}
