//! The targets: what is wanted of which figures, and whether it was met. They are ratios to what the same machine did in the same run, where
//! that is possible.

use serde::Serialize;

use super::figures::{Figures, Spread, Unit, at};
use super::names::{self as n, open_row};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

/// A target, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What it is about.
    pub what: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// In which unit.
    pub unit: Unit,
    /// What was measured; `None` when its sections were left out.
    pub measured: Option<Spread>,
    /// Whether the median is what is wanted.
    pub met: Option<bool>,
}

impl Target {
    fn of(what: &str, wanted: Wanted, unit: Unit, measured: Option<Spread>) -> Self {
        let met = measured.map(|measured| match wanted {
            Wanted::AtLeast(least) => measured.median >= least,
            Wanted::AtMost(most) => measured.median <= most,
        });
        Self { what: what.to_owned(), wanted, unit, measured, met }
    }
}

/// The targets, held against the figures.
#[must_use]
pub fn targets(figures: &Figures) -> Vec<Target> {
    let value = |section, row: &str, column| figures.get(at(section, row, column)).map(|figure| figure.spread);
    let ratio = |above: (&str, &str, &str), below: (&str, &str, &str)| {
        figures.ratio(at(above.0, above.1, above.2), at(below.0, below.1, below.2))
    };
    let at_2000 = open_row(n::PAIR, 2_000);
    let open = |column| value(n::OPEN, &at_2000, column);
    let memory = |process| value(n::COST, &n::cost_row(&open_row(n::PAIR, 10_000), process), n::PEAK);
    let rate = |what, least, measured| Target::of(what, Wanted::AtLeast(least), Unit::Ratio, measured);
    let most = |what, most, unit, measured| Target::of(what, Wanted::AtMost(most), unit, measured);
    vec![
        rate(
            "The pair, batches of 100, visible: of the bare MongoDB writer",
            0.60,
            ratio((n::PAIR, n::JSON_100, n::VISIBLE), (n::CEILINGS, n::BEST_WRITER, n::RATE)),
        ),
        rate(
            "Catch-up from a backlog: of the bare MongoDB writer",
            0.80,
            ratio((n::CATCH_UP, n::BACKLOG, n::RATE), (n::CEILINGS, n::BEST_WRITER, n::RATE)),
        ),
        rate(
            "Embedded, batches of 100, visible: of the bare SQLite writer",
            0.70,
            ratio((n::EMBEDDED, n::JSON_100, n::VISIBLE), (n::EMBEDDED, n::SQLITE, n::RATE)),
        ),
        Target::of(
            "Embedded, batches of 100, visible events a second",
            Wanted::AtLeast(20_000.0),
            Unit::PerSecond,
            value(n::EMBEDDED, n::JSON_100, n::VISIBLE),
        ),
        rate(
            "POST /events, accepted: of bare axum and producer",
            0.60,
            ratio((n::PAIR, n::SINGLE, n::ACCEPTED), (n::CEILINGS, n::AXUM_PRODUCER, n::RATE)),
        ),
        most("Accepted to visible at 2,000 events a second, p50", 10.0, Unit::Milliseconds, open(n::VISIBLE_P50)),
        most("Accepted to visible at 2,000 events a second, p99", 50.0, Unit::Milliseconds, open(n::VISIBLE_P99)),
        most("Accepted at 2,000 events a second, p99", 10.0, Unit::Milliseconds, open(n::ACCEPT_P99)),
        rate(
            "Many shipments stored against few",
            0.90,
            ratio((n::STORED, n::MANY, n::VISIBLE), (n::STORED, n::FEW, n::VISIBLE)),
        ),
        rate(
            "Two processors against one on the same cores",
            0.95,
            ratio((n::PROCESSORS, n::TWO, n::VISIBLE), (n::PROCESSORS, n::ONE, n::VISIBLE)),
        ),
        most("Memory of ingest-service at 10,000 events a second", 60.0, Unit::Megabytes, memory(n::INGEST)),
        most("Memory of processor-service at 10,000 events a second", 120.0, Unit::Megabytes, memory(n::PROCESSOR)),
        most("Growth of ingest-service over the soak", GROWTH, Unit::Percent, value(n::SOAK, n::INGEST, n::GROWTH)),
        most(
            "Growth of processor-service over the soak",
            GROWTH,
            Unit::Percent,
            value(n::SOAK, n::PROCESSOR, n::GROWTH),
        ),
        rate(
            "10 hot shipments against spread load",
            1.0,
            ratio((n::HOT, n::TEN, n::VISIBLE), (n::HOT, n::SPREAD, n::VISIBLE)),
        ),
    ]
}

/// What still counts as flat, in hundredths: less than what an allocator keeps of a burst.
const GROWTH: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(targets: &'a [Target], beginning: &str) -> &'a Target {
        targets.iter().find(|target| target.what.starts_with(beginning)).expect("is a target")
    }

    #[test]
    fn a_target_is_met_by_its_median_and_unknown_without_figures() {
        assert!(targets(&Figures::default()).iter().all(|target| target.met.is_none() && target.measured.is_none()));
        let mut figures = Figures::default();
        for (pair, writer) in [(13_000.0, 20_000.0), (11_000.0, 20_000.0), (14_000.0, 20_000.0)] {
            figures.add(at(n::PAIR, n::JSON_100, n::VISIBLE), Unit::PerSecond, pair);
            figures.add(at(n::CEILINGS, n::BEST_WRITER, n::RATE), Unit::PerSecond, writer);
        }
        let row = open_row(n::PAIR, 2_000);
        figures.add(at(n::OPEN, &row, n::VISIBLE_P99), Unit::Milliseconds, 50.1);
        let found = targets(&figures);
        let pair = of(&found, "The pair");
        assert_eq!(pair.measured, Some(Spread { median: 0.65, min: 0.55, max: 0.7 }));
        assert_eq!(pair.met, Some(true));
        assert_eq!(of(&found, "Accepted to visible at 2,000 events a second, p99").met, Some(false));
    }
}
