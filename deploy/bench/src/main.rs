//! `bench`: loads a platform, and measures what it is held against. `bench --help` says how it is used.

use std::io::{self, Write};
use std::process::ExitCode;

use bench::arguments::{self, HELP, Task};
use bench::ceilings::mongo::drop_measured;
use bench::report::{markdown, run};

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
                let mut stdout = io::stdout().lock();
                serde_json::to_writer(&mut stdout, &result)?;
                writeln!(stdout)?;
                result.is_sound()
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
        Task::Report(plan) => {
            let directory = plan.directory.clone();
            let report = run::run(*plan).await?;
            let mut stdout = io::stdout().lock();
            stdout.write_all(markdown::targets(&report.targets).as_bytes())?;
            writeln!(stdout, "\nThe whole of it: {}", directory.join("report.md").display())?;
            report.wrong.iter().for_each(|wrong| eprintln!("WRONG: {wrong}"));
            report.wrong.is_empty()
        }
        Task::DropDatabase(name) => drop_database(&name).await,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed(error: &dyn std::fmt::Display) -> bool {
    eprintln!("{error}");
    false
}

async fn drop_database(name: &str) -> bool {
    let uri = match std::env::var("MONGO_URI") {
        Ok(uri) => uri,
        Err(error) => return failed(&format!("MONGO_URI: {error}")),
    };
    match drop_measured(&uri, name).await {
        Ok(()) => true,
        Err(error) => failed(&error),
    }
}
