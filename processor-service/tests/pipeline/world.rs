//! A processor on the memory adapters, and the records that are fed to it.

use std::sync::Arc;
use std::time::Duration;

use processor_service::config::Config;
use processor_service::{Ports, Processor};
use serde_json::{Value, json};
use shared::applied::AppliedWatcher;
use shared::applied::in_process::AppliedPositions;
use shared::dead_letters::StormNotice;
use shared::dedup_window::memory::MemoryWindow;
use shared::event_log::memory::{MemoryLog, MemorySubscriber};
use shared::event_log::{EventAppender, NewRecord, Position, SubscribeError, Topic};
use shared::metrics::MetricRegistry;
use shared::operator_log::memory::MemoryOperatorLog;
use shared::settings::Environment;
use shared::shipment::{
    Event, EventBody, Reporter, ShipmentCreated, StatusReported, Timestamp, TrackingNumber, UnknownFields, record,
};
use shared::shipment_store::memory::MemoryStore;
use shared::shipment_store::{EventRow, ShipmentReader, StoredShipment};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for anything that works; a test that fails waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const PARTITIONS: i32 = 4;

/// A time that every test shares: the decision reads no clock, so it may stand still.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000)
}

/// All ports of one platform.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) window: Arc<MemoryWindow>,
    pub(crate) applied: Arc<AppliedPositions>,
    pub(crate) operators: Arc<MemoryOperatorLog>,
}

/// A processor that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), SubscribeError>>,
    pub(crate) registry: MetricRegistry,
    pub(crate) storm: StormNotice,
}

impl Running {
    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("it stops in time");
        ended.expect("no panic").expect("no fatal error");
    }
}

impl Running {
    /// Ends it wherever it is.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|ended| ended.is_cancelled()), "it did not end by itself");
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            log: MemoryLog::new(PARTITIONS, || now().as_millis()),
            store: Arc::default(),
            window: Arc::new(MemoryWindow::new(Duration::from_secs(3600))),
            applied: Arc::default(),
            operators: Arc::default(),
        }
    }

    /// The same store with everything else as new: what a processor finds whose commits, window and notices were lost.
    pub(crate) fn with_everything_else_lost(&self) -> Self {
        Self { store: self.store.clone(), ..Self::new() }
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports {
            store: self.store.clone(),
            log: Arc::new(self.log.clone()),
            window: self.window.clone(),
            announcer: self.applied.clone(),
            operators: self.operators.clone(),
        }
    }

    pub(crate) fn start(&self) -> Running {
        let (registry, stop) = (MetricRegistry::default(), CancellationToken::new());
        let config = Config::from_environment(&Environment::of(&[])).expect("defaults are valid");
        let processor = Processor::new(config, self.ports(), now, &registry).expect("an empty registry");
        let storm = processor.storm_notice();
        let subscriber = Box::new(MemorySubscriber(self.log.clone()));
        let task = {
            let stop = stop.clone();
            tokio::spawn(async move { processor.run(subscriber, stop).await })
        };
        Running { stop, task, registry, storm }
    }

    pub(crate) async fn append(&self, records: Vec<NewRecord>) -> Vec<Position> {
        self.log.append(Topic::Events, records).await.all().expect("the log is there")
    }

    pub(crate) async fn append_events(&self, events: &[Event]) -> Vec<Position> {
        self.append(events.iter().map(|event| record::encode(event, None)).collect()).await
    }

    /// Waits until all of `positions` are applied.
    pub(crate) async fn settled(&self, positions: &[Position]) {
        for &position in positions {
            assert!(self.applied.wait_for(position, PATIENCE).await, "{position:?} is not applied in time");
        }
    }

    /// Waits until so many changes are published: who waits for what is shown is told before.
    pub(crate) async fn published(&self, count: usize) {
        let enough = async {
            while self.changes().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, enough).await.is_ok(), "{} of {count} changes", self.changes().len());
    }

    /// Appends events, runs a processor until they are applied, and stops it.
    pub(crate) async fn apply(&self, events: &[Event]) {
        let positions = self.append_events(events).await;
        let running = self.start();
        self.settled(&positions).await;
        running.stop().await;
    }

    pub(crate) async fn shipment(&self, number: TrackingNumber) -> StoredShipment {
        self.store.shipment(number).await.expect("the store is there").expect("the shipment is there")
    }

    /// The statuses of a shipment's history.
    pub(crate) async fn history(&self, number: TrackingNumber) -> Vec<&'static str> {
        let entries = self.shipment(number).await.state.status_history;
        entries.iter().map(|entry| entry.claim.as_str()).collect()
    }

    pub(crate) async fn row(&self, event: &Event) -> EventRow {
        let id = event.event_id();
        let rows = self.store.events(&[id.first_row(), id.conflict_row()]).await.expect("the store is there");
        rows.into_iter().find(|row| row.event_id == id).expect("the event has a row")
    }

    /// The ids of the changes feed, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        let records = self.log.records(Topic::Changes);
        records.iter().filter_map(|record| record.header("ce_id").map(str::to_owned)).collect()
    }
}

/// The tracking number of test shipment `n`.
pub(crate) fn number(n: usize) -> TrackingNumber {
    format!("99M-TEST{n:04}").parse().expect("well-formed")
}

pub(crate) fn created(number: TrackingNumber) -> Event {
    created_with(number, |_| ())
}

/// The same with a change to its body.
pub(crate) fn created_with(number: TrackingNumber, change: impl FnOnce(&mut Value)) -> Event {
    let mut body = json!({"tracking_number": number, "client_id": "client_001", "created_at": "2025-06-01T08:00:00Z",
        "origin_address": "Calle 5", "origin_lat": 19.4, "origin_lng": -99.1, "destination_address": "Av. 8",
        "destination_lat": 0, "destination_lng": 0, "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1,
        "content_description": "Books"});
    change(&mut body);
    Event::Created(Box::new(ShipmentCreated::from_json(body, now()).expect("valid")))
}

/// An event `minute` minutes after the shipment's creation.
pub(crate) fn reported(number: TrackingNumber, status: &str, minute: i64) -> Event {
    changed(number, status, minute, |_| ())
}

/// The same with a change to its body.
pub(crate) fn changed(number: TrackingNumber, status: &str, minute: i64, change: impl FnOnce(&mut Value)) -> Event {
    let timestamp = Timestamp::from_millis(1_748_764_800_000 + minute * 60_000);
    let mut body = json!({"tracking_number": number, "status": status, "timestamp": timestamp, "source": "driver_app"});
    change(&mut body);
    let body = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
    Event::Reported(StatusReported { body, recorded_at: now(), reporter: None })
}

/// An event that a user of role `client` sent.
pub(crate) fn sent_by_client(event: Event, client_id: &str) -> Event {
    let Event::Reported(mut reported) = event else { panic!("only reports have a sender") };
    let (sub, role) = ("someone".to_owned(), "client".to_owned());
    reported.reporter = Some(Reporter { sub, role, client_id: Some(client_id.to_owned()) });
    Event::Reported(reported)
}

/// Every step from created to delivered.
pub(crate) fn whole_life(number: TrackingNumber) -> Vec<Event> {
    let steps = ["picked_up", "in_warehouse", "in_transit", "delivered"];
    let reports = steps.iter().zip(1..).map(|(status, minute)| reported(number, status, minute));
    std::iter::once(created(number)).chain(reports).collect()
}
