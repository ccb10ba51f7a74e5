//! Spans to an OpenTelemetry collector, over OTLP/gRPC. A collector that is away costs nothing but its spans.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use crate::settings::{Environment, SettingError};

/// The way of a program's spans to the collector.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// The way to the collector at `OTEL_EXPORTER_OTLP_ENDPOINT`; none when that is not set.
    pub(super) fn from_environment(
        environment: &Environment,
        service: &'static str,
    ) -> Result<Option<Self>, SettingError> {
        const VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let Some(endpoint) = environment.text(VARIABLE) else { return Ok(None) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|error| SettingError::new(VARIABLE, error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name(service).with_attribute(version).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Some(Self { provider }))
    }

    /// The layer that hands spans over.
    pub(super) fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> OpenTelemetryLayer<S, SdkTracer> {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("rastro"))
    }

    /// Sends what is left.
    pub(super) fn stop(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// Makes `span` a child of a caller's span.
pub(super) fn adopt(span: &tracing::Span, trace_id: u128, span_id: u64, sampled: bool) {
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, parent) = (TraceId::from(trace_id), SpanId::from(span_id));
    let caller = SpanContext::new(trace, parent, flags, true, TraceState::NONE);
    if let Err(error) = span.set_parent(Context::new().with_remote_span_context(caller)) {
        tracing::trace!(%error, "no exporter looks at this span");
    }
}
