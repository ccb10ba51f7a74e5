//! `play`: read the file, play it, read everything back, report. `play --help` says how it is used.

use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::time::Instant;

use play::api::Api;
use play::arguments::{ArgumentError, Arguments};
use play::history::{self, History};
use play::plan::{Plan, Policy};
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
    let plans: Vec<_> = histories.iter().map(|history| Plan::of(history, &arguments.options)).collect();
    let expected: Vec<_> = plans.iter().map(model::play).collect();
    if arguments.model {
        let report = Report::of(&plans, &expected);
        print(&arguments, &report)?;
        return Ok(exit_code(enough_end_right(&arguments, &report)));
    }
    let api = match Api::login(&arguments.url, &arguments.user, &arguments.password).await {
        Ok(api) => api,
        Err(error) => return Ok(not_played(&format!("{}: {error}", arguments.url))),
    };

    let begin = Instant::now();
    let played = player::play(&api, &plans, arguments.parallel).await;
    let report = Report::of(&plans, &played);
    say_how(&arguments, &report, begin.elapsed().as_secs_f64());
    print(&arguments, &report)?;

    let mut complaints = complaints(&plans, &played);
    if arguments.expect {
        complaints.extend(report::differences(&plans, &expected, &played));
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
    let enough = enough_end_right(&arguments, &report);
    Ok(exit_code(report.is_sound() && complaints.is_empty() && enough))
}

/// What differs from one run to the next, and so is not in the table.
fn say_how(arguments: &Arguments, report: &Report, seconds: f64) {
    let (url, options, at_a_time) = (&arguments.url, arguments.options, arguments.parallel);
    let (policy, order) = (options.policy.as_str(), options.order.as_str());
    let (scans, count) = (report.posted, report.histories);
    let rate = if seconds > 0.0 { report.decided() as f64 / seconds } else { 0.0 };
    eprintln!(
        "{url}: {scans} scans of {count} histories in {seconds:.1} s, {rate:.0} a second, {at_a_time} histories at a time; \
         {policy} policy, {order} order"
    );
    if options.policy == Policy::Field {
        let (applied, recorded) = (report.applied, report.recorded);
        eprintln!("as judged when they came in: {applied} applied, {recorded} recorded");
    }
}

fn enough_end_right(arguments: &Arguments, report: &Report) -> bool {
    let enough = report.ends.are_right_to(arguments.at_least);
    if !enough {
        eprintln!("fewer than {} % of the histories end right", arguments.at_least);
    }
    enough
}

fn exit_code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
fn complaints(plans: &[Plan<'_>], played: &[Played]) -> Vec<String> {
    let mut lines = Vec::new();
    for (plan, played) in plans.iter().zip(played) {
        let line = plan.history.line;
        for (event, result) in plan.events.iter().zip(&played.results) {
            if let Err(error) = result {
                lines.push(format!("line {line}: {} of {}: {error}", event.scan.claim, event.timestamp));
            }
        }
        lines.extend(played.wrong.iter().map(|wrong| format!("line {line}: read back wrong: {wrong}")));
    }
    lines
}
