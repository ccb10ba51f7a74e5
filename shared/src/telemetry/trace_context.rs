//! W3C trace context, version 00: what ties a request, its log lines, its record in the log and its answer together.

use tracing::Span;

/// The trace that a request belongs to, and the span that stands for it: W3C trace context, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    /// Its spans are sent to a collector.
    pub(super) sampled: bool,
}

impl TraceContext {
    /// The context of `span`, which goes on with a caller's `traceparent`, or begins a new trace when there is none or it is malformed. Where
    /// no exporter looks at the span, the identity of a span of our own is made up, so that lines, answers and records belong together.
    #[must_use]
    pub fn begin(span: &Span, traceparent: Option<&str>) -> Self {
        let caller = traceparent.and_then(Self::read);
        #[cfg(feature = "otlp")]
        if let Some(caller) = caller.filter(|_| !span.is_disabled()) {
            super::otlp::adopt(span, caller);
        }
        Self::of(span).unwrap_or_else(|| Self::unexported(caller))
    }

    /// The context of a span that an exporter looks at.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        #[cfg(feature = "otlp")]
        return if span.is_disabled() { None } else { super::otlp::context(span) };
        #[cfg(not(feature = "otlp"))]
        {
            let _ = span;
            None
        }
    }

    pub(super) fn unexported(caller: Option<Self>) -> Self {
        let mut random = [0; 24];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::warn!(%error, "no randomness for a trace id");
        }
        let (trace, span) = random.split_at(16);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |value, &byte| (value << 8) | u128::from(byte));
        let span_id = u64::try_from(number(span)).unwrap_or(1).max(1);
        match caller {
            Some(Self { trace_id, sampled, .. }) => Self { trace_id, span_id, sampled },
            // Nobody records it.
            None => Self { trace_id: number(trace).max(1), span_id, sampled: false },
        }
    }

    /// What a `traceparent` says; `None` when it is malformed.
    #[must_use]
    pub fn read(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length: usize| {
            let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if digits && text.len() == length { u128::from_str_radix(text, 16).ok() } else { None }
        };
        let known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
        let (trace_id, span_id, flags) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?, hex(flags, 2)?);
        (known && trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_traceparent_is_continued_and_a_malformed_one_replaced() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let begin = |traceparent| TraceContext::begin(&Span::none(), Some(traceparent));
        let context = begin(header);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(TraceContext::read(&context.traceparent()), Some(context));
        assert!(context.sampled, "who calls us records it");
        assert_ne!(context.traceparent(), header, "the span is our own");
        for malformed in
            ["", "00-0-0-0", &header.to_uppercase(), &format!("{header}-x"), &header.replace("0af7", "zzzz")]
        {
            assert_ne!(begin(malformed).trace_id(), context.trace_id(), "{malformed}");
        }
    }
}
