//! One table of several results.

use std::fmt::Write;

use crate::process::Usage;
use crate::result::{CeilingResult, EventsResult, Measured};

/// Reads results, one JSON line each; other lines do not count.
#[must_use]
pub fn read(text: &str) -> Vec<Measured> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The table: each platform and each ceiling a line, and the share of the best ceiling that each platform reaches; then what
/// the processes took.
#[must_use]
pub fn table(results: &[Measured]) -> String {
    let ceiling = results.iter().filter_map(|result| match result {
        Measured::Ceiling(ceiling) => Some(ceiling.events_per_second),
        Measured::Events(_) => None,
    });
    let ceiling = ceiling.reduce(f64::max);
    let mut text =
        row(["", "accepted/s", "visible/s", "of ceiling", "batch p50", "p99", "max", "outcome p50", "p99 (ms)"]);
    for result in results {
        text += &match result {
            Measured::Events(events) => events_row(events, ceiling),
            Measured::Ceiling(CeilingResult { label, events_per_second: rate, .. }) => {
                row([label, "", &format!("{rate:.0}"), "100 %", "", "", "", "", ""])
            }
        };
    }
    text.push('\n');
    text += &process_row("", "RSS MB", "at most MB", "CPU s", "CPU µs/event");
    for result in results {
        let Measured::Events(events) = result else { continue };
        for Usage { name, rss_mb, peak_rss_mb, cpu_seconds } in &events.processes {
            let micros = if events.accepted == 0 { 0.0 } else { cpu_seconds * 1e6 / events.accepted as f64 };
            let name = format!("{}: {name}", events.label);
            let (rss, peak) = (rss_mb.to_string(), peak_rss_mb.to_string());
            text += &process_row(&name, &rss, &peak, &format!("{cpu_seconds:.1}"), &format!("{micros:.1}"));
        }
    }
    text
}

fn events_row(events: &EventsResult, ceiling: Option<f64>) -> String {
    let (http, outcome) = (&events.http_ms, &events.end_to_end_ms);
    // Of a run at a given rate it would say nothing.
    let share = ceiling.filter(|_| events.rate_wanted == 0);
    let share =
        share.map_or_else(String::new, |ceiling| format!("{:.0} %", 100.0 * events.visible_per_second / ceiling));
    let accepted = format!("{:.0}", events.accepted_per_second);
    let visible = format!("{:.0}", events.visible_per_second);
    let [p50, p99, max] = [http.p50, http.p99, http.max].map(|millis| format!("{millis:.1}"));
    let [outcome_p50, outcome_p99] = [outcome.p50, outcome.p99].map(|millis| format!("{millis:.1}"));
    row([&events.label, &accepted, &visible, &share, &p50, &p99, &max, &outcome_p50, &outcome_p99])
}

fn row(cells: [&str; 9]) -> String {
    let mut line = format!("{:<24}", cells[0]);
    for cell in &cells[1..] {
        // Writing to a String cannot fail.
        write!(line, "{cell:>12}").expect("a String takes what is written");
    }
    line.trim_end().to_owned() + "\n"
}

fn process_row(name: &str, rss: &str, peak: &str, cpu: &str, micros: &str) -> String {
    format!("{name:<32}{rss:>10}{peak:>12}{cpu:>10}{micros:>14}").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Percentiles;
    use crate::visible::Sample;

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
            refused: [("503 SERVICE_UNAVAILABLE".to_owned(), 3)].into(),
            accepted_per_second: 10_000.0,
            visible_per_second: 9_000.0,
            visible_after_seconds: 1.0,
            unseen: 0,
            http_ms: Percentiles { count: 1_000, p50: 10.0, p99: 50.0, max: 90.0 },
            end_to_end_ms: Percentiles::default(),
            end_to_end_failed: [].into(),
            sample: Sample::default(),
            processes: vec![Usage { name: "ingest".to_owned(), rss_mb: 20, peak_rss_mb: 30, cpu_seconds: 2.0 }],
        }
    }

    #[test]
    fn what_is_printed_is_read_again_and_compared_with_the_ceiling() {
        let ceiling = CeilingResult {
            label: "bare MongoDB".to_owned(),
            events: 1,
            batch: 1,
            writers: 1,
            events_per_second: 18_000.0,
        };
        let results = [Measured::Events(Box::new(events())), Measured::Ceiling(ceiling)];
        let lines = results.iter().map(|result| serde_json::to_string(result).expect("serialises") + "\n");
        let text = format!("a line of a script\n{}", lines.collect::<String>());
        assert_eq!(read(&text), results);
        let table = table(&results);
        assert!(table.contains("pair                           10000        9000        50 %        10.0"), "{table}");
        assert!(
            table.contains("pair: ingest                            20          30       2.0          20.0"),
            "{table}"
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
