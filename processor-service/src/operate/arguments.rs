//! The arguments of `dead-letters`.

use shared::dead_letters::{Cursor, Filter, LetterId, MOST_REDRIVEN, REASON, Selection};
use shared::shipment::{Timestamp, TrackingNumber};

/// Letters that are listed when nothing else is said.
const LISTED: usize = 100;
/// Most letters that one call lists.
const MOST: usize = 100_000;
/// Letters that are redriven when nothing else is said.
const REDRIVEN: usize = 100;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// List letters, the newest first.
    List {
        /// Which.
        filter: Filter,
        /// So many at most.
        limit: usize,
    },
    /// Show one.
    Show(LetterId),
    /// Put their originals back into the log.
    Redrive {
        /// Which.
        selection: Selection,
        /// So many at most.
        limit: usize,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Let a storm through.
    Continue,
}

/// Arguments that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}\n{usage}")]
pub struct UsageError {
    problem: String,
    usage: String,
}

/// How `program` is called.
#[must_use]
pub fn usage(program: &str) -> String {
    format!(
        "usage: {program} dead-letters list [FILTER] [--limit N]\n\
         \x20      {program} dead-letters show ID\n\
         \x20      {program} dead-letters redrive {{--id ID … | FILTER [--cursor C]}} [--limit N] [--dry-run]\n\
         \x20      {program} dead-letters continue     let the storm through at which processors stopped\n\
         FILTER: --reason R --tracking-number T --from TIME --to TIME (RFC 3339), those of them that are given"
    )
}

/// What the options say.
#[derive(Default)]
struct Options {
    filter: Filter,
    ids: Vec<LetterId>,
    limit: Option<usize>,
    cursor: Option<String>,
    dry_run: bool,
}

impl Command {
    /// Reads what stands behind `dead-letters`.
    ///
    /// # Errors
    /// It is not understood; the message says how to call `program`.
    pub fn from_arguments(program: &str, arguments: &[String]) -> Result<Self, UsageError> {
        Self::read(arguments).map_err(|problem| UsageError { problem, usage: usage(program) })
    }

    fn read(arguments: &[String]) -> Result<Self, String> {
        let (verb, rest) = arguments.split_first().ok_or("dead-letters: list, show, redrive or continue?")?;
        match (verb.as_str(), rest) {
            ("list", options) => {
                let Options { filter, ids, limit, cursor, dry_run } = Options::read(options, MOST)?;
                if !ids.is_empty() || cursor.is_some() || dry_run {
                    return Err("list takes a filter and --limit".to_owned());
                }
                Ok(Self::List { filter, limit: limit.unwrap_or(LISTED) })
            }
            ("show", [id]) => id.parse().map(Self::Show).map_err(|error| format!("the id {error}")),
            ("show", _) => Err("show takes the id of one letter".to_owned()),
            ("redrive", options) => Self::redrive(Options::read(options, MOST_REDRIVEN)?),
            ("continue", []) => Ok(Self::Continue),
            ("continue", _) => Err("continue takes no arguments".to_owned()),
            (other, _) => Err(format!("dead-letters {other:?}: list, show, redrive or continue?")),
        }
    }

    fn redrive(options: Options) -> Result<Self, String> {
        let Options { filter, ids, limit, cursor, dry_run } = options;
        let limit = limit.unwrap_or(if ids.is_empty() { REDRIVEN } else { ids.len() });
        let selection = match (ids.is_empty(), filter == Filter::default()) {
            (false, true) if cursor.is_none() => Selection::Ids(ids),
            (false, _) => return Err("--id does not go together with a filter or a cursor".to_owned()),
            (true, true) => return Err("redrive: which? --id, or a filter".to_owned()),
            (true, false) => {
                let start = cursor.as_deref().map(|text| {
                    Cursor::of_redrive(text, &filter).ok_or("--cursor is not one of a redrive with this filter")
                });
                let start = start.transpose()?;
                Selection::Matching(filter, start)
            }
        };
        Ok(Self::Redrive { selection, limit, dry_run })
    }
}

impl Options {
    fn read(arguments: &[String], most: usize) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            if name == "--dry-run" {
                options.dry_run = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            let wrong = |problem: &str| format!("{name} {problem}");
            let time = || Timestamp::parse(value).map_err(|_| wrong("must be a time such as 2026-01-31T15:04:05Z"));
            match name.as_str() {
                "--id" => options.ids.push(value.parse().map_err(|error| wrong(&format!("{error}")))?),
                "--reason" if value.chars().count() <= REASON => options.filter.reason = Some(value.clone()),
                "--reason" => return Err(wrong("is too long")),
                "--tracking-number" => {
                    let number = value.parse::<TrackingNumber>().map_err(|error| wrong(&error.to_string()))?;
                    options.filter.tracking_number = Some(number);
                }
                "--from" => options.filter.from = Some(time()?),
                "--to" => options.filter.to = Some(time()?),
                "--cursor" => options.cursor = Some(value.clone()),
                "--limit" => {
                    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                    options.limit =
                        Some(number.ok_or_else(|| wrong(&format!("must be a whole number from 1 to {most}")))?);
                }
                _ => return Err(format!("{name} is no option")),
            }
        }
        if options.ids.len() > MOST_REDRIVEN {
            return Err(format!("at most {MOST_REDRIVEN} ids"));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, String> {
        let own: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Command::from_arguments("rastro", &own).map_err(|error| error.to_string())
    }

    #[test]
    fn every_command_is_understood() {
        let filter = Filter { reason: Some("NO_JSON".to_owned()), ..Filter::default() };
        let id = |text: &str| text.parse::<LetterId>().expect("an id");
        assert_eq!(read(&["list"]), Ok(Command::List { filter: Filter::default(), limit: 100 }));
        assert_eq!(
            read(&["list", "--reason", "NO_JSON", "--limit", "7"]),
            Ok(Command::List { filter: filter.clone(), limit: 7 })
        );
        assert_eq!(read(&["show", "3:41"]), Ok(Command::Show(id("3:41"))));
        let selection = Selection::Ids(vec![id("3:41"), id("0:1")]);
        let redrive = Command::Redrive { selection, limit: 2, dry_run: true };
        assert_eq!(read(&["redrive", "--id", "3:41", "--dry-run", "--id", "0:1"]), Ok(redrive));
        let redrive = Command::Redrive { selection: Selection::Matching(filter, None), limit: 100, dry_run: false };
        assert_eq!(read(&["redrive", "--reason", "NO_JSON"]), Ok(redrive));
        assert_eq!(read(&["continue"]), Ok(Command::Continue));
    }

    #[test]
    fn what_is_not_understood_does_nothing_and_says_how_to_call() {
        for wrong in [
            &[] as &[_],
            &["delete"],
            &["list", "--id", "0:1"],
            &["list", "--limit", "0"],
            &["list", "--from", "yesterday"],
            &["list", "--reason"],
            &["show"],
            &["show", "x"],
            &["redrive"],
            &["redrive", "--dry-run"],
            &["redrive", "--id", "0:1", "--reason", "NO_JSON"],
            &["redrive", "--reason", "NO_JSON", "--limit", "1001"],
            &["redrive", "--reason", "NO_JSON", "--cursor", "x"],
            &["redrive", "--everything", "yes"],
            &["continue", "please"],
        ] {
            let message = read(wrong).expect_err("not understood");
            assert!(message.contains("usage: rastro dead-letters list"), "{message}");
        }
    }
}
