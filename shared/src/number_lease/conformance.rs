//! What every giver of leases must do. It must not have been used before.

use std::collections::HashSet;
use std::sync::Arc;

use super::{LEASE_NUMBERS, NumberLeases, TrackingNumbers};

/// Runs the suite.
///
/// # Panics
/// The leases break their contract.
// contract: "Tracking numbers come from a leased counter"
// contract: "Unique by construction"
pub async fn run(leases: Arc<dyn NumberLeases>) {
    let takers = (0..16).map(|_| {
        let leases = leases.clone();
        tokio::spawn(async move { leases.lease(10).await.expect("reachable") })
    });
    let mut seen = HashSet::new();
    let mut keys = HashSet::new();
    for taker in takers.collect::<Vec<_>>() {
        let lease = taker.await.expect("no panic");
        assert_eq!(lease.count, 10);
        keys.insert(lease.key);
        for counter in lease.first..lease.first + 10 {
            assert!(seen.insert(counter), "counter {counter} was leased twice");
        }
    }
    assert_eq!(keys.len(), 1, "one key for all leases");
    assert_ne!(keys.into_iter().next(), Some([0; 32]));

    let (one, two) = (TrackingNumbers::new(leases.clone()), TrackingNumbers::new(leases));
    let mut numbers = HashSet::new();
    for _ in 0..LEASE_NUMBERS + 10 {
        assert!(numbers.insert(one.next().await.expect("a number")), "one process repeats a number");
    }
    for _ in 0..100 {
        assert!(numbers.insert(two.next().await.expect("a number")), "two processes give one number");
    }
}
