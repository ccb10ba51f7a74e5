//! Ten minutes at 10,000 events a second: whether memory stays flat.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::{generator, load as measured};
use crate::failure::Failure;
use crate::load::Plan;
use crate::process::{Watched, memory_mb};
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::run::Load;
use crate::systems::CONNECTIONS;
use crate::walk::Walk;

/// Events a second.
const RATE: u64 = 10_000;
/// Events in a request.
const BATCH: usize = 10;
/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps the rate up, and looks at the memory of both programs meanwhile. In the first round only.
///
/// # Errors
/// The pair could not be loaded.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    if bench.round > 0 {
        return Ok(());
    }
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    let steps = Walk::Parcel.steps(OffsetDateTime::now_utc());
    let shipments = (RATE * bench.plan.soak.as_secs()) as usize / steps.len() + BATCH * CONNECTIONS;
    bench.progress.say(&format!("  storing {shipments} shipments"));
    let suffixes = bench.numbers.take(shipments);
    let numbers = pair.stored(&real, &suffixes).await?;
    let processes = pair.watched(&real);
    let duration = bench.plan.soak;
    let load = Load {
        target: &pair.target,
        plan: Plan { rate: RATE, ..Plan::flat_out(duration, BATCH, CONNECTIONS) },
        numbers: &numbers,
        steps: &steps,
        probe_rate: 0,
        probe_numbers: &[],
        processes: &processes,
    };
    let programs: Vec<_> = processes
        .iter()
        .filter(|process| [n::INGEST, n::PROCESSOR].contains(&process.name.as_str()))
        .cloned()
        .collect();
    let (result, memory) = tokio::join!(measured(bench, n::SOAK, "10,000/s", load), watch(&programs, duration));
    let result = result?;
    let figures = &mut bench.figures;
    for (process, memory) in programs.iter().zip(memory) {
        let row = process.name.as_str();
        let most = memory.iter().copied().fold(0.0, f64::max);
        figures.add(at(n::SOAK, row, n::END), Unit::Megabytes, memory.last().copied().unwrap_or(0.0));
        figures.add(at(n::SOAK, row, n::PEAK), Unit::Megabytes, most);
        if let Some(growth) = growth(&memory) {
            figures.add(at(n::SOAK, row, n::GROWTH), Unit::Percent, growth);
        }
    }
    figures.add(at(n::SOAK, "load", n::ACCEPTED), Unit::PerSecond, result.accepted_per_second);
    figures.add(at(n::SOAK, "load", n::ACCEPT_P99), Unit::Milliseconds, result.http_ms.p99);
    figures.add(at(n::SOAK, "load", n::GENERATOR), Unit::Percent, generator(&result));
    Ok(())
}

/// The memory of each process, second by second.
async fn watch(processes: &[Watched], duration: Duration) -> Vec<Vec<f64>> {
    let mut memory = vec![Vec::new(); processes.len()];
    let until = Instant::now() + duration;
    while Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        for (process, memory) in processes.iter().zip(&mut memory) {
            memory.push(memory_mb(process.pid));
        }
    }
    memory
}

/// By how much the last fifth lies above the second one, in hundredths of that. The first fifth fills caches.
fn growth(memory: &[f64]) -> Option<f64> {
    let fifth = memory.len() / 5;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let before = (fifth > 0).then(|| mean(&memory[fifth..2 * fifth])).filter(|before| *before > 0.0)?;
    Some(100.0 * (mean(&memory[memory.len() - fifth..]) / before - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_last_fifth_over_the_second_one() {
        let flat = [10.0, 20.0, 20.0, 20.0, 20.0];
        assert_eq!(growth(&flat), Some(0.0));
        let grown = growth(&[10.0, 20.0, 20.0, 20.0, 25.0]).expect("enough looks");
        assert!((grown - 25.0).abs() < 1e-9);
        assert_eq!(growth(&[1.0; 4]), None);
    }
}
