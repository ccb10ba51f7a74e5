//! Latencies: every one is kept, so that percentiles are exact.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Latencies in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<Duration>);

/// What is reported of them, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: usize,
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1,000 took no longer. Of fewer than 1,000 it is the longest.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds those of another part of the run.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The percentiles (nearest rank).
    #[must_use]
    pub fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let count = self.0.len();
        let at_rank = |rank: usize| {
            let latency = self.0.get(rank.clamp(1, count.max(1)) - 1).copied().unwrap_or_default();
            (latency.as_secs_f64() * 100_000.0).round() / 100.0
        };
        Percentiles {
            count,
            p50: at_rank(count.div_ceil(2)),
            p99: at_rank((count * 99).div_ceil(100)),
            p99_9: at_rank((count * 999).div_ceil(1_000)),
            max: at_rank(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.clone().percentiles(), Percentiles::default());
        for millis in (1..=2_000).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let expected = Percentiles { count: 2_000, p50: 1_000.0, p99: 1_980.0, p99_9: 1_998.0, max: 2_000.0 };
        assert_eq!(latencies.percentiles(), expected);
    }
}
