//! Rastro in one process: both services over one SQLite file, and no server at all. `cargo run` starts it.
//!
//! Config, telemetry, adapters, serve, drain. Everything else stands in the two libraries and in the adapters.

mod greeting;
mod secret;

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use processor_service::Processor;
use shared::applied::in_process::AppliedPositions;
use shared::clock;
use shared::dedup_window::memory::MemoryWindow;
use shared::event_log::sqlite::SqliteLog;
use shared::idempotency::sqlite::SqliteKeys;
use shared::metrics::MetricRegistry;
use shared::number_lease::sqlite::SqliteLeases;
use shared::settings::{Environment, SettingError};
use shared::shipment_store::sqlite::SqliteStore;
use shared::sqlite::Database;
use shared::unmapped_codes::sqlite::SqliteUnmappedCodes;
use shared::user_store::sqlite::SqliteUsers;
use shared::{shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest `DEDUP_TTL_SECONDS`: a week. The window is a hint; the file knows every event for ever.
const LONGEST_WINDOW: u64 = 7 * 24 * 3600;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rastro: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let mut edge = ingest_service::Config::from_environment(&environment)?;
    let mut processor = processor_service::config::Config::from_environment(&environment)?;
    processor.lanes = 1; // one file, one partition: another lane would have nothing to do
    let window = environment.number("DEDUP_TTL_SECONDS", 3600, 1..=LONGEST_WINDOW)?;
    let data = PathBuf::from(environment.text_or("DATA_DIR", "./data"));
    let telemetry = telemetry::start(&environment, "rastro")?;
    let stop = shutdown::on_signal()?;

    let listener = listen(edge.port).await?;
    let file = data.join("rastro.sqlite");
    let data_dir = |problem: &dyn std::fmt::Display| SettingError::new("DATA_DIR", problem.to_string());
    let database = Arc::new(Database::open(&file).map_err(|error| data_dir(&error))?);
    if edge.development && environment.text("JWT_SECRET").is_none() {
        edge.jwt_secret = secret::of(&data).map_err(|error| data_dir(&error))?;
    }
    let registry = MetricRegistry::default();
    let applied = Arc::new(AppliedPositions::default());
    let window = Arc::new(MemoryWindow::new(Duration::from_secs(window)));
    let store = Arc::new(SqliteStore::new(database.clone()));
    let log = SqliteLog::open(database.clone(), clock::system)?;
    let users = Arc::new(SqliteUsers::new(database.clone()));
    if edge.development {
        ingest_service::seed_users(&*users, clock::system).await?;
    }

    let ports = processor_service::Ports {
        store: store.clone(),
        log: Arc::new(log.clone()),
        window: window.clone(),
        announcer: applied.clone(),
    };
    let processor = Processor::new(processor, ports, clock::system, &registry)?;
    let leases = Arc::new(SqliteLeases::new(database.clone()));
    let keys = Arc::new(SqliteKeys::open(database.clone()).await?);
    let unmapped = ingest_service::UnmappedTally::start(Arc::new(SqliteUnmappedCodes::new(database)));
    ingest_service::reload_on_hangup(&edge.carriers, clock::system, stop.clone())?;
    let log_port = Arc::new(log.clone());
    let ports = ingest_service::Ports {
        log: log_port,
        store,
        window,
        applied,
        users,
        leases,
        keys,
        unmapped: unmapped.clone(),
    };
    let development = edge.development;
    let router = ingest_service::router(edge, ports, clock::system, &registry, stop.clone())?;

    // A closed standard output (`rastro | head -1`) is no reason not to run.
    let greeting = greeting::text(listener.local_addr()?.port(), &file, development);
    if let Err(error) = std::io::stdout().write_all(greeting.as_bytes()) {
        tracing::debug!(%error, "nobody reads what is printed");
    }

    // The processor goes on until the last request has been answered: callers wait for it.
    let edge_ended = CancellationToken::new();
    let serving = async {
        let served = ingest_service::serve(listener, router, Arc::new(log.clone()), stop.clone()).await;
        edge_ended.cancel();
        served
    };
    let processing = async {
        let processed = processor.run(Box::new(log.subscriber()), edge_ended.clone()).await;
        stop.cancel(); // already cancelled, unless the processor cannot go on
        processed
    };
    let (served, processed) = tokio::join!(serving, processing);
    unmapped.finish().await;
    telemetry.stop();
    served?;
    Ok(processed?)
}

async fn listen(port: u16) -> Result<TcpListener, SettingError> {
    let busy = |error: std::io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            let other = port.checked_add(1).unwrap_or(8080);
            SettingError::new("PORT", format!("{port} is in use; try PORT={other}"))
        }
        _ => SettingError::new("PORT", format!("cannot listen on {port}: {error}")),
    };
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(busy)
}
