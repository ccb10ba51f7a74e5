//! The short runs: a few dozen faults each, and nothing lost, doubled, reordered or wrong.

use std::time::Duration;

use acceptance::servers::Servers;
use chaos::progress::Progress;
use chaos::report::Report;
use chaos::{embedded, pair};

/// The long runs take other ones: `make chaos SEED=…`.
const SEED: u64 = 1;
/// How long the pair is broken: with the start of the servers and the comparison about two minutes.
const LENGTH: Duration = Duration::from_secs(75);
/// How often the embedded program is killed.
const KILLS: usize = 20;

/// Shows the table past the harness, which swallows what a passing test prints.
#[track_caller]
fn hold(report: &Report) {
    use std::io::Write;
    std::io::stderr().write_all(report.to_string().as_bytes()).expect("standard error is writable");
    assert!(report.is_sound(), "{}", report.complaints().join("\n"));
}

// contract: "has exactly one final outcome"
// contract: "only after the broker acknowledged the record"
#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_pair_keeps_what_it_acknowledged() {
    if Servers::given("whatever_breaks_the_pair_keeps_what_it_acknowledged").is_none() {
        return;
    }
    hold(&pair::run(LENGTH, SEED, Progress::begin()).await);
}

// contract: "only after the broker acknowledged the record"
#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_the_embedded_program_keeps_what_it_acknowledged() {
    hold(&embedded::run(KILLS, SEED, Progress::begin()).await);
}
