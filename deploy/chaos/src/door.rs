//! How callers reach the platform: several addresses, of which one may be gone; whoever is not answered tries the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use acceptance::client::{Answer, Call, Client};

use crate::ledger::Ledger;

/// Longest time for which a caller tries again: longer than every fault with its recovery.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The addresses of a platform, and a token.
#[derive(Clone)]
pub struct Door {
    callers: Arc<Vec<Client>>,
    next: Arc<AtomicUsize>,
}

/// The doors of those who send.
#[derive(Clone)]
pub struct Doors {
    /// For an admin, who may do everything.
    pub admin: Door,
    /// For a client, who may report about its own shipments.
    pub client: Door,
}

/// The password of the seeded users (contract section 6).
const PASSWORD: &str = "password123";

impl Doors {
    /// The doors at `urls` for two of the seeded users, who log in by way of `nobody`.
    pub async fn open(nobody: &Client, urls: &[String]) -> Self {
        let of = async |user: &str| Door::at(&nobody.log_in(user, PASSWORD).await, urls);
        Self { admin: of("admin_user").await, client: of("client_user_001").await }
    }
}

impl Door {
    /// The doors at `urls` for the user of `client`, who is logged in.
    #[must_use]
    pub fn at(client: &Client, urls: &[String]) -> Self {
        let callers = urls.iter().map(|url| client.reconnected().before(url)).collect();
        Self { callers: Arc::new(callers), next: Arc::default() }
    }

    /// The same user before the program at `url`.
    #[must_use]
    pub fn before(&self, url: &str) -> Client {
        self.caller().before(url)
    }

    /// The caller whose turn it is.
    #[must_use]
    pub fn caller(&self) -> &Client {
        &self.callers[self.next.fetch_add(1, Ordering::Relaxed) % self.callers.len()]
    }

    /// Sends what `call` makes until the platform says what it did with it, and returns that answer: neither 503 nor none. What went wrong
    /// on the way is counted in `ledger`. `None`: nobody took it, for minutes.
    pub async fn insist(&self, ledger: &mut Ledger, what: &str, call: impl Fn(&Client) -> Call) -> Option<Answer> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            match call(self.caller()).try_send().await {
                Ok(answer) if answer.status == 503 => {
                    ledger.refused += 1;
                    last = answer.text;
                }
                Ok(answer) => return Some(answer),
                Err(error) => {
                    ledger.unanswered += 1;
                    last = error.to_string();
                }
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        ledger.complaints.push(format!("not accepted for {PATIENCE:?}: {what}: {last}"));
        None
    }
}
