//! How many pieces of memory an event costs, by process. The programs are other builds of the pair, which count.

use acceptance::binary;
use acceptance::platform::Served;
use time::OffsetDateTime;

use super::{PAIR_MOST, load, shipments};
use crate::failure::Failure;
use crate::load::{Form, Plan};
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::run::Load;
use crate::systems::CONNECTIONS;
use crate::systems::pair::Pair;
use crate::walk::Walk;

/// What the builds that count show.
const METRIC: &str = "rastro_allocations_total ";

/// Measures both programs under both forms of load. In the first round only: a count hardly varies.
///
/// # Errors
/// The pair could not be measured, or does not count.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    if bench.round > 0 {
        return Ok(());
    }
    let real = bench.real().await?;
    let pair = Pair::start_of(&real, &binary::counting_pair()).await?;
    pair.warm_up(&real, &mut bench.numbers).await?;
    let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
    for (name, form, batch) in [("batches of 100", Form::Json, 100), (n::SINGLE, Form::Single, 1)] {
        let suffixes = bench.numbers.take(shipments(bench, PAIR_MOST, steps.len()));
        let numbers = pair.stored(&real, &suffixes).await?;
        let programs = [(n::INGEST, &pair.platform.edges[0]), (n::PROCESSOR, &pair.platform.processors[0])];
        let before = counts(programs).await?;
        let measured = Load {
            target: &pair.target,
            plan: Plan { form, ..Plan::flat_out(bench.plan.each, batch, CONNECTIONS) },
            numbers: &numbers,
            steps: &steps,
            probe_rate: 0,
            probe_numbers: &[],
            processes: &[],
        };
        let result = load(bench, n::ALLOCATIONS, name, measured).await?;
        let after = counts(programs).await?;
        for (((process, _), before), after) in programs.into_iter().zip(before).zip(after) {
            let each = 1_000.0 * (after - before) / result.accepted.max(1) as f64;
            let row = n::cost_row(name, process);
            bench.progress.say(&format!("  {row}: {each:.0} allocations per 1,000 events"));
            bench.figures.add(at(n::ALLOCATIONS, &row, n::PER_THOUSAND), Unit::Count, each);
        }
    }
    Ok(())
}

/// What each program has counted. The reads of the last events, which wait for them, are among the edge's.
async fn counts(programs: [(&str, &Served); 2]) -> Result<Vec<f64>, Failure> {
    let mut counts = Vec::new();
    for (name, served) in programs {
        let count = count(&served.metrics().await);
        counts.push(count.ok_or_else(|| Failure::NotMeasured(format!("{name} does not count its allocations")))?);
    }
    Ok(counts)
}

fn count(metrics: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(METRIC))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_a_line_of_its_own() {
        assert_eq!(count("# TYPE rastro_allocations_total counter\nrastro_allocations_total 1234\n"), Some(1234.0));
        assert_eq!(count("# nothing\n"), None);
    }
}
