//! The spans of the data path: a request, a record's way into the log, a batch with a link to each request that it is work of, and each call
//! of a store.
//!
//! They are for the exporter alone: [`TARGET`] tells them from the spans that put a trace into log lines, and where no exporter is, none of
//! them is enabled at any level. So tracing that is off costs a load and a comparison at each of these places, and nothing for a record.

use tracing::field::Empty;
use tracing::subscriber::Interest;
use tracing::{Instrument, Span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

use super::trace_context::TraceContext;

/// The target of all of them.
pub const TARGET: &str = "rastro::trace";

/// Lets through what is a span for the exporter, or what is none.
pub(super) struct ForExporter(pub(super) bool);

impl<S> Filter<S> for ForExporter {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: &Context<'_, S>) -> bool {
        (metadata.target() == TARGET) == self.0
    }

    fn callsite_enabled(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        if (metadata.target() == TARGET) == self.0 { Interest::always() } else { Interest::never() }
    }

    /// Without it no level would be left out of what is looked at.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// The span of an HTTP request to the route `url`, until [`answered`].
#[must_use]
pub fn request(method: &str, url: &str) -> Span {
    tracing::trace_span!(
        target: TARGET,
        "request",
        otel.name = %format_args!("{method} {url}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = url,
        http.response.status_code = Empty,
    )
}

/// The request of `span` was answered with `status`.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        failed(span);
    }
}

/// What `span` stands for failed.
pub fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// The way of records into the log.
pub struct Publishing {
    span: Span,
    context: TraceContext,
}

impl Publishing {
    /// The way of `records` records into `destination`, as part of the current span. Where nothing is exported, they belong to `trace`.
    #[must_use]
    pub fn begin(trace: TraceContext, destination: &'static str, records: usize) -> Self {
        let span = publishing(destination, records);
        Self { context: TraceContext::of(&span).unwrap_or(trace), span }
    }

    /// What goes into the records: whoever reads them goes on from here.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.context.traceparent()
    }

    /// Does `work`, the append.
    pub async fn by<T>(self, work: impl Future<Output = T>) -> T {
        work.instrument(self.span).await
    }
}

/// The span of an append of `records` records to `destination`.
#[must_use]
pub fn publishing(destination: &'static str, records: usize) -> Span {
    tracing::trace_span!(
        target: TARGET,
        "publish",
        otel.name = %format_args!("publish {destination}"),
        otel.kind = "producer",
        messaging.operation.type = "send",
        messaging.destination.name = destination,
        messaging.batch.message_count = records,
    )
}

/// The span of a batch of `records` records in lane `lane`. It is the root of a trace of its own, because it is work of many requests:
/// `parents` are the `traceparent`s of the records, and those that are traced are linked to.
#[must_use]
pub fn batch<'a>(lane: usize, records: usize, parents: impl Iterator<Item = Option<&'a str>>) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        parent: None,
        "batch",
        otel.name = "process batch",
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.operation.type = "process",
        messaging.batch.message_count = records,
        lane,
    );
    if !span.is_disabled() {
        #[cfg(feature = "otlp")]
        super::otlp::follow(&span, parents);
        #[cfg(not(feature = "otlp"))]
        drop(parents);
    }
    span
}

/// The span of a call of `system` that does `operation` on `target`.
#[cfg(any(feature = "mongo", feature = "redis", feature = "sqlite"))]
pub(crate) fn call(system: &'static str, operation: &str, target: &str) -> Span {
    tracing::trace_span!(
        target: TARGET,
        "store",
        otel.name = %format_args!("{operation} {target}"),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = system,
        db.operation.name = operation,
        db.collection.name = target,
    )
}

/// What `work` gives, done in `span`.
#[cfg(any(feature = "mongo", feature = "redis", feature = "sqlite"))]
pub(crate) async fn called<T, E>(span: Span, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let result = work.instrument(span.clone()).await;
    if result.is_err() {
        failed(&span);
    }
    result
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{EnvFilter, Layer};

    use super::super::lines_only;
    use super::*;

    #[test]
    fn tracing_that_is_off_makes_no_span_and_asks_no_record_for_its_parent() {
        let filter = lines_only(EnvFilter::new("trace"));
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(filter);
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
        let parents = std::iter::from_fn(|| -> Option<Option<&str>> { panic!("a record was asked for its parent") });
        assert!(tracing::enabled!(tracing::Level::TRACE), "the lines of all levels are written");
        for span in [request("GET", "/shipments"), publishing("events", 1), batch(0, 1, parents)] {
            assert!(span.is_disabled(), "{span:?}");
        }
        let trace = TraceContext::unexported(None);
        let publishing = Publishing::begin(trace, "events", 1);
        assert_eq!(publishing.traceparent(), trace.traceparent(), "a record belongs to its request all the same");
    }
}
