//! `play`: read the file, play it, read everything back, report. `play --help` says how it is used.

use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::time::Instant;

use play::api::Api;
use play::arguments::{ArgumentError, Arguments};
use play::history::{self, History};
use play::player::{self, Played};
use play::report::{self, Report};
use play::{arguments, model};

/// Most lines about what went wrong; the rest is counted.
const MOST_COMPLAINTS: usize = 20;
/// Exit status when nothing was played.
const NOT_PLAYED: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let password = std::env::var("RASTRO_PASSWORD").ok().filter(|password| !password.is_empty());
    let arguments = match Arguments::read(std::env::args().skip(1), password) {
        Ok(arguments) => arguments,
        Err(ArgumentError::Help) => {
            io::stdout().write_all(arguments::HELP.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Ok(not_played(&error.to_string())),
    };
    let histories = match read(&arguments) {
        Ok(histories) => histories,
        Err(problem) => return Ok(not_played(&problem)),
    };
    let expected: Vec<_> = histories.iter().map(model::play).collect();
    if arguments.model {
        print(&arguments, &Report::of(&histories, &expected))?;
        return Ok(ExitCode::SUCCESS);
    }
    let api = match Api::login(&arguments.url, &arguments.user, &arguments.password).await {
        Ok(api) => api,
        Err(error) => return Ok(not_played(&format!("{}: {error}", arguments.url))),
    };

    let begin = Instant::now();
    let played = player::play(&api, &histories, arguments.parallel).await;
    let report = Report::of(&histories, &played);
    let (seconds, at_a_time) = (begin.elapsed().as_secs_f64(), arguments.parallel);
    let (scans, count) = (report.posted, histories.len());
    let rate = if seconds > 0.0 { report.decided() as f64 / seconds } else { 0.0 };
    let url = &arguments.url;
    eprintln!(
        "{url}: {scans} scans of {count} histories in {seconds:.1} s, {rate:.0} a second, {at_a_time} histories at a time"
    );
    print(&arguments, &report)?;

    let mut complaints = complaints(&histories, &played);
    if arguments.expect {
        complaints.extend(report::differences(&histories, &expected, &played));
    }
    for complaint in complaints.iter().take(MOST_COMPLAINTS) {
        eprintln!("{complaint}");
    }
    if let Some(more @ 1..) = complaints.len().checked_sub(MOST_COMPLAINTS) {
        eprintln!("and {more} more");
    }
    if arguments.expect && complaints.is_empty() {
        eprintln!("every scan became what the contract says");
    }
    Ok(if report.is_sound() && complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn not_played(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(NOT_PLAYED)
}

fn read(arguments: &Arguments) -> Result<Vec<History>, String> {
    let name = arguments.file.display();
    let file = std::fs::File::open(&arguments.file).map_err(|error| format!("{name}: {error}"))?;
    history::read(BufReader::new(file)).map_err(|bad| {
        let lines = bad.iter().take(MOST_COMPLAINTS).map(|bad| format!("{name}: {bad}\n"));
        lines.chain([format!("{name}: {} bad lines, nothing was played", bad.len())]).collect()
    })
}

fn print(arguments: &Arguments, report: &Report) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer(&mut stdout, report)?;
        return writeln!(stdout);
    }
    write!(stdout, "{report}")
}

/// What went wrong, a line for each scan and shipment.
fn complaints(histories: &[History], played: &[Played]) -> Vec<String> {
    let mut lines = Vec::new();
    for (history, played) in histories.iter().zip(played) {
        let line = history.line;
        for (scan, result) in history.scans.iter().zip(&played.results) {
            if let Err(error) = result {
                lines.push(format!("line {line}: {} of {}: {error}", scan.status, scan.occurred));
            }
        }
        lines.extend(played.wrong.iter().map(|wrong| format!("line {line}: read back wrong: {wrong}")));
    }
    lines
}
