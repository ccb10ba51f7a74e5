//! Which traces are sent: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, as OpenTelemetry's specification has them.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::settings::{Environment, SettingError};

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

#[derive(Clone, Copy)]
enum Root {
    Always,
    Never,
    Ratio,
}

/// The sampler that `environment` asks for; every trace that a caller does not want left out, when it asks for none.
pub(super) fn from_environment(environment: &Environment) -> Result<Box<dyn ShouldSample>, SettingError> {
    let words = [
        ("always_on", (false, Root::Always)),
        ("always_off", (false, Root::Never)),
        ("traceidratio", (false, Root::Ratio)),
        ("parentbased_always_on", (true, Root::Always)),
        ("parentbased_always_off", (true, Root::Never)),
        ("parentbased_traceidratio", (true, Root::Ratio)),
    ];
    let (by_parent, root) = environment.choice(SAMPLER, (true, Root::Always), &words)?;
    let root = match root {
        Root::Always => Sampler::AlwaysOn,
        Root::Never => Sampler::AlwaysOff,
        Root::Ratio => Sampler::TraceIdRatioBased(ratio(environment)?),
    };
    Ok(if by_parent { Box::new(ByParents(Sampler::ParentBased(Box::new(root)))) } else { Box::new(root) })
}

fn ratio(environment: &Environment) -> Result<f64, SettingError> {
    let Some(text) = environment.text(ARGUMENT) else { return Ok(1.0) };
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| SettingError::new(ARGUMENT, format!("expected a number from 0 to 1, got {text:?}")))
}

/// Goes by the parent and, where there is none, by those that are linked to: a batch is traced when any request is that it is work of.
/// Else most traces would end at the log.
#[derive(Clone, Debug)]
struct ByParents(Sampler);

impl ShouldSample for ByParents {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if !links.is_empty() && !parent.is_some_and(|parent| parent.span().span_context().is_valid()) {
            let traced = links.iter().any(|link| link.span_context.is_sampled());
            result.decision = if traced { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn context(flags: TraceFlags) -> SpanContext {
        SpanContext::new(TraceId::from(7), SpanId::from(7), flags, true, TraceState::NONE)
    }

    fn is_traced(settings: &[(&str, &str)], parent: Option<TraceFlags>, links: &[TraceFlags]) -> bool {
        let sampler = from_environment(&Environment::of(settings)).expect("valid");
        let parent = parent.map(|flags| Context::new().with_remote_span_context(context(flags)));
        let links: Vec<_> = links.iter().map(|&flags| Link::new(context(flags), Vec::new(), 0)).collect();
        let result = sampler.should_sample(parent.as_ref(), TraceId::from(7), "span", &SpanKind::Server, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    const YES: TraceFlags = TraceFlags::SAMPLED;
    const NO: TraceFlags = TraceFlags::NOT_SAMPLED;

    #[test]
    fn a_caller_decides_about_its_request_and_the_requests_about_their_batch() {
        let seldom = [(SAMPLER, "parentbased_traceidratio"), (ARGUMENT, "0")];
        for settings in [&[] as &[_], &seldom] {
            assert!(is_traced(settings, Some(YES), &[]));
            assert!(!is_traced(settings, Some(NO), &[]));
            assert!(is_traced(settings, None, &[NO, YES, NO]), "one of them is traced");
            assert!(!is_traced(settings, None, &[NO]), "none of them is");
            assert!(!is_traced(settings, Some(NO), &[YES]), "a part of a batch goes by its batch");
        }
        assert!(is_traced(&[], None, &[]));
        assert!(!is_traced(&seldom, None, &[]));
    }

    #[test]
    fn a_sampler_that_asks_nobody_asks_nobody() {
        assert!(is_traced(&[(SAMPLER, "always_on")], Some(NO), &[]));
        assert!(!is_traced(&[(SAMPLER, "always_off")], Some(YES), &[YES]));
        assert!(is_traced(&[(SAMPLER, "traceidratio"), (ARGUMENT, "1.0")], Some(NO), &[]));
        assert!(!is_traced(&[(SAMPLER, "traceidratio"), (ARGUMENT, "0.0")], Some(YES), &[]));
    }

    #[test]
    fn a_wrong_sampler_is_refused_by_name() {
        for (settings, variable) in [
            ([(SAMPLER, "sometimes"), (ARGUMENT, "")], SAMPLER),
            ([(SAMPLER, "traceidratio"), (ARGUMENT, "2")], ARGUMENT),
            ([(SAMPLER, "parentbased_traceidratio"), (ARGUMENT, "NaN")], ARGUMENT),
        ] {
            let error = from_environment(&Environment::of(&settings)).expect_err("refused");
            assert_eq!(error.variable, variable);
        }
    }
}
