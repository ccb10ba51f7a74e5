//! The command line.

use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
Breaks a running platform under load and holds it to account for everything that it accepted.

usage: chaos pair [--seconds N] [--seed N] [--park-seconds N]
       chaos embedded [--runs N] [--seed N] [--park-seconds N]

pair      both services, as several processes, on private real servers behind a fault proxy. Faults are injected for N seconds
          [120]: kill -9 of processors, edges, Kafka, mongod and Redis; processes and servers that hang and come back; rolling
          restarts; members that join and leave; slow, cut, hanging and half-delivered connections; a flushed Redis
embedded  rastro, killed N times [20] at random points under load, and run out of disk in between

  --seed N          which faults, in which order, and what is sent: a number [1]
  --park-seconds N  how long events wait behind a dead letter of their shipment [4]; 0: not at all. Of the pair one edge says so, and
                    the other one 0: half of the shipments are parked

Afterwards the whole log is read, folded by a model that shares no code with the services, and compared with every shipment, every
outcome, every change and every dead letter; and the posters' own records of what was acknowledged with the log.

Exit status: 0 when nothing was lost, doubled, reordered or wrong and everything recovered; 1 when not; 2 for a wrong argument.
";

/// Seconds of a run when nothing else is asked for.
const SECONDS: u64 = 120;
/// Kills of a run when nothing else is asked for.
const RUNS: usize = 20;

/// How long is waited for a dead letter when nothing else is asked for, in seconds: about as long as an operator takes here, so that some come in
/// time and some do not.
pub const PARK_SECONDS: u64 = 4;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The pair, for so long.
    Pair(Duration),
    /// The embedded program, killed so often.
    Embedded(usize),
}

/// What to run, and which of its courses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What to run.
    pub run: Run,
    /// Equal seeds inject the same faults in the same order.
    pub seed: u64,
    /// How long events wait behind a dead letter, in seconds.
    pub park_seconds: u64,
}

/// A wrong command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Help is asked for.
    #[error("{HELP}")]
    Help,
    /// What is wrong.
    #[error("{0} (--help lists the options)")]
    Wrong(String),
}

impl Arguments {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// What is wrong, or that help is asked for.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, ArgumentError> {
        let wrong = |problem: String| Err(ArgumentError::Wrong(problem));
        let mut run = match arguments.next().as_deref() {
            Some("pair") => Run::Pair(Duration::from_secs(SECONDS)),
            Some("embedded") => Run::Embedded(RUNS),
            Some("-h" | "--help") => return Err(ArgumentError::Help),
            Some(other) => return wrong(format!("expected pair or embedded, got {other:?}")),
            None => return wrong("expected pair or embedded".to_owned()),
        };
        let (mut seed, mut park_seconds) = (1, PARK_SECONDS);
        while let Some(option) = arguments.next() {
            let number = |value: Option<String>| {
                let problem = || ArgumentError::Wrong(format!("{option}: expected a number"));
                value.and_then(|value| value.parse::<u64>().ok()).ok_or_else(problem)
            };
            match (option.as_str(), run) {
                ("-h" | "--help", _) => return Err(ArgumentError::Help),
                ("--seed", _) => seed = number(arguments.next())?,
                ("--park-seconds", _) => park_seconds = number(arguments.next())?,
                ("--seconds", Run::Pair(_)) => run = Run::Pair(Duration::from_secs(number(arguments.next())?)),
                ("--runs", Run::Embedded(_)) => {
                    run = Run::Embedded(usize::try_from(number(arguments.next())?).unwrap_or(usize::MAX));
                }
                _ => return wrong(format!("{option}: no such option here")),
            }
        }
        Ok(Self { run, seed, park_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Arguments, ArgumentError> {
        Arguments::read(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_run_has_its_own_options_and_both_have_a_seed() {
        let pair = Arguments { run: Run::Pair(Duration::from_secs(1800)), seed: 7, park_seconds: 0 };
        assert_eq!(read("pair --seconds 1800 --seed 7 --park-seconds 0"), Ok(pair));
        let embedded = Arguments { run: Run::Embedded(200), seed: 1, park_seconds: PARK_SECONDS };
        assert_eq!(read("embedded --runs 200"), Ok(embedded));
        assert_eq!(read("embedded --help"), Err(ArgumentError::Help));
    }

    #[test]
    fn a_wrong_command_line_names_what_is_wrong() {
        let problem = |arguments| read(arguments).expect_err("refused").to_string();
        assert!(problem("").starts_with("expected pair or embedded"));
        assert!(problem("pair --runs 3").starts_with("--runs: no such option here"));
        assert!(problem("pair --seed x").starts_with("--seed: expected a number"));
    }
}
