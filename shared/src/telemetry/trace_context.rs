//! W3C trace context, version 00: what ties a request, its log lines, its record in the log and its answer together.

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

    /// Makes `span`, and with it all spans below it, part of this trace for the exporter. Without an exporter it does nothing.
    pub fn adopt(&self, span: &tracing::Span) {
        #[cfg(feature = "otlp")]
        super::otlp::adopt(span, self.trace_id, self.span_id, self.sampled);
        #[cfg(not(feature = "otlp"))]
        tracing::trace!(parent: span, "no exporter is built in");
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
