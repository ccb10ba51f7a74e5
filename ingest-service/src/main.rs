//! The program: settings, telemetry, adapters, serve, drain.

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ingest_service::{Config, Ports, SeedError, UnmappedTally, reload_on_hangup, router, seed_users, serve};
use shared::applied::redis::RedisWatcher;
use shared::dedup_window::redis::RedisWindow;
use shared::event_log::kafka::KafkaAppender;
use shared::idempotency::mongo::MongoKeys;
use shared::metrics::MetricRegistry;
use shared::number_lease::mongo::MongoLeases;
use shared::servers::{PrepareError, Servers};
use shared::settings::{Environment, SettingError};
use shared::shipment_store::mongo::MongoReader;
use shared::unmapped_codes::mongo::MongoUnmappedCodes;
use shared::user_store::UserStore;
use shared::user_store::mongo::MongoUsers;
use shared::{clock, shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "ingest-service";
/// So long the servers may take before we serve without them: when all is well, whoever finds us finds us complete, and when one is
/// away, calls that need it get their 503.
const PREPARED_FIRST: Duration = Duration::from_secs(5);
/// Pause between two attempts to add the users of development.
const SEED_PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{SERVICE}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let config = Config::from_environment(&environment)?;
    let telemetry = telemetry::start(&environment, SERVICE)?;
    let servers = Servers::from_environment(&environment).await?;
    let stop = shutdown::on_signal()?;
    let (port, development) = (config.port, config.development);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .map_err(|error| SettingError::new("PORT", format!("cannot listen on {port}: {error}")))?;
    tracing::info!(address = %listener.local_addr()?, "listening");

    let registry = MetricRegistry::default();
    registry.build_info(SERVICE)?;
    servers.watch_circuit(&registry, stop.clone())?;
    let users = Arc::new(MongoUsers::new(&servers.mongo));
    let unmapped = UnmappedTally::start(Arc::new(MongoUnmappedCodes::new(&servers.mongo)));
    reload_on_hangup(&config.carriers, clock::system, stop.clone())?;
    let ports = Ports {
        log: Arc::new(KafkaAppender::new(servers.kafka.clone())?),
        store: Arc::new(MongoReader::new(&servers.mongo)),
        window: Arc::new(RedisWindow::new(&servers.redis, servers.dedup_ttl)),
        applied: Arc::new(RedisWatcher::start(&servers.redis, &servers.kafka.topic)),
        users: users.clone(),
        leases: Arc::new(MongoLeases::new(&servers.mongo)),
        keys: Arc::new(MongoKeys::new(&servers.mongo)),
        unmapped: unmapped.clone(),
    };
    let log = ports.log.clone();
    let routes = router(config, ports, clock::system, &registry, stop.clone())?;

    let preparing = prepare(&servers, &*users, development, &stop);
    tokio::pin!(preparing);
    let first = tokio::time::timeout(PREPARED_FIRST, &mut preparing).await;
    let preparing = async {
        let prepared = match first {
            Ok(prepared) => prepared,
            Err(_) => preparing.await,
        };
        if prepared.is_err() {
            stop.cancel();
        }
        prepared
    };
    let (served, prepared) = tokio::join!(serve(listener, routes, log, stop.clone()), preparing);
    unmapped.finish().await;
    telemetry.stop();
    served?;
    Ok(prepared?)
}

/// Makes what must stand in the servers, and in development the users to begin with.
async fn prepare(
    servers: &Servers,
    users: &dyn UserStore,
    development: bool,
    stop: &CancellationToken,
) -> Result<(), PrepareError> {
    servers.prepare(stop).await?;
    if development {
        let seed = async {
            while let Err(error) = seed(users).await {
                tracing::warn!(%error, "the users of development are not there yet");
                tokio::time::sleep(SEED_PAUSE).await;
            }
        };
        stop.run_until_cancelled(seed).await;
    }
    tracing::info!("prepared");
    Ok(())
}

async fn seed(users: &dyn UserStore) -> Result<(), SeedError> {
    seed_users(users, clock::system).await.map(drop)
}
