//! The pair: `ingest-service` and one or more times `processor-service`.

use std::path::PathBuf;
use std::time::Duration;

use acceptance::binary;
use acceptance::platform::{Platform, Served};
use acceptance::servers::Server;
use tempfile::TempDir;
use time::OffsetDateTime;

use super::{ALLOCATORS, CONNECTIONS, LOG_LEVEL, end};
use crate::ceilings::kafka::BareLog;
use crate::ceilings::mongo::BareStore;
use crate::connection::Target;
use crate::failure::Failure;
use crate::load::Plan;
use crate::numbers::{Numbers, Suffix, number};
use crate::process::Watched;
use crate::report::names as n;
use crate::report::run::Real;
use crate::run::Load;
use crate::specimen;
use crate::walk::Walk;

/// Events that a new pair gets before it is measured: connections are made, partitions assigned, code and indexes in memory.
const WARM_UP: usize = 8_000;
/// How long a second processor may take until it has partitions and has applied something.
const JOINING: usize = 30;

/// A pair.
pub struct Pair {
    /// The first edge and the first processor.
    pub platform: Platform,
    /// Where it stores, for what is to be stored already.
    pub store: BareStore,
    /// Where it listens, with the token of the seeded admin.
    pub target: Target,
    more: Vec<Served>,
    logs: TempDir,
}

impl Pair {
    /// Starts an edge and a processor.
    ///
    /// # Errors
    /// They do not let us in.
    pub async fn start(real: &Real) -> Result<Self, Failure> {
        Self::start_of(real, &[binary::ingest_service(), binary::processor_service()]).await
    }

    /// Starts these builds of them.
    ///
    /// # Errors
    /// They do not let us in.
    pub async fn start_of(real: &Real, programs: &[PathBuf; 2]) -> Result<Self, Failure> {
        let servers = real.servers.servers();
        let platform = Platform::pair_of(servers, 1, 1, &[&ALLOCATORS[..], &[LOG_LEVEL]].concat(), programs).await;
        let store = BareStore::open(&servers.mongo_uri, &platform.on_servers().database).await?;
        let target = specimen::log_in(&platform.edges[0].url).await?;
        Ok(Self { platform, store, target, more: Vec::new(), logs: tempfile::tempdir()? })
    }

    /// Its programs and its servers, and the generator.
    #[must_use]
    pub fn watched(&self, real: &Real) -> Vec<Watched> {
        let program = |name: &str, served: &Served| Watched { name: name.to_owned(), pid: served.program.process() };
        let mut watched = vec![program(n::INGEST, &self.platform.edges[0])];
        watched.extend(self.platform.processors.iter().map(|served| program(n::PROCESSOR, served)));
        watched.extend(self.more.iter().map(|served| program("second processor", served)));
        watched.extend([Server::Kafka, Server::Mongodb, Server::Redis].map(|server| watched_server(real, server)));
        watched.push(Watched::generator());
        watched
    }

    /// Stores new shipments, as they are after their registration.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn stored(&self, real: &Real, suffixes: &[Suffix]) -> Result<Vec<String>, Failure> {
        self.store.store(&real.specimen, suffixes).await?;
        Ok(suffixes.iter().map(|&suffix| number(suffix)).collect())
    }

    /// Loads it for a moment.
    ///
    /// # Errors
    /// It does not take events.
    pub async fn warm_up(&self, real: &Real, numbers: &mut Numbers) -> Result<(), Failure> {
        let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
        let numbers = self.stored(real, &numbers.take(WARM_UP / steps.len())).await?;
        let load = Load {
            target: &self.target,
            plan: Plan::flat_out(Duration::from_secs(10), 100, CONNECTIONS),
            numbers: &numbers,
            steps: &steps,
            probe_rate: 0,
            probe_numbers: &[],
            processes: &[],
        };
        let warmed = load.measure().await?;
        if warmed.is_sound() { Ok(()) } else { Err(Failure::NotMeasured(format!("the pair does not work:\n{warmed}"))) }
    }

    /// Starts a second processor, and returns when it has applied something.
    ///
    /// # Errors
    /// It gets nothing to do.
    pub async fn second_processor(&mut self, real: &Real, numbers: &mut Numbers) -> Result<(), Failure> {
        let own = self.platform.on_servers().environment.iter();
        let environment: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let binary = binary::processor_service();
        let mut second = Served::start("second-processor", binary, &environment, self.logs.path());
        second.ready().await;
        self.more.push(second);
        for _ in 0..JOINING {
            self.warm_up(real, numbers).await?;
            let metrics = self.more[0].metrics().await;
            let applied = metrics.lines().filter(|line| line.starts_with("shipping_events_processed_total{"));
            if applied.filter_map(|line| line.rsplit(' ').next()).any(|count| count != "0") {
                return Ok(());
            }
        }
        Err(Failure::NotMeasured("the second processor gets nothing to do".to_owned()))
    }

    /// Its log, for records that do not come over HTTP.
    ///
    /// # Errors
    /// A setting is wrong.
    pub fn log(&self) -> Result<BareLog, Failure> {
        let own = self.platform.on_servers();
        BareLog::open(&own.servers.kafka_brokers, &own.topic)
    }

    /// Ends its programs; what they stored stays.
    pub async fn rest(&mut self) {
        for served in self.platform.edges.iter_mut().chain(&mut self.platform.processors) {
            end(served).await;
        }
    }

    /// Starts them again.
    ///
    /// # Errors
    /// They do not let us in.
    pub async fn wake(&mut self) -> Result<(), Failure> {
        for served in self.platform.edges.iter_mut().chain(&mut self.platform.processors) {
            served.program.start_again();
            served.ready().await;
        }
        self.target = specimen::log_in(&self.platform.edges[0].url).await?;
        Ok(())
    }
}

/// One of the servers.
#[must_use]
pub fn watched_server(real: &Real, server: Server) -> Watched {
    Watched { name: server.name().to_owned(), pid: real.servers.process(server) }
}
