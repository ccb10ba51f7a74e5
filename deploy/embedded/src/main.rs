//! Rastro in one process: both services over one SQLite file, and no server at all. `cargo run` starts it.
//!
//! Config, telemetry, adapters, serve, drain; or one of its other commands. Everything else stands in the two libraries and in the adapters.

mod greeting;
mod secret;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ingest_service::{Command, CreateAdmin, DEFAULT_PORT};
use processor_service::consume::Strands;
use processor_service::tools::{self, COULD_NOT, Screen, Tools};
use processor_service::{Processor, command, operate};
use shared::api_key_store::sqlite::SqliteApiKeys;
use shared::applied::in_process::AppliedPositions;
use shared::clock;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::memory::MemoryWindow;
use shared::event_log::replay::EventReplay;
use shared::event_log::sqlite::SqliteLog;
use shared::idempotency::sqlite::SqliteKeys;
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::number_lease::sqlite::SqliteLeases;
use shared::operator_log::sqlite::SqliteOperatorLog;
use shared::projection::ProjectionControl;
use shared::projection::sqlite::SqliteProjection;
use shared::settings::{Environment, SettingError};
use shared::shipment_store::sqlite::SqliteStore;
use shared::sqlite::Database;
use shared::unmapped_codes::sqlite::SqliteUnmappedCodes;
use shared::user_store::sqlite::SqliteUsers;
use shared::{healthcheck, shutdown, telemetry};
use tokio_util::sync::CancellationToken;

/// Most allocations live for a batch or a request; the C library's allocator took a quarter of the time (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAM: &str = "rastro";
/// One encodes while the other waits for the thread that writes. More would only make batches smaller.
const LANES: usize = 2;
/// Longest `DEDUP_TTL_SECONDS`: a week. The window is a hint; the file knows every event for ever.
const LONGEST_WINDOW: u64 = 7 * 24 * 3600;

/// Exit code of a program whose arguments are not understood.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = healthcheck::asked_for(PROGRAM, DEFAULT_PORT, std::env::args_os()) {
        return ended;
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "dead-letters") {
        let rest: Vec<_> = arguments[1..].iter().map(|text| text.to_string_lossy().into_owned()).collect();
        return match operate::Command::from_arguments(PROGRAM, &rest) {
            Ok(command) => ended(operate(command).await),
            Err(error) => misunderstood(&error),
        };
    }
    if arguments.first().is_some_and(|word| command::NAMES.iter().any(|name| word == *name)) {
        return on_the_file(arguments).await;
    }
    ended(match Command::from_arguments(PROGRAM, arguments.into_iter()) {
        Ok(Command::Serve) => run().await,
        Ok(Command::CreateAdmin(command)) => create_admin(command).await,
        Ok(Command::Help) => {
            let (others, letters) = (command::Command::usage(PROGRAM), operate::usage(PROGRAM));
            say(&format!("{}\n{others}\n{letters}", Command::usage(PROGRAM)))
        }
        Err(error) => return misunderstood(&error),
    })
}

fn misunderstood(error: &dyn Error) -> ExitCode {
    eprintln!("{PROGRAM}: {error}");
    ExitCode::from(USAGE)
}

fn ended(done: Result<(), Box<dyn Error>>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PROGRAM}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The file is one process's own: it must be stopped while this one adds an admin.
async fn create_admin(command: CreateAdmin) -> Result<(), Box<dyn Error>> {
    let users = SqliteUsers::new(Arc::new(open(&file_in(&data_directory(&Environment::of_process())))?));
    say(&command.run(&users, clock::system).await?)
}

/// The same holds for it.
async fn operate(command: operate::Command) -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let topic = processor_service::config::Config::from_environment(&environment)?.topic;
    let database = Arc::new(open(&file_in(&data_directory(&environment)))?);
    let log = Arc::new(SqliteLog::open(database.clone(), clock::system)?);
    let operators = Arc::new(SqliteOperatorLog::new(database));
    let letters = DeadLetters::new(log.clone(), log, operators, topic, clock::system);
    let said = command.run(&letters, &environment).await?;
    Ok(io::stdout().write_all(said.as_bytes())?)
}

/// A command that works on the projection or the log; the file must be no other process's.
async fn on_the_file(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    let done = match command::Command::from_arguments(arguments) {
        Ok(command::Command::Help) => say(&command::Command::usage(PROGRAM)).map(|()| 0),
        Ok(command) => carry_out(&command).await,
        Err(error) => Err(error.into()),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("{PROGRAM}: {error}");
        COULD_NOT
    }))
}

async fn carry_out(command: &command::Command) -> Result<u8, Box<dyn Error>> {
    let environment = Environment::of_process();
    let telemetry = telemetry::start_for_command(&environment, PROGRAM)?;
    let stop = shutdown::on_signal()?;
    let database = Arc::new(open(&file_in(&data_directory(&environment)))?);
    let log = Arc::new(SqliteLog::open(database.clone(), clock::system)?);
    let tools = Tools {
        generations: Arc::new(SqliteProjection::new(database)),
        replay: log.clone(),
        log,
        config: processor_config(&environment)?,
        clock: clock::system,
        screen: Screen::of_standard_error(),
        stop,
    };
    let finished = tools::run(command, &tools).await?;
    if !finished.text.is_empty() {
        say(&finished.text)?;
    }
    telemetry.stop();
    Ok(finished.status())
}

fn processor_config(environment: &Environment) -> Result<processor_service::config::Config, SettingError> {
    let config = processor_service::config::Config::from_environment(environment)?;
    Ok(processor_service::config::Config { lanes: LANES, strands: Strands::Keys, ..config })
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn data_directory(environment: &Environment) -> PathBuf {
    PathBuf::from(environment.text_or("DATA_DIR", "./data"))
}

fn file_in(data: &Path) -> PathBuf {
    data.join("rastro.sqlite")
}

fn open(file: &Path) -> Result<Database, SettingError> {
    Database::open(file).map_err(|error| data_dir(&error))
}

fn data_dir(problem: &dyn std::fmt::Display) -> SettingError {
    SettingError::new("DATA_DIR", problem.to_string())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let environment = Environment::of_process();
    let mut edge = ingest_service::Config::from_environment(&environment)?;
    let processor = processor_config(&environment)?;
    let window = environment.number("DEDUP_TTL_SECONDS", 3600, 1..=LONGEST_WINDOW)?;
    let data = data_directory(&environment);
    let telemetry = telemetry::start(&environment, PROGRAM)?;
    let stop = shutdown::on_signal()?;

    let listeners = ingest_service::listen(&edge).await?;
    let file = file_in(&data);
    let database = Arc::new(open(&file)?);
    if edge.development && environment.secret("JWT_SECRET")?.is_none() {
        edge.jwt_secrets = secret::of(&data).map_err(|error| data_dir(&error))?.into();
    }
    let registry = MetricRegistry::default();
    let applied = Arc::new(AppliedPositions::default());
    let window = Arc::new(MemoryWindow::new(Duration::from_secs(window)));
    // The commands that change it run while this process does not.
    let live = SqliteProjection::new(database.clone()).read().await?.live;
    let store = Arc::new(SqliteStore::of(database.clone(), live));
    let log = SqliteLog::open(database.clone(), clock::system)?;
    let operators = Arc::new(SqliteOperatorLog::new(database.clone()));
    let users = Arc::new(SqliteUsers::new(database.clone()));
    if edge.development {
        ingest_service::seed_users(&*users, clock::system).await?;
    } else {
        ingest_service::check_admin(&*users, PROGRAM).await?;
    }

    let ports = processor_service::Ports {
        store: store.clone(),
        log: Arc::new(log.clone()),
        window: window.clone(),
        announcer: applied.clone(),
        operators: operators.clone(),
    };
    let log_level = LogLevel::new(telemetry.log_filter(), operators.clone(), PROGRAM, clock::system);
    let topic = processor.topic.clone();
    let processor = Processor::new(processor, ports, clock::system, &registry)?;
    let dead_letters = DeadLetters::new(Arc::new(log.clone()), Arc::new(log.clone()), operators, topic, clock::system)
        .beside(processor.storm_notice());
    let api_keys = Arc::new(SqliteApiKeys::new(database.clone()));
    let leases = Arc::new(SqliteLeases::new(database.clone()));
    let keys = Arc::new(SqliteKeys::open(database.clone()).await?);
    let unmapped = ingest_service::UnmappedTally::start(Arc::new(SqliteUnmappedCodes::new(database)));
    ingest_service::reload_on_hangup(&edge.carriers, clock::system, stop.clone())?;
    let log_port = Arc::new(log.clone());
    let ports = ingest_service::Ports {
        log: log_port.clone(),
        changes: log_port,
        store,
        window,
        applied,
        users,
        api_keys,
        leases,
        keys,
        unmapped: unmapped.clone(),
        dead_letters,
        log_level,
    };
    let development = edge.development;
    let routers = ingest_service::routers(edge, ports, clock::system, &registry, stop.clone())?;

    // A closed standard output (`rastro | head -1`) is no reason not to run.
    let greeting = greeting::text(listeners.address()?.port(), &file, development);
    if let Err(error) = std::io::stdout().write_all(greeting.as_bytes()) {
        tracing::debug!(%error, "nobody reads what is printed");
    }

    // The processor goes on until the last request has been answered: callers wait for it.
    let edge_ended = CancellationToken::new();
    let serving = async {
        let served = ingest_service::serve(listeners, routers, Arc::new(log.clone()), stop.clone()).await;
        edge_ended.cancel();
        served
    };
    let processing = async {
        let processed = processor.run(log.member(live), edge_ended.clone()).await;
        stop.cancel(); // already cancelled, unless the processor cannot go on
        processed
    };
    let (served, processed) = tokio::join!(serving, processing);
    unmapped.finish().await;
    telemetry.stop();
    served?;
    Ok(processed?)
}
