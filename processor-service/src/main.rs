//! The program: settings, telemetry, adapters, serve, drain; or one of its other commands.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use processor_service::command::Command;
use processor_service::config::Config;
use processor_service::follow::Follow;
use processor_service::listen::{DEFAULT_PORT, Listeners};
use processor_service::operate;
use processor_service::tools::{self, COULD_NOT, Screen, Tools};
use processor_service::{Ports, Processor};
use shared::applied::AppliedAnnouncer;
use shared::applied::redis::RedisAnnouncer;
use shared::change_feed::kafka::KafkaChangeFeed;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::redis::RedisWindow;
use shared::event_log::EventAppender;
use shared::event_log::kafka::{KafkaAppender, KafkaReplay};
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::operator_log::mongo::MongoOperatorLog;
use shared::projection::mongo::MongoProjection;
use shared::projection::{Generation, Generations};
use shared::servers::{Servers, applied_in};
use shared::settings::Environment;
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

const SERVICE: &str = "processor-service";
/// Exit code of a program whose arguments are not understood.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = healthcheck::asked_for(SERVICE, DEFAULT_PORT, std::env::args_os()) {
        return ended;
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (done, failed) = if arguments.first().is_some_and(|word| word == "dead-letters") {
        let rest: Vec<_> = arguments[1..].iter().map(|text| text.to_string_lossy().into_owned()).collect();
        match operate::Command::from_arguments(SERVICE, &rest) {
            Ok(command) => (operate(command).await.map(|()| 0), 1),
            Err(error) => (Err(error.into()), USAGE),
        }
    } else {
        match Command::from_arguments(arguments) {
            Ok(Command::Process) => (run().await.map(|()| 0), 1),
            Ok(Command::Help) => (help().map(|()| 0), COULD_NOT),
            Ok(command) => (carry_out(&command).await, COULD_NOT),
            Err(error) => (Err(error.into()), USAGE),
        }
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("{SERVICE}: {error}");
        failed
    }))
}

fn help() -> Result<(), Box<dyn Error>> {
    say(&format!("{}\n{}\n", Command::usage(SERVICE), operate::usage(SERVICE)))
}

/// Carries out a command that works on the projection or the log; gives its exit status.
async fn carry_out(command: &Command) -> Result<u8, Box<dyn Error>> {
    let environment = Environment::of_process();
    let telemetry = telemetry::start_for_command(&environment, SERVICE)?;
    let servers = Servers::from_environment(&environment).await?;
    let stop = shutdown::on_signal()?;
    servers.prepare(&stop).await?;
    let tools = Tools {
        generations: Arc::new(MongoProjection::new(&servers.mongo)),
        replay: Arc::new(KafkaReplay::new(servers.kafka.clone())),
        log: Arc::new(KafkaAppender::new(servers.kafka.clone())?),
        config: Config::from_environment(&environment)?,
        clock: clock::system,
        screen: Screen::of_standard_error(),
        stop,
    };
    let finished = tools::run(command, &tools).await?;
    if !finished.text.is_empty() {
        say(&format!("{}\n", finished.text))?;
    }
    telemetry.stop();
    Ok(finished.status())
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

/// Works on the log and the store beside the processors that run.
async fn operate(command: operate::Command) -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let servers = Servers::from_environment(&environment).await?;
    let reader = Arc::new(KafkaChangeFeed::new(servers.kafka.clone()));
    let log = Arc::new(KafkaAppender::new(servers.kafka.clone())?);
    let operators = Arc::new(MongoOperatorLog::new(&servers.mongo));
    let letters = DeadLetters::new(reader, log.clone(), operators, &servers.kafka.topic, clock::system);
    let said = command.run(&letters, &environment).await;
    log.flush().await;
    say(&said?)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let config = Config::from_environment(&environment)?;
    let telemetry = telemetry::start(&environment, SERVICE)?;
    let servers = Servers::from_environment(&environment).await?;
    let stop = shutdown::on_signal()?;
    let listeners = Listeners::open(&environment).await?;
    let (address, admin) = listeners.addresses()?;
    tracing::info!(%address, admin = admin.map(|address| address.to_string()), "listening");

    let registry = MetricRegistry::default();
    let log = KafkaAppender::new(servers.kafka.clone())?;
    servers.watch_circuits(&registry, &log, stop.clone())?;
    let generations = Arc::new(MongoProjection::new(&servers.mongo));
    let announce = {
        let (redis, topic) = (servers.redis.clone(), servers.kafka.topic.clone());
        move |generation: Generation| -> Arc<dyn AppliedAnnouncer> {
            Arc::new(RedisAnnouncer::new(&redis, &applied_in(generation, &topic)))
        }
    };
    let ports = Ports {
        // Which generation it is of is found out when the processor begins.
        store: generations.writer(Generation::FIRST),
        log: Arc::new(log),
        window: Arc::new(RedisWindow::new(&servers.redis, servers.dedup_ttl)),
        announcer: announce(Generation::FIRST),
        operators: Arc::new(MongoOperatorLog::new(&servers.mongo)),
    };
    let (log, operators) = (ports.log.clone(), ports.operators.clone());
    let log_level = LogLevel::new(telemetry.log_filter(), operators, SERVICE, clock::system);
    let processor = Processor::new(config, ports, clock::system, &registry)?;

    // Health is shown from the first moment until after the drain.
    let (health, drained) = (processor.health(), CancellationToken::new());
    let (public, admin) = health.clone().routers(registry, log_level, listeners.are_two());
    let serving = tokio::spawn(listeners.serve(public, admin, drained.clone()));
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        health.stopping();
    });

    servers.prepare(&stop).await?;
    let replay = Arc::new(KafkaReplay::new(servers.kafka.clone()));
    let follow = Follow { generations, replay, announce: Box::new(announce) };
    let processed = follow.run(&processor, stop).await;
    log.flush().await;
    drained.cancel();
    serving.await?;
    telemetry.stop();
    Ok(processed?)
}
