//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::{ADMIN, DEVELOPMENT_PASSWORD};
use crate::connection::Target;
use crate::load::Plan;
use crate::long::LongRun;
use crate::process::Watched;
use crate::report::plan::{self, Section};
use crate::run::Run;
use crate::walk::Walk;

/// What `--help` prints.
pub const HELP: &str = "\
Measures Rastro.

usage: bench report [OPTIONS]          measure everything on systems of its own, and write a report
       bench events [OPTIONS]          load a running platform through its API
       bench long [OPTIONS]            one shipment that is scanned again and again
       bench drop-database NAME        remove a database that the scripts beside this program made (MONGO_URI)

report:
  --only SECTION,...   measure these only; the ratios need both sides, so name ceilings, too
                       [ceilings,pair,open,processors,stored,hot,duplicates,reads,catch-up,embedded,
                       allocations; and soak]
  --quick              one short round, to see that it works; two minutes
  --rounds N           how often each figure is measured, 1 to 20  [3]
  --seconds N          how long each load lasts at most, 1 to 600  [8]
  --backlog N          records of the backlog, 1000 to 100000000   [1000000]
  --stored N           shipments of the large store, 1000 to 100000000 [1000000]
  --soak N             seconds that the soak lasts, 10 to 86400    [600]
  --out DIRECTORY      where report.md, .json and .svg go          [bench]

Of events, people get a table on standard error, and programs one line of JSON on standard output.

events:
  --url URL            where the platform listens; plain HTTP      [http://127.0.0.1:8080]
  --user NAME          who posts: an admin                         [admin_user]
  --password PASSWORD  its password; better: RASTRO_PASSWORD       [that of the seeded development user]
  --label TEXT         what the result is called                   [events]
  --rate N             events a second; 0: as many as go           [0]
  --seconds N          how long, 1 to 3600                         [30]
  --batch N            events in a request, 1 to 10000             [100]
  --connections N      1 to 1000                                   [16]
  --shipments N        registered beforehand, 1 to 10000000        [20000]
  --policy strict|field  that judges them                          [strict]
  --walk moves|parcel  what happens to each: the 4 moves from created to delivered, or 4 scans without a status between
                       them too; when all are done the run ends early [moves]
  --probe-rate N       single events a second beside the load, each of which waits for its outcome, 0 to 1000 [10]
  --pid NAME=PID       report this process too; repeat for more

long:
  --url, --user, --password, --pid  as above
  --scans N            of the one shipment, out of order, 1 to 10000000 [100000]

Exit status: 0; 1 when a measurement failed, or accepted events could not be read afterwards; 2 for a wrong argument.
";

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// `bench events`.
    Events(Run),
    /// `bench long`.
    Long(LongRun),
    /// `bench report`.
    Report(Box<plan::Plan>),
    /// `bench drop-database`.
    DropDatabase(String),
    /// `bench --help`.
    Help,
}

/// A wrong command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} (--help lists the options)")]
pub struct ArgumentError(String);

type Arguments<'a> = &'a mut dyn Iterator<Item = String>;

/// Reads the command line, without the program's name. `environment_password` is the value of `RASTRO_PASSWORD`.
///
/// # Errors
/// What is wrong.
pub fn read(
    mut arguments: impl Iterator<Item = String>,
    environment_password: Option<String>,
) -> Result<Task, ArgumentError> {
    let task = arguments.next();
    let arguments: Arguments<'_> = &mut arguments;
    match task.as_deref() {
        Some("events") => events(arguments, environment_password),
        Some("long") => long(arguments, environment_password),
        Some("report") => report(arguments),
        Some("drop-database") => match (arguments.next(), arguments.next()) {
            (Some(name), None) => Ok(Task::DropDatabase(name)),
            _ => Err(ArgumentError("drop-database: expects one name".to_owned())),
        },
        Some("-h" | "--help") => Ok(Task::Help),
        Some(other) => Err(ArgumentError(format!("{other}: no such task"))),
        None => Err(ArgumentError("what to do?".to_owned())),
    }
}

fn value(option: &str, arguments: Arguments<'_>) -> Result<String, ArgumentError> {
    arguments.next().ok_or_else(|| ArgumentError(format!("{option}: expects a value")))
}

fn number<T>(option: &str, arguments: Arguments<'_>, range: std::ops::RangeInclusive<T>) -> Result<T, ArgumentError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let text = value(option, arguments)?;
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        ArgumentError(format!("{option}: expected a number from {low} to {high}, got {text:?}"))
    })
}

fn no_option(option: &str) -> ArgumentError {
    ArgumentError(format!("{option}: no such option"))
}

fn events(arguments: Arguments<'_>, environment_password: Option<String>) -> Result<Task, ArgumentError> {
    let mut url = "http://127.0.0.1:8080".to_owned();
    let mut plan = Plan::flat_out(Duration::from_secs(30), 100, 16);
    let (mut label, mut user) = ("events".to_owned(), ADMIN.to_owned());
    let mut password = environment_password.unwrap_or_else(|| DEVELOPMENT_PASSWORD.to_owned());
    let mut policy = "strict".to_owned();
    let (mut shipments, mut walk, mut probe_rate, mut processes) = (20_000, Walk::Moves, 10, Vec::new());
    while let Some(option) = arguments.next() {
        let option = option.as_str();
        match option {
            "--url" => url = value(option, arguments)?,
            "--user" => user = value(option, arguments)?,
            "--password" => password = value(option, arguments)?,
            "--label" => label = value(option, arguments)?,
            "--rate" => plan.rate = number(option, arguments, 0..=10_000_000)?,
            "--seconds" => plan.duration = Duration::from_secs(number(option, arguments, 1..=3_600)?),
            "--batch" => plan.batch = number(option, arguments, 1..=10_000)?,
            "--connections" => plan.connections = number(option, arguments, 1..=1_000)?,
            "--shipments" => shipments = number(option, arguments, 1..=10_000_000)?,
            "--probe-rate" => probe_rate = number(option, arguments, 0..=1_000)?,
            "--policy" => policy = read_policy(value(option, arguments)?)?,
            "--walk" => walk = read_walk(&value(option, arguments)?)?,
            "--pid" => processes.push(watched(&value(option, arguments)?)?),
            "-h" | "--help" => return Ok(Task::Help),
            other => return Err(no_option(other)),
        }
    }
    processes.push(Watched::generator());
    let target = target(&url)?;
    Ok(Task::Events(Run { label, target, user, password, plan, shipments, policy, walk, probe_rate, processes }))
}

fn long(arguments: Arguments<'_>, environment_password: Option<String>) -> Result<Task, ArgumentError> {
    let (mut url, mut user) = ("http://127.0.0.1:8080".to_owned(), ADMIN.to_owned());
    let mut password = environment_password.unwrap_or_else(|| DEVELOPMENT_PASSWORD.to_owned());
    let (mut scans, mut processes) = (100_000, Vec::new());
    while let Some(option) = arguments.next() {
        let option = option.as_str();
        match option {
            "--url" => url = value(option, arguments)?,
            "--user" => user = value(option, arguments)?,
            "--password" => password = value(option, arguments)?,
            "--scans" => scans = number(option, arguments, 1..=10_000_000)?,
            "--pid" => processes.push(watched(&value(option, arguments)?)?),
            "-h" | "--help" => return Ok(Task::Help),
            other => return Err(no_option(other)),
        }
    }
    processes.push(Watched::generator());
    Ok(Task::Long(LongRun { target: target(&url)?, user, password, scans, processes }))
}

fn target(url: &str) -> Result<Target, ArgumentError> {
    Target::of(url).map_err(|error| ArgumentError(format!("--url: {error}, got {url:?}")))
}

fn read_policy(text: String) -> Result<String, ArgumentError> {
    match text.as_str() {
        "strict" | "field" => Ok(text),
        _ => Err(ArgumentError(format!("--policy: expected strict or field, got {text:?}"))),
    }
}

fn read_walk(text: &str) -> Result<Walk, ArgumentError> {
    match text {
        "moves" => Ok(Walk::Moves),
        "parcel" => Ok(Walk::Parcel),
        _ => Err(ArgumentError(format!("--walk: expected moves or parcel, got {text:?}"))),
    }
}

fn watched(text: &str) -> Result<Watched, ArgumentError> {
    let parts = text.split_once('=').and_then(|(name, pid)| Some((name, pid.parse().ok()?)));
    let (name, pid) = parts.ok_or_else(|| ArgumentError(format!("--pid: expected NAME=PID, got {text:?}")))?;
    Ok(Watched { name: name.to_owned(), pid })
}

fn report(arguments: Arguments<'_>) -> Result<Task, ArgumentError> {
    let mut plan = plan::Plan::whole(PathBuf::from("bench"));
    let (mut quick, mut only) = (false, None);
    let (mut rounds, mut seconds, mut backlog, mut stored, mut soak) = (None, None, None, None, None);
    while let Some(option) = arguments.next() {
        let option = option.as_str();
        match option {
            "--only" => only = Some(sections(&value(option, arguments)?)?),
            "--quick" => quick = true,
            "--rounds" => rounds = Some(number(option, arguments, 1..=20)?),
            "--seconds" => seconds = Some(number(option, arguments, 1..=600)?),
            "--backlog" => backlog = Some(number(option, arguments, 1_000..=100_000_000)?),
            "--stored" => stored = Some(number(option, arguments, 1_000..=100_000_000)?),
            "--soak" => soak = Some(number(option, arguments, 10..=86_400)?),
            "--out" => plan.directory = PathBuf::from(value(option, arguments)?),
            "-h" | "--help" => return Ok(Task::Help),
            other => return Err(no_option(other)),
        }
    }
    if quick {
        plan = plan.quick();
    }
    plan.sections = only.unwrap_or(plan.sections);
    plan.rounds = rounds.unwrap_or(plan.rounds);
    plan.each = seconds.map_or(plan.each, Duration::from_secs);
    plan.backlog = backlog.unwrap_or(plan.backlog);
    plan.stored.0 = stored.unwrap_or(plan.stored.0);
    plan.stored.1 = plan.stored.1.min(plan.stored.0 / 10);
    plan.soak = soak.map_or(plan.soak, Duration::from_secs);
    Ok(Task::Report(Box::new(plan)))
}

/// In the order of a round, whatever order they are named in.
fn sections(text: &str) -> Result<Vec<Section>, ArgumentError> {
    let named = text
        .split(',')
        .map(|name| Section::named(name).ok_or_else(|| ArgumentError(format!("--only: there is no section {name:?}"))));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    Ok(Section::ALL.into_iter().filter(|section| named.contains(section)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(arguments: &str) -> Result<Task, ArgumentError> {
        read(arguments.split_whitespace().map(str::to_owned), None)
    }

    fn problem(arguments: &str) -> String {
        task(arguments).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_run_watches_the_named_processes_and_itself() {
        let Ok(Task::Events(run)) = task("events --rate 8000 --pid ingest=17 --walk parcel --pid mongod=18") else {
            panic!("a run");
        };
        assert_eq!((run.plan.rate, run.walk), (8_000, Walk::Parcel));
        let names: Vec<_> = run.processes.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["ingest", "mongod", "bench"]);
    }

    #[test]
    fn a_report_measures_what_is_named_in_the_order_of_a_round() {
        let Ok(Task::Report(plan)) = task("report --quick --only embedded,ceilings --seconds 3 --out x") else {
            panic!("a report");
        };
        assert_eq!(plan.sections, [Section::Ceilings, Section::Embedded]);
        assert_eq!((plan.rounds, plan.each, plan.quick), (1, Duration::from_secs(3), true));
        let Ok(Task::Report(whole)) = task("report") else { panic!("a report") };
        assert_eq!(*whole, plan::Plan::whole(PathBuf::from("bench")));
    }

    #[test]
    fn a_wrong_command_line_names_what_is_wrong() {
        assert!(problem("").starts_with("what to do?"));
        assert!(problem("measure").starts_with("measure: no such task"));
        assert!(problem("events --pid 17").starts_with("--pid: expected NAME=PID"));
        assert!(problem("events --batch 0").starts_with("--batch: expected a number from 1 to 10000, got \"0\""));
        assert!(problem("events --url https://x:1").starts_with("--url: expected http://host:port"));
        assert!(problem("events --walk run").starts_with("--walk: expected moves or parcel"));
        assert!(problem("events --policy loose").starts_with("--policy: expected strict or field"));
        assert!(problem("long --scans 0").starts_with("--scans: expected a number"));
        assert!(problem("long --rate 1").starts_with("--rate: no such option"));
        assert!(problem("report --only pair,everything").starts_with("--only: there is no section \"everything\""));
        assert!(problem("report --rounds 0").starts_with("--rounds: expected a number from 1 to 20"));
        assert!(problem("drop-database").starts_with("drop-database: expects one name"));
    }
}
