//! Logs: one line an event, for people on a terminal and as JSON elsewhere; and the W3C trace context that ties a request, its log
//! lines, its record in the log and its answer together.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Environment, SettingError};

/// Starts logging to standard error. `LOG_LEVEL` (default `info`) is a level, or a filter such as `info,shared=debug`; `LOG_FORMAT` is `text`
/// or `json` (default: `text` on a terminal, else `json`).
///
/// # Errors
/// One of the two is wrong.
pub fn start(environment: &Environment) -> Result<(), SettingError> {
    let level = environment.text_or("LOG_LEVEL", "info");
    let filter = EnvFilter::try_new(&level).map_err(|error| SettingError::new("LOG_LEVEL", error.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let json = environment.choice("LOG_FORMAT", !terminal, &[("text", false), ("json", true)])?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if json {
        registry.with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false)).try_init()
    } else {
        registry.with(lines.compact().with_ansi(terminal)).try_init()
    };
    if let Err(error) = started {
        // Two services in one process, or two tests: the first one's logging serves both.
        tracing::debug!(%error, "logging was started before");
    }
    Ok(())
}

/// The trace that a request belongs to: W3C trace context, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// The context of a caller's `traceparent` with a span of our own, or a new trace when there is none or it is malformed.
    #[must_use]
    pub fn continued(traceparent: Option<&str>) -> Self {
        let mut random = [0; 24];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::warn!(%error, "no randomness for a trace id");
        }
        let (trace, span) = random.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |value, &byte| (value << 8) | u128::from(byte));
        let span_id = u64::try_from(number(span)).unwrap_or(1).max(1);
        match traceparent.and_then(parse_traceparent) {
            Some((trace_id, sampled)) => Self { trace_id, span_id, sampled },
            None => Self { trace_id: number(trace).max(1), span_id, sampled: true },
        }
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The header for whoever is called next.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

fn parse_traceparent(header: &str) -> Option<(u128, bool)> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == length { u128::from_str_radix(text, 16).ok() } else { None }
    };
    let known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
    let (trace_id, span_id, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
    (known && trace_id != 0 && span_id != 0).then_some((trace_id, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_traceparent_is_continued_and_a_malformed_one_replaced() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceContext::continued(Some(header));
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parse_traceparent(&context.traceparent()), Some((0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, true)));
        assert_ne!(context.traceparent(), header, "the span is our own");
        for malformed in
            ["", "00-0-0-0", &header.to_uppercase(), &format!("{header}-x"), &header.replace("0af7", "zzzz")]
        {
            assert_ne!(TraceContext::continued(Some(malformed)).trace_id(), context.trace_id(), "{malformed}");
        }
    }
}
