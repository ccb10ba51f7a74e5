//! Passwords: bcrypt, off the async threads and a few at a time, because a hash is expensive on purpose.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Problem;

/// Longest password, in bytes: bcrypt ignores what is behind them, so more is refused and never cut.
pub(crate) const LONGEST: usize = 72;
/// Shortest password, in bytes (NIST SP 800-63B, section 5.1.1.1).
pub(crate) const SHORTEST: usize = 8;
/// 2¹⁰ rounds: about 25 ms, the least that OWASP recommends.
const COST: u32 = 10;
/// Hashes at a time: logging in must leave a core to those who are logged in.
const HASHES_AT_A_TIME: usize = 2;
/// Hashes at a time, besides those, for callers who are known: a flood of strangers does not keep them waiting.
const HASHES_FOR_THE_KNOWN: usize = 1;
/// Longest wait for a turn. Who waits longer is told to come back, so that a flood of log-ins does not pile up.
const TURN: Duration = Duration::from_secs(5);
/// What is hashed against when there is no such user, so that it takes the same time. Nobody knows a password for it.
const NOBODY: &str = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8vY5hW3m1b8o0Yq0mXnZrYl1kq2a3O";

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// It has less than 8 bytes.
    #[error("must have at least {SHORTEST} bytes")]
    TooShort,
    /// It has more than 72 bytes, of which bcrypt would see no more.
    #[error("must have at most {LONGEST} bytes")]
    TooLong,
    /// It has a NUL character, where bcrypt would stop.
    #[error("must not contain a NUL character")]
    Nul,
}

impl PasswordFault {
    /// The word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Nul => "malformed",
        }
    }
}

/// Whether `text` can be a password.
///
/// # Errors
/// Why not.
pub(crate) fn check(text: &str) -> Result<(), PasswordFault> {
    match text.len() {
        ..SHORTEST => Err(PasswordFault::TooShort),
        SHORTEST..=LONGEST if text.contains('\0') => Err(PasswordFault::Nul),
        SHORTEST..=LONGEST => Ok(()),
        _ => Err(PasswordFault::TooLong),
    }
}

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It is none.
    #[error("the password {0}")]
    Fault(#[from] PasswordFault),
    /// There is no randomness for a salt.
    #[error("the password could not be hashed: {0}")]
    Bcrypt(#[from] bcrypt::BcryptError),
}

/// The hash of `password`. It takes about 25 ms: not for an async thread.
///
/// # Errors
/// The text cannot be a password, or there is no randomness for a salt.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    check(password)?;
    Ok(bcrypt::hash(password, COST)?)
}

/// Whether `password` is the one of `hash`. Without a hash it takes as long, and is not. Not for an async thread.
pub(crate) fn matches(password: &str, hash: Option<&str>) -> bool {
    match bcrypt::verify(password, hash.unwrap_or(NOBODY)) {
        Ok(matches) => matches && hash.is_some(),
        Err(error) => {
            // Told apart from a wrong password in the log only: a caller must not learn that the user exists.
            tracing::error!(%error, "a stored password hash cannot be read");
            false
        }
    }
}

/// Whether whoever wants a hash has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Stranger,
    Known,
}

/// Gives out turns to hash.
pub(crate) struct Turns {
    anybody: Arc<Semaphore>,
    known: Arc<Semaphore>,
}

/// The right to hash, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, and given back when it is dropped")] OwnedSemaphorePermit);

impl Default for Turns {
    fn default() -> Self {
        Self {
            anybody: Arc::new(Semaphore::new(HASHES_AT_A_TIME)),
            known: Arc::new(Semaphore::new(HASHES_FOR_THE_KNOWN)),
        }
    }
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// 503: it did not come within five seconds.
    pub(crate) async fn next(&self, standing: Standing) -> Result<Turn, Problem> {
        let turn = async {
            match standing {
                Standing::Stranger => self.anybody.clone().acquire_owned().await,
                Standing::Known => tokio::select! {
                    turn = self.known.clone().acquire_owned() => turn,
                    turn = self.anybody.clone().acquire_owned() => turn,
                },
            }
        };
        match tokio::time::timeout(TURN, turn).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            _ => Err(Problem::unavailable("Too many log-ins at once; try again", "no turn for a password hash")),
        }
    }

    /// The hash of `password`, for an admin's request.
    ///
    /// # Errors
    /// 503: there was no turn; 500: no randomness.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        let turn = self.next(Standing::Known).await?;
        let hashing = tokio::task::spawn_blocking(move || {
            let hash = hash_password(&password);
            drop(turn);
            hash
        });
        hashing.await.map_err(Problem::internal)?.map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: "401 with the same text and time"
    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_costs() {
        assert!(!matches("password123", None));
        let cost = |hash: &str| hash.split('$').nth(2).map(str::to_owned);
        assert_eq!(cost(NOBODY), cost(&hash_password("password123").expect("hashed")));
        // A hash that could not be read would be compared in no time.
        assert!(bcrypt::verify("password123", NOBODY).is_ok());
    }

    #[test]
    fn a_password_has_8_to_72_bytes_and_none_is_cut() {
        for (text, fault) in [
            ("1234567".to_owned(), Some(PasswordFault::TooShort)),
            ("12345678".to_owned(), None),
            ("ñandúes".to_owned(), None), // nine bytes
            ("x".repeat(LONGEST), None),
            ("x".repeat(LONGEST + 1), Some(PasswordFault::TooLong)),
            ("é".repeat(37), Some(PasswordFault::TooLong)),
            ("12345678\0".to_owned(), Some(PasswordFault::Nul)),
        ] {
            assert_eq!(check(&text).err(), fault, "{text:?}");
        }
        assert!(hash_password(&"x".repeat(LONGEST + 1)).is_err());
        let hash = hash_password(&"x".repeat(LONGEST)).expect("hashed");
        assert!(!matches(&("x".repeat(LONGEST - 1) + "y"), Some(&hash)), "the last byte counts");
    }

    #[tokio::test]
    async fn strangers_do_not_keep_the_known_waiting() {
        let turns = Turns::default();
        let mut strangers = Vec::new();
        for _ in 0..HASHES_AT_A_TIME {
            strangers.push(turns.next(Standing::Stranger).await.expect("a turn"));
        }
        let known = turns.next(Standing::Known).await.expect("a turn of their own");
        drop(strangers.pop());
        let second = turns.next(Standing::Known).await.expect("any turn is theirs too");
        drop((known, second, strangers));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_for_a_turn_is_told_to_come_back() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for _ in 0..HASHES_AT_A_TIME {
            held.push(turns.next(Standing::Stranger).await.expect("a turn"));
        }
        let problem = turns.next(Standing::Stranger).await.err().expect("no turn");
        assert_eq!(problem.code(), crate::error::Code::ServiceUnavailable);
    }
}
