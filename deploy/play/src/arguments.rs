//! The command line.

use std::path::PathBuf;

use crate::order::Order;
use crate::plan::{Ids, Options, Policy, Scans};

/// What `--help` prints.
pub const HELP: &str = "\
Plays parcel histories against a running Rastro and reports what became of their scans.

usage: play [OPTIONS] FILE

FILE holds one history a line (NDJSON): {\"carrier\", \"number\", \"events\": [{\"occurred\", \"status\", \"kind\", \"reason\", \"place\",
\"code\", \"text\", \"lat\", \"lng\", \"time_missing\"}]}. For each history a shipment is registered and its scans are posted, one after the
other. Afterwards every shipment is read back; a shipment shows its newest 200 entries, so a longer history cannot be compared.

  --policy POLICY      how the shipments are judged, strict or field   [strict]
  --order ORDER        in which order the scans of each history come: time (as they happened), listed (as the carrier lists
                       them) or shuffled                               [time]
  --seed N             which shuffled order: a number                  [1]
  --scans WHICH        status: those that have one; all: the others too, as kinds, and the reasons
                                                                       [strict: status, field: all]
  --ids HOW            two scans in one second; none: as published, the second of them is a conflict; scan: each has a
                       source_event_id and a time of its own (below)   [strict: none, field: scan]
  --url URL            where Rastro listens; plain HTTP                [http://127.0.0.1:8080]
  --user NAME          who posts: an admin                             [admin_user]
  --password PASSWORD  its password; better: RASTRO_PASSWORD           [that of the seeded development user]
  --parallel N         histories at a time, 1 to 1024                  [16]
  --expect             compare every scan and shipment with what the contract says must become of it
  --at-least PERCENT   so many of the histories must end right         [0]
  --model              post nothing: print what the contract says
  --json               the report as JSON instead of a table; it also says what was applied and what was recorded

A history ends right when its shipment ends in the true status of the parcel: delivered when it holds a delivered scan; else
the status of its newest status scan by time, where a second pick-up after the first hub scan does not count.

Time order: by instant; scans with the same instant keep the order of the carrier's list, oldest first; a scan with a date and
no time stays behind the scan before it of that day. The platform does not see the list and breaks a tie by the order of arrival.
So --ids scan tells it, as an integration that reads the list would: each scan has an id made of what was published about it (one
that is listed twice is a duplicate still), a scan that ties with one before it is posted some milliseconds later, and one without a
time right behind the scan before it of that day. In 111 published histories 16 scans would be conflicts without the ids, and which
scan moved the status would depend on the order in 12 histories without the milliseconds (where it stands in the end, in none).

Under the field policy with --ids scan nothing in the table depends on --order. How the scans were judged when they came in does: that is said
on standard error.

Exit status: 0 when every scan was decided and every shipment was read back right (and as expected); 1 when not; 2 when
nothing was played, because of a wrong argument, a bad line or a refused login.
";

/// Most histories at a time: each holds a connection, and 1024 open files is what a process has by default.
const MOST_PARALLEL: usize = 1024;
/// The password of the users that are seeded for development (contract section 6).
const DEVELOPMENT_PASSWORD: &str = "password123";

/// What to play, where and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the options are described in HELP")]
pub struct Arguments {
    pub file: PathBuf,
    pub url: String,
    pub user: String,
    pub password: String,
    pub parallel: usize,
    pub options: Options,
    pub expect: bool,
    pub at_least: usize,
    pub model: bool,
    pub json: bool,
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
    /// Reads the command line, without the program's name. `environment_password` is the value of `RASTRO_PASSWORD`.
    ///
    /// # Errors
    /// What is wrong, or that help is asked for.
    pub fn read(
        mut arguments: impl Iterator<Item = String>,
        environment_password: Option<String>,
    ) -> Result<Self, ArgumentError> {
        let mut read = Self {
            file: PathBuf::new(),
            url: "http://127.0.0.1:8080".to_owned(),
            user: "admin_user".to_owned(),
            password: environment_password.unwrap_or_else(|| DEVELOPMENT_PASSWORD.to_owned()),
            parallel: 16,
            options: Options::of(Policy::Strict),
            expect: false,
            at_least: 0,
            model: false,
            json: false,
        };
        let wrong = |problem: String| Err(ArgumentError::Wrong(problem));
        let (mut file, mut scans, mut ids) = (None, None, None);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| ArgumentError::Wrong(format!("{argument}: expects a value")));
            match argument.as_str() {
                "--url" => read.url = value()?,
                "--user" => read.user = value()?,
                "--password" => read.password = value()?,
                "--parallel" => match value()?.parse() {
                    Ok(parallel) if (1..=MOST_PARALLEL).contains(&parallel) => read.parallel = parallel,
                    _ => return wrong(format!("--parallel: expected a number from 1 to {MOST_PARALLEL}")),
                },
                "--policy" => read.options.policy = word("--policy", &value()?, Policy::ALL, Policy::as_str)?,
                "--order" => read.options.order = word("--order", &value()?, Order::ALL, Order::as_str)?,
                "--seed" => match value()?.parse() {
                    Ok(seed) => read.options.seed = seed,
                    Err(_) => return wrong("--seed: expected a number from 0 to 18446744073709551615".to_owned()),
                },
                "--scans" => scans = Some(word("--scans", &value()?, Scans::ALL, Scans::as_str)?),
                "--ids" => ids = Some(word("--ids", &value()?, Ids::ALL, Ids::as_str)?),
                "--expect" => read.expect = true,
                "--at-least" => match value()?.parse() {
                    Ok(percent @ 0..=100) => read.at_least = percent,
                    _ => return wrong("--at-least: expected a number from 0 to 100".to_owned()),
                },
                "--model" => read.model = true,
                "--json" => read.json = true,
                "-h" | "--help" => return Err(ArgumentError::Help),
                option if option.starts_with('-') => return wrong(format!("{option}: no such option")),
                _ if file.is_some() => return wrong(format!("{argument}: one file is played at a time")),
                _ => file = Some(PathBuf::from(argument)),
            }
        }
        if !read.url.starts_with("http://") {
            return wrong(format!("--url: expected http://host:port, got {:?}", read.url));
        }
        let usual = Options::of(read.options.policy);
        read.options.scans = scans.unwrap_or(usual.scans);
        read.options.ids = ids.unwrap_or(usual.ids);
        read.file = file.ok_or_else(|| ArgumentError::Wrong("which file?".to_owned()))?;
        Ok(read)
    }
}

/// The one of `all` that `text` names.
fn word<T: Copy, const N: usize>(
    option: &str,
    text: &str,
    all: [T; N],
    as_str: fn(T) -> &'static str,
) -> Result<T, ArgumentError> {
    let found = all.into_iter().find(|&known| as_str(known) == text);
    found.ok_or_else(|| {
        ArgumentError::Wrong(format!("{option}: expected {}, got {text:?}", all.map(as_str).join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Arguments, ArgumentError> {
        Arguments::read(arguments.split_whitespace().map(str::to_owned), Some("from the environment".to_owned()))
    }

    fn problem(arguments: &str) -> String {
        read(arguments).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn options_may_stand_on_both_sides_of_the_file() {
        let arguments = read("--url http://10.0.0.1:80 h.ndjson --parallel 4 --expect").expect("valid");
        assert_eq!((arguments.url.as_str(), arguments.parallel, arguments.expect), ("http://10.0.0.1:80", 4, true));
        assert_eq!(arguments.file, PathBuf::from("h.ndjson"));
        assert_eq!(arguments.password, "from the environment");
    }

    #[test]
    fn a_wrong_command_line_names_what_is_wrong() {
        assert!(problem("").starts_with("which file?"));
        assert!(problem("a b").starts_with("b: one file"));
        assert!(problem("a --speed 3").starts_with("--speed: no such option"));
        assert!(problem("a --parallel 0").starts_with("--parallel: expected a number"));
        assert!(problem("a --url").starts_with("--url: expects a value"));
        assert!(problem("a --url localhost:8080").starts_with("--url: expected http://"));
        assert!(problem("a --policy lax").starts_with("--policy: expected strict or field, got \"lax\""));
        assert!(problem("a --order random").starts_with("--order: expected time or listed or shuffled"));
        assert!(problem("a --seed -1").starts_with("--seed: expected a number"));
        assert!(problem("a --at-least 101").starts_with("--at-least: expected a number from 0 to 100"));
        assert_eq!(read("--help").err(), Some(ArgumentError::Help));
    }
    #[test]
    fn a_policy_brings_its_scans_and_ids_unless_others_are_asked_for() {
        let options = |arguments| read(arguments).expect("valid").options;
        assert_eq!(options("a"), Options::of(Policy::Strict));
        assert_eq!(options("a --policy field"), Options::of(Policy::Field));
        let asked = options("--scans status --ids none a --policy field --order shuffled --seed 7");
        let expected =
            Options { policy: Policy::Field, order: Order::Shuffled, seed: 7, scans: Scans::Status, ids: Ids::None };
        assert_eq!(asked, expected);
    }
}
