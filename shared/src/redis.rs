//! The connection to Redis that the adapters share. Redis holds hints only, so the connection is never waited for: it is
//! made when it is needed, every call has a deadline, and after a few failures a breaker lets calls fail at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisResult};

use crate::breaker::{Breaker, CircuitState};
use crate::dedup_window::WINDOW_DEADLINE;

/// How long a connection may take to come about; longer than a call may wait, because it goes on in the background.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
/// After how long without an acknowledgement the kernel gives a connection up. Without it a server that vanished without a word would
/// keep us on a dead connection for a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(3);
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

/// `REDIS_ADDR` is no address. The message does not hold it: it may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither host:port nor redis://[user:password@]host:port")]
pub struct MalformedAddress;

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
    /// A client of `database` at `address` (`host:port` or a `redis://` URL). Does not connect. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// The address is none.
    pub fn open(address: &str, database: i64) -> Result<Self, MalformedAddress> {
        let url = if address.contains("://") { address.to_owned() } else { format!("redis://{address}") };
        let info = url.as_str().into_connection_info().map_err(|_| MalformedAddress)?;
        let has_port = |address: &str| address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !address.contains("://") && !has_port(address) || matches!(info.addr(), ConnectionAddr::Unix(_)) {
            return Err(MalformedAddress);
        }
        let settings = info.redis_settings().clone().set_db(database);
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(SILENCE);
        let client = Client::open(info.set_redis_settings(settings).set_tcp_settings(tcp));
        let client = client.map_err(|_| MalformedAddress)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(WINDOW_DEADLINE))
            .set_number_of_retries(CONNECT_RETRIES);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(|_| MalformedAddress)?;
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

/// A Redis server of the test's own, which it may kill and start again.
#[cfg(test)]
pub(crate) mod own_server {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// The server. It is killed with the test.
    pub(crate) struct OwnServer {
        pub(crate) port: u16,
        process: Option<Child>,
    }

    /// A port on which nobody listens.
    pub(crate) fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    }

    impl OwnServer {
        /// A server that is not started yet; `None`, with a line that says so, when `redis-server` is not installed.
        pub(crate) fn installed(test: &str) -> Option<Self> {
            let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
            if version.is_ok_and(|status| status.success()) {
                return Some(Self { port: free_port(), process: None });
            }
            use std::io::Write;
            let line = format!("left out: {test} (redis-server is not installed)\n");
            std::io::stderr().write_all(line.as_bytes()).expect("standard error is writable");
            None
        }

        pub(crate) fn address(&self) -> String {
            format!("127.0.0.1:{}", self.port)
        }

        /// Starts it and waits until it answers.
        pub(crate) async fn start(&mut self) {
            let process = Command::new("redis-server")
                .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server starts");
            self.process = Some(process);
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }

        /// Kills it.
        pub(crate) fn kill(&mut self) {
            if let Some(mut process) = self.process.take() {
                process.kill().expect("our own process can be killed");
                process.wait().expect("our own process can be waited for");
            }
        }

        /// Lets it hang: connections stay, and nothing is answered.
        pub(crate) fn signal(&self, signal: &str) {
            let id = self.process.as_ref().expect("it runs").id().to_string();
            let status = Command::new("kill").args([signal, &id]).status().expect("kill runs");
            assert!(status.success());
        }
    }

    impl Drop for OwnServer {
        fn drop(&mut self) {
            self.kill();
        }
    }
}

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
    async fn addresses_are_read_and_malformed_ones_refused_without_quoting_them() {
        for address in ["127.0.0.1:6379", "redis:6379", "redis://user:secret@redis:6379", "[::1]:6379"] {
            assert!(RedisConnection::open(address, 0).is_ok(), "{address}");
        }
        for address in ["", "redis", "redis:port", "mongodb://redis:6379", "unix:///tmp/redis"] {
            let error = RedisConnection::open(address, 0).map(drop);
            assert_eq!(error, Err(MalformedAddress), "{address}");
        }
        let connection = RedisConnection::open("redis://user:secret@redis:6379", 3).expect("an address");
        assert!(!format!("{connection:?}").contains("secret"));
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
