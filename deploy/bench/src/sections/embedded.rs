//! `rastro` and the bare SQLite writer beside it.

use std::sync::Arc;

use time::OffsetDateTime;

use super::open::{System, at_rate};
use super::pair::forms;
use super::{cost, flat_out, load, open, shipments};
use crate::ceilings::sqlite::BareFile;
use crate::failure::Failure;
use crate::load::Plan;
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::run::Load;
use crate::specimen::embedded::EmbeddedSpecimen;
use crate::systems::CONNECTIONS;
use crate::systems::embedded::Embedded;
use crate::walk::Walk;

/// Events a second for which there are shipments.
const MOST: usize = 40_000;

/// Measures both.
///
/// # Errors
/// One of them could not be measured.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let specimen = bench.embedded().await?;
    ceiling(bench, &specimen).await?;
    let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
    let forms = forms(true);
    let each = shipments(bench, MOST, steps.len());
    let rates: usize = bench.plan.rates.clone().into_iter().map(|rate| open::shipments(bench, rate)).sum();
    let suffixes = bench.numbers.take(each * forms.len() + rates);
    bench.progress.say(&format!("  storing {} shipments", suffixes.len()));
    let mut rastro = Embedded::start(&specimen, &suffixes).await?;
    for (row, form, batch) in forms {
        let numbers = rastro.take(each);
        let measured = Load {
            target: &rastro.target,
            plan: Plan { form, ..Plan::flat_out(bench.plan.each, batch, CONNECTIONS) },
            numbers: &numbers,
            steps: &steps,
            probe_rate: 0,
            probe_numbers: &[],
            processes: &rastro.watched(),
        };
        let result = load(bench, n::EMBEDDED, &row, measured).await?;
        flat_out(&mut bench.figures, n::EMBEDDED, &row, &result);
        if row == n::JSON_100 {
            cost(&mut bench.figures, "embedded, as many as go", &result);
        }
    }
    for rate in bench.plan.rates.clone() {
        let numbers = rastro.take(open::shipments(bench, rate));
        let system = System { name: n::EMBEDDED, target: &rastro.target, processes: &rastro.watched() };
        at_rate(bench, system, rate, &numbers).await?;
    }
    Ok(())
}

/// On the same kind of file, with as many shipments as one load is about.
async fn ceiling(bench: &mut Bench, specimen: &Arc<EmbeddedSpecimen>) -> Result<(), Failure> {
    let (specimen, at_most) = (specimen.clone(), bench.plan.each);
    let suffixes = bench.numbers.take(shipments(bench, MOST, specimen.moves.len()));
    let writing = tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir()?;
        let mut file = BareFile::make(&directory.path().join("bare.sqlite"), &specimen)?;
        file.store(&specimen, &suffixes)?;
        file.write_moves(&specimen, &suffixes, at_most)
    });
    let rate = writing.await.map_err(|error| Failure::NotMeasured(error.to_string()))??;
    bench.progress.say(&format!("  {}: {:.0} a second", n::SQLITE, rate.per_second()));
    bench.figures.add(at(n::EMBEDDED, n::SQLITE, n::RATE), Unit::PerSecond, rate.per_second());
    Ok(())
}
