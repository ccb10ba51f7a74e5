//! Passwords: bcrypt, off the async threads and a few at a time, because a hash is expensive on purpose.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::Problem;

/// Longest password, in bytes: bcrypt ignores what is behind them.
pub(crate) const PASSWORD_BYTES: usize = 72;
/// Shortest password of a new user, in characters (NIST SP 800-63B, section 5.1.1.1).
pub(crate) const PASSWORD_CHARACTERS: usize = 8;
/// 2¹⁰ rounds: about 50 ms, the least that OWASP recommends.
const COST: u32 = 10;
/// Hashes at a time: logging in must leave a core to those who are logged in.
const HASHES_AT_A_TIME: usize = 2;
/// Longest wait for a turn. Who waits longer is told to come back, so that a flood of log-ins does not pile up.
const TURN: Duration = Duration::from_secs(5);
/// What is hashed against when there is no such user, so that it takes the same time. Nobody knows a password for it.
const NOBODY: &str = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8vY5hW3m1b8o0Yq0mXnZrYl1kq2a3O";

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It is longer than 72 bytes, of which bcrypt would see no more.
    #[error("the password is longer than {PASSWORD_BYTES} bytes")]
    TooLong,
    /// There is no randomness for a salt.
    #[error("the password could not be hashed: {0}")]
    Bcrypt(#[from] bcrypt::BcryptError),
}

/// The hash of `password`. It takes about 50 ms: not for an async thread.
///
/// # Errors
/// The password is longer than 72 bytes, or there is no randomness for a salt.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    if password.len() > PASSWORD_BYTES {
        return Err(HashError::TooLong);
    }
    Ok(bcrypt::hash(password, COST)?)
}

/// Hashes and compares, a few at a time.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(HASHES_AT_A_TIME)) }
    }
}

impl Passwords {
    /// Whether `password` is the one of `hash`. Without a hash it takes as long, and is not.
    pub(crate) async fn matches(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let verified = self.in_turn(move || {
            let matches = bcrypt::verify(&password, hash.as_deref().unwrap_or(NOBODY));
            matches.map(|matches| matches && hash.is_some())
        });
        verified.await?.or_else(|error| {
            // Told apart from a wrong password in the log only: a caller must not learn that the user exists.
            tracing::error!(%error, "a stored password hash cannot be read");
            Ok(false)
        })
    }

    /// The hash of `password`.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Problem> {
        self.in_turn(move || hash_password(&password)).await?.map_err(Problem::internal)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Problem::unavailable("Too many log-ins at once; try again", "no turn for a password hash"));
        };
        let worked = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        worked.await.map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_costs() {
        assert!(!bcrypt::verify("password123", NOBODY).expect("a well-formed hash"));
        let cost = |hash: &str| hash.split('$').nth(2).map(str::to_owned);
        assert_eq!(cost(NOBODY), cost(&hash_password("password123").expect("hashed")));
    }

    #[test]
    fn a_password_that_bcrypt_would_cut_is_not_hashed() {
        assert!(hash_password(&"x".repeat(PASSWORD_BYTES)).is_ok());
        assert!(hash_password(&"x".repeat(PASSWORD_BYTES + 1)).is_err());
    }
}
