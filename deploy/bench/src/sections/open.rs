//! At a given rate, whether or not the platform keeps up: how long it takes until events are accepted, and until single events beside
//! them are visible.

use time::OffsetDateTime;

use super::{cost, generator, load};
use crate::connection::Target;
use crate::failure::Failure;
use crate::load::Plan;
use crate::probe;
use crate::process::Watched;
use crate::report::figures::{Unit, at};
use crate::report::names::{self as n, open_row};
use crate::report::run::Bench;
use crate::run::Load;
use crate::systems::CONNECTIONS;
use crate::walk::{Step, Walk};

/// Events in a request: enough requests a second for percentiles, few enough that the generator gets along.
const BATCH: usize = 10;
/// Single events beside the load: a tenth of the rate, but not more. Over the seconds of a rate they are enough for a p99.9.
const PROBES: u64 = 200;

/// How many shipments a rate needs: for the load, and for the single events.
fn needed(bench: &Bench, rate: u64, steps: usize) -> (usize, usize) {
    let probes = u32::try_from((rate / 10).min(PROBES)).unwrap_or(u32::MAX);
    let events = (rate - u64::from(probes)) as f64 * bench.plan.each_rate.as_secs_f64();
    // One more request for each connection.
    let shipments = (events / steps as f64).ceil() as usize + BATCH * CONNECTIONS;
    (shipments, probe::shipments(probes, bench.plan.each_rate, steps))
}

/// A system that is held to a rate.
pub(super) struct System<'a> {
    pub(super) name: &'a str,
    pub(super) target: &'a Target,
    pub(super) processes: &'a [Watched],
}

/// How many shipments a rate needs in all.
pub(super) fn shipments(bench: &Bench, rate: u64) -> usize {
    let (shipments, probes) = needed(bench, rate, steps().len());
    shipments + probes
}

fn steps() -> Vec<Step> {
    Walk::Moves.steps(OffsetDateTime::now_utc())
}

/// Keeps a rate up on shipments that nobody has reported about, as many as [`shipments`] says.
pub(super) async fn at_rate(
    bench: &mut Bench,
    system: System<'_>,
    rate: u64,
    numbers: &[String],
) -> Result<(), Failure> {
    let steps = steps();
    let (_, probes) = needed(bench, rate, steps.len());
    let probe_rate = u32::try_from((rate / 10).min(PROBES)).unwrap_or(u32::MAX);
    let (probe_numbers, numbers) = numbers.split_at(probes.min(numbers.len()));
    let plan = Plan { rate: rate - u64::from(probe_rate), ..Plan::flat_out(bench.plan.each_rate, BATCH, CONNECTIONS) };
    let (target, processes) = (system.target, system.processes);
    let measured = Load { target, plan, numbers, steps: &steps, probe_rate, probe_numbers, processes };
    let row = open_row(system.name, rate);
    let result = load(bench, n::OPEN, &row, measured).await?;
    let (accept, visible) = (&result.http_ms, &result.end_to_end_ms);
    let figures = &mut bench.figures;
    figures.add(at(n::OPEN, &row, n::ACCEPTED), Unit::PerSecond, result.accepted_per_second + f64::from(probe_rate));
    for (column, value) in [
        (n::ACCEPT_P50, accept.p50),
        (n::ACCEPT_P99, accept.p99),
        (n::ACCEPT_P99_9, accept.p99_9),
        (n::VISIBLE_P50, visible.p50),
        (n::VISIBLE_P99, visible.p99),
        (n::VISIBLE_P99_9, visible.p99_9),
    ] {
        figures.add(at(n::OPEN, &row, column), Unit::Milliseconds, value);
    }
    figures.add(at(n::OPEN, &row, "single events"), Unit::Count, visible.count as f64);
    figures.add(at(n::OPEN, &row, n::GENERATOR), Unit::Percent, generator(&result));
    cost(figures, &row, &result);
    Ok(())
}

/// The pair at each rate.
///
/// # Errors
/// The pair could not be measured.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    for rate in bench.plan.rates.clone() {
        let suffixes = bench.numbers.take(shipments(bench, rate));
        let numbers = pair.stored(&real, &suffixes).await?;
        let system = System { name: n::PAIR, target: &pair.target, processes: &pair.watched(&real) };
        at_rate(bench, system, rate, &numbers).await?;
    }
    Ok(())
}
