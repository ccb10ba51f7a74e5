//! `sim SEED RUNS`: runs so many schedules from a seed on, and tells the first that fails as short as it can be told.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::Schedule;

/// Runs `runs` schedules on all processors; the least seed that fails.
fn first_failure(seed: u64, runs: u64) -> Option<u64> {
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let work = || {
        while let run = next.fetch_add(1, Ordering::Relaxed)
            && run < runs.min(failed.load(Ordering::Relaxed))
        {
            if Schedule::of(seed.wrapping_add(run)).run().is_err() {
                failed.fetch_min(run, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(work);
        }
    });
    let failed = failed.into_inner();
    (failed < runs).then(|| seed.wrapping_add(failed))
}

fn main() -> std::io::Result<ExitCode> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse());
    let (Some(Ok(seed)), Some(Ok(runs)), None) = (numbers.next(), numbers.next(), numbers.next()) else {
        writeln!(std::io::stderr(), "usage: sim SEED RUNS (two numbers)")?;
        return Ok(ExitCode::from(2));
    };
    // A lane that panics is a failure of its schedule and is told there.
    std::panic::set_hook(Box::new(|_| ()));
    let started = std::time::Instant::now();
    let mut out = std::io::stdout().lock();
    let Some(failed) = first_failure(seed, runs) else {
        writeln!(out, "{runs} schedules from seed {seed} on: all as the model says, in {:.0?}", started.elapsed())?;
        return Ok(ExitCode::SUCCESS);
    };
    writeln!(
        out,
        "the schedule of seed {failed} fails (make sim SEED={failed} RUNS=1); what is left of it when all is left out"
    )?;
    writeln!(out, "without which it does not fail:")?;
    for line in Schedule::of(failed).shrunk().story() {
        writeln!(out, "  {line}")?;
    }
    Ok(ExitCode::FAILURE)
}
