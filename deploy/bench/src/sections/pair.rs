//! The pair as fast as it goes: by batch size and form, with one and two processors, with duplicates.

use time::OffsetDateTime;

use super::{PAIR_MOST, cost, flat_out, load, shipments};
use crate::failure::Failure;
use crate::load::{Form, Plan};
use crate::report::names as n;
use crate::report::run::{Bench, Real};
use crate::run::Load;
use crate::systems::CONNECTIONS;
use crate::systems::pair::Pair;
use crate::walk::Walk;

/// Of a hundred events of a batch, those that were sent before.
const REPEATS: usize = 20;

/// Every form and batch size, with its row.
pub(super) fn forms(single: bool) -> Vec<(String, Form, usize)> {
    let mut forms = Vec::new();
    for (form, name) in [(Form::Json, "JSON"), (Form::Ndjson, "NDJSON")] {
        for batch in [1, 10, 100, 1_000] {
            forms.push(match (form, batch) {
                (Form::Json, 1) if single => (n::SINGLE.to_owned(), Form::Single, 1),
                _ => (format!("{name}, batches of {batch}"), form, batch),
            });
        }
    }
    forms
}

/// One load of a pair as fast as it goes, noted in `section` as `row`.
pub(super) async fn run(
    bench: &mut Bench,
    real: &Real,
    pair: &Pair,
    (section, row): (&str, &str),
    plan: Plan,
) -> Result<(), Failure> {
    let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
    let suffixes = bench.numbers.take(shipments(bench, PAIR_MOST, steps.len()));
    let numbers = pair.stored(real, &suffixes).await?;
    let measured = Load {
        target: &pair.target,
        plan,
        numbers: &numbers,
        steps: &steps,
        probe_rate: 0,
        probe_numbers: &[],
        processes: &pair.watched(real),
    };
    let result = load(bench, section, row, measured).await?;
    flat_out(&mut bench.figures, section, row, &result);
    if (section, row) == (n::PAIR, n::JSON_100) {
        cost(&mut bench.figures, "pair, as many as go", &result);
    }
    Ok(())
}

/// By batch size and form.
///
/// # Errors
/// The pair could not be measured.
pub async fn batches(bench: &mut Bench) -> Result<(), Failure> {
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    for (row, form, batch) in forms(true) {
        let plan = Plan { form, ..Plan::flat_out(bench.plan.each, batch, CONNECTIONS) };
        run(bench, &real, &pair, (n::PAIR, &row), plan).await?;
    }
    Ok(())
}

/// With one and with two processors.
///
/// # Errors
/// The pair could not be measured.
pub async fn processors(bench: &mut Bench) -> Result<(), Failure> {
    let (real, mut pair) = (bench.real().await?, bench.pair().await?);
    let plan = Plan::flat_out(bench.plan.each, 100, CONNECTIONS);
    run(bench, &real, &pair, (n::PROCESSORS, n::ONE), plan).await?;
    pair.second_processor(&real, &mut bench.numbers).await?;
    run(bench, &real, &pair, (n::PROCESSORS, n::TWO), plan).await
}

/// With events that were sent before, and without.
///
/// # Errors
/// The pair could not be measured.
pub async fn duplicates(bench: &mut Bench) -> Result<(), Failure> {
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    let plan = Plan::flat_out(bench.plan.each, 100, CONNECTIONS);
    run(bench, &real, &pair, (n::DUPLICATES, "none"), plan).await?;
    let row = format!("{REPEATS} of 100");
    run(bench, &real, &pair, (n::DUPLICATES, &row), Plan { repeats: REPEATS, ..plan }).await
}
