//! The program: settings, telemetry, adapters, serve, drain.

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use processor_service::config::Config;
use processor_service::{Ports, Processor};
use shared::applied::redis::RedisAnnouncer;
use shared::dedup_window::redis::RedisWindow;
use shared::event_log::kafka::{KafkaAppender, KafkaSubscriber};
use shared::metrics::MetricRegistry;
use shared::servers::Servers;
use shared::settings::{Environment, SettingError};
use shared::shipment_store::mongo::MongoStore;
use shared::{clock, shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SERVICE: &str = "processor-service";
/// Port when `PORT` is not set (contract section 7).
const DEFAULT_PORT: u16 = 8081;

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
