//! `bench`: loads a platform, measures a store, compares results. `bench --help` says how it is used.

use std::io::{self, Write};
use std::process::ExitCode;

use bench::arguments::{self, HELP, Task};
use bench::compare;
use bench::result::Measured;

/// Exit status for a wrong command line.
const WRONG_ARGUMENT: u8 = 2;

// One thread: what the generator takes of the processors, the platform on the same machine does not get.
#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let password = std::env::var("RASTRO_PASSWORD").ok().filter(|password| !password.is_empty());
    let task = match arguments::read(std::env::args().skip(1), password) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(WRONG_ARGUMENT));
        }
    };
    let sound = match task {
        Task::Help => io::stdout().write_all(HELP.as_bytes()).map(|()| true)?,
        Task::Events(run) => match run.measure().await {
            Ok(result) => {
                eprint!("{result}");
                let sound = result.is_sound();
                print(&Measured::Events(Box::new(result)))?;
                sound
            }
            Err(error) => failed(&error),
        },
        Task::Long(run) => match run.measure().await {
            Ok(result) => {
                write!(io::stdout(), "{result}")?;
                result.wrong.is_empty()
            }
            Err(error) => failed(&error),
        },
        Task::Compare(files) => {
            let texts = files.iter().map(std::fs::read_to_string).collect::<Result<String, _>>()?;
            io::stdout().write_all(compare::table(&compare::read(&texts)).as_bytes())?;
            true
        }
        Task::CeilingMongo { events, batch, writers, shipments } => {
            ceiling_mongo(events, batch, writers, shipments).await?
        }
        Task::DropDatabase(name) => drop_database(&name).await,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed(error: &dyn std::fmt::Display) -> bool {
    eprintln!("{error}");
    false
}

fn print(result: &Measured) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, result)?;
    writeln!(stdout)
}

#[cfg(feature = "mongo-ceiling")]
fn mongo_uri() -> Result<String, std::env::VarError> {
    std::env::var("MONGO_URI").inspect_err(|error| eprintln!("MONGO_URI: {error}"))
}

#[cfg(feature = "mongo-ceiling")]
async fn ceiling_mongo(events: u32, batch: u32, writers: u32, shipments: u32) -> io::Result<bool> {
    let Ok(uri) = mongo_uri() else { return Ok(false) };
    match bench::ceiling::measure(&uri, bench::ceiling::Ceiling { events, batch, writers, shipments }).await {
        Ok(result) => {
            eprint!("{result}");
            print(&Measured::Ceiling(result)).map(|()| true)
        }
        Err(error) => Ok(failed(&error)),
    }
}

#[cfg(feature = "mongo-ceiling")]
async fn drop_database(name: &str) -> bool {
    let Ok(uri) = mongo_uri() else { return false };
    match bench::ceiling::drop_database(&uri, name).await {
        Ok(()) => true,
        Err(error) => failed(&error),
    }
}

/// What this program was built without.
#[cfg(not(feature = "mongo-ceiling"))]
const WITHOUT: &str =
    "this program was built without the feature mongo-ceiling: cargo run -p bench --features mongo-ceiling";

#[cfg(not(feature = "mongo-ceiling"))]
#[expect(clippy::unused_async, reason = "its counterpart with the feature is")]
async fn ceiling_mongo(_events: u32, _batch: u32, _writers: u32, _shipments: u32) -> io::Result<bool> {
    Ok(failed(&WITHOUT))
}

#[cfg(not(feature = "mongo-ceiling"))]
#[expect(clippy::unused_async, reason = "its counterpart with the feature is")]
async fn drop_database(_name: &str) -> bool {
    failed(&WITHOUT)
}
