//! The one thread that writes: group commit.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::DatabaseError;
use super::checkpoints::Checkpoints;

/// Jobs that may wait. A job is an HTTP request of at most 1 MiB or a batch of the processor, so this bounds the memory of a
/// writer that cannot keep up; the edge answers 503 beyond it.
const QUEUE_JOBS: usize = 512;
/// Most jobs in one transaction: all that can wait. One job takes about a millisecond, one commit a few.
const GROUP_JOBS: usize = QUEUE_JOBS;
/// A caller's work, then its answer.
trait Job: Send {
    /// Runs it, perhaps a second time after it was undone; `false` when it failed and must be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers the caller, after the commit.
    fn finish(self: Box<Self>, committed: Result<(), DatabaseError>);
}

struct Work<W, C, T, E> {
    work: W,
    committed: C,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<W, C, T, E> Job for Work<W, C, T, E>
where
    W: Fn(&Connection) -> Result<T, E> + Send,
    C: FnOnce(&T) + Send,
    T: Send,
    E: From<DatabaseError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let result = (self.work)(connection);
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn finish(self: Box<Self>, committed: Result<(), DatabaseError>) {
        // What the job saw may be its neighbours' work, which a failed commit undoes: then its own result means nothing.
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(DatabaseError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        if let Ok(value) = &result {
            (self.committed)(value);
        }
        // The caller may have stopped waiting; the work is done all the same.
        drop(self.answer.send(result));
    }
}

/// What the writer lets others see.
#[derive(Debug, Default)]
struct Seen {
    commits: AtomicU64,
    failed: AtomicBool,
}

/// The callers' side.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    seen: Arc<Seen>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Writer({:?})", self.seen)
    }
}

impl Writer {
    /// Starts the thread. It keeps `lock` until it ends.
    pub(super) fn start(connection: Connection, checkpoints: Checkpoints, lock: File) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let seen = Arc::new(Seen::default());
        let thread = {
            let group = GroupCommit { connection, checkpoints, seen: seen.clone() };
            let run = move || {
                group.run(queue);
                drop(lock); // after the connection is closed: the next process finds a file at rest
            };
            std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(run)?
        };
        Ok(Self { jobs: Some(jobs), thread: Some(thread), seen })
    }

    pub(super) fn commits(&self) -> u64 {
        self.seen.commits.load(Ordering::Relaxed)
    }

    pub(super) fn last_commit_failed(&self) -> bool {
        self.seen.failed.load(Ordering::Relaxed)
    }

    pub(super) async fn run<T, E>(&self, work: impl Fn(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (job, answer) = job(work, |_: &T| ());
        let Some(jobs) = &self.jobs else { return Err(DatabaseError::Closed.into()) };
        if jobs.send(job).await.is_err() {
            return Err(DatabaseError::Closed.into());
        }
        answer.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }

    pub(super) async fn try_run<T, E>(
        &self,
        work: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (job, answer) = job(work, committed);
        let Some(jobs) = &self.jobs else { return Err(DatabaseError::Closed.into()) };
        match jobs.try_send(job) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(DatabaseError::Closed.into())),
            Err(TrySendError::Full(_)) => Err(DatabaseError::QueueFull.into()),
            Err(TrySendError::Closed(_)) => Err(DatabaseError::Closed.into()),
        }
    }

    pub(super) fn run_blocking<T, E>(&self, work: impl Fn(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        let (job, answer) = job(work, |_: &T| ());
        let Some(jobs) = &self.jobs else { return Err(DatabaseError::Closed.into()) };
        if jobs.blocking_send(job).is_err() {
            return Err(DatabaseError::Closed.into());
        }
        answer.blocking_recv().unwrap_or_else(|_| Err(DatabaseError::Closed.into()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        if panicked {
            tracing::error!("the thread that writes the database had panicked");
        }
    }
}

fn job<T, E>(
    work: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
    committed: impl FnOnce(&T) + Send + 'static,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<DatabaseError> + Send + 'static,
{
    let (answer, received) = oneshot::channel();
    (Box::new(Work { work, committed, result: None, answer }), received)
}

/// The writer's side.
struct GroupCommit {
    connection: Connection,
    checkpoints: Checkpoints,
    seen: Arc<Seen>,
}

impl GroupCommit {
    /// Runs jobs until all callers are gone and the queue is empty.
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut group = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < GROUP_JOBS
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
            let committed = self.commit(&mut group).map_err(DatabaseError::from);
            self.note(&committed);
            for job in group.drain(..) {
                job.finish(committed.clone());
            }
            // Nobody waits for it.
            self.checkpoints.after_commit(&self.connection);
        }
        self.close();
    }

    /// Runs and commits all jobs but those that fail. On an error nothing is left of any.
    fn commit(&self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        // A savepoint costs a copy of every page that a job changes. Jobs seldom fail: only then all are run again, each in one.
        if self.transaction(|| Ok(group.iter_mut().all(|job| job.run(&self.connection))))? {
            return Ok(());
        }
        self.transaction(|| self.run_each(group)).map(drop)
    }

    fn run_each(&self, group: &mut [Box<dyn Job>]) -> rusqlite::Result<bool> {
        for job in group {
            self.execute("SAVEPOINT job")?;
            if !job.run(&self.connection) {
                // Fails when the error has ended the transaction; then the whole group has failed.
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        Ok(true)
    }

    /// Commits what `work` does when it says so, else undoes it; says which.
    fn transaction(&self, work: impl FnOnce() -> rusqlite::Result<bool>) -> rusqlite::Result<bool> {
        self.execute("BEGIN IMMEDIATE")?;
        let done = work().and_then(|keep| if keep { self.execute("COMMIT").map(|()| true) } else { Ok(false) });
        // SQLite ends the transaction by itself after some errors (disk full, say).
        if !matches!(done, Ok(true)) && !self.connection.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        done
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn note(&self, committed: &Result<(), DatabaseError>) {
        match committed {
            Ok(()) => {
                self.seen.failed.store(false, Ordering::Relaxed);
                self.seen.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let was_failing = self.seen.failed.swap(true, Ordering::Relaxed);
                if !was_failing {
                    tracing::error!(%error, "the database cannot be written; callers are told so until it can");
                }
            }
        }
    }

    /// Leaves one file: the write-ahead log is moved into it.
    fn close(self) {
        let file = self.checkpoints.stop();
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = moved {
            // Nothing is lost: the next start reads the log.
            tracing::warn!(%error, "the write-ahead log stays beside the database");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database was not closed");
        }
        drop(file);
    }
}
