//! The program: settings, telemetry, adapters, serve, drain; or one of its other commands.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ingest_service::{
    Command, Config, CreateAdmin, DEFAULT_PORT, Ports, SeedError, UnmappedTally, check_admin, listen, reload_on_hangup,
    routers, seed_users, serve,
};
use shared::api_key_store::mongo::MongoApiKeys;
use shared::applied::redis::RedisWatcher;
use shared::change_feed::kafka::KafkaChangeFeed;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::redis::RedisWindow;
use shared::event_log::kafka::KafkaAppender;
use shared::idempotency::mongo::MongoKeys;
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::mongo::MongoConnection;
use shared::number_lease::mongo::MongoLeases;
use shared::operator_log::mongo::MongoOperatorLog;
use shared::projection::Generations;
use shared::projection::live::{Live, Readers};
use shared::projection::mongo::MongoProjection;
use shared::servers::{PrepareError, Servers, applied_in};
use shared::settings::Environment;
use shared::shipment_store::mongo::MongoReader;
use shared::unmapped_codes::mongo::MongoUnmappedCodes;
use shared::user_store::mongo::MongoUsers;
use shared::user_store::{UserError, UserStore};
use shared::{clock, healthcheck, shutdown, telemetry};
use tokio_util::sync::CancellationToken;

/// Most allocations live for a batch or a request; the C library's allocator took a quarter of the time (docs/performance.md).
#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
/// The same one, counted.
#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: shared::allocations::Counting<mimalloc::MiMalloc> =
    shared::allocations::Counting::new(mimalloc::MiMalloc);

const SERVICE: &str = "ingest-service";
/// So long the servers may take before we serve without them: when all is well, whoever finds us finds us complete, and when one is
/// away, calls that need it get their 503.
const PREPARED_FIRST: Duration = Duration::from_secs(5);
/// Exit code of a program whose arguments are not understood.
const USAGE: u8 = 2;
/// Pause between two attempts to look after the users to begin with.
const USERS_PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = healthcheck::asked_for(SERVICE, DEFAULT_PORT, std::env::args_os()) {
        return ended;
    }
    let done = match Command::from_arguments(SERVICE, std::env::args_os().skip(1)) {
        Ok(Command::Serve) => run().await,
        Ok(Command::CreateAdmin(command)) => create_admin(command).await,
        Ok(Command::Help) => say(&Command::usage(SERVICE)),
        Err(error) => {
            eprintln!("{SERVICE}: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{SERVICE}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn create_admin(command: CreateAdmin) -> Result<(), Box<dyn Error>> {
    let users = MongoUsers::new(&MongoConnection::from_environment(&Environment::of_process()).await?);
    users.ensure_schema().await?;
    say(&command.run(&users, clock::system).await?)
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let config = Config::from_environment(&environment)?;
    let telemetry = telemetry::start(&environment, SERVICE)?;
    let servers = Servers::from_environment(&environment).await?;
    let stop = shutdown::on_signal()?;
    let development = config.development;
    let listeners = listen(&config).await?;
    let admin = listeners.admin_address()?.map(|address| address.to_string());
    tracing::info!(address = %listeners.address()?, admin, "listening");

    let registry = MetricRegistry::default();
    let log = KafkaAppender::new(servers.kafka.clone())?;
    servers.watch_circuits(&registry, &log, stop.clone())?;
    let users = Arc::new(MongoUsers::new(&servers.mongo));
    let unmapped = UnmappedTally::start(Arc::new(MongoUnmappedCodes::new(&servers.mongo)));
    reload_on_hangup(&config.carriers, clock::system, stop.clone())?;
    let (log, changes) = (Arc::new(log), Arc::new(KafkaChangeFeed::new(servers.kafka.clone())));
    let operators = Arc::new(MongoOperatorLog::new(&servers.mongo));
    let topic = servers.kafka.topic.clone();
    let log_level = LogLevel::new(telemetry.log_filter(), operators.clone(), SERVICE, clock::system);
    let dead_letters = DeadLetters::new(changes.clone(), log.clone(), operators, topic, clock::system);
    let live = live(&servers);
    let ports = Ports {
        log,
        changes,
        store: live.clone(),
        window: Arc::new(RedisWindow::new(&servers.redis, servers.dedup_ttl)),
        applied: live,
        users: users.clone(),
        api_keys: Arc::new(MongoApiKeys::new(&servers.mongo)),
        leases: Arc::new(MongoLeases::new(&servers.mongo)),
        keys: Arc::new(MongoKeys::new(&servers.mongo)),
        unmapped: unmapped.clone(),
        dead_letters,
        log_level,
    };
    let log = ports.log.clone();
    let routes = routers(config, ports, clock::system, &registry, stop.clone())?;

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
    let (served, prepared) = tokio::join!(serve(listeners, routes, log, stop.clone()), preparing);
    unmapped.finish().await;
    telemetry.stop();
    served?;
    Ok(prepared?)
}

/// The readers of whichever generation of the projection is live.
fn live(servers: &Servers) -> Arc<Live> {
    let (mongo, redis, topic) = (servers.mongo.clone(), servers.redis.clone(), servers.kafka.topic.clone());
    let open = move |generation| Readers {
        store: Arc::new(MongoReader::of(&mongo, generation)),
        applied: Arc::new(RedisWatcher::start(&redis, &applied_in(generation, &topic))),
    };
    Live::start(MongoProjection::new(&servers.mongo).control(), open)
}

/// Makes what must stand in the servers, and looks after the users to begin with.
async fn prepare(
    servers: &Servers,
    users: &dyn UserStore,
    development: bool,
    stop: &CancellationToken,
) -> Result<(), PrepareError> {
    servers.prepare(stop).await?;
    let look_after_users = async {
        while let Err(error) = first_users(users, development).await {
            tracing::warn!(%error, "the users to begin with are not there yet");
            tokio::time::sleep(USERS_PAUSE).await;
        }
    };
    stop.run_until_cancelled(look_after_users).await;
    tracing::info!("prepared");
    Ok(())
}

async fn first_users(users: &dyn UserStore, development: bool) -> Result<(), SeedError> {
    if development {
        return seed_users(users, clock::system).await;
    }
    Ok(check_admin(users, SERVICE).await.map_err(UserError::Store)?)
}
