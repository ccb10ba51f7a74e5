//! `RATE_LIMIT_EVENTS`, `RATE_LIMIT_READS` and `RATE_LIMIT_WRITES`: `100`, `100/s`, `600/m` or `5000/h`, and behind a colon the burst.

use std::fmt;
use std::time::Duration;

use shared::settings::{Environment, SettingError};

/// Largest rate and largest burst: more than one instance does in a second, and 3,600 seconds for each of them still fit into 64 bits of
/// nanoseconds, which is how the buckets count.
const MOST: u32 = 1_000_000;

/// How many items a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// In a unit of time.
    count: u32,
    unit: Unit,
    /// At once.
    pub(super) burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        })
    }
}

impl Limit {
    /// The time in which one item comes back.
    pub(super) fn period(self) -> Duration {
        self.unit.duration() / self.count
    }

    /// The time in which all come back.
    pub(super) fn refilled_in(self) -> Duration {
        self.unit.duration() * self.burst / self.count
    }

    fn read(text: &str) -> Option<Self> {
        let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
        let (count, unit) = match rate.split_once('/') {
            None | Some((_, "s")) => (rate.trim_end_matches("/s"), Unit::Second),
            Some((count, "m")) => (count, Unit::Minute),
            Some((count, "h")) => (count, Unit::Hour),
            Some(_) => return None,
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| digits && (1..=MOST).contains(number))
        };
        let count = number(count)?;
        Some(Self { count, unit, burst: burst.map_or(Some(count), number)? })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "a second",
            Unit::Minute => "a minute",
            Unit::Hour => "an hour",
        };
        write!(formatter, "{} {unit}, up to {} at once", self.count, self.burst)
    }
}

/// The limit of each class; `None` for none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LimitSettings {
    pub(super) events: Option<Limit>,
    pub(super) reads: Option<Limit>,
    pub(super) writes: Option<Limit>,
}

impl LimitSettings {
    /// The limits out of `environment`, where a batch may have `max_batch` events.
    ///
    /// # Errors
    /// The first wrong one.
    pub(crate) fn from_environment(environment: &Environment, max_batch: usize) -> Result<Self, SettingError> {
        const EVENTS: &str = "RATE_LIMIT_EVENTS";
        let mut events = limit(environment, EVENTS)?;
        if let Some(limit) = &mut events {
            let whole_batch = u32::try_from(max_batch).unwrap_or(u32::MAX);
            let named = environment.text(EVENTS).is_some_and(|text| text.contains(':'));
            if named && limit.burst < whole_batch {
                let burst = limit.burst;
                let problem = format!(
                    "the burst of {burst} is less than MAX_BATCH, {max_batch}: no whole batch could ever be taken"
                );
                return Err(SettingError::new(EVENTS, problem));
            }
            limit.burst = limit.burst.max(whole_batch);
        }
        Ok(Self {
            events,
            reads: limit(environment, "RATE_LIMIT_READS")?,
            writes: limit(environment, "RATE_LIMIT_WRITES")?,
        })
    }
}

fn limit(environment: &Environment, variable: &str) -> Result<Option<Limit>, SettingError> {
    let Some(text) = environment.text(variable) else { return Ok(None) };
    let wrong = || {
        let problem = format!(
            "expected a rate such as 100/s, 600/m or 5000/h, with a burst behind a colon if it is to be another (100/s:500), \
             each from 1 to {MOST}; got {text:?}"
        );
        SettingError::new(variable, problem)
    };
    Limit::read(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_rate_and_a_burst() {
        let read = |text| Limit::read(text).map(|limit| (limit.to_string(), limit.period(), limit.refilled_in()));
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        let limit = |text: &str, period, refilled| Some((text.to_owned(), period, refilled));
        assert_eq!(read("100"), limit("100 a second, up to 100 at once", ms(10), secs(1)));
        assert_eq!(read("100/s:500"), limit("100 a second, up to 500 at once", ms(10), secs(5)));
        assert_eq!(read("600/m"), limit("600 a minute, up to 600 at once", ms(100), secs(60)));
        assert_eq!(read("5/h:1"), limit("5 an hour, up to 1 at once", secs(720), secs(720)));
        let largest = format!("1/h:{MOST}");
        assert!(Limit::read(&largest).is_some_and(|limit| limit.refilled_in().as_nanos() < u128::from(u64::MAX / 4)));
        for wrong in [
            "0",
            "-1",
            "+1",
            "1.5",
            "fast",
            "100/d",
            "100/",
            "/s",
            "100:",
            "100:0",
            "100/s:5:5",
            "1000001",
            "1/s/s",
            "1 /s",
        ] {
            assert_eq!(Limit::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_whole_batch_can_always_be_taken() {
        let events = |text: &str, max_batch| {
            let settings = LimitSettings::from_environment(&Environment::of(&[("RATE_LIMIT_EVENTS", text)]), max_batch);
            settings.map(|settings| settings.events.map(|limit| limit.burst)).map_err(|error| error.to_string())
        };
        assert_eq!(events("", 1000), Ok(None));
        assert_eq!(events("10/s", 1000), Ok(Some(1000)));
        assert_eq!(events("5000/s", 1000), Ok(Some(5000)));
        assert_eq!(events("10/s:1000", 1000), Ok(Some(1000)));
        let problem = events("5000/s:999", 1000).expect_err("too small");
        assert!(problem.starts_with("RATE_LIMIT_EVENTS: ") && problem.contains("MAX_BATCH"), "{problem}");
    }

    #[test]
    fn a_wrong_limit_names_its_variable() {
        for variable in ["RATE_LIMIT_EVENTS", "RATE_LIMIT_READS", "RATE_LIMIT_WRITES"] {
            let wrong = Environment::of(&[(variable, "fast")]);
            let error = LimitSettings::from_environment(&wrong, 1000).expect_err("wrong");
            assert_eq!(error.variable, variable);
        }
    }
}
