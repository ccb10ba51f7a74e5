//! A few read-only connections.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::Semaphore;

use super::{DatabaseError, connect};

/// Hands out connections; opens one when there is none left and takes it back afterwards.
#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// At most `connections` readers at a time; callers beyond wait, in order.
    pub(super) fn new(path: PathBuf, connections: usize) -> Self {
        let shared = Arc::new(Shared { path, idle: Mutex::default() });
        Self { shared, permits: Arc::new(Semaphore::new(connections)) }
    }

    pub(super) async fn run<T, E>(&self, job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return Err(DatabaseError::Closed.into()) };
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = shared.run(job);
            drop(permit); // moved in here: a caller that stops waiting does not free the connection
            done
        });
        // A job that panicked is a bug of one query; its connection is gone and the next one is opened anew.
        done.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    /// On the caller's own thread, without a permit: for the one subscriber.
    pub(super) fn run_blocking<T, E: From<DatabaseError>>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.shared.run(job)
    }
}

impl Shared {
    fn open(&self) -> rusqlite::Result<Connection> {
        connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T, E: From<DatabaseError>>(&self, job: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let failed = |error: rusqlite::Error| E::from(DatabaseError::from(error));
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(failed)?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(failed)?;
        let answer = job(&transaction);
        // A connection that cannot end its transaction is not used again.
        transaction.rollback().map_err(failed)?;
        self.idle().push(connection);
        answer
    }
}
