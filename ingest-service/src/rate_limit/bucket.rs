//! The buckets of one class. The arithmetic is governor's (GCRA: one time for each bucket, no timers); what is ours is the memory, which
//! has a bound whoever calls.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use lru::LruCache;
use tokio::time::Instant;

use super::settings::Limit;

/// Buckets that are remembered for callers, and as many for addresses: 3 MB each, for each of three classes. Beyond, those that were used
/// least lately are forgotten, which is to say full again: whoever has so many addresses gains no more by it than by having them.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(32_768).expect("is not 0");

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Caller(u64),
    Address(u64),
}

/// What is in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    /// Items that are left.
    pub(super) left: u32,
    /// How long until there is another item or, after a refusal, until there are as many as were asked for.
    pub(super) wait: Duration,
}

/// All buckets of a class. Addresses have a memory of their own, so that a flood of them makes no caller's bucket full again.
pub(super) struct Buckets {
    limit: Limit,
    callers: Bucket,
    addresses: Bucket,
}

struct Bucket {
    memory: Memory,
    limiter: RateLimiter<u64, Memory, Uptime, StateInformationMiddleware>,
}

impl Buckets {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, callers: Bucket::new(limit), addresses: Bucket::new(limit) }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    fn of(&self, holder: Holder) -> (&Bucket, u64) {
        match holder {
            Holder::Caller(key) => (&self.callers, key),
            Holder::Address(key) => (&self.addresses, key),
        }
    }

    /// Takes `items` out, all of them or none. More than a bucket can hold count as a full one.
    ///
    /// # Errors
    /// So many are not there.
    pub(super) fn take(&self, holder: Holder, items: usize) -> Result<Balance, Balance> {
        let (bucket, key) = self.of(holder);
        let items = u32::try_from(items).unwrap_or(u32::MAX).clamp(1, self.limit.burst);
        let taken = NonZeroU32::new(items).expect("it is at least 1");
        match bucket.limiter.check_key_n(&key, taken).expect("it is at most the burst") {
            Ok(state) => Ok(Balance { left: state.remaining_burst_capacity(), wait: self.limit.period() }),
            Err(refused) => {
                let wait = refused.wait_time_from(bucket.limiter.clock().now());
                let missing = wait.as_nanos().div_ceil(self.limit.period().as_nanos());
                let left = items.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX));
                Err(Balance { left, wait })
            }
        }
    }

    /// The balance of a bucket in which not one item is left. Takes nothing.
    pub(super) fn empty(&self, holder: Holder) -> Option<Balance> {
        let (bucket, key) = self.of(holder);
        let full_at = bucket.memory.buckets().peek(&key).copied()?;
        let all_but_one = Nanos::from(self.limit.period()) * u64::from(self.limit.burst - 1);
        let wait = full_at.saturating_sub(all_but_one).saturating_sub(bucket.limiter.clock().now());
        (wait > Nanos::default()).then(|| Balance { left: 0, wait: wait.into() })
    }
}

impl Bucket {
    fn new(limit: Limit) -> Self {
        let burst = NonZeroU32::new(limit.burst).expect("a burst is at least 1");
        let quota = Quota::with_period(limit.period()).expect("no rate is above a million a second").allow_burst(burst);
        let memory = Memory(Arc::new(Mutex::new(LruCache::sparse(REMEMBERED))));
        let limiter = RateLimiter::new(quota, memory.clone(), Uptime(Instant::now()));
        Self { memory, limiter }
    }
}

/// When each bucket is full again.
#[derive(Clone)]
struct Memory(Arc<Mutex<LruCache<u64, Nanos>>>);

impl Memory {
    fn buckets(&self) -> MutexGuard<'_, LruCache<u64, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Memory {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.buckets();
        let (outcome, full_at) = judge(buckets.get(key).copied())?;
        buckets.put(*key, full_at);
        Ok(outcome)
    }
}

/// The time since the start, by the clock that a test can move.
#[derive(Clone)]
struct Uptime(Instant);

impl Clock for Uptime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use shared::settings::Environment;

    use super::super::LimitSettings;
    use super::*;

    fn buckets(limit: &str) -> Buckets {
        let settings = LimitSettings::from_environment(&Environment::of(&[("RATE_LIMIT_READS", limit)]), 1);
        Buckets::new(settings.expect("valid").reads.expect("set"))
    }

    const ANA: Holder = Holder::Caller(1);
    const BEN: Holder = Holder::Caller(2);

    #[tokio::test(start_paused = true)]
    async fn a_bucket_is_emptied_at_once_and_filled_evenly() {
        let buckets = buckets("10/s:30");
        let wait = |ms| Duration::from_millis(ms);
        assert_eq!(buckets.empty(ANA), None);
        assert_eq!(buckets.take(ANA, 25), Ok(Balance { left: 5, wait: wait(100) }));
        assert_eq!(buckets.take(ANA, 25), Err(Balance { left: 5, wait: wait(2000) }), "all or none");
        assert_eq!(buckets.take(ANA, 5), Ok(Balance { left: 0, wait: wait(100) }));
        assert_eq!(buckets.empty(ANA), Some(Balance { left: 0, wait: wait(100) }));
        assert_eq!(buckets.take(BEN, 30), Ok(Balance { left: 0, wait: wait(100) }), "each has a bucket of his own");
        assert_eq!(buckets.take(Holder::Address(1), 30), Ok(Balance { left: 0, wait: wait(100) }));

        tokio::time::advance(wait(99)).await;
        assert!(buckets.take(ANA, 1).is_err() && buckets.empty(ANA).is_some());
        tokio::time::advance(wait(1)).await;
        assert_eq!(buckets.empty(ANA), None);
        assert_eq!(buckets.take(ANA, 1), Ok(Balance { left: 0, wait: wait(100) }));
        tokio::time::advance(wait(3_600_000)).await;
        assert_eq!(buckets.take(ANA, 1), Ok(Balance { left: 29, wait: wait(100) }), "it holds no more than the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_fits_after_the_wait_that_was_told() {
        let buckets = buckets("7/m:1000");
        for items in [1000, 1, 999, 1000, 313, 1000] {
            if let Err(balance) = buckets.take(ANA, items) {
                assert!(balance.left < u32::try_from(items).expect("small"), "{balance:?}");
                tokio::time::advance(balance.wait).await;
                assert!(buckets.take(ANA, items).is_ok(), "{items}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_bucket_holds_counts_as_a_full_one() {
        let buckets = buckets("10/s");
        assert_eq!(buckets.take(ANA, usize::MAX).map(|balance| balance.left), Ok(0));
        assert!(buckets.take(ANA, 0).is_err(), "and nothing as one");
    }

    #[tokio::test(start_paused = true)]
    async fn no_flood_of_addresses_grows_the_memory_or_fills_a_caller_s_bucket() {
        let buckets = buckets("1/h");
        assert!(buckets.take(ANA, 1).is_ok());
        for address in 0..REMEMBERED.get() as u64 + 1_000 {
            assert!(buckets.take(Holder::Address(address), 1).is_ok());
        }
        assert_eq!(buckets.addresses.memory.buckets().len(), REMEMBERED.get());
        assert!(buckets.take(ANA, 1).is_err());
    }
}
