//! An owner: the real processor with its lanes, each of which is polled by hand and sees the servers through a gate of its own.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use processor_service::Processor;
use processor_service::config::Config;
use processor_service::consume::{Lanes, Strands};
use shared::metrics::MetricRegistry;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;
use crate::ports::Gate;
use crate::specification::workload::TOPIC;
use crate::world::clock;

/// Lanes of each owner.
pub(crate) const LANES: usize = 2;

/// A member of the group.
pub(crate) struct Owner {
    pub(crate) name: usize,
    pub(crate) epoch: i64,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) workers: Vec<Worker>,
    /// The partitions that it takes for its own, and the offset that it reads next. The broker may know better.
    pub(crate) reads: BTreeMap<usize, usize>,
    /// What is durable and has not been committed yet.
    pub(crate) durable: BTreeMap<usize, usize>,
}

/// One of its lanes, and the servers as that sees them.
pub(crate) struct Worker {
    lane: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) gate: Arc<Gate>,
}

impl Owner {
    /// A new one. In a log of one partition keys are told apart, as in embedded mode.
    pub(crate) fn new(name: usize, epoch: i64, partitions: usize, platform: &Arc<Mutex<Platform>>) -> Self {
        let strands = if partitions == 1 { Strands::Keys } else { Strands::Partitions };
        let (topic, group) = (TOPIC.to_owned(), "group".to_owned());
        let config = Config { lanes: LANES, strands, epoch, topic, group, storm_percent: 0 };
        let nobody = Gate::new(platform.clone());
        let processor =
            Processor::new(config, nobody.ports(), clock, &MetricRegistry::default()).expect("a registry of its own");
        let worker = |index| {
            let gate = Gate::new(platform.clone());
            // Without tokio's budget, which a lane that is polled by hand would use up.
            let lane = tokio::task::unconstrained(processor.lane(index, gate.ports(), CancellationToken::new()));
            Worker { lane: Box::pin(lane), gate }
        };
        let workers = (0..LANES).map(worker).collect();
        Self { name, epoch, lanes: processor.lanes(), workers, reads: BTreeMap::new(), durable: BTreeMap::new() }
    }
}

impl Worker {
    /// Lets it run until it waits for something.
    pub(crate) fn poll(&mut self) {
        let ended = self.lane.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(ended.is_pending(), "a lane ends only when it is told to");
    }
}
