//! What a measurement prints: a table for people, and one line of JSON for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::latency::Percentiles;
use crate::process::Usage;
use crate::visible::Sample;

/// What a load run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventsResult {
    /// What was measured, in the words of the caller.
    pub label: String,
    /// Events a second that were wanted; 0: as many as go.
    pub rate_wanted: u64,
    /// Events in a request.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// Shipments that the events were about.
    pub shipments: usize,
    /// Registrations a second, before the measurement.
    pub registered_per_second: f64,
    /// From the first request to the last answer, in seconds.
    pub seconds: f64,
    /// The shipments ran out before the time was over.
    pub used_up: bool,
    /// Events sent.
    pub sent: usize,
    /// Events accepted, repeated ones included.
    pub accepted: usize,
    /// Accepted events that were sent before, on purpose.
    pub repeated: usize,
    /// Events not accepted, by status code and error word.
    pub refused: BTreeMap<String, usize>,
    /// Accepted events a second, until the last answer.
    pub accepted_per_second: f64,
    /// Accepted events a second, until the last of them could be read.
    pub visible_per_second: f64,
    /// From the last answer until the last event could be read, in seconds.
    pub visible_after_seconds: f64,
    /// Events that were waited for and did not become visible.
    pub unseen: usize,
    /// Of the batches, in milliseconds.
    pub http_ms: Percentiles,
    /// From post to outcome, of single events beside the load, in milliseconds.
    pub end_to_end_ms: Percentiles,
    /// Single events without an outcome, by status code and error word.
    pub end_to_end_failed: BTreeMap<String, usize>,
    /// What became of the events of some of the shipments.
    pub sample: Sample,
    /// What the processes took.
    pub processes: Vec<Usage>,
}

impl EventsResult {
    /// Whether everything that was accepted could be read, and something was.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.accepted > 0 && self.unseen == 0 && self.sample.missing == 0
    }
}

impl fmt::Display for EventsResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, text: String| writeln!(formatter, "{name:<22}{text}");
        let wanted = if self.rate_wanted == 0 { "as many as go".to_owned() } else { format!("{}/s", self.rate_wanted) };
        let (batch, connections) = (self.batch, self.connections);
        row(
            &self.label,
            format!("{wanted}, batches of {batch}, {connections} connections, {} shipments", self.shipments),
        )?;
        let used_up = if self.used_up { " (then the shipments were used up: name more)" } else { "" };
        row(
            "load",
            format!("{:.1} s{used_up}; before it {:.0} registrations/s", self.seconds, self.registered_per_second),
        )?;
        row("accepted", format!("{:.0}/s ({} of {} sent)", self.accepted_per_second, self.accepted, self.sent))?;
        row(
            "visible",
            format!("{:.0}/s (the last one after {:.2} s)", self.visible_per_second, self.visible_after_seconds),
        )?;
        for (code, count) in &self.refused {
            row("not accepted", format!("{count} events: {code}"))?;
        }
        if self.unseen > 0 {
            row("NOT VISIBLE", format!("{} of the last events", self.unseen))?;
        }
        let Percentiles { count, p50, p99, max, .. } = self.http_ms;
        row("batch answered in", format!("p50 {p50:.1}  p99 {p99:.1}  max {max:.1} ms ({count} batches)"))?;
        let Percentiles { count, p50, p99, max, .. } = self.end_to_end_ms;
        row(
            "event to outcome in",
            format!("p50 {p50:.1}  p99 {p99:.1}  max {max:.1} ms ({count} single events beside the load)"),
        )?;
        for (code, count) in &self.end_to_end_failed {
            row("no outcome", format!("{count} events: {code}"))?;
        }
        let Sample { shipments, accepted, applied, recorded, missing } = self.sample;
        row(
            "sample",
            format!(
                "{shipments} shipments, {accepted} events: {applied} applied, {recorded} recorded, {missing} MISSING"
            ),
        )?;
        for Usage { name, rss_mb, peak_rss_mb, peak_not_reset, cpu_seconds } in &self.processes {
            let of_life = peak_not_reset.as_ref().map(|why| format!(" in its life (not reset: {why})"));
            let of_life = of_life.unwrap_or_default();
            row(
                &format!("  {name}"),
                format!("{rss_mb} MB, at most {peak_rss_mb} MB{of_life}; {cpu_seconds:.1} s of processor time"),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> EventsResult {
        EventsResult {
            label: "pair".to_owned(),
            rate_wanted: 0,
            batch: 100,
            connections: 16,
            shipments: 1_000,
            registered_per_second: 900.0,
            seconds: 10.0,
            used_up: false,
            sent: 100_000,
            accepted: 100_000,
            repeated: 0,
            refused: [("503 SERVICE_UNAVAILABLE".to_owned(), 3)].into(),
            accepted_per_second: 10_000.0,
            visible_per_second: 9_000.0,
            visible_after_seconds: 1.0,
            unseen: 0,
            http_ms: Percentiles { count: 1_000, p50: 10.0, p99: 50.0, p99_9: 80.0, max: 90.0 },
            end_to_end_ms: Percentiles::default(),
            end_to_end_failed: [].into(),
            sample: Sample::default(),
            processes: vec![usage()],
        }
    }

    fn usage() -> Usage {
        Usage { name: "ingest".to_owned(), rss_mb: 20, peak_rss_mb: 30, peak_not_reset: None, cpu_seconds: 2.0 }
    }

    #[test]
    fn a_peak_that_is_not_of_the_measurement_says_so() {
        let of_the_run = events().to_string();
        assert!(of_the_run.contains("20 MB, at most 30 MB; 2.0 s"), "{of_the_run}");
        let refused = Usage { peak_not_reset: Some("Permission denied".to_owned()), ..usage() };
        let of_its_life = EventsResult { processes: vec![refused], ..events() }.to_string();
        assert!(
            of_its_life.contains("at most 30 MB in its life (not reset: Permission denied); 2.0 s"),
            "{of_its_life}"
        );
    }

    #[test]
    fn accepted_events_that_cannot_be_read_make_a_run_unsound() {
        assert!(events().is_sound());
        assert!(!EventsResult { unseen: 1, ..events() }.is_sound());
        assert!(!EventsResult { sample: Sample { missing: 1, ..Sample::default() }, ..events() }.is_sound());
        assert!(!EventsResult { accepted: 0, ..events() }.is_sound());
        assert!(events().to_string().contains("not accepted          3 events: 503 SERVICE_UNAVAILABLE"));
    }
}
