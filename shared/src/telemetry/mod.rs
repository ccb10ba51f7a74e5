//! Logs: one line an event, for people on a terminal and as JSON elsewhere. Traces: sent to a collector when the feature `otlp` is built in and
//! `OTEL_EXPORTER_OTLP_ENDPOINT` says where it is.

mod log_filter;
#[cfg(feature = "otlp")]
mod otlp;
mod panics;
#[cfg(feature = "otlp")]
mod sampling;
pub mod spans;
mod trace_context;

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub use log_filter::{FILTER_BYTES, FilterError, LogFilter, Replaced};
pub use panics::log_panics;
pub use trace_context::TraceContext;

use crate::settings::{Environment, SettingError};

/// Keeps telemetry alive; [`Telemetry::stop`] sends what is left.
#[must_use]
pub struct Telemetry {
    filter: LogFilter,
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Telemetry {
    /// What is logged, for who may change it.
    #[must_use]
    pub fn log_filter(&self) -> LogFilter {
        self.filter.clone()
    }

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
    let (filter, layer) = LogFilter::new(&level).map_err(|error| SettingError::new("LOG_LEVEL", error.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let json = environment.choice("LOG_FORMAT", !terminal, &[("text", false), ("json", true)])?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.compact().with_ansi(terminal).boxed()
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(lines_only(layer)));
    #[cfg(feature = "otlp")]
    let (telemetry, started) = {
        let traces = otlp::Traces::from_environment(environment, service)?;
        let layer = traces.as_ref().map(|traces| traces.layer().with_filter(spans::ForExporter(true)));
        (Telemetry { filter, traces }, registry.with(layer).try_init())
    };
    #[cfg(not(feature = "otlp"))]
    let (telemetry, started) = (Telemetry { filter }, registry.try_init());
    log_panics();
    match started {
        Ok(()) => tracing::debug!(service, "telemetry started"),
        // Two services in one process, or two tests: the first one's logging serves both.
        Err(error) => tracing::debug!(%error, "logging was started before"),
    }
    #[cfg(not(feature = "otlp"))]
    if environment.text("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
        tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is set, and this build sends no traces: it lacks the feature otlp");
    }
    Ok(telemetry)
}

/// `filter`, for the layer that writes lines: spans for the exporter are none of its business.
fn lines_only<S>(filter: impl Filter<S>) -> impl Filter<S> {
    filter.and(spans::ForExporter(false))
}
