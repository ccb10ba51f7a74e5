//! Typed readers of the environment. Every error is one line that names the variable (contract section 7).

use std::fs::File;
use std::io::{self, Read};
use std::str::FromStr;

/// Largest file with a secret, in bytes: a list of secrets or a connection string with every option, many times over.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

/// A wrong value; the program does not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct SettingError {
    /// The variable.
    pub variable: String,
    /// What is wrong with it. Never holds a secret's value.
    pub problem: String,
}

impl SettingError {
    /// `variable` is wrong.
    pub fn new(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into() }
    }
}

/// Where variables are read from: the process, or a list in tests.
pub struct Environment(Box<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// The environment of the process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(Box::new(|name| std::env::var(name).ok()))
    }

    /// These variables and no others.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: std::collections::HashMap<String, String> = variables.iter().map(own).collect();
        Self(Box::new(move |name| variables.get(name).cloned()))
    }

    /// The text of a variable that is set and not empty.
    #[must_use]
    pub fn text(&self, variable: &str) -> Option<String> {
        (self.0)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The text of a variable, or `default`.
    #[must_use]
    pub fn text_or(&self, variable: &str, default: &str) -> String {
        self.text(variable).unwrap_or_else(|| default.to_owned())
    }

    /// The text of a variable that holds a secret, or of the file that `<variable>_FILE` names, as Kubernetes and Docker mount secrets: a
    /// process shows its environment to more than it shows its files to.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read, is empty or no text. The message holds nothing of it.
    pub fn secret(&self, variable: &str) -> Result<Option<String>, SettingError> {
        let beside = format!("{variable}_FILE");
        let Some(path) = self.text(&beside) else { return Ok(self.text(variable)) };
        if self.text(variable).is_some() {
            return Err(SettingError::new(beside, format!("is set beside {variable}; keep one of them")));
        }
        let text = read_secret(&path).map_err(|error| SettingError::new(&beside, format!("{path}: {error}")))?;
        match text.trim() {
            "" => Err(SettingError::new(beside, format!("{path}: is empty"))),
            secret => Ok(Some(secret.to_owned())),
        }
    }

    /// A whole number within `range`, or `default`.
    ///
    /// # Errors
    /// The value is no such number.
    pub fn number<T>(&self, variable: &str, default: T, range: std::ops::RangeInclusive<T>) -> Result<T, SettingError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(variable) else { return Ok(default) };
        let parsed = text.parse().ok().filter(|number| range.contains(number));
        parsed.ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            SettingError::new(variable, format!("expected a whole number from {low} to {high}, got {text:?}"))
        })
    }

    /// `true` or `false`, or `default`.
    ///
    /// # Errors
    /// The value is neither.
    pub fn flag(&self, variable: &str, default: bool) -> Result<bool, SettingError> {
        match self.text(variable).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(SettingError::new(variable, format!("expected true or false, got {other:?}"))),
        }
    }

    /// One of the words of `choices`, or `default`.
    ///
    /// # Errors
    /// The value is none of them.
    pub fn choice<T: Copy>(&self, variable: &str, default: T, choices: &[(&str, T)]) -> Result<T, SettingError> {
        let Some(text) = self.text(variable) else { return Ok(default) };
        let found = choices.iter().find(|(word, _)| *word == text).map(|&(_, choice)| choice);
        found.ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            SettingError::new(variable, format!("expected one of {}, got {text:?}", words.join(", ")))
        })
    }

    /// `ENV`: whether this is production.
    ///
    /// # Errors
    /// It is neither `development` nor `production`.
    pub fn is_production(&self) -> Result<bool, SettingError> {
        self.choice("ENV", false, &[("development", false), ("production", true)])
    }
}

fn read_secret(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_FILE_BYTES {
        return Err(io::Error::other(format!("has more than {SECRET_FILE_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: "What holds a secret ("
    #[test]
    fn a_secret_is_in_its_variable_or_in_a_file_and_never_in_both() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).expect("written");
            path.display().to_string()
        };
        let read = |variables: &[(&str, &str)]| Environment::of(variables).secret("TOKEN");
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("TOKEN", "s3cret")]), Ok(Some("s3cret".to_owned())));
        let path = file("token", b"s3cret of a file\n");
        assert_eq!(read(&[("TOKEN_FILE", &path)]), Ok(Some("s3cret of a file".to_owned())));
        for (variables, problem) in [
            (vec![("TOKEN", "s3cret"), ("TOKEN_FILE", path.as_str())], "TOKEN_FILE: is set beside TOKEN"),
            (vec![("TOKEN_FILE", "/nowhere/at/all")], "TOKEN_FILE: /nowhere/at/all: "),
            (vec![("TOKEN_FILE", &file("empty", b"\n"))], "TOKEN_FILE: "),
            (vec![("TOKEN_FILE", &file("binary", b"s3cret\xff"))], "TOKEN_FILE: "),
            (vec![("TOKEN_FILE", &file("large", &[b's'; 100_000]))], "TOKEN_FILE: "),
        ] {
            let error = read(&variables).expect_err("refused").to_string();
            assert!(error.starts_with(problem) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        let environment = Environment::of(&[("KAFKA_PARTITIONS", "many"), ("ENV", "prod"), ("PORT", "")]);
        let error = environment.number("KAFKA_PARTITIONS", 12, 1..=1000).expect_err("wrong");
        assert_eq!(error.to_string(), "KAFKA_PARTITIONS: expected a whole number from 1 to 1000, got \"many\"");
        let error = environment.is_production().expect_err("wrong");
        assert_eq!(error.to_string(), "ENV: expected one of development, production, got \"prod\"");
        assert_eq!(environment.number("PORT", 8080, 0..=65535), Ok(8080), "empty counts as absent");
    }
}
