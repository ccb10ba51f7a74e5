//! What stands beside the programs (compose file, manifests, rules, dashboards, runbook) speaks of settings and metrics that there are.

mod metrics;
mod settings;
