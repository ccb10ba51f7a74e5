//! `rastro`.

use chaos::arguments::PARK_SECONDS;
use chaos::embedded;
use chaos::progress::Progress;

use crate::{SEED, hold};

/// How often it is killed.
const KILLS: usize = 30;

// contract: "has exactly one final outcome"
// contract: "only after the broker acknowledged the record"
// contract: "a duplicate is never applied twice"
#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_the_embedded_program_keeps_what_it_acknowledged() {
    hold(&embedded::run(KILLS, SEED, PARK_SECONDS, Progress::quiet()).await);
}
