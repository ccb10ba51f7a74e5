//! The pair, on servers of its own.

use std::time::Duration;

use acceptance::servers::Servers;
use chaos::arguments::PARK_SECONDS;
use chaos::pair;
use chaos::progress::Progress;

use crate::{SEED, hold};

/// How long it is broken. With the start of the servers and the comparison this makes less than two minutes.
const LENGTH: Duration = Duration::from_secs(60);

// contract: "has exactly one final outcome"
// contract: "only after the broker acknowledged the record"
// contract: "judged in log order"
// contract: "a duplicate is never applied twice"
#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_pair_keeps_what_it_acknowledged() {
    if Servers::given("whatever_breaks_the_pair_keeps_what_it_acknowledged").is_none() {
        return;
    }
    hold(&pair::run(LENGTH, SEED, PARK_SECONDS, Progress::quiet()).await);
}
