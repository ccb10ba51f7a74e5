//! What stands beside the programs (image, compose file, manifests, rules, dashboards, runbook) relies on settings, metrics and commands
//! that there are.

mod healthcheck;
mod metrics;
mod operated;
mod settings;
mod traces;

use std::time::Duration;

/// Longest time until what has happened is counted, or a program has answered.
const PATIENCE: Duration = Duration::from_secs(60);
