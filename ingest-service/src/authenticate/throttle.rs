//! How often a log-in may fail.
//!
//! Two budgets of failures, both out of this instance's memory:
//! - of one account **from one address**: whoever guesses at an account from elsewhere does not lock its owner out;
//! - of one address, over all accounts: for those who have not logged in from there before. Whoever has is **known** there, and is
//!   judged by the first budget alone: a neighbour who shares the address and uses its budget up locks out strangers only.
//!
//! A refused attempt costs nothing, and is not looked at: neither the right password gets through nor does the wait grow. A success gives
//! back the first budget and never the second, or an attacker with an account of his own would have guesses without end. Each of many
//! instances keeps budgets of its own, so n of them allow n times as much, which is still little.
//!
//! Accounts are counted by the name that was typed, whether or not there is such a user, so that nobody learns that from a 429.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::password::Standing;
use crate::client_address::network_of;

/// Failures of one account from one address: people need two or three attempts to remember which password it was.
const OF_ACCOUNT: Budget = Budget { failures: 5, regained: Duration::from_secs(60) };
/// Failures of one address: an office of people who come back from their holidays. Then ten a minute.
const OF_ADDRESS: Budget = Budget { failures: 50, regained: Duration::from_secs(6) };
/// Attempts of one address that may wait for their turn to be hashed: half of what is done in the longest wait, so that no address
/// alone makes the others wait that long.
const WAITING: usize = 100;
/// What an address that has too many waiting should wait: about as long as they take.
const WAIT: Duration = Duration::from_secs(2);
/// Budgets that are remembered, about 8 MB of each kind at most; beyond, those that were used least lately are forgotten. An attacker
/// fills it who has so many addresses, and he does not need to.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(100_000).expect("is not 0");

/// So many failures at once, and one more for each such time that passes.
#[derive(Clone, Copy)]
struct Budget {
    failures: u32,
    regained: Duration,
}

/// What failures are counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Account,
    Address,
    /// The attempts of an address that wait for their turn.
    Waiting,
}

/// An attempt that is not allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) limit: Limit,
    pub(crate) retry_after: Duration,
}

/// Who tries what: an account from an address, and the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    account: u64,
    address: u64,
}

/// The budgets.
pub(crate) struct Throttle {
    /// Attackers must not find names that share a budget.
    hasher: RandomState,
    memory: Mutex<Memory>,
}

struct Memory {
    /// For each budget in use, when it will be whole again.
    accounts: LruCache<u64, Instant>,
    addresses: LruCache<u64, Instant>,
    /// Accounts that have logged in from an address. Only a success adds one.
    known: LruCache<u64, ()>,
    waiting: HashMap<u64, usize>,
}

impl Default for Throttle {
    fn default() -> Self {
        let memory = Memory {
            accounts: LruCache::sparse(REMEMBERED),
            addresses: LruCache::sparse(REMEMBERED),
            known: LruCache::sparse(REMEMBERED),
            waiting: HashMap::new(),
        };
        Self { hasher: RandomState::new(), memory: Mutex::new(memory) }
    }
}

impl Throttle {
    /// An attempt to log in as `username` from `address`.
    pub(crate) fn attempt(&self, username: &str, address: IpAddr) -> Attempt {
        let network = network_of(address);
        Attempt { account: self.hasher.hash_one((username, network)), address: self.hasher.hash_one(network) }
    }

    /// Whether the account is known at the address.
    pub(crate) fn standing(&self, attempt: Attempt) -> Standing {
        if self.memory().known.contains(&attempt.account) { Standing::Known } else { Standing::Stranger }
    }

    /// Whether the attempt may be made at `now`.
    ///
    /// # Errors
    /// Not yet.
    pub(crate) fn allow(&self, attempt: Attempt, now: Instant) -> Result<(), Throttled> {
        let memory = self.memory();
        OF_ACCOUNT.check(memory.accounts.peek(&attempt.account), now, Limit::Account)?;
        if memory.known.contains(&attempt.account) {
            return Ok(());
        }
        OF_ADDRESS.check(memory.addresses.peek(&attempt.address), now, Limit::Address)
    }

    /// A place among those who wait for their turn.
    ///
    /// # Errors
    /// The address has too many there.
    pub(crate) fn wait(self: &Arc<Self>, attempt: Attempt) -> Result<Place, Throttled> {
        let mut memory = self.memory();
        let waiting = memory.waiting.entry(attempt.address).or_default();
        if *waiting >= WAITING {
            return Err(Throttled { limit: Limit::Waiting, retry_after: WAIT });
        }
        *waiting += 1;
        Ok(Place { throttle: self.clone(), address: attempt.address })
    }

    /// The attempt failed at `now`.
    ///
    /// # Errors
    /// That has used up a budget.
    pub(crate) fn failed(&self, attempt: Attempt, now: Instant) -> Result<(), Throttled> {
        {
            let mut memory = self.memory();
            OF_ACCOUNT.charge(memory.accounts.get_or_insert_mut(attempt.account, || now), now);
            OF_ADDRESS.charge(memory.addresses.get_or_insert_mut(attempt.address, || now), now);
        }
        self.allow(attempt, now)
    }

    /// The attempt succeeded.
    pub(crate) fn succeeded(&self, attempt: Attempt) {
        let mut memory = self.memory();
        memory.accounts.pop(&attempt.account);
        memory.known.put(attempt.account, ());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait; given back when it is dropped.
pub(crate) struct Place {
    throttle: Arc<Throttle>,
    address: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut memory = self.throttle.memory();
        if let Some(waiting) = memory.waiting.get_mut(&self.address) {
            *waiting -= 1;
            if *waiting == 0 {
                memory.waiting.remove(&self.address);
            }
        }
    }
}

impl Budget {
    /// Whether a failure is left at `now` of a budget that will be whole again at `whole`.
    fn check(self, whole: Option<&Instant>, now: Instant, limit: Limit) -> Result<(), Throttled> {
        let missing = whole.map_or(Duration::ZERO, |whole| whole.saturating_duration_since(now));
        let retry_after = missing.saturating_sub(self.regained * (self.failures - 1));
        if retry_after.is_zero() { Ok(()) } else { Err(Throttled { limit, retry_after }) }
    }

    /// Takes one failure out of it.
    fn charge(self, whole: &mut Instant, now: Instant) {
        *whole = (*whole).max(now) + self.regained;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    fn fail(throttle: &Throttle, attempt: Attempt, now: Instant) {
        let used_up = throttle.failed(attempt, now);
        assert_eq!(used_up, throttle.allow(attempt, now));
    }

    /// Fails so often with another name each time.
    fn guess_around(throttle: &Throttle, address: &str, failures: u32, now: Instant) {
        for number in 0..failures {
            let attempt = throttle.attempt(&format!("user {number}"), at(address));
            throttle.allow(attempt, now).expect("the budget is not used up");
            fail(throttle, attempt, now);
        }
    }

    #[test]
    fn an_account_has_five_failures_from_an_address_and_regains_one_a_minute() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let attempt = throttle.attempt("ana", at("203.0.113.7"));
        for _ in 0..OF_ACCOUNT.failures {
            assert_eq!(throttle.allow(attempt, start), Ok(()));
            fail(&throttle, attempt, start);
        }
        let refused = |retry_after| Err(Throttled { limit: Limit::Account, retry_after });
        assert_eq!(throttle.allow(attempt, start), refused(OF_ACCOUNT.regained));
        assert_eq!(throttle.allow(attempt, start + Duration::from_secs(59)), refused(Duration::from_secs(1)));
        let later = start + OF_ACCOUNT.regained;
        assert_eq!(throttle.allow(attempt, later), Ok(()));
        fail(&throttle, attempt, later);
        assert_eq!(throttle.allow(attempt, later), refused(OF_ACCOUNT.regained));
        throttle.succeeded(attempt);
        for _ in 0..OF_ACCOUNT.failures {
            assert_eq!(throttle.allow(attempt, later), Ok(()), "a success gives all of it back");
            fail(&throttle, attempt, later);
        }
    }

    #[test]
    fn guessing_at_an_account_locks_out_neither_its_owner_elsewhere_nor_anybody_else_here() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for host in 1..=200 {
            let attempt = throttle.attempt("ana", at(&format!("198.51.100.{host}")));
            while throttle.allow(attempt, now).is_ok() {
                fail(&throttle, attempt, now);
            }
        }
        assert_eq!(throttle.allow(throttle.attempt("ana", at("203.0.113.7")), now), Ok(()));
        assert_eq!(throttle.allow(throttle.attempt("eve", at("198.51.100.1")), now), Ok(()));
    }

    #[test]
    fn an_address_has_fifty_failures_and_its_known_callers_are_not_locked_out_by_them() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let (known, stranger) =
            (throttle.attempt("ana", at("203.0.113.7")), throttle.attempt("zoe", at("203.0.113.7")));
        throttle.succeeded(known);
        guess_around(&throttle, "203.0.113.7", OF_ADDRESS.failures, start);
        let refused = Throttled { limit: Limit::Address, retry_after: OF_ADDRESS.regained };
        assert_eq!(throttle.allow(stranger, start), Err(refused));
        assert_eq!((throttle.allow(known, start), throttle.standing(known)), (Ok(()), Standing::Known));
        assert_eq!(throttle.allow(throttle.attempt("zoe", at("203.0.113.8")), start), Ok(()), "another address");
        throttle.succeeded(throttle.attempt("mallory", at("203.0.113.7")));
        assert_eq!(throttle.allow(stranger, start), Err(refused), "a success of somebody else gives nothing back");
        for _ in 0..OF_ACCOUNT.failures {
            fail(&throttle, known, start);
        }
        assert!(throttle.allow(known, start).is_err(), "who is known may not guess either");
        assert_eq!(throttle.allow(stranger, start + OF_ADDRESS.regained * (OF_ACCOUNT.failures + 1)), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_network_are_one_caller() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        guess_around(&throttle, "2001:db8:0:1::1", OF_ADDRESS.failures, now);
        assert!(throttle.allow(throttle.attempt("ana", at("2001:db8:0:1:ffff::9")), now).is_err());
        assert!(throttle.allow(throttle.attempt("ana", at("2001:db8:0:2::1")), now).is_ok());
        guess_around(&throttle, "203.0.113.7", OF_ADDRESS.failures, now);
        assert!(throttle.allow(throttle.attempt("ana", at("::ffff:203.0.113.7")), now).is_err());
    }

    #[test]
    fn one_address_does_not_take_all_places_of_those_who_wait() {
        let throttle = Arc::new(Throttle::default());
        let (flood, other) = (throttle.attempt("ana", at("203.0.113.7")), throttle.attempt("ana", at("203.0.113.8")));
        let places: Vec<_> = (0..WAITING).map(|_| throttle.wait(flood).expect("a place")).collect();
        assert_eq!(throttle.wait(flood).err(), Some(Throttled { limit: Limit::Waiting, retry_after: WAIT }));
        drop(throttle.wait(other).expect("another address has places of its own"));
        drop(places);
        assert!(throttle.wait(flood).is_ok());
        assert!(throttle.memory().waiting.is_empty(), "nothing is kept of those who have gone");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..u32::try_from(REMEMBERED.get()).expect("fits") + 10 {
            fail(&throttle, throttle.attempt("ana", IpAddr::from(number.to_be_bytes())), now);
        }
        let memory = throttle.memory();
        assert_eq!((memory.accounts.len(), memory.addresses.len()), (REMEMBERED.get(), REMEMBERED.get()));
    }
}
