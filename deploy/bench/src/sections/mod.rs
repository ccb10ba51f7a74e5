//! The sections of the report, each measured once in a round.

pub mod allocations;
pub mod backlog;
pub mod ceilings;
pub mod embedded;
pub mod open;
pub mod pair;
pub mod reads;
pub mod scans;
pub mod soak;
pub mod stored;

use crate::failure::Failure;
use crate::process::{GENERATOR, Usage};
use crate::report::figures::{Figures, Unit, at};
use crate::report::names as n;
use crate::report::plan::Section;
use crate::report::run::Bench;
use crate::result::EventsResult;
use crate::run::Load;

/// Events a second for which a load has shipments: what goes beyond ends the load early, and a queue of them would be waited for at length.
const PAIR_MOST: usize = 16_000;

/// Measures a section once.
///
/// # Errors
/// Something of it could not be measured.
pub async fn measure(section: Section, bench: &mut Bench) -> Result<(), Failure> {
    match section {
        Section::Ceilings => ceilings::measure(bench).await,
        Section::Pair => pair::batches(bench).await,
        Section::Processors => pair::processors(bench).await,
        Section::Stored => stored::measure(bench).await,
        Section::Hot => scans::measure(bench).await,
        Section::Duplicates => pair::duplicates(bench).await,
        Section::Open => open::measure(bench).await,
        Section::Reads => reads::measure(bench).await,
        Section::CatchUp => backlog::measure(bench).await,
        Section::Embedded => embedded::measure(bench).await,
        Section::Allocations => allocations::measure(bench).await,
        Section::Soak => soak::measure(bench).await,
    }
}

/// How many shipments a load needs that lasts as long as each does.
fn shipments(bench: &Bench, events_per_second: usize, steps: usize) -> usize {
    (bench.plan.each.as_secs_f64() * events_per_second as f64 / steps as f64).ceil() as usize
}

/// Measures a load, and says and notes what came of it.
async fn load(bench: &mut Bench, section: &str, row: &str, load: Load<'_>) -> Result<EventsResult, Failure> {
    let result = load.measure().await?;
    let (accepted, visible) = (result.accepted_per_second, result.visible_per_second);
    bench.progress.say(&format!("  {section}, {row}: {accepted:.0} accepted and {visible:.0} visible a second"));
    if !result.is_sound() {
        let (unseen, missing) = (result.unseen, result.sample.missing);
        let accepted = result.accepted;
        bench.wrong.push(format!("{section}, {row}: of {accepted} accepted events {unseen} were waited for in vain, and {missing} of a sample are missing"));
    }
    for (why, count) in result.refused.iter().chain(&result.end_to_end_failed) {
        bench.wrong.push(format!("{section}, {row}: {count} events were not accepted, or got no outcome: {why}"));
    }
    Ok(result)
}

/// Notes what a load as fast as it goes gave.
fn flat_out(figures: &mut Figures, section: &str, row: &str, result: &EventsResult) {
    figures.add(at(section, row, n::ACCEPTED), Unit::PerSecond, result.accepted_per_second);
    figures.add(at(section, row, n::VISIBLE), Unit::PerSecond, result.visible_per_second);
    figures.add(at(section, row, n::ACCEPT_P50), Unit::Milliseconds, result.http_ms.p50);
    figures.add(at(section, row, n::ACCEPT_P99), Unit::Milliseconds, result.http_ms.p99);
    figures.add(at(section, row, n::GENERATOR), Unit::Percent, generator(result));
}

/// The generator's share of all processors while a load lasted, in hundredths.
fn generator(result: &EventsResult) -> f64 {
    let lasted = result.seconds + result.visible_after_seconds;
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let own = result.processes.iter().find(|process| process.name == GENERATOR);
    own.filter(|_| lasted > 0.0).map_or(0.0, |own| 100.0 * own.cpu_seconds / (lasted * processors))
}

/// Notes what the processes took.
fn cost(figures: &mut Figures, measurement: &str, result: &EventsResult) {
    for Usage { name, rss_mb, peak_rss_mb, peak_not_reset, cpu_seconds } in &result.processes {
        let row = n::cost_row(measurement, name);
        let per_thousand = 1_000.0 * cpu_seconds / (result.accepted.max(1) as f64);
        figures.add(at(n::COST, &row, n::CPU), Unit::Seconds, per_thousand);
        figures.add(at(n::COST, &row, n::END), Unit::Megabytes, *rss_mb as f64);
        // What a process had in its life says nothing about this measurement, and must not look as if it did.
        let peak = if peak_not_reset.is_none() { n::PEAK } else { n::PEAK_OF_LIFE };
        figures.add(at(n::COST, &row, peak), Unit::Megabytes, *peak_rss_mb as f64);
    }
}

/// The same figures with the shares of the ceilings beside the rates.
#[must_use]
pub fn with_shares(figures: &Figures) -> Figures {
    const SHARE: &str = "of the ceiling";
    let mut shared = figures.clone();
    let writer = at(n::CEILINGS, n::BEST_WRITER, n::RATE);
    let sqlite = at(n::EMBEDDED, n::SQLITE, n::RATE);
    let pairs = [n::PAIR, n::PROCESSORS, n::STORED, n::HOT, n::DUPLICATES];
    let below = pairs.into_iter().map(|section| (section, writer)).chain([(n::EMBEDDED, sqlite)]);
    for (section, ceiling) in below {
        for row in figures.section(section).filter(|figure| figure.column == n::VISIBLE).map(|figure| &figure.row) {
            if let Some(share) = figures.ratio(at(section, row, n::VISIBLE), ceiling) {
                shared.add(at(section, row, SHARE), Unit::Ratio, share.median);
            }
        }
    }
    if let Some(share) = figures.ratio(at(n::CATCH_UP, n::BACKLOG, n::RATE), writer) {
        shared.add(at(n::CATCH_UP, n::BACKLOG, SHARE), Unit::Ratio, share.median);
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_get_their_share_of_the_ceiling_where_that_was_measured() {
        let mut figures = Figures::default();
        figures.add(at(n::PAIR, "a", n::VISIBLE), Unit::PerSecond, 50.0);
        assert!(with_shares(&figures).get(at(n::PAIR, "a", "of the ceiling")).is_none());
        figures.add(at(n::CEILINGS, n::BEST_WRITER, n::RATE), Unit::PerSecond, 200.0);
        let share = with_shares(&figures).get(at(n::PAIR, "a", "of the ceiling")).map(|figure| figure.spread.median);
        assert_eq!(share, Some(0.25));
    }
}
