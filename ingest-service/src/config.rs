//! The settings of the edge. What an adapter needs to reach its server is the adapter's own.

use std::fmt;
use std::path::PathBuf;

use shared::settings::{Environment, SettingError};
use shared::shipment::Policy;

use crate::carriers::Carriers;
use crate::rate_limit::LimitSettings;

/// Fewest bytes of a secret in production: HS256 is no stronger than its key, and its hash has 32 bytes (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;
/// The secret of development. It is public, so production refuses it.
const DEVELOPMENT_SECRET: &str = "rastro-development-secret-do-not-use-in-production";
/// Largest `MAX_BATCH`: so many events fit into the body limit of 1 MiB when each is as small as can be.
const LARGEST_BATCH: usize = 10_000;

/// What signs the tokens. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret made of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// The settings of the edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PORT`: where a program listens; 0 for any free port.
    pub port: u16,
    /// `ENV` is not `production`: three users are seeded.
    pub development: bool,
    /// `JWT_SECRET`: signs the tokens.
    pub jwt_secret: Secret,
    /// `MAX_BATCH`: most events in one `POST /events/batch`.
    pub max_batch: usize,
    /// `RATE_LIMIT_…`: how much a caller may ask for in a time.
    pub(crate) rate_limits: LimitSettings,
    /// `TRANSITION_POLICY`: the policy of a shipment whose request names none.
    pub transition_policy: Policy,
    /// `ALLOW_CANCEL_IN_TRANSIT`: written into each new shipment.
    pub allow_cancel_in_transit: bool,
    /// `CARRIERS_DIR`: the vocabularies of the carriers, read.
    pub carriers: Carriers,
}

impl Config {
    /// The settings out of `environment`, and the mapping files that they name.
    ///
    /// # Errors
    /// The first wrong one.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let production = environment.is_production()?;
        let policies = [("strict", Policy::Strict), ("field", Policy::Field)];
        let transition_policy = environment.choice("TRANSITION_POLICY", Policy::Strict, &policies)?;
        let max_batch = environment.number("MAX_BATCH", 1000, 1..=LARGEST_BATCH)?;
        Ok(Self {
            port: environment.number("PORT", 8080, 0..=u16::MAX)?,
            development: !production,
            jwt_secret: secret(environment.text("JWT_SECRET"), production)?,
            max_batch,
            rate_limits: LimitSettings::from_environment(environment, max_batch)?,
            transition_policy,
            allow_cancel_in_transit: environment.flag("ALLOW_CANCEL_IN_TRANSIT", false)?,
            carriers: Carriers::load(environment.text("CARRIERS_DIR").map(PathBuf::from))
                .map_err(|error| SettingError::new("CARRIERS_DIR", error.to_string()))?,
        })
    }
}

fn secret(given: Option<String>, production: bool) -> Result<Secret, SettingError> {
    let problem = match given.as_deref() {
        None if production => "is required in production; for instance: openssl rand -hex 32".to_owned(),
        Some(DEVELOPMENT_SECRET) if production => "is the public one of development".to_owned(),
        Some(text) if production && text.len() < SECRET_BYTES => {
            format!("has {} bytes; production asks for at least {SECRET_BYTES}", text.len())
        }
        _ => return Ok(Secret(given.unwrap_or_else(|| DEVELOPMENT_SECRET.to_owned()))),
    };
    Err(SettingError::new("JWT_SECRET", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::from_environment(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    #[test]
    fn production_refuses_a_missing_a_short_and_the_default_secret_and_never_shows_it() {
        let with = |secret| read(&[("ENV", "production"), ("JWT_SECRET", secret)]);
        for secret in ["", "hunter2hunter2", DEVELOPMENT_SECRET] {
            let problem = with(secret).expect_err("refused");
            assert!(problem.starts_with("JWT_SECRET: "), "{problem}");
            assert!(secret.is_empty() || !problem.contains(secret), "{problem}");
        }
        let config = with("0123456789abcdef0123456789abcdef").expect("long enough");
        assert!(!config.development);
        assert!(!format!("{config:?}").contains("0123456789abcdef"), "{config:?}");
    }

    #[test]
    fn development_needs_no_setting_at_all() {
        let config = read(&[]).expect("defaults");
        assert_eq!((config.port, config.max_batch, config.development), (8080, 1000, true));
        assert_eq!((config.transition_policy, config.allow_cancel_in_transit), (Policy::Strict, false));
    }

    #[test]
    fn a_wrong_value_stops_the_start_with_the_name_of_its_variable() {
        for (variable, value) in [
            ("PORT", "70000"),
            ("ENV", "staging"),
            ("MAX_BATCH", "0"),
            ("RATE_LIMIT_EVENTS", "1000/s:10"),
            ("RATE_LIMIT_READS", "fast"),
            ("RATE_LIMIT_WRITES", "10/d"),
            ("TRANSITION_POLICY", "loose"),
            ("ALLOW_CANCEL_IN_TRANSIT", "perhaps"),
            ("CARRIERS_DIR", "/nowhere/at/all"),
        ] {
            let problem = read(&[(variable, value)]).expect_err("wrong");
            assert!(problem.starts_with(&format!("{variable}: ")), "{problem}");
        }
    }
}
