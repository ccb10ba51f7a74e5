//! Spans to an OpenTelemetry collector, over OTLP/gRPC. A collector that is away costs nothing but its spans.

use std::collections::HashSet;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::sampling;
use super::trace_context::TraceContext;
use crate::settings::{Environment, SettingError};

/// Most links of a batch, which is the specification's own limit for a span: a batch of 2,000 records may be work of as many requests.
const LINKS: usize = 128;

/// The way of a program's spans to the collector.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// The way to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT`; none when that is not set, or `OTEL_SDK_DISABLED` is true.
    pub(super) fn from_environment(
        environment: &Environment,
        service: &'static str,
    ) -> Result<Option<Self>, SettingError> {
        const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let Some(endpoint) = environment.text(VARIABLE) else { return Ok(None) };
        if environment.flag("OTEL_SDK_DISABLED", false)? {
            return Ok(None);
        }
        let sampler = sampling::from_environment(environment)?;
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|error| SettingError::new(VARIABLE, error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let name = environment.text_or("OTEL_SERVICE_NAME", service);
        let resource = Resource::builder().with_service_name(name).with_attribute(version).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        Ok(Some(Self { provider }))
    }

    /// The layer that hands spans over. What it would add by itself (files, lines, threads, times of waiting) is work for each span.
    pub(super) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> OpenTelemetryLayer<S, SdkTracer> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("rastro"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
    }

    /// Sends what is left.
    pub(super) fn stop(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

fn remote(caller: TraceContext) -> SpanContext {
    let flags = if caller.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (TraceId::from(caller.trace_id), SpanId::from(caller.span_id));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}

/// Makes `span` a child of a caller's span.
pub(super) fn adopt(span: &tracing::Span, caller: TraceContext) {
    if let Err(error) = span.set_parent(Context::new().with_remote_span_context(remote(caller))) {
        tracing::trace!(%error, "no exporter looks at this span");
    }
}

/// The context of `span` as the exporter has it. Begins it: afterwards it has its parent and its links.
pub(super) fn context(span: &tracing::Span) -> Option<TraceContext> {
    let context = span.context();
    let span = context.span();
    let own = span.span_context();
    own.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(own.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(own.span_id().to_bytes()),
        sampled: own.is_sampled(),
    })
}

/// Links `span` to those of its records' `parents` that are traced, each once. When none is, and every record has a parent, one that is
/// not: that tells the sampler.
pub(super) fn follow<'a>(span: &tracing::Span, parents: impl Iterator<Item = Option<&'a str>>) {
    let (mut linked, mut untraced, mut orphans) = (HashSet::new(), None, false);
    for parent in parents {
        match parent.and_then(TraceContext::read) {
            None => orphans = true,
            Some(parent) if !parent.sampled => untraced = Some(parent),
            Some(parent) => {
                if linked.len() < LINKS && linked.insert((parent.trace_id, parent.span_id)) {
                    span.add_link(remote(parent));
                }
            }
        }
    }
    if let Some(untraced) = untraced.filter(|_| linked.is_empty() && !orphans) {
        span.add_link(remote(untraced));
    }
}
