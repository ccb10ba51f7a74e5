//! The command line.

use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Plays parcel histories against a running Rastro and reports what became of their scans.

usage: play [OPTIONS] FILE

FILE holds one history a line (NDJSON): {\"carrier\", \"number\", \"events\": [{\"occurred\", \"status\", \"place\", \"code\", \"lat\",
\"lng\", \"time_missing\"}]}. For each history a shipment is registered, and its scans that have a status are posted in the
order in which they happened. Afterwards every shipment is read back.

  --url URL            where Rastro listens; plain HTTP            [http://127.0.0.1:8080]
  --user NAME          who posts: an admin                         [admin_user]
  --password PASSWORD  its password; better: RASTRO_PASSWORD       [that of the seeded development user]
  --parallel N         histories at a time, 1 to 1024              [16]
  --expect             compare every scan with what the contract says must become of it (strict policy)
  --model              post nothing: print what the contract says
  --json               the report as JSON instead of a table

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
    pub expect: bool,
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
            expect: false,
            model: false,
            json: false,
        };
        let wrong = |problem: String| Err(ArgumentError::Wrong(problem));
        let mut file = None;
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
                "--expect" => read.expect = true,
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
        read.file = file.ok_or_else(|| ArgumentError::Wrong("which file?".to_owned()))?;
        Ok(read)
    }
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
        assert_eq!(read("--help").err(), Some(ArgumentError::Help));
    }
}
