//! The program: settings, telemetry, adapters, serve, drain.

use std::error::Error;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use processor_service::config::Config;
use processor_service::operate::{self, Command};
use processor_service::{Ports, Processor};
use shared::applied::redis::RedisAnnouncer;
use shared::change_feed::kafka::KafkaChangeFeed;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::redis::RedisWindow;
use shared::event_log::EventAppender;
use shared::event_log::kafka::{KafkaAppender, KafkaSubscriber};
use shared::metrics::MetricRegistry;
use shared::operator_log::mongo::MongoOperatorLog;
use shared::servers::Servers;
use shared::settings::{Environment, SettingError};
use shared::shipment_store::mongo::MongoStore;
use shared::{clock, healthcheck, shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "processor-service";
/// Port when `PORT` is not set (contract section 7).
const DEFAULT_PORT: u16 = 8081;
/// Exit code of a program whose arguments are not understood.
const USAGE: u8 = 2;
/// What a call without arguments does.
const HELP: &str = "usage: processor-service                      process; settings are in the environment\n\
                    \x20      processor-service healthcheck          whether the one that runs here is ready: 0, or 1 and why not\n";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = healthcheck::asked_for(SERVICE, DEFAULT_PORT, std::env::args_os()) {
        return ended;
    }
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect();
    let done = match arguments.split_first() {
        None => run().await,
        Some((word, rest)) if word == "dead-letters" => match Command::from_arguments(SERVICE, rest) {
            Ok(command) => operate(command).await,
            Err(error) => return misunderstood(&error.to_string()),
        },
        Some((word, _)) if word == "--help" || word == "-h" => say(&format!("{HELP}{}\n", operate::usage(SERVICE))),
        Some(_) => {
            return misunderstood(&format!("the arguments are not understood\n{HELP}{}", operate::usage(SERVICE)));
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

fn misunderstood(message: &str) -> ExitCode {
    eprintln!("{SERVICE}: {message}");
    ExitCode::from(USAGE)
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Works on the log and the store beside the processors that run.
async fn operate(command: Command) -> Result<(), Box<dyn Error>> {
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
    let port = environment.number("PORT", DEFAULT_PORT, 0..=u16::MAX)?;
    let telemetry = telemetry::start(&environment, SERVICE)?;
    let servers = Servers::from_environment(&environment).await?;
    let stop = shutdown::on_signal()?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .map_err(|error| SettingError::new("PORT", format!("cannot listen on {port}: {error}")))?;
    tracing::info!(address = %listener.local_addr()?, "listening");

    let registry = MetricRegistry::default();
    let log = KafkaAppender::new(servers.kafka.clone())?;
    servers.watch_circuits(&registry, &log, stop.clone())?;
    let ports = Ports {
        store: Arc::new(MongoStore::new(&servers.mongo)),
        log: Arc::new(log),
        window: Arc::new(RedisWindow::new(&servers.redis, servers.dedup_ttl)),
        announcer: Arc::new(RedisAnnouncer::new(&servers.redis, &servers.kafka.topic)),
        operators: Arc::new(MongoOperatorLog::new(&servers.mongo)),
    };
    let log = ports.log.clone();
    let processor = Processor::new(config, ports, clock::system, &registry)?;

    // Health is shown from the first moment until after the drain.
    let (health, drained) = (processor.health(), CancellationToken::new());
    let routes = health.clone().router(registry);
    let serving = {
        let drained = drained.clone();
        tokio::spawn(
            async move { axum::serve(listener, routes).with_graceful_shutdown(drained.cancelled_owned()).await },
        )
    };
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        health.stopping();
    });

    servers.prepare(&stop).await?;
    let processed = processor.run(Box::new(KafkaSubscriber::new(servers.kafka.clone())), stop).await;
    log.flush().await;
    drained.cancel();
    serving.await??;
    telemetry.stop();
    Ok(processed?)
}
