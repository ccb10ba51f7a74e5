//! The connection to Redis that the adapters share. Redis holds hints only, so the connection is never waited for: it is
//! made when it is needed, every call has a deadline, and after a few failures a breaker lets calls fail at once.

mod address;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, RedisResult};

pub use address::{AddressError, Authorities};

use crate::breaker::{Breaker, CircuitState};
use crate::dedup_window::WINDOW_DEADLINE;
use crate::settings::{Environment, SettingError};

/// How long a connection may take to come about; longer than a call may wait, because it goes on in the background.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
/// The manager connects again in the background after each failed call; the breaker spaces these.
const CONNECT_RETRIES: usize = 0;

/// Redis was not asked, or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// It failed a few times in a row and is left alone for a moment.
    #[error("the circuit is open")]
    Open,
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    TooLate(Duration),
    /// What the client or the server says.
    #[error("{0}")]
    Failed(String),
}

/// A client of one Redis database. Clones share its connection and its breaker.
#[derive(Clone)]
pub struct RedisConnection {
    client: Client,
    database: i64,
    manager: ConnectionManager,
    breaker: Arc<Breaker>,
}

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RedisConnection(database {})", self.database)
    }
}

impl RedisConnection {
    /// Reads `REDIS_ADDR`, `REDIS_TLS_CA_FILE` and `REDIS_DB`. Does not connect. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        const AUTHORITIES: &str = "REDIS_TLS_CA_FILE";
        let address = environment.secret("REDIS_ADDR")?.unwrap_or_else(|| "127.0.0.1:6379".to_owned());
        let database = environment.number("REDIS_DB", 0, 0..=1_000)?;
        let authorities = match environment.text(AUTHORITIES) {
            None => None,
            Some(path) => Some(
                Authorities::of_file(&path)
                    .map_err(|error| SettingError::new(AUTHORITIES, format!("{path}: {error}")))?,
            ),
        };
        Self::open_with(&address, database, authorities.as_ref()).map_err(|error| match error {
            AddressError::NoTls => SettingError::new(AUTHORITIES, error.to_string()),
            _ => SettingError::new("REDIS_ADDR", error.to_string()),
        })
    }

    /// A client of `database` at `address` (`host:port`, or a URL `redis://` or, for TLS, `rediss://`). Does not connect. Call it within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// The address is none.
    pub fn open(address: &str, database: i64) -> Result<Self, AddressError> {
        Self::open_with(address, database, None)
    }

    /// The same, of a server whose certificate comes from `authorities`; `None` for those that the system trusts.
    ///
    /// # Errors
    /// The address is none, or does not ask for TLS though there are `authorities`.
    pub fn open_with(address: &str, database: i64, authorities: Option<&Authorities>) -> Result<Self, AddressError> {
        let client = address::client(address, database, authorities)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(WINDOW_DEADLINE))
            .set_number_of_retries(CONNECT_RETRIES);
        let lazy = ConnectionManager::new_lazy_with_config(client.clone(), config);
        let manager = lazy.map_err(|_| AddressError::Malformed)?;
        Ok(Self { client, database, manager, breaker: Arc::default() })
    }

    /// The state of the circuit, for the metric.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        self.breaker.state()
    }

    /// For connections of another kind.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The number of the database. Channels know no databases, so their names hold it.
    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// Does `work`, unless the circuit is open, within [`WINDOW_DEADLINE`].
    ///
    /// # Errors
    /// See [`RedisError`].
    pub(crate) async fn run<T, F>(&self, work: impl FnOnce(ConnectionManager) -> F + Send) -> Result<T, RedisError>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        if !self.breaker.allows(Instant::now()) {
            return Err(RedisError::Open);
        }
        let attempt = Attempt(&self.breaker);
        let result = match tokio::time::timeout(WINDOW_DEADLINE, work(self.manager.clone())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(RedisError::Failed(error.to_string())),
            Err(_) => Err(RedisError::TooLate(WINDOW_DEADLINE)),
        };
        if result.is_ok() {
            attempt.succeeded();
        }
        result
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        self.run(|mut connection| async move { ::redis::cmd("PING").query_async(&mut connection).await }).await
    }
}

/// A call that counts as failed unless it says that it succeeded: a caller that stops waiting must not leave the breaker
/// waiting for its one trial.
struct Attempt<'a>(&'a Breaker);

impl Attempt<'_> {
    fn succeeded(self) {
        self.0.succeeded();
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.failed(Instant::now());
    }
}

#[cfg(test)]
mod over_tls;
#[cfg(test)]
pub(crate) mod own_server;

#[cfg(test)]
mod tests {
    use super::own_server::{OwnServer, free_port};
    use super::*;

    /// What a call may take when Redis is not asked at all.
    const AT_ONCE: Duration = Duration::from_millis(5);

    /// How late a busy machine may wake us.
    const BUSY: Duration = Duration::from_millis(300);

    async fn ping_until_answered(connection: &RedisConnection) {
        let patience = Duration::from_secs(10);
        let answered = async {
            while connection.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, answered).await.expect("Redis is found again");
    }

    /// Fails until the circuit is open; gives the longest call before.
    async fn open_circuit(connection: &RedisConnection) -> Duration {
        let mut longest = Duration::ZERO;
        while connection.circuit() != CircuitState::Open {
            let start = Instant::now();
            connection.ping().await.expect_err("Redis is away");
            longest = longest.max(start.elapsed());
        }
        longest
    }

    async fn fails_at_once(connection: &RedisConnection) {
        let mut fastest = Duration::MAX;
        // The fastest of a few, because a busy machine may stop us in the midst of any one.
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(connection.ping().await, Err(RedisError::Open));
            fastest = fastest.min(start.elapsed());
        }
        assert!(fastest < AT_ONCE, "{fastest:?}");
    }

    #[tokio::test]
    async fn a_program_starts_while_redis_is_away_and_calls_soon_fail_at_once() {
        let connection = RedisConnection::open(&format!("127.0.0.1:{}", free_port()), 0).expect("an address");
        let longest = open_circuit(&connection).await;
        assert!(longest < WINDOW_DEADLINE + BUSY, "{longest:?}");
        fails_at_once(&connection).await;
    }

    #[tokio::test]
    async fn redis_is_found_again_after_it_was_killed() {
        let Some(mut server) = OwnServer::installed("redis_is_found_again_after_it_was_killed") else { return };
        let connection = RedisConnection::open(&server.address(), 0).expect("an address");
        open_circuit(&connection).await;
        server.start().await;
        ping_until_answered(&connection).await;
        assert_eq!(connection.circuit(), CircuitState::Closed);
        for _ in 0..2 {
            server.kill();
            open_circuit(&connection).await;
            fails_at_once(&connection).await;
            server.start().await;
            ping_until_answered(&connection).await;
        }
    }

    #[tokio::test]
    async fn a_redis_that_hangs_is_left_alone_and_found_again() {
        let Some(mut server) = OwnServer::installed("a_redis_that_hangs_is_left_alone_and_found_again") else { return };
        server.start().await;
        let connection = RedisConnection::open(&server.address(), 0).expect("an address");
        ping_until_answered(&connection).await;
        server.signal("-STOP");
        let longest = open_circuit(&connection).await;
        assert!(longest < WINDOW_DEADLINE + BUSY, "{longest:?}");
        fails_at_once(&connection).await;
        server.signal("-CONT");
        ping_until_answered(&connection).await;
    }

    #[tokio::test]
    async fn a_caller_that_stops_waiting_does_not_keep_the_circuit_open() {
        let name = "a_caller_that_stops_waiting_does_not_keep_the_circuit_open";
        let Some(mut server) = OwnServer::installed(name) else { return };
        let connection = RedisConnection::open(&server.address(), 0).expect("an address");
        open_circuit(&connection).await;
        server.start().await;
        // The trial, given up before it is answered.
        let given_up = async {
            while connection.circuit() != CircuitState::HalfOpen {
                let trial = connection.run(|_| std::future::pending::<RedisResult<()>>());
                if tokio::time::timeout(Duration::from_millis(20), trial).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), given_up).await.expect("the circuit allows a trial");
        ping_until_answered(&connection).await;
    }
}
