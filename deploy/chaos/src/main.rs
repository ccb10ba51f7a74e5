//! `chaos`: break it, and hold it to account. `chaos --help` says how it is used.

use std::io::{self, Write};
use std::process::ExitCode;

use chaos::arguments::{ArgumentError, Arguments, HELP, Run};
use chaos::progress::Progress;
use chaos::{embedded, pair};

/// Exit status of a wrong command line.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let Arguments { run, seed, park_seconds } = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(ArgumentError::Help) => {
            io::stdout().write_all(HELP.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let progress = Progress::begin();
    let report = match run {
        Run::Pair(length) => pair::run(length, seed, park_seconds, progress).await,
        Run::Embedded(runs) => embedded::run(runs, seed, park_seconds, progress).await,
    };
    write!(io::stdout().lock(), "{report}")?;
    for complaint in report.complaints() {
        eprintln!("{complaint}");
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
