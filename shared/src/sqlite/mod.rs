//! The embedded file: log, shipments, users and the counter of the tracking numbers in one SQLite database.
//!
//! # What it promises
//! - **Durable before answered.** `Database::write` answers after its transaction is on disk (write-ahead log, `synchronous=FULL`: one fsync
//!   for each commit), so what was answered survives a kill -9 and a loss of power.
//! - **All who wait share one commit.** One thread owns the writing connection. It takes every job that waits, runs them in one
//!   transaction, commits once and only then answers all of them. A job that fails is undone, and nobody else with it. A commit that fails (disk full)
//!   fails all its jobs.
//! - **A reader sees one moment.** `Database::read` runs its job in a transaction of its own on a read-only connection. Readers never wait
//!   for the writer, nor the writer for them.
//! - **One process.** The file is locked while it is open; the lock ends with the process, however that ends.
//!
//! A job gets a connection and must not wait for anything else: everybody who writes waits for it.

mod checkpoints;
mod readers;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::event_log::AppendError;
use crate::shipment_store::StoreError;
use crate::telemetry::spans::{self, called};
use crate::user_store::UserError;
use checkpoints::Checkpoints;
use readers::Readers;
use writer::Writer;

/// Longest time that a health check may take: what the ports promise.
const CHECK_DEADLINE: Duration = Duration::from_secs(2);
/// How long a connection waits for a lock. Only a checkpoint and another program (`sqlite3` at the shell) ever hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that a connection keeps: more than all adapters have together.
const STATEMENTS: usize = 64;
/// Read-only connections for the edge: a page of a list takes milliseconds, and the machine is small.
const QUERY_CONNECTIONS: usize = 4;
/// Read-only connections for the processor, apart from the edge's, so that slow lists never hold it up.
const WORK_CONNECTIONS: usize = 2;

/// Why the file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A newer release wrote it.
    #[error("{} has schema version {found}; this program knows {known} and older ones", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is a database of another program.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// The directory or the lock file.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What could not be made or locked.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite cannot open it.
    #[error("{}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Why a job was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite failed. After a failed commit the job may still have happened, as after a lost answer of any other store.
    #[error("{0}")]
    Failed(Arc<rusqlite::Error>),
    /// The writer is gone: the database is being closed, or a job panicked.
    #[error("the database is closed")]
    Closed,
    /// As many jobs as the writer's queue holds are waiting.
    #[error("the queue of the database is full")]
    QueueFull,
    /// It did not answer in time.
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

/// The open file.
#[derive(Debug)]
pub struct Database {
    // Dropped in this order: whoever closes the last connection tidies up, and a reader cannot.
    queries: Readers,
    work: Readers,
    writer: Writer,
}

/// Whose read it is. Each has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The edge, which answers callers.
    Query,
    /// The processor and the subscriber.
    Work,
}

impl Database {
    /// Opens the file at `path`; makes it, and the directory around it, when it is not there. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let io = |source| OpenError::Io { path: directory.to_owned(), source };
            std::fs::create_dir_all(directory).map_err(io)?;
        }
        let lock = lock(path)?;
        let connection = schema::open(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        // Once here, so that a file that cannot be written is found now and not by the first caller.
        schema::write_probe(&connection).map_err(sqlite)?;
        let checkpoints = Checkpoints::start(path)?;
        let writer = Writer::start(connection, checkpoints, lock)
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let readers = |connections| Readers::new(path.to_owned(), connections);
        Ok(Self { queries: readers(QUERY_CONNECTIONS), work: readers(WORK_CONNECTIONS), writer })
    }

    /// Runs `job` on the writer's connection, in a transaction that it may share with other jobs, and answers when that is on disk. Waits
    /// for room in the queue. The job runs to its end also when the caller stops waiting; it runs again when a neighbour has failed, after
    /// both were undone.
    ///
    /// # Errors
    /// What `job` returned (its changes are undone), or the database failed.
    pub(crate) async fn write<T, E>(&self, job: impl Fn(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        called(spans::call("sqlite", "write", "transaction"), self.writer.run(job)).await
    }

    /// Like `Database::write`, but refuses with [`DatabaseError::QueueFull`] instead of waiting for room, and calls `committed` on the
    /// writer's thread once the job is on disk, before the answer.
    pub(crate) async fn write_now<T, E>(
        &self,
        job: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        called(spans::call("sqlite", "write", "transaction"), self.writer.try_run(job, committed)).await
    }

    /// Like `Database::write`, for a thread that may block.
    pub(crate) fn write_blocking<T, E>(
        &self,
        job: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        self.writer.run_blocking(job)
    }

    /// Runs `job` in one read transaction.
    ///
    /// # Errors
    /// What `job` returned, or the database failed.
    pub(crate) async fn read<T, E>(
        &self,
        reader: Reader,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        called(spans::call("sqlite", "read", "transaction"), self.readers(reader).run(job)).await
    }

    /// Like `Database::read`, for a thread that may block.
    pub(crate) fn read_blocking<T, E>(
        &self,
        reader: Reader,
        job: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<DatabaseError>,
    {
        self.readers(reader).run_blocking(job)
    }

    fn readers(&self, reader: Reader) -> &Readers {
        match reader {
            Reader::Query => &self.queries,
            Reader::Work => &self.work,
        }
    }

    /// Whether a write would succeed, within two seconds. After a failed commit that is found out by writing, else by asking the writer.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check_writable(&self) -> Result<(), DatabaseError> {
        let failed = self.writer.last_commit_failed();
        let probe = self.write(move |connection| {
            if failed {
                schema::write_probe(connection)?;
            }
            Ok(())
        });
        within_check_deadline(probe).await
    }

    /// Whether a read succeeds, within two seconds.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn check_readable(&self) -> Result<(), DatabaseError> {
        within_check_deadline(self.read(Reader::Query, |connection| Ok(schema::read_probe(connection)?))).await
    }

    /// How many transactions have been committed since the file was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

async fn within_check_deadline(check: impl Future<Output = Result<(), DatabaseError>>) -> Result<(), DatabaseError> {
    let timed_out = |_| DatabaseError::TimedOut(CHECK_DEADLINE);
    tokio::time::timeout(CHECK_DEADLINE, check).await.map_err(timed_out)?
}

/// Locks the file beside `path` for this process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = with_suffix(path, ".lock");
    let io = |source| OpenError::Io { path: beside.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&beside).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A connection with the settings that readers and the writer share.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Whether SQLite refuses the data themselves, and would refuse them again.
pub(crate) fn is_refusal(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch))
}

fn is_corruption(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    let read_back = matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..));
    let code = error.sqlite_error_code();
    read_back || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Failed(source) if is_corruption(&source) => Self::Corrupt(source.to_string()),
            error => Self::unavailable(error),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

impl From<DatabaseError> for UserError {
    fn from(error: DatabaseError) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for UserError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

impl From<DatabaseError> for AppendError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::QueueFull => Self::QueueFull,
            DatabaseError::Failed(source) if is_refusal(&source) => Self::Refused(source.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::from(error).into()
    }
}
