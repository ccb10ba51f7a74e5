//! The short runs: a few dozen faults each, and nothing lost, doubled, reordered or wrong. The long ones: `make chaos`,
//! `make chaos-embedded`.

mod embedded;
mod pair;

use chaos::check::Parked;
use chaos::report::Report;

/// Always the same course; the long runs take other ones.
const SEED: u64 = 1;

/// Shows the table, past the harness, which swallows what a passing test prints, and looks whether all is well.
#[track_caller]
fn hold(report: &Report) {
    use std::io::Write;
    std::io::stderr().write_all(report.to_string().as_bytes()).expect("standard error is writable");
    assert!(report.is_sound(), "{}", report.complaints().join("\n"));
    let Parked { by_redrive, by_time, .. } = report.verdict.parked;
    assert!(by_redrive > 0 && by_time > 0, "events were parked, and released in both ways");
}
