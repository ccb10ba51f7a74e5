//! The settings of the edge. What an adapter needs to reach its server is the adapter's own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use shared::settings::{Environment, SettingError};
use shared::shipment::{Policy, limits};

use crate::carriers::Carriers;
use crate::client_address::TrustedProxies;
use crate::cross_origin::AllowedOrigins;
use crate::jwt_secret::JwtSecrets;
use crate::rate_limit::LimitSettings;
use crate::serve::CONNECTIONS;

/// Port when `PORT` is not set (contract section 7).
pub const DEFAULT_PORT: u16 = 8080;
/// Largest `MAX_BATCH`: so many events fit into the body limit of 1 MiB when each is as small as can be.
const LARGEST_BATCH: usize = 10_000;

/// The settings of the edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PORT`: where a program listens; 0 for any free port.
    pub port: u16,
    /// `ADMIN_PORT`: where metrics and what is for admins are shown instead, when it is set; 0 for any free port.
    pub admin_port: Option<u16>,
    /// `CONNECTIONS_PER_ADDRESS`: how many connections one address may have that is none of `TRUSTED_PROXIES`. By default half of all, so
    /// that nobody alone keeps others out, and whoever comes through a proxy that is not named there is not cut off.
    pub(crate) connections_per_address: usize,
    /// `CORS_ALLOWED_ORIGINS`: whose pages may call us from a browser.
    pub(crate) allowed_origins: AllowedOrigins,
    /// `LISTEN_ADDRESS`: on which of the machine's addresses a program listens. In development all users have a public password, so by
    /// default nobody but this machine gets to them; in production, all addresses.
    pub listen_address: IpAddr,
    /// `ENV` is not `production`: three users are seeded.
    pub development: bool,
    /// `JWT_SECRET`: signs the tokens.
    pub jwt_secrets: JwtSecrets,
    /// `TRUSTED_PROXIES`: who is believed when it says for whom it calls.
    pub trusted_proxies: TrustedProxies,
    /// `MAX_BATCH`: most events in one `POST /events/batch`.
    pub max_batch: usize,
    /// `RATE_LIMIT_…`: how much a caller may ask for in a time.
    pub(crate) rate_limits: LimitSettings,
    /// `TRANSITION_POLICY`: the policy of a shipment whose request names none.
    pub transition_policy: Policy,
    /// `ALLOW_CANCEL_IN_TRANSIT`: written into each new shipment.
    pub allow_cancel_in_transit: bool,
    /// `PARK_SECONDS`: how long the events of each new shipment are parked behind a dead letter; `None` for not at all.
    pub park_seconds: Option<u32>,
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
        let port = environment.number("PORT", DEFAULT_PORT, 0..=u16::MAX)?;
        Ok(Self {
            port,
            admin_port: admin_port(environment, port)?,
            connections_per_address: environment.number("CONNECTIONS_PER_ADDRESS", CONNECTIONS / 2, 1..=CONNECTIONS)?,
            allowed_origins: AllowedOrigins::from_environment(environment)?,
            listen_address: listen_address(environment, production)?,
            development: !production,
            jwt_secrets: JwtSecrets::from_environment(environment, production)?,
            trusted_proxies: TrustedProxies::from_environment(environment)?,
            max_batch,
            rate_limits: LimitSettings::from_environment(environment, max_batch)?,
            transition_policy,
            allow_cancel_in_transit: environment.flag("ALLOW_CANCEL_IN_TRANSIT", false)?,
            park_seconds: Some(environment.number("PARK_SECONDS", 0, 0..=limits::PARK_SECONDS)?)
                .filter(|&seconds| seconds > 0),
            carriers: Carriers::load(environment.text("CARRIERS_DIR").map(PathBuf::from))
                .map_err(|error| SettingError::new("CARRIERS_DIR", error.to_string()))?,
        })
    }
}

fn admin_port(environment: &Environment, port: u16) -> Result<Option<u16>, SettingError> {
    const VARIABLE: &str = "ADMIN_PORT";
    if environment.text(VARIABLE).is_none() {
        return Ok(None);
    }
    let admin = environment.number(VARIABLE, 0, 0..=u16::MAX)?;
    if admin == port && port != 0 {
        return Err(SettingError::new(VARIABLE, format!("{admin} is PORT too; leave it out to have one port for all")));
    }
    Ok(Some(admin))
}

fn listen_address(environment: &Environment, production: bool) -> Result<IpAddr, SettingError> {
    let default = if production { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let Some(text) = environment.text("LISTEN_ADDRESS") else { return Ok(default.into()) };
    let wrong =
        |_| SettingError::new("LISTEN_ADDRESS", format!("expected an address such as 0.0.0.0 or ::1, got {text:?}"));
    text.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::from_environment(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    // contract: "port 8080"
    // contract: "`allow_cancel_in_transit` (default from"
    // contract: "`processor-service` (`PORT` 8081"
    #[test]
    fn development_needs_no_setting_at_all() {
        let config = read(&[]).expect("defaults");
        assert_eq!((config.port, config.max_batch, config.development), (8080, 1000, true));
        assert_eq!((config.transition_policy, config.allow_cancel_in_transit), (Policy::Strict, false));
    }

    #[test]
    fn users_whose_passwords_are_public_are_offered_to_this_machine_only() {
        let secret = ("JWT_SECRET", "9c1f0f6d2b7a4e58b3d6a1c07e94f2d85b6e3a70c4d1f928");
        let listens_on = |variables: &[(&str, &str)]| read(variables).expect("valid").listen_address.to_string();
        assert_eq!(listens_on(&[]), "127.0.0.1");
        assert_eq!(listens_on(&[("ENV", "production"), secret]), "0.0.0.0");
        assert_eq!(listens_on(&[("LISTEN_ADDRESS", "0.0.0.0")]), "0.0.0.0");
        assert_eq!(listens_on(&[("ENV", "production"), secret, ("LISTEN_ADDRESS", "::1")]), "::1");
    }

    #[test]
    fn a_wrong_value_stops_the_start_with_the_name_of_its_variable() {
        for (variable, value) in [
            ("PORT", "70000"),
            ("ENV", "staging"),
            ("ADMIN_PORT", "8080"),
            ("ADMIN_PORT", "metrics"),
            ("CONNECTIONS_PER_ADDRESS", "0"),
            ("CORS_ALLOWED_ORIGINS", "example.com"),
            ("LISTEN_ADDRESS", "localhost"),
            ("JWT_SECRET", "kid=a:secret,b"),
            ("TRUSTED_PROXIES", "10.0.0.0/99"),
            ("MAX_BATCH", "0"),
            ("RATE_LIMIT_EVENTS", "1000/s:10"),
            ("RATE_LIMIT_READS", "fast"),
            ("RATE_LIMIT_WRITES", "10/d"),
            ("TRANSITION_POLICY", "loose"),
            ("ALLOW_CANCEL_IN_TRANSIT", "perhaps"),
            ("PARK_SECONDS", "an hour"),
            ("PARK_SECONDS", "2592001"),
            ("CARRIERS_DIR", "/nowhere/at/all"),
        ] {
            let problem = read(&[(variable, value)]).expect_err("wrong");
            assert!(problem.starts_with(&format!("{variable}: ")), "{problem}");
        }
    }
}
