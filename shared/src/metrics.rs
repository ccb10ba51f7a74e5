//! The metrics of one process. Both services may run in one (embedded mode), and some names are of both (contract section 8): whoever
//! comes second is given the metric that the first one made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    exponential_buckets,
};

use crate::breaker::CircuitState;

/// What `/metrics` shows. Clones are the same registry.
#[derive(Clone, Default)]
pub struct MetricRegistry {
    registry: Registry,
    made: Arc<Mutex<Made>>,
}

/// What is in the registry.
#[derive(Default)]
struct Made {
    metrics: HashMap<String, Metric>,
    /// What the system knows of the process.
    #[cfg(target_os = "linux")]
    process: bool,
}

#[derive(Clone)]
enum Metric {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
    Histogram(HistogramVec),
}

/// A metric that two parts of the program describe differently: a mistake in the code, found at the start.
#[derive(Debug, thiserror::Error)]
#[error("the metric {name}: {problem}")]
pub struct MetricError {
    name: String,
    problem: String,
}

impl MetricError {
    fn new(name: &str, problem: impl std::fmt::Display) -> Self {
        Self { name: name.to_owned(), problem: problem.to_string() }
    }
}

impl MetricRegistry {
    /// A counter with labels.
    ///
    /// # Errors
    /// The name is taken by a metric of another kind or with other labels.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, MetricError> {
        let metric = self.metric(name, || Ok(Metric::Counter(IntCounterVec::new(Opts::new(name, help), labels)?)))?;
        let Metric::Counter(counter) = metric else { return Err(MetricError::new(name, "is no counter")) };
        same_labels(name, &counter, labels)?;
        Ok(counter)
    }

    /// A gauge with labels.
    ///
    /// # Errors
    /// The name is taken by a metric of another kind or with other labels.
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricError> {
        let metric = self.metric(name, || Ok(Metric::Gauge(IntGaugeVec::new(Opts::new(name, help), labels)?)))?;
        let Metric::Gauge(gauge) = metric else { return Err(MetricError::new(name, "is no gauge")) };
        same_labels(name, &gauge, labels)?;
        Ok(gauge)
    }

    /// A histogram of seconds with labels: 1 ms to about 16 s in steps of two.
    ///
    /// # Errors
    /// The name is taken by a metric of another kind or with other labels.
    pub fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, MetricError> {
        let buckets = exponential_buckets(0.001, 2.0, 15).map_err(|error| MetricError::new(name, error))?;
        self.seconds_within(name, help, labels, &buckets)
    }

    /// A histogram of seconds with labels and with buckets that make sense for its range.
    ///
    /// # Errors
    /// The name is taken by a metric of another kind or with other labels.
    pub fn seconds_within(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricError> {
        let metric = self.metric(name, || {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            Ok(Metric::Histogram(HistogramVec::new(options, labels)?))
        })?;
        let Metric::Histogram(histogram) = metric else { return Err(MetricError::new(name, "is no histogram")) };
        same_labels(name, &histogram, labels)?;
        Ok(histogram)
    }

    /// A histogram of seconds without labels.
    ///
    /// # Errors
    /// The name is taken by a metric of another kind or with other labels.
    pub fn plain_seconds(&self, name: &str, help: &str) -> Result<Histogram, MetricError> {
        Ok(self.seconds(name, help, &[])?.with_label_values::<&str>(&[]))
    }

    /// What the system knows of this process, once however many services it is made of: its processor time, memory, open files and start
    /// (`process_…`, by Prometheus' own names). Where the system has no /proc, nothing.
    fn process(&self) -> Result<(), MetricError> {
        #[cfg(target_os = "linux")]
        {
            use prometheus::process_collector::ProcessCollector;
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if !made.process {
                let wrong = |error| MetricError::new("process", error);
                self.registry.register(Box::new(ProcessCollector::for_self())).map_err(wrong)?;
                made.process = true;
            }
        }
        Ok(())
    }

    /// `shipping_build_info` of `service`: always 1; and what the system knows of its process.
    ///
    /// # Errors
    /// The name is taken.
    pub fn build_info(&self, service: &str) -> Result<(), MetricError> {
        let info = self.gauge("shipping_build_info", "What runs here; always 1", &["service", "version"])?;
        info.with_label_values(&[service, env!("CARGO_PKG_VERSION")]).set(1);
        self.process()
    }

    /// Sets `shipping_circuit_state` of `dependency`.
    ///
    /// # Errors
    /// The name is taken.
    pub fn circuit(&self, dependency: &str, state: CircuitState) -> Result<(), MetricError> {
        let help = "The circuit breaker before a dependency: 0 closed, 1 trying, 2 open";
        self.gauge("shipping_circuit_state", help, &["dependency"])?
            .with_label_values(&[dependency])
            .set(i64::from(state as i32));
        Ok(())
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        #[cfg(feature = "count-allocations")]
        let text = {
            let mut text = text;
            crate::allocations::write(&mut text);
            text
        };
        Ok(text)
    }

    fn metric(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Metric, prometheus::Error>,
    ) -> Result<Metric, MetricError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metric) = made.metrics.get(name) {
            return Ok(metric.clone());
        }
        let metric = make().map_err(|error| MetricError::new(name, error))?;
        let collector: Box<dyn Collector> = match metric.clone() {
            Metric::Counter(counter) => Box::new(counter),
            Metric::Gauge(gauge) => Box::new(gauge),
            Metric::Histogram(histogram) => Box::new(histogram),
        };
        self.registry.register(collector).map_err(|error| MetricError::new(name, error))?;
        made.metrics.insert(name.to_owned(), metric.clone());
        Ok(metric)
    }
}

fn same_labels(name: &str, metric: &dyn Collector, labels: &[&str]) -> Result<(), MetricError> {
    let same = metric.desc().iter().all(|description| description.variable_labels == labels);
    if same { Ok(()) } else { Err(MetricError::new(name, format!("has other labels than {labels:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_process_takes_up_is_shown_once_by_two_services() {
        let registry = MetricRegistry::default();
        for service in ["ingest-service", "processor-service"] {
            registry.build_info(service).expect("each once");
        }
        let text = registry.text().expect("encodes");
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds", "threads"]
        {
            assert_eq!(text.matches(&format!("\nprocess_{name} ")).count(), 1, "{name}: {text}");
        }
    }

    #[test]
    fn two_services_in_one_process_count_into_one_metric() {
        let registry = MetricRegistry::default();
        for result in ["new", "duplicate"] {
            let counter = registry.counter("events_total", "Events", &["result"]).expect("the same each time");
            counter.with_label_values(&[result]).inc();
        }
        let text = registry.text().expect("encodes");
        assert!(
            text.contains("events_total{result=\"new\"} 1\n")
                && text.contains("events_total{result=\"duplicate\"} 1\n")
        );
        assert_eq!(text.matches("# TYPE events_total").count(), 1);
        assert!(registry.counter("events_total", "Events", &["reason"]).is_err(), "other labels");
        assert!(registry.gauge("events_total", "Events", &["result"]).is_err(), "another kind");
    }
}
