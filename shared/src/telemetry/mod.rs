//! Logs: one line an event, for people on a terminal and as JSON elsewhere. Traces: sent to a collector when the feature `otlp` is built in and
//! `OTEL_EXPORTER_OTLP_ENDPOINT` says where it is.

#[cfg(feature = "otlp")]
mod otlp;
mod panics;
mod trace_context;

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use panics::log_panics;
pub use trace_context::TraceContext;

use crate::settings::{Environment, SettingError};

/// Keeps telemetry alive; [`Telemetry::stop`] sends what is left.
#[must_use]
#[derive(Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Telemetry {
    /// Sends the spans that are still here. The last thing that a program does; blocks for a few seconds at most.
    pub fn stop(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.stop();
        }
    }
}

/// Starts logging to standard error, and tracing of the program called `service`. `LOG_LEVEL` (default `info`) is a level, or a filter
/// such as `info,shared=debug`; `LOG_FORMAT` is `text` or `json` (default: `text` on a terminal, else `json`). Call it within the runtime.
///
/// # Errors
/// One of the variables is wrong.
pub fn start(environment: &Environment, service: &'static str) -> Result<Telemetry, SettingError> {
    start_at("info", environment, service)
}

/// The same for a command that a person watches: `LOG_LEVEL` is `warn` when nothing else is said.
///
/// # Errors
/// One of the variables is wrong.
pub fn start_for_command(environment: &Environment, program: &'static str) -> Result<Telemetry, SettingError> {
    start_at("warn", environment, program)
}

fn start_at(level: &str, environment: &Environment, service: &'static str) -> Result<Telemetry, SettingError> {
    let level = environment.text_or("LOG_LEVEL", level);
    let filter = EnvFilter::try_new(&level).map_err(|error| SettingError::new("LOG_LEVEL", error.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let json = environment.choice("LOG_FORMAT", !terminal, &[("text", false), ("json", true)])?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.compact().with_ansi(terminal).boxed()
    };
    let registry = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otlp")]
    let (telemetry, started) = {
        let traces = otlp::Traces::from_environment(environment, service)?;
        let layer = traces.as_ref().map(otlp::Traces::layer);
        (Telemetry { traces }, registry.with(layer).try_init())
    };
    #[cfg(not(feature = "otlp"))]
    let (telemetry, started) = (Telemetry::default(), registry.try_init());
    log_panics();
    match started {
        Ok(()) => tracing::debug!(service, "telemetry started"),
        // Two services in one process, or two tests: the first one's logging serves both.
        Err(error) => tracing::debug!(%error, "logging was started before"),
    }
    Ok(telemetry)
}
