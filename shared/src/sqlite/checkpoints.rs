//! Moves the write-ahead log into the database file beside the thread that writes.
//!
//! To move pages takes as long as a third of what was written, with a sync of the whole at the end. Here a thread with a connection of its
//! own does it while commits go on, and syncs the file. What was committed meanwhile the writer moves at last, between two commits: only
//! then all of the log is moved, and the next commit begins it anew. When what is safe to move, and that it is synced before it is written over, is
//! SQLite's to know; nothing here can take a commit back.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, connect, schema};

/// Frames (pages of 4 KB) that the log gathers before they are moved: 64 MB, so that a page that many commits change is moved once. After
/// a kill -9 the next start reads so much in less than a second.
const FRAMES: i64 = 16_000;
/// So many left are few enough for the writer to move them: some milliseconds.
const FEW: i64 = 1_000;
/// How often the thread moves what has come meanwhile, before it leaves the rest to the writer: each time it is a third, about.
const ROUNDS: usize = 4;
/// Frames from which on the writer waits for readers to let it empty the log (256 MB). Only readers that never pause let it grow to this.
const MOST: i64 = 65_536;

/// How far the log is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody moves anything.
    Rest,
    /// The thread is at work.
    Moving,
    /// It has moved nearly all: the rest is the writer's.
    NearlyMoved,
}

/// The thread, as the writer sees it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    stage: Arc<Mutex<Stage>>,
    wake: SyncSender<()>,
    thread: JoinHandle<File>,
    is_failing: bool,
}

/// Frames in the log, and how many of them are moved.
struct Frames {
    all: i64,
    moved: i64,
}

impl Frames {
    fn left(&self) -> i64 {
        self.all - self.moved
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Frames> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| Ok(Frames { all: row.get(1)?, moved: row.get(2)? }))
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Checkpoints {
    /// Starts the thread for the file at `path`, whose writer makes no checkpoints of its own.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
        schema::configure(&connection).map_err(sqlite)?;
        let file = File::options().write(true).open(path).map_err(io)?;
        let stage = Arc::new(Mutex::new(Stage::Rest));
        let (wake, woken) = sync_channel(1);
        let run = {
            let stage = stage.clone();
            move || run(&connection, file, &stage, &woken)
        };
        let thread = std::thread::Builder::new().name("sqlite-moves".to_owned()).spawn(run).map_err(io)?;
        Ok(Self { stage, wake, thread, is_failing: false })
    }

    /// After each commit, on the writer's connection and outside of a transaction.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let done = self.step(writer);
        match &done {
            Ok(()) => {}
            Err(error) if self.is_failing => tracing::debug!(%error, "the write-ahead log cannot be moved"),
            Err(error) => tracing::warn!(%error, "the write-ahead log cannot be moved into the database, and grows"),
        }
        self.is_failing = done.is_err();
    }

    fn step(&self, writer: &Connection) -> rusqlite::Result<()> {
        let stage = *lock(&self.stage);
        match stage {
            Stage::Moving => return Ok(()),
            Stage::NearlyMoved => {
                *lock(&self.stage) = Stage::Rest;
                let frames = checkpoint(writer, "PASSIVE")?;
                if frames.all > MOST && frames.left() > 0 {
                    checkpoint(writer, "TRUNCATE")?;
                }
            }
            Stage::Rest => {
                if checkpoint(writer, "NOOP")?.all >= FRAMES {
                    *lock(&self.stage) = Stage::Moving;
                    // It rests, so there is room. If it has panicked, the log grows until the file is closed.
                    if self.wake.try_send(()).is_err() {
                        tracing::error!("nobody moves the write-ahead log any more: restart");
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the thread, after what it is at. The file is to be dropped when the last connection is closed: to close it ends all locks of this
    /// process on it.
    pub(super) fn stop(self) -> Option<File> {
        drop(self.wake);
        let ended = self.thread.join();
        if ended.is_err() {
            tracing::error!("the thread that moves the write-ahead log had panicked");
        }
        ended.ok()
    }
}

fn run(connection: &Connection, file: File, stage: &Mutex<Stage>, woken: &Receiver<()>) -> File {
    while woken.recv().is_ok() {
        if let Err(error) = move_most(connection, &file) {
            // The writer tries it too, and says why it cannot.
            tracing::debug!(%error, "a part of the write-ahead log was not moved");
        }
        *lock(stage) = Stage::NearlyMoved;
    }
    file
}

fn move_most(connection: &Connection, file: &File) -> rusqlite::Result<()> {
    for _ in 0..ROUNDS {
        if checkpoint(connection, "NOOP")?.left() <= FEW {
            break;
        }
        checkpoint(connection, "PASSIVE")?;
        // SQLite syncs a file that all of the log was moved into, and only that; so it finds nothing to wait for then.
        if let Err(error) = file.sync_data() {
            tracing::debug!(%error, "the database was not synced");
        }
    }
    Ok(())
}
