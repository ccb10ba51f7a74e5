//! The projection built anew, compared, swapped and rolled back, on the memory adapters.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use processor_service::command::Command;
use processor_service::config::Config;
use processor_service::follow::Follow;
use processor_service::tools::{self, Finished, Screen, ToolError, Tools};
use processor_service::{Ports, Processor};
use shared::applied::AppliedAnnouncer;
use shared::dead_letters::REPLAY_OF;
use shared::event_log::memory::MemoryLog;
use shared::event_log::replay::EventReplay;
use shared::event_log::{Header, NewRecord, Position, Topic};
use shared::metrics::MetricRegistry;
use shared::projection::memory::MemoryProjection;
use shared::projection::{Generation, ProjectionControl};
use shared::settings::Environment;
use shared::shipment::record::{self, Release};
use shared::shipment::{Event, Status};
use shared::shipment_store::ShipmentReader;
use shared::shipment_store::memory::MemoryStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{
    PATIENCE, World, changed, created, created_with, now, number, reported, sent_by_client, whole_life,
};

/// A world whose projection has generations.
pub(crate) struct Rebuilt {
    pub(crate) world: World,
    generations: MemoryProjection,
}

impl Rebuilt {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let generations = MemoryProjection::of(world.store.clone());
        Self { world, generations }
    }

    fn tools(&self) -> Tools {
        Tools {
            generations: Arc::new(self.generations.clone()),
            replay: Arc::new(self.world.log.clone()),
            log: Arc::new(self.world.log.clone()),
            config: Config::from_environment(&Environment::of(&[])).expect("defaults are valid"),
            clock: now,
            screen: Screen::Nowhere,
            stop: CancellationToken::new(),
        }
    }

    async fn try_run(&self, line: &str) -> Result<Finished, ToolError> {
        self.try_run_on(line, Arc::new(self.world.log.clone())).await
    }

    /// The same with another log.
    pub(crate) async fn try_run_on(&self, line: &str, replay: Arc<dyn EventReplay>) -> Result<Finished, ToolError> {
        let command = Command::from_arguments(line.split(' ').map(OsString::from)).expect("understood");
        let tools = Tools { replay, ..self.tools() };
        tokio::time::timeout(PATIENCE, tools::run(&command, &tools)).await.expect("ends in time")
    }

    pub(crate) async fn run(&self, line: &str) -> Finished {
        self.try_run(line).await.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// A processor that follows the live generation.
    fn follow(&self) -> (CancellationToken, JoinHandle<()>) {
        let applied: Arc<dyn AppliedAnnouncer> = self.world.applied.clone();
        let ports = Ports {
            store: self.world.store.clone(),
            log: Arc::new(self.world.log.clone()),
            window: self.world.window.clone(),
            announcer: applied.clone(),
            operators: self.world.operators.clone(),
        };
        let processor = Processor::new(self.tools().config, ports, now, &MetricRegistry::default()).expect("registers");
        let follow = Follow {
            generations: Arc::new(self.generations.clone()),
            replay: Arc::new(self.world.log.clone()),
            announce: Box::new(move |_| applied.clone()),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move { follow.run(&processor, stopped).await.expect("no fatal error") });
        (stop, running)
    }

    /// Waits until the processor of `generation` has committed these.
    async fn committed_by(&self, generation: Generation, positions: &[Position]) {
        let log = &self.world.log;
        let committed = async {
            while positions.iter().any(|at| log.committed_by(generation, at.partition) <= at.offset) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, committed).await.expect("they are applied in time");
    }

    async fn live(&self) -> Generation {
        self.generations.read().await.expect("reachable").live
    }
}

/// Records with every outcome: applied, recorded, duplicate, conflict, rejected in each way, poison.
async fn every_outcome(world: &World) {
    let mut events: Vec<Event> = (1..30).flat_map(|n| whole_life(number(n))).collect();
    events.push(created_with(number(40), |body| body["transition_policy"] = "field".into()));
    events.push(reported(number(40), "delivered", 9));
    events.push(reported(number(40), "picked_up", 3));
    events.push(created(number(50)));
    events.push(reported(number(50), "picked_up", 1));
    events.push(reported(number(50), "picked_up", 1));
    events.push(reported(number(50), "cancelled", 1));
    events.push(reported(number(50), "delivered", 4));
    events.push(reported(number(60), "delivered", 4));
    events.push(sent_by_client(reported(number(50), "in_warehouse", 5), "client_002"));
    events.push(changed(number(50), "in_transit", 6, |body| {
        body["status"] = serde_json::Value::Null;
        body["kind"] = "exception".into();
    }));
    let first = world.append_events(&events).await;
    let key = Some(bytes::Bytes::copy_from_slice(number(50).as_str().as_bytes()));
    let poison = NewRecord { key, partition: None, value: None, headers: Vec::new(), timestamp: None };
    let second = world.append(vec![poison]).await;
    world.settled(&[first, second, held_up(world).await].concat()).await;
}

/// Shipments that park: one whose dead letter was repaired, one whose was given up, one that still waits.
async fn held_up(world: &World) -> Vec<Position> {
    let mut positions = Vec::new();
    for n in 80..83 {
        let mut life = whole_life(number(n));
        life[0] = created_with(number(n), |body| body["park_seconds"] = 60.into());
        let mut life: Vec<_> = life.iter().map(|event| record::encode(event, None)).collect();
        life[2].headers.clear();
        let written = world.append(life).await;
        let at = written[2];
        positions.extend(written);
        let mut repaired = record::encode(&reported(number(n), "in_warehouse", 2), None);
        let of = format!("shipments.events/{}/{}", at.partition, at.offset);
        repaired.headers.push(Header::text(REPLAY_OF, of));
        let release = Release { tracking_number: number(n), until: now().plus(Duration::from_secs(60)) };
        let ended = [vec![repaired], vec![release.record()], Vec::new()];
        positions.extend(world.append(ended[n - 80].clone()).await);
    }
    positions
}

fn same(log: &MemoryLog, topic: Topic, before: usize) -> bool {
    log.records(topic).len() == before
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_anew_is_equal_and_nobody_notices() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    every_outcome(&platform.world).await;
    running.stop().await;
    let log = &platform.world.log;
    let (changes, letters) = (log.records(Topic::Changes).len(), log.records(Topic::DeadLetters).len());

    let built = platform.run("rebuild").await;
    assert!(!built.differs && built.text.contains("no difference"), "{built}");
    let second = Generation::new(2).expect("a number");
    let (of_first, of_second) = (platform.world.store.clone(), platform.generations.store(second));
    assert_eq!(of_first.all_shipments(), of_second.all_shipments());
    assert_eq!(of_first.all_rows(), of_second.all_rows());
    assert!(of_first.all_rows().len() > 150);
    assert_eq!(platform.live().await, Generation::FIRST, "it is built and not taken into use");
    assert!(same(log, Topic::Changes, changes) && same(log, Topic::DeadLetters, letters), "nothing is published again");

    // What was built is gone on with, and dropped by force only.
    let again = platform.run("rebuild").await;
    assert!(again.text.contains("generation 2 is built"), "{again}");
    assert_eq!(platform.run("rebuild gc").await.text, "there is no generation to drop");
    assert_eq!(platform.run("rebuild gc --force").await.text, "dropped generations: 2");
    assert_eq!(platform.generations.there(), [Generation::FIRST]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_document_is_shown_field_by_field_and_right_after_a_swap() {
    let platform = Rebuilt::new();
    let (stop, running) = platform.follow();
    every_outcome(&platform.world).await;
    platform.world.store.corrupt(number(3), |shipment| {
        shipment.state.current_status = Status::Cancelled;
        shipment.state.attempts = 7;
    });
    for line in ["verify", "rebuild --diff-only", "verify --tracking-number 99M-TEST0003", "verify --sample 1000"] {
        let shown = platform.run(line).await;
        assert!(shown.differs, "{line}: {shown}");
        for part in [
            "shipment 99M-TEST0003:\n",
            "    state.attempts: live 7, by the log 0\n",
            "    state.current_status: live \"cancelled\", by the log \"delivered\"\n",
            ": 1 differ (1 shipments and 0 events otherwise, 0 missing, 0 too many, 0 unreadable)",
        ] {
            assert!(shown.text.contains(part), "{line}: {part} is not in\n{shown}");
        }
    }
    let other = platform.run("rebuild --diff-only --tracking-number 99M-TEST0004").await;
    assert!(!other.differs, "{other}");
    let beginning = platform.run("rebuild --diff-only --from-time 2001-01-01T00:00:00Z").await;
    assert!(beginning.differs, "{beginning}");
    assert_eq!(platform.generations.there(), [Generation::FIRST], "what was only looked at is gone");

    let swapped = platform.run("rebuild --swap").await;
    assert!(swapped.text.contains("state.attempts: live 7"), "{swapped}");
    let live = platform.live().await;
    assert!(live > Generation::FIRST);
    let shipment = platform.generations.store(live).shipment(number(3)).await.expect("reachable").expect("is there");
    assert_eq!((shipment.state.current_status, shipment.state.attempts), (Status::Delivered, 0));

    // The processor goes on in the new generation, where the old one was left.
    let changes = platform.world.changes().len();
    let more = platform.world.append_events(&whole_life(number(70))).await;
    platform.world.settled(&more).await;
    let stored = platform.generations.store(live);
    assert_eq!(stored.shipment(number(70)).await.expect("reachable").map(|found| found.state.version), Some(5));
    assert_eq!(platform.world.store.shipment(number(70)).await.expect("reachable"), None, "the old one stands still");
    platform.world.published(changes + 5).await;
    assert_eq!(platform.world.changes().len(), changes + 5, "and nothing is published twice");
    assert!(!platform.run("verify").await.differs);

    // Back: the old one goes on where it stood, with what it had.
    let back = platform.run("rebuild --rollback").await;
    assert!(back.text.contains("generation 1 is live again"), "{back}");
    let after = platform.world.append_events(&whole_life(number(71))).await;
    // What the other generation was told of as applied has yet to be applied in this one.
    platform.committed_by(Generation::FIRST, &[more, after].concat()).await;
    let old = &platform.world.store;
    for n in [70, 71] {
        assert_eq!(old.shipment(number(n)).await.expect("reachable").map(|found| found.state.version), Some(5));
    }
    assert!(platform.run("verify").await.text.contains("99M-TEST0003"), "it is the old one");
    let gone = platform.run("rebuild gc").await;
    assert_eq!(gone.text, format!("dropped generations: {live}"));
    let refused = platform.try_run("rebuild --rollback").await.expect_err("nothing is kept");
    assert_eq!(refused.to_string(), "no generation is kept to go back to");
    stop.cancel();
    running.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_and_missing_documents_are_found() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    every_outcome(&platform.world).await;
    running.stop().await;
    // A store in which one shipment of the log is missing, and one is that the log does not know.
    let elsewhere = Rebuilt::new();
    let begun = elsewhere.world.start();
    let of_others = elsewhere.world.append_events(&whole_life(number(900))).await;
    elsewhere.world.settled(&of_others).await;
    begun.stop().await;
    let mixed = Rebuilt {
        world: World { store: elsewhere.world.store.clone(), ..platform.world.clone() },
        generations: MemoryProjection::of(elsewhere.world.store.clone()),
    };
    let shown = mixed.run("verify --show 1000").await;
    assert!(shown.differs);
    assert!(shown.text.contains("shipment 99M-TEST0001: is missing; the log says that it should be there"), "{shown}");
    assert!(shown.text.contains("shipment 99M-TEST0900: is there; the log knows nothing of it"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_ends_early_goes_on_where_it_was() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    every_outcome(&platform.world).await;
    running.stop().await;
    let stopped = platform.tools();
    stopped.stop.cancel();
    let command = Command::from_arguments(["rebuild", "--swap"].map(OsString::from)).expect("understood");
    let ended = tools::run(&command, &stopped).await.expect_err("it was told to end");
    assert!(matches!(ended, ToolError::Stopped), "{ended}");
    let known = platform.generations.read().await.expect("reachable");
    assert_eq!((known.live, known.building.map(Generation::number)), (Generation::FIRST, Some(2)));
    platform.run("rebuild --swap").await;
    assert_eq!(platform.live().await.number(), 2, "the one that was begun");
    let refused = platform.try_run("rebuild --until 0:1000000").await.expect_err("beyond the live one");
    assert!(refused.to_string().starts_with("--until: "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_are_held_back_come_to_the_same_however_many_are_held() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    every_outcome(&platform.world).await;
    running.stop().await;
    for (hold, generation) in [(0, 2), (1, 3), (5, 4), (100_000, 5)] {
        let built = platform.run(&format!("rebuild --hold {hold}")).await;
        assert!(!built.differs && built.text.contains("no difference"), "--hold {hold}: {built}");
        let store = platform.generations.store(Generation::new(generation).expect("a number"));
        assert_eq!(store.all_shipments(), platform.world.store.all_shipments(), "--hold {hold}");
        platform.run("rebuild gc --force").await;
    }
}

/// A generation that was built up to the second event of a shipment's life, and the positions of what came since.
async fn built_halfway() -> (Rebuilt, Arc<MemoryStore>, Vec<Position>) {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    let life = whole_life(number(1));
    let begun = platform.world.append_events(&life[..2]).await;
    platform.world.settled(&begun).await;
    platform.run("rebuild").await;
    let ended = platform.world.append_events(&life[2..]).await;
    platform.world.settled(&ended).await;
    running.stop().await;
    let store = platform.generations.store(Generation::new(2).expect("a number"));
    (platform, store, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_the_states_that_were_held_back_are_written() {
    let (platform, store, ended) = built_halfway().await;
    let second = Generation::new(2).expect("a number");
    store.set_states_away(true);
    let (tools, command) = (platform.tools(), Command::from_arguments(["rebuild".into()]).expect("understood"));
    let building = tokio::spawn(async move { tools::run(&command, &tools).await });
    let rows = async {
        while store.all_rows().len() < platform.world.store.all_rows().len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, rows).await.expect("rows are written at once");
    let committed = platform.world.log.committed_by(second, ended[0].partition);
    assert_eq!(committed, ended[0].offset, "the states are not there");
    assert!(!building.is_finished());
    store.set_states_away(false);
    let built = tokio::time::timeout(PATIENCE, building).await.expect("ends in time").expect("no panic");
    assert!(!built.expect("is built").differs);
    assert_eq!(store.all_shipments(), platform.world.store.all_shipments());
    assert_eq!(platform.world.log.committed_by(second, ended[0].partition), ended[0].offset + ended.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_refused_after_it_was_held_back_makes_the_rebuild_begin_again_without_holding() {
    let (platform, store, _) = built_halfway().await;
    store.refuse_states(number(1));
    let built = platform.run("rebuild").await;
    assert!(!built.differs && built.text.contains("generation 3 is built"), "{built}");
    let rebuilt = platform.generations.store(Generation::new(3).expect("a number"));
    assert_eq!(rebuilt.all_shipments(), platform.world.store.all_shipments());
    assert_eq!(rebuilt.all_rows(), platform.world.store.all_rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_record_by_record_and_again_without_harm() {
    let platform = Rebuilt::new();
    let running = platform.world.start();
    every_outcome(&platform.world).await;
    running.stop().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("log.ndjson").display().to_string();
    let exported = platform.run(&format!("export {file}")).await;
    let records = platform.world.log.records(Topic::Events);
    assert_eq!(exported.text, format!("exported {} records to {file}", records.len()));

    let other = Rebuilt::new();
    other.run(&format!("import {file}")).await;
    assert_eq!(other.world.log.records(Topic::Events), records, "byte for byte, and in their order");
    other.run(&format!("import {file}")).await;
    let running = other.world.start();
    let last = other.world.append_events(&[created(number(99))]).await;
    other.world.settled(&last).await;
    let all: Vec<_> = other.world.log.records(Topic::Events).iter().map(|record| record.position).collect();
    other.world.settled(&all).await;
    running.stop().await;
    let of = |platform: &Rebuilt| {
        let rows = platform.world.store.all_rows();
        rows.into_iter().filter(|row| row.event_id.tracking_number != number(99)).collect::<Vec<_>>()
    };
    assert_eq!(of(&other), of(&platform), "what came again is a duplicate");

    std::fs::write(&file, "{\"partition\":0}\n").expect("written");
    let refused = other.try_run(&format!("import {file}")).await.expect_err("no record");
    assert!(refused.to_string().contains("line 1: "), "{refused}");
}
