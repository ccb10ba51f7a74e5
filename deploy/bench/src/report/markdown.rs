//! The report as Markdown.

use std::fmt::Write;

use super::Report;
use super::figures::{Figure, Spread, Unit, distinct};
use super::names as n;
use super::targets::{Target, Wanted};

/// The heading of each section, and what stands below it.
const HEADINGS: &[(&str, &str, &str)] = &[
    (n::CEILINGS, "Ceilings", "What each part does by itself, with the machine to itself."),
    (
        n::PAIR,
        "The pair, as many as go",
        "One `ingest-service`, one `processor-service`, and all servers on the one machine.",
    ),
    (n::PROCESSORS, "Processors", "Batches of 100; the second processor shares the cores of the first one."),
    (
        n::STORED,
        "Shipments stored",
        "Batches of 100 about equally many shipments; only how many others are stored differs.",
    ),
    (n::HOT, "Hot shipments", "Scans without a status in batches of 100, about 10 shipments and about many."),
    (n::DUPLICATES, "Duplicates", "Batches of 100 of which 20 were sent before, a request earlier."),
    (
        n::OPEN,
        "At a given rate",
        "Batches of 10; latencies count from when a request was intended to be sent. `visible` is a single event until its outcome is answered.",
    ),
    (n::READS, "Reads", "While 2,000 events a second flow."),
    (n::CATCH_UP, "Catch-up and rebuild", "Without any load over HTTP."),
    (n::EMBEDDED, "Embedded, as many as go", "`rastro`: one process, one SQLite file."),
    (
        n::ALLOCATIONS,
        "Allocations",
        "By process, of builds that count what they ask their allocator for (`count-allocations`); what C libraries ask for is not counted.",
    ),
    (n::SOAK, "Soak", "10,000 events a second; growth is that of the last fifth over the second one."),
    (n::COST, "What it costs", "By process, in the measurements above."),
];

/// The report.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = String::from(
        "# Last measurement\n\nWritten by `make bench`; what each line means is told in [docs/performance.md](../docs/performance.md).\n\n",
    );
    let machine = &report.machine;
    let rounds = format!(
        "{} rounds, interleaved; cells are medians and, in brackets, the smallest and the largest",
        report.rounds
    );
    let facts = [
        ("begun", report.begun.clone()),
        ("took", format!("{:.0} s", report.took_seconds)),
        ("code", report.revision.clone()),
        (
            "machine",
            format!("{} × {}, {} GB, {}", machine.processors, machine.model, machine.memory_gb, machine.kernel),
        ),
        ("others' share of the CPU before the run", format!("{:.0} %", machine.busy_percent)),
        ("how", if report.quick { format!("{rounds}. QUICK: too short to be believed") } else { rounds }),
    ];
    for (name, value) in facts {
        line(&mut text, &format!("- {name}: {value}"));
    }
    if !report.wrong.is_empty() {
        line(&mut text, "\n## What went wrong\n");
        report.wrong.iter().for_each(|wrong| line(&mut text, &format!("- {wrong}")));
    }
    line(&mut text, "\n## Targets\n\n![ratios and latencies](report.svg)\n");
    text += &targets(&report.targets);
    for section in report.figures.sections() {
        let known = HEADINGS.iter().find(|(name, ..)| *name == section);
        let (heading, below) = known.map_or((section, ""), |(_, heading, below)| (*heading, *below));
        line(&mut text, &format!("\n## {heading}\n\n{below}\n"));
        text += &table(&report.figures.section(section).collect::<Vec<_>>());
    }
    text
}

/// Writing to a text cannot fail.
fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes what is written");
}

/// The targets as a table.
#[must_use]
pub fn targets(targets: &[Target]) -> String {
    let mut text = String::from("| what | target | measured | |\n|---|---:|---:|---|\n");
    for target in targets {
        let wanted = match target.wanted {
            Wanted::AtLeast(least) => format!("≥ {}", target.unit.show(least)),
            Wanted::AtMost(most) => format!("≤ {}", target.unit.show(most)),
        };
        let measured = target.measured.map_or_else(|| "—".to_owned(), |measured| cell(target.unit, measured));
        let met = match target.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        line(&mut text, &format!("| {} | {wanted} | {measured} | {met} |", target.what));
    }
    text
}

fn cell(unit: Unit, Spread { median, min, max }: Spread) -> String {
    if min == max {
        return unit.show(median);
    }
    format!("{} ({}–{})", unit.show(median), unit.show(min), unit.show(max))
}

/// A table of figures: their rows and columns in the order in which they come first.
fn table(figures: &[&Figure]) -> String {
    let rows = distinct(figures.iter().map(|figure| figure.row.as_str()));
    let columns = distinct(figures.iter().map(|figure| figure.column.as_str()));
    let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len()));
    for row in rows {
        let cells = columns.iter().map(|column| {
            let figure = figures.iter().find(|figure| figure.row == row && figure.column == *column);
            figure.map_or_else(String::new, |figure| cell(figure.unit, figure.spread))
        });
        line(&mut text, &format!("| {row} | {} |", cells.collect::<Vec<_>>().join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::{Figures, at};

    #[test]
    fn rows_and_columns_that_were_not_measured_are_empty() {
        let mut figures = Figures::default();
        figures.add(at("s", "a", "x"), Unit::PerSecond, 1_000.0);
        figures.add(at("s", "a", "x"), Unit::PerSecond, 3_000.0);
        figures.add(at("s", "b", "y"), Unit::Milliseconds, 1.5);
        let text = table(&figures.section("s").collect::<Vec<_>>());
        assert_eq!(text, "| | x | y |\n|---|---:|---:|\n| a | 2,000 (1,000–3,000) |  |\n| b |  | 1.50 ms |\n");
    }

    #[test]
    fn a_target_says_whether_it_was_met() {
        let target = Target {
            what: "speed".to_owned(),
            wanted: Wanted::AtLeast(0.6),
            unit: Unit::Ratio,
            measured: Some(Spread { median: 0.5, min: 0.4, max: 0.6 }),
            met: Some(false),
        };
        let unknown = Target { measured: None, met: None, ..target.clone() };
        let text = targets(&[target, unknown]);
        assert!(text.contains("| speed | ≥ 0.60 | 0.50 (0.40–0.60) | **missed** |\n"), "{text}");
        assert!(text.ends_with("| speed | ≥ 0.60 | — | not measured |\n"), "{text}");
    }
}
