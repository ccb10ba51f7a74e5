//! The command line: what a program that has the processor in it is called for.
//!
//! | command | what |
//! |---|---|
//! | (none) | process |
//! | `rebuild` | build the projection anew out of the log, beside the live one; show what differs; with `--swap`, make it the live one |
//! | `rebuild gc` | drop generations that nobody reads any more |
//! | `verify` | compare live documents with the log, and write nothing |
//! | `export`, `import` | bring the log out and in |

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use shared::event_log::replay::Offsets;
use shared::shipment::{Timestamp, TrackingNumber};

/// Differences that are shown one by one when nothing else is asked for: a screen or two. All are counted.
const SHOWN: usize = 50;
/// Most that can be shown.
const MOST_SHOWN: usize = 100_000;
/// Shipments whose states a rebuild holds back when nothing else is asked for: about 200 MB.
const HELD: usize = 100_000;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Without arguments: to process.
    Process,
    /// `rebuild`.
    Rebuild(Rebuild),
    /// `rebuild --rollback`: back to the generation before the last swap.
    Rollback,
    /// `rebuild gc`.
    Collect {
        /// Also a generation that is being built.
        force: bool,
    },
    /// `verify`.
    Verify(Verify),
    /// `export`.
    Export {
        /// Where to; standard output when it is not named.
        file: Option<PathBuf>,
    },
    /// `import`.
    Import {
        /// Where from.
        file: PathBuf,
    },
    /// `--help`.
    Help,
}

/// How to build the projection anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// How far.
    pub until: Until,
    /// Of what.
    pub part: Part,
    /// What becomes of it.
    pub then: Then,
    /// How many differences are shown one by one.
    pub shown: usize,
    /// Of how many shipments the states are held back, so that each is written once for many events; about 2 KB each. 0 for none.
    pub hold: usize,
}

/// How far to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// As far as the live projection is.
    Now,
    /// Up to these offsets, each of which is left out; partitions that are not named are read as far as the live projection is.
    Offsets(Offsets),
}

/// What of the log to read. Only all of it gives a projection that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// The records of one shipment.
    Shipment(TrackingNumber),
    /// What the log got at or after this time: shipments that were created since.
    Since(Timestamp),
}

/// What becomes of what was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It stays, to be looked at; `--swap` in a later call goes on with it.
    Keep,
    /// Its differences are shown, and it is dropped.
    Drop,
    /// It becomes the live one.
    Swap,
}

/// What to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Which shipments.
    pub which: Which,
    /// How many differences are shown one by one.
    pub shown: usize,
}

/// Which shipments to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// About so many, spread evenly.
    Sample(u64),
    /// One.
    Shipment(TrackingNumber),
}

/// Arguments that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; --help tells how to call it")]
pub struct UsageError(String);

impl UsageError {
    fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Words that begin these commands, for a program that has others too.
pub const NAMES: [&str; 4] = ["rebuild", "verify", "export", "import"];

impl Command {
    /// Reads arguments, without the name of the program.
    ///
    /// # Errors
    /// They are not understood, or contradict one another.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut arguments = lexopt::Parser::from_args(arguments);
        let Some(first) = arguments.next()? else { return Ok(Self::Process) };
        match first {
            Short('h') | Long("help") => Ok(Self::Help),
            Value(name) if name == "rebuild" => rebuild(&mut arguments),
            Value(name) if name == "verify" => verify(&mut arguments),
            Value(name) if name == "export" => {
                Ok(file(&mut arguments)?.map_or_else(|| Self::Help, |file| Self::Export { file }))
            }
            Value(name) if name == "import" => match file(&mut arguments)? {
                None => Ok(Self::Help),
                Some(Some(file)) => Ok(Self::Import { file }),
                Some(None) => Err(UsageError::new("import needs a file")),
            },
            other => Err(other.unexpected().into()),
        }
    }

    /// How `program` is called.
    #[must_use]
    pub fn usage(program: &str) -> String {
        USAGE.replace("PROGRAM", program)
    }
}

const USAGE: &str = "\
usage: PROGRAM                      process; settings are in the environment
       PROGRAM healthcheck          whether the one that runs here is ready: 0, or 1 and why not
       PROGRAM rebuild [OPTIONS]    build the projection anew out of the log, beside the live one
           --swap                   then make it the live one, without losing or doubling anything; the old one is kept
           --diff-only              show what differs and drop it
           --until now|P:O,P:O,…    how far: as far as the live one is, or up to offset O (exclusive) of partition P [now]
           --tracking-number N      only this shipment (with --diff-only)
           --from-time TIME         only what the log got since, RFC 3339 (with --diff-only)
           --hold N                 keep the states of N shipments in memory, 2 KB each, before they are written [100000]
           --show N                 differences that are shown one by one [50]
           --rollback               make the generation before the last swap the live one again
       PROGRAM rebuild gc [--force] drop generations that are kept or abandoned; --force: one that is being built, too
       PROGRAM verify [OPTIONS]     compare live documents with the log, and write nothing
           --sample N               about N shipments, spread evenly [all]
           --tracking-number N      one shipment
           --show N                 differences that are shown one by one [50]
       PROGRAM export [FILE]        write the log as one JSON line for each record
       PROGRAM import FILE          append such lines to the log, in their order; records that are there already are duplicates
       PROGRAM healthcheck          whether the one that runs here is ready: 0, or 1 and why not
Exit status: 0 done, and of rebuild and verify: no difference (or swapped); 1 something differs; 2 could not.";

/// The one file that may be named; `None` when help is asked for.
fn file(arguments: &mut lexopt::Parser) -> Result<Option<Option<PathBuf>>, UsageError> {
    let mut file = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Value(name) if file.is_none() => file = Some(PathBuf::from(name)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(file))
}

fn rebuild(arguments: &mut lexopt::Parser) -> Result<Command, UsageError> {
    let mut options = Rebuild { until: Until::Now, part: Part::All, then: Then::Keep, shown: SHOWN, hold: HELD };
    let mut then = None;
    let mut rollback = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Value(name) if name == "gc" => return collect(arguments),
            Long("until") => options.until = until(&text(arguments)?)?,
            Long("swap") if then.is_none() => then = Some(Then::Swap),
            Long("diff-only") if then.is_none() => then = Some(Then::Drop),
            Long("swap" | "diff-only") => return Err(UsageError::new("--swap and --diff-only exclude one another")),
            Long("rollback") => rollback = true,
            Long("show") => options.shown = shown(arguments)?,
            Long("hold") => options.hold = arguments.value()?.parse()?,
            Long("tracking-number") if options.part == Part::All => {
                options.part = Part::Shipment(tracking_number(arguments)?);
            }
            Long("from-time") if options.part == Part::All => options.part = Part::Since(time(&text(arguments)?)?),
            Long("tracking-number" | "from-time") => {
                return Err(UsageError::new("--tracking-number and --from-time exclude one another"));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    options.then = then.unwrap_or(Then::Keep);
    let plain = options.part == Part::All && options.until == Until::Now;
    if rollback {
        let alone = then.is_none() && plain;
        return if alone { Ok(Command::Rollback) } else { Err(UsageError::new("--rollback stands alone")) };
    }
    match (&options.part, options.then) {
        (Part::Shipment(_), Then::Keep | Then::Swap) => {
            Err(UsageError::new("--tracking-number needs --diff-only: a projection of one shipment cannot be used"))
        }
        (Part::Since(_), Then::Keep | Then::Swap) => {
            Err(UsageError::new("--from-time needs --diff-only: a projection without its beginning cannot be used"))
        }
        (_, Then::Swap) if options.until != Until::Now => {
            Err(UsageError::new("--until and --swap exclude one another: a swap reads exactly as far as the live one"))
        }
        _ => Ok(Command::Rebuild(options)),
    }
}

fn collect(arguments: &mut lexopt::Parser) -> Result<Command, UsageError> {
    let mut force = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("force") => force = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Collect { force })
}

fn verify(arguments: &mut lexopt::Parser) -> Result<Command, UsageError> {
    let mut options = Verify { which: Which::All, shown: SHOWN };
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("sample") if options.which == Which::All => {
                let number: u64 = arguments.value()?.parse()?;
                if number == 0 {
                    return Err(UsageError::new("--sample: expected a number above 0"));
                }
                options.which = Which::Sample(number);
            }
            Long("tracking-number") if options.which == Which::All => {
                options.which = Which::Shipment(tracking_number(arguments)?);
            }
            Long("sample" | "tracking-number") => {
                return Err(UsageError::new("--sample and --tracking-number exclude one another"));
            }
            Long("show") => options.shown = shown(arguments)?,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Verify(options))
}

fn text(arguments: &mut lexopt::Parser) -> Result<String, UsageError> {
    Ok(arguments.value()?.string()?)
}

fn shown(arguments: &mut lexopt::Parser) -> Result<usize, UsageError> {
    let number: usize = arguments.value()?.parse()?;
    if number > MOST_SHOWN {
        return Err(UsageError::new(format!("--show: expected a number from 0 to {MOST_SHOWN}")));
    }
    Ok(number)
}

fn tracking_number(arguments: &mut lexopt::Parser) -> Result<TrackingNumber, UsageError> {
    let text = text(arguments)?;
    text.parse().map_err(|problem| UsageError::new(format!("--tracking-number: {text:?} {problem}")))
}

fn time(text: &str) -> Result<Timestamp, UsageError> {
    Timestamp::parse(text)
        .map_err(|_| UsageError::new(format!("--from-time: {text:?} is no RFC 3339 time with an offset")))
}

fn until(text: &str) -> Result<Until, UsageError> {
    if text == "now" {
        return Ok(Until::Now);
    }
    let wrong =
        || UsageError::new(format!("--until: expected now, or partition:offset,… such as 0:120,1:98; got {text:?}"));
    let mut offsets = Offsets::new();
    for pair in text.split(',') {
        let (partition, offset) = pair.split_once(':').ok_or_else(wrong)?;
        let partition: u16 = partition.trim().parse().map_err(|_| wrong())?;
        let offset = offset.trim().parse().ok().filter(|&offset: &i64| offset >= 0).ok_or_else(wrong)?;
        if offsets.insert(i32::from(partition), offset).is_some() {
            return Err(UsageError::new(format!("--until: partition {partition} is named twice")));
        }
    }
    Ok(Until::Offsets(offsets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        Command::from_arguments(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(read(""), Ok(Command::Process));
        let all = Rebuild { until: Until::Now, part: Part::All, then: Then::Keep, shown: SHOWN, hold: HELD };
        assert_eq!(read("rebuild"), Ok(Command::Rebuild(all.clone())));
        assert_eq!(
            read("rebuild --until now --swap"),
            Ok(Command::Rebuild(Rebuild { then: Then::Swap, ..all.clone() }))
        );
        let until = Until::Offsets([(0, 120), (3, 7)].into());
        assert_eq!(
            read("rebuild --until 0:120,3:7 --show=3 --hold 0"),
            Ok(Command::Rebuild(Rebuild { until, shown: 3, hold: 0, ..all }))
        );
        assert_eq!(read("rebuild --rollback"), Ok(Command::Rollback));
        assert_eq!(read("rebuild gc --force"), Ok(Command::Collect { force: true }));
        assert_eq!(read("verify --sample 10"), Ok(Command::Verify(Verify { which: Which::Sample(10), shown: SHOWN })));
        assert_eq!(read("export"), Ok(Command::Export { file: None }));
        assert_eq!(read("import log.ndjson"), Ok(Command::Import { file: "log.ndjson".into() }));
        for line in ["--help", "rebuild --help", "rebuild gc -h", "verify --help", "export --help", "import -h"] {
            assert_eq!(read(line), Ok(Command::Help), "{line}");
        }
        assert!(Command::usage("rastro").starts_with("usage: rastro "));
    }

    #[test]
    fn a_partial_projection_can_only_be_compared() {
        for (line, option) in [
            ("rebuild --tracking-number 99M-ABC12345", "--tracking-number"),
            ("rebuild --from-time 2025-01-01T00:00:00Z", "--from-time"),
            ("rebuild --from-time 2025-01-01T00:00:00Z --swap", "--from-time"),
            ("rebuild --until 0:5 --swap", "--until"),
            ("rebuild --diff-only --swap", "--swap"),
            ("rebuild --rollback --swap", "--rollback"),
            ("rebuild --tracking-number nonsense --diff-only", "--tracking-number"),
            ("rebuild --from-time yesterday --diff-only", "--from-time"),
            ("rebuild --until soon", "--until"),
            ("rebuild --until 0:1,0:2", "--until"),
            ("verify --sample 0", "--sample"),
            ("verify --sample 5 --tracking-number 99M-ABC12345", "--sample"),
            ("import", "import"),
            ("rebuilt", "rebuilt"),
        ] {
            let problem = read(line).expect_err("refused");
            assert!(problem.contains(option), "{line}: {problem}");
        }
        assert!(read("rebuild --diff-only --tracking-number 99M-ABC12345").is_ok());
        assert!(read("rebuild --diff-only --from-time 2025-01-01T00:00:00Z").is_ok());
    }
}
