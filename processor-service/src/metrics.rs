//! Every metric of the processor, with the names of contract section 8. Labels are bounded.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use shared::metrics::{MetricError, MetricRegistry};
use shared::shipment::Outcome;
use shared::shipment::record::Poison;

use crate::dead_letter;
use crate::failure::Failure;
use crate::partition::Decision;

/// So many sources have a label of their own; further ones are `other` (contract section 8).
const SOURCES: usize = 100;
/// The label of all other sources.
const OTHER: &str = "other";

/// From the acceptance of an event until it can be read: milliseconds on a good day, minutes behind an outage or a backlog.
const END_TO_END_SECONDS: &[f64] =
    &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// The metrics of one processor.
pub struct Metrics {
    processed: IntCounterVec,
    errors: IntCounterVec,
    dedup: IntCounterVec,
    queue_depth: IntGaugeVec,
    duration: HistogramVec,
    end_to_end: Histogram,
    lag: IntGaugeVec,
    dead_letters: IntCounterVec,
    outcomes: IntCounterVec,
    storm: IntGauge,
    parked: IntGauge,
    sources: Mutex<HashSet<String>>,
}

impl Metrics {
    /// The metrics on `registry`.
    ///
    /// # Errors
    /// One of the names is taken by another metric.
    pub fn new(registry: &MetricRegistry) -> Result<Self, MetricError> {
        let counter = |name, help, labels| registry.counter(name, help, labels);
        let gauge = |name, help, labels| registry.gauge(name, help, labels);
        let metrics = Self {
            processed: counter(
                "shipping_events_processed_total",
                "Events that were applied or recorded, by the status or kind that they claim and their source",
                &["status", "source"],
            )?,
            errors: counter(
                "shipping_events_errors_total",
                "Failures on the way of an event, each of which is tried again or can be done without",
                &["reason"],
            )?,
            dedup: counter(
                "shipping_events_dedup_total",
                "Events by whether they had been seen before, where that was found out",
                &["result"],
            )?,
            queue_depth: gauge("shipping_events_queue_depth", "Records that wait for a lane; the lanes of a process have one queue, worker_id 0", &["worker_id"])?,
            duration: registry.seconds(
                "shipping_event_processing_duration_seconds",
                "From the decision of an event's batch until it was durable, by the status or kind that the event claims",
                &["status"],
            )?,
            end_to_end: registry
                .seconds_within(
                    "shipping_event_end_to_end_seconds",
                    "From the time that an event's record bears in the log until what became of it was durable and could be read",
                    &[],
                    END_TO_END_SECONDS,
                )?
                .with_label_values::<&str>(&[]),
            lag: gauge(
                "shipping_consumer_lag",
                "Records of a partition behind the offset that the group has committed, told by the partition's owner",
                &["partition"],
            )?,
            dead_letters: counter("shipping_dead_letters_total", "Records moved to the dead letters", &["reason"])?,
            outcomes: counter("shipping_outcomes_total", "Events by what became of them", &["outcome"])?,
            storm: gauge(
                "shipping_dlq_storm_open",
                "1 while the processor stands still because nearly all records would be dead letters",
                &[],
            )?
            .with_label_values::<&str>(&[]),
            parked: gauge(
                "shipping_parked_shipments",
                "Shipments with events that wait behind a dead letter, on the partitions of this member; 1000 stands for more",
                &[],
            )?
            .with_label_values::<&str>(&[]),
            sources: Mutex::default(),
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// What can be known beforehand is there from the beginning, so that a rate over the first one is right.
    fn begin_at_zero(&self) {
        for outcome in Outcome::ALL {
            self.outcomes.with_label_values(&[outcome.as_str()]).inc_by(0);
        }
        for result in ["new", "duplicate", "conflict"] {
            self.dedup.with_label_values(&[result]).inc_by(0);
        }
        for reason in Failure::REASONS.iter().chain(Self::DONE_WITHOUT) {
            self.errors.with_label_values(&[reason]).inc_by(0);
        }
        for class in Poison::CLASSES.iter().chain([&dead_letter::KEY_CONFLICT]) {
            self.dead_letters.with_label_values(&[class]).inc_by(0);
        }
    }

    /// A batch is durable.
    pub(crate) fn batch(&self, decision: &Decision, ages: impl Iterator<Item = Duration>, took: Duration) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for row in decision.rows.iter().chain(&decision.released) {
            let claim = row.report.claim.as_str();
            self.outcomes.with_label_values(&[row.outcome.as_str()]).inc();
            self.duration.with_label_values(&[claim]).observe(took.as_secs_f64());
            if matches!(row.outcome, Outcome::Applied | Outcome::Recorded) {
                let source = bounded(&mut sources, &row.report.source);
                self.processed.with_label_values(&[claim, source]).inc();
            }
        }
        drop(sources);
        for age in ages {
            self.end_to_end.observe(age.as_secs_f64());
        }
        let duplicates = decision.duplicates as u64;
        let conflicts = decision.rows.iter().filter(|row| row.outcome == Outcome::Conflict).count() as u64;
        let new = decision.rows.len() as u64 - conflicts;
        // A conflict has an outcome of its own; any other dead letter is what became of its record.
        let dead = decision.dead.iter().filter(|(_, cause)| cause.class != dead_letter::KEY_CONFLICT).count() as u64;
        self.outcomes.with_label_values(&[Outcome::Duplicate.as_str()]).inc_by(duplicates);
        self.outcomes.with_label_values(&[Outcome::DeadLettered.as_str()]).inc_by(dead);
        for (result, count) in [("new", new), ("duplicate", duplicates), ("conflict", conflicts)] {
            self.dedup.with_label_values(&[result]).inc_by(count);
        }
    }

    /// Failures that nobody depends on, by their label.
    const DONE_WITHOUT: &[&str] = &["dedup_window_unavailable", "announce_failed"];

    /// Whether the storm breaker is open.
    pub(crate) fn storm(&self) -> IntGauge {
        self.storm.clone()
    }

    /// So many shipments have parked events.
    pub(crate) fn parked(&self, shipments: usize) {
        self.parked.set(i64::try_from(shipments).unwrap_or(i64::MAX));
    }

    pub(crate) fn error(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    pub(crate) fn dead_letter(&self, class: &str) {
        self.dead_letters.with_label_values(&[class]).inc();
    }

    /// The gauge of a lane: how many records wait for it.
    pub(crate) fn queue_depth(&self) -> IntGauge {
        self.queue_depth.with_label_values(&["0"])
    }

    pub(crate) fn lag(&self, partition: i32, records: i64) {
        self.lag.with_label_values(&[&partition.to_string()]).set(records);
    }

    /// A partition that is another member's now has its lag reported there.
    pub(crate) fn forget_lag(&self, partition: i32) {
        if let Err(error) = self.lag.remove_label_values(&[&partition.to_string()]) {
            tracing::trace!(%error, "no lag had been reported yet");
        }
    }
}

fn bounded<'a>(known: &mut HashSet<String>, source: &'a str) -> &'a str {
    if known.contains(source) {
        return source;
    }
    if known.len() >= SOURCES {
        return OTHER;
    }
    known.insert(source.to_owned());
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: "`source` is bounded"
    #[test]
    fn a_caller_cannot_grow_the_label_sets() {
        let mut known = HashSet::new();
        let labels: HashSet<_> = (0..10_000).map(|n| bounded(&mut known, &format!("source_{n}")).to_owned()).collect();
        assert_eq!(labels.len(), 101, "a hundred, and other");
        assert_eq!(bounded(&mut known, "source_7"), "source_7");
    }
}
