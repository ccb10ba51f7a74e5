//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Between two looks at a condition: short beside everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `condition` yields something, and returns it with the time that it took.
///
/// # Panics
/// It does not within `patience`.
pub async fn until<T>(what: &str, patience: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return (found, begun.elapsed());
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The end of `work`.
///
/// # Panics
/// It does not end within `patience`.
pub async fn within<T>(what: &str, patience: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {patience:?}"),
    }
}
