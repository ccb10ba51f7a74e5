//! The consumer group: takes records of the log in partition order, judges each once and writes what became of it.
//!
//! In the order of the data path:
//!
//! - [`consume`]: what a partition's owner is to its subscriber: queues, assignment, drain;
//! - `lane`: one task that takes batches and applies them, one after the other, until each is durable;
//! - `partition`: **the pipeline** of a batch, in one place: decode, states, keys, judge, rows, dead letters, states,
//!   changes, window, notice;
//! - `dedup`, `write`, `dead_letter`, and the change of a row in [`shared::change_feed`]: its steps; `cache`: what a lane remembers between batches;
//! - `failure`: which failures are tried again and which end in a dead letter; `storm`: when nearly all would;
//! - [`operate`]: the commands for operators;
//! - [`health`], [`metrics`], [`config`]: how it is seen and set up.
//!
//! The decision itself is pure and stands in [`shared::shipment::transition`].

mod cache;
pub mod config;
pub mod consume;
mod dead_letter;
mod dedup;
mod failure;
pub mod health;
mod lane;
pub mod metrics;
pub mod operate;
mod partition;
mod storm;
mod write;

use std::sync::Arc;

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
    lanes: Arc<Lanes>,
    storm: Arc<StormBreaker>,
}

impl Processor {
    /// A processor that has not begun.
    ///
    /// # Errors
    /// `registry` has another metric under one of our names.
    pub fn new(config: Config, ports: Ports, clock: Clock, registry: &MetricRegistry) -> Result<Self, MetricError> {
        registry.build_info("processor-service")?;
        let metrics = Arc::new(Metrics::new(registry)?);
        let lanes = Arc::new(Lanes::new(config.lanes, metrics.clone()));
        let storm = StormBreaker::new(config.storm_percent, ports.operators.clone(), clock, metrics.storm());
        Ok(Self { config, ports, clock, metrics, lanes, storm: Arc::new(storm) })
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

    /// The queues that a subscriber fills: for one that is not [`run`](Self::run), as the simulator's (`deploy/sim`).
    #[must_use]
    pub fn lanes(&self) -> Arc<Lanes> {
        self.lanes.clone()
    }

    /// The work of lane `index`, from 0: applies batches until the queues are closed, or at once when `end` is cancelled.
    /// [`run`](Self::run) is all lanes and a subscriber.
    pub fn lane(&self, index: usize, end: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let queue = self.lanes.queue(index);
        let (metrics, storm) = (self.metrics.clone(), self.storm.clone());
        Lane::new(queue, &self.config, self.ports.clone(), self.clock, metrics, storm).run(end)
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
        let lanes_end = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..self.config.lanes {
            tasks.spawn(self.lane(index, lanes_end.clone()));
        }
        // A lane ends only when it is told to. One that ends earlier has panicked: stop the subscription, so that another
        // member takes the partitions over.
        let subscription_stop = stop.child_token();
        let subscription = {
            let (lanes, stop) = (self.lanes.clone(), subscription_stop.clone());
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
        self.lanes.close();
        lanes_end.cancel();
        while let Some(lane) = tasks.join_next().await {
            lane.expect("a lane panicked");
        }
        ended.map_err(|error| SubscribeError::Fatal(error.to_string()))?
    }
}
