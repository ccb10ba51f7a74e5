//! The consumer group: takes records of the log in partition order, judges each once and writes what became of it.
//!
//! In the order of the data path:
//!
//! - [`consume`]: what a partition's owner is to its subscriber: queues, assignment, drain;
//! - `lane`: one task that takes batches and applies them, one after the other, until each is durable;
//! - `partition`: **the pipeline** of a batch, in one place: decode, states, keys, judge, rows, dead letters, states,
//!   changes, window, notice;
//! - `item`, `park`, `dedup`, `write`, `dead_letter`, and the change of a row in [`shared::change_feed`]: its steps; `cache`: what a lane remembers between batches;
//! - [`follow`]: which generation of the projection is live, and from one to the next;
//! - [`command`], [`rebuild`], [`verify`], [`transfer`]: the projection built anew, compared with the log; the log brought out and in;
//! - `release`: dead letters that events were parked behind for long enough are given up;
//! - `failure`: which failures are tried again and which end in a dead letter; `storm`: when nearly all would;
//! - [`operate`]: the commands for operators;
//! - [`listen`], [`health`], `log_level`, [`metrics`], [`config`]: how it is seen and set up.
//!
//! The decision itself is pure and stands in [`shared::shipment::transition`].

mod ahead;
mod cache;
pub mod command;
mod compare;
pub mod config;
pub mod consume;
#[cfg(feature = "cost")]
#[doc(hidden)]
pub mod cost;
mod dead_letter;
mod dedup;
mod difference;
mod failure;
pub mod follow;
pub mod health;
mod item;
mod lane;
pub mod listen;
mod log_level;
pub mod metrics;
pub mod operate;
mod park;
mod partition;
mod progress;
pub mod rebuild;
mod release;
mod replayed;
mod storm;
pub mod tools;
pub mod transfer;
mod turns;
pub mod verify;
mod write;

use std::sync::{Arc, PoisonError, RwLock};

use shared::applied::AppliedAnnouncer;
use shared::clock::Clock;
use shared::dead_letters::StormNotice;
use shared::dedup_window::DedupWindow;
use shared::event_log::{EventAppender, EventSubscriber, SubscribeError};
use shared::metrics::{MetricError, MetricRegistry};
use shared::operator_log::OperatorLog;
use shared::shipment_store::ShipmentWriter;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::consume::Lanes;
use crate::lane::Lane;
use crate::metrics::Metrics;
use crate::release::Releases;
use crate::storm::StormBreaker;

/// What the processor works with.
#[derive(Clone)]
pub struct Ports {
    /// Where shipments and rows are written.
    pub store: Arc<dyn ShipmentWriter>,
    /// Where changes and dead letters go.
    pub log: Arc<dyn EventAppender>,
    /// Where the edge looks for duplicates.
    pub window: Arc<dyn DedupWindow>,
    /// How waiting callers are woken.
    pub announcer: Arc<dyn AppliedAnnouncer>,
    /// Where operators say that a storm of dead letters is to be let through.
    pub operators: Arc<dyn OperatorLog>,
}

/// One member of the consumer group.
pub struct Processor {
    config: Config,
    ports: Ports,
    clock: Clock,
    metrics: Arc<Metrics>,
    lanes: Arc<RunningLanes>,
    storm: Arc<StormBreaker>,
    publishes: bool,
}

/// The lanes of the run that is under way, for who looks from outside; fresh ones between two runs.
pub(crate) struct RunningLanes(RwLock<Arc<Lanes>>);

impl RunningLanes {
    pub(crate) fn now(&self) -> Arc<Lanes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn are(&self, lanes: Arc<Lanes>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = lanes;
    }
}

impl Processor {
    /// A processor that has not begun.
    ///
    /// # Errors
    /// `registry` has another metric under one of our names.
    pub fn new(config: Config, ports: Ports, clock: Clock, registry: &MetricRegistry) -> Result<Self, MetricError> {
        registry.build_info("processor-service")?;
        let metrics = Arc::new(Metrics::new(registry)?);
        let lanes = Arc::new(Lanes::new(config.lanes, config.strands, metrics.clone()));
        let lanes = Arc::new(RunningLanes(RwLock::new(lanes)));
        let storm = StormBreaker::new(config.storm_percent, ports.operators.clone(), clock, metrics.storm());
        Ok(Self { config, ports, clock, metrics, lanes, storm: Arc::new(storm), publishes: true })
    }

    /// The same, which decides and writes and tells nobody: no changes, no dead letters, no window, no notices.
    #[must_use]
    pub(crate) fn quiet(self) -> Self {
        Self { publishes: false, ..self }
    }

    /// What is wrong, as long as it stands at a storm of dead letters.
    #[must_use]
    pub fn storm_notice(&self) -> StormNotice {
        self.storm.notice().clone()
    }

    /// What is known of its health.
    #[must_use]
    pub fn health(&self) -> health::Health {
        health::Health::new(self.ports.clone(), self.lanes.clone(), self.storm_notice(), self.clock)
    }

    /// The queue that a subscriber fills: for one that is not [`run`](Self::run), as the simulator's (`deploy/sim`).
    #[must_use]
    pub fn lanes(&self) -> Arc<Lanes> {
        self.lanes.now()
    }

    /// The work of lane `index`, from 0, on `ports`: applies batches until the queue is closed, or at once when `end` is cancelled.
    /// [`run`](Self::run) is all lanes and a subscriber.
    pub fn lane(
        &self,
        index: usize,
        ports: Ports,
        end: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.new_lane(index, self.lanes.now(), ports).run(end)
    }

    fn new_lane(&self, index: usize, lanes: Arc<Lanes>, ports: Ports) -> Lane {
        let (metrics, storm) = (self.metrics.clone(), self.storm.clone());
        let mut lane = Lane::new(index, lanes, &self.config, ports, self.clock, metrics, storm);
        lane.publishes = self.publishes;
        lane
    }

    /// Applies what `subscriber` offers until `stop` is cancelled; then finishes what was begun, commits and leaves the group.
    ///
    /// # Errors
    /// The subscription cannot go on; the process must end and be started again.
    ///
    /// # Panics
    /// A lane panicked: a bug, and going on would leave its partitions behind for ever.
    pub async fn run(
        &self,
        subscriber: Box<dyn EventSubscriber>,
        stop: CancellationToken,
    ) -> Result<(), SubscribeError> {
        self.run_with(self.ports.clone(), subscriber, stop).await
    }

    /// The same with other ports than those that it was made with.
    pub(crate) async fn run_with(
        &self,
        ports: Ports,
        subscriber: Box<dyn EventSubscriber>,
        stop: CancellationToken,
    ) -> Result<(), SubscribeError> {
        let lanes = self.fresh_lanes();
        let lanes_end = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..self.config.lanes {
            tasks.spawn(self.new_lane(index, lanes.clone(), ports.clone()).run(lanes_end.clone()));
        }
        if self.publishes {
            let releases = Releases::new(ports, lanes.clone(), self.clock, self.metrics.clone());
            tasks.spawn(releases.run(lanes_end.clone()));
        }
        // A lane ends only when it is told to. One that ends earlier has panicked: stop the subscription, so that another
        // member takes the partitions over.
        let subscription_stop = stop.child_token();
        // Nobody waits for a thread whose task is dropped: it must end by itself.
        let _dropped = subscription_stop.clone().drop_guard();
        let subscription = {
            let (lanes, stop) = (lanes.clone(), subscription_stop.clone());
            tokio::task::spawn_blocking(move || subscriber.run(&*lanes, &stop))
        };
        tokio::pin!(subscription);
        let ended = tokio::select! {
            ended = &mut subscription => ended,
            Some(lane) = tasks.join_next() => {
                tracing::error!(?lane, "a lane ended early");
                subscription_stop.cancel();
                subscription.await
            }
        };
        lanes.close();
        lanes_end.cancel();
        while let Some(lane) = tasks.join_next().await {
            lane.expect("a lane panicked");
        }
        drop(self.fresh_lanes()); // those that have ended would be taken for stuck
        ended.map_err(|error| SubscribeError::Fatal(error.to_string()))?
    }

    fn fresh_lanes(&self) -> Arc<Lanes> {
        let lanes = Arc::new(Lanes::new(self.config.lanes, self.config.strands, self.metrics.clone()));
        self.lanes.are(lanes.clone());
        lanes
    }
}
