//! Typed readers of the environment. Every error is one line that names the variable (contract section 7).

use std::str::FromStr;

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

#[cfg(test)]
mod tests {
    use super::*;

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
