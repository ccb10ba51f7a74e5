//! What each part of the machine can do by itself: the least work that leaves the same durable result, through the same driver, with nothing
//! else in the way. No platform on these parts can be faster.
//!
//! Each of them has threads of its own ([`on_threads`]), because the generator has one only.

pub mod http;
pub mod kafka;
pub mod mongo;
pub mod redis;
pub mod sqlite;

use std::time::Duration;

use crate::failure::Failure;

/// What a ceiling measured.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many.
    pub count: usize,
    /// In which time.
    pub took: Duration,
}

impl Rate {
    /// How many a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        if self.took.is_zero() { 0.0 } else { self.count as f64 / self.took.as_secs_f64() }
    }
}

/// Does `work` on a runtime with a thread for each processor, as the programs have it.
///
/// # Errors
/// What `work` returns, or there are no threads.
pub async fn on_threads<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>>,
{
    let blocking = move || tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work());
    let ended = tokio::task::spawn_blocking(blocking).await;
    ended.map_err(|error| Failure::NotMeasured(error.to_string()))?
}
