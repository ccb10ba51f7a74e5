use std::sync::{Arc, mpsc};

use rusqlite::Connection;

use super::*;
use crate::user_store::UserStore;
use crate::user_store::sqlite::SqliteUsers;

fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data").join("rastro.sqlite");
    (directory, path)
}

fn put(id: i64) -> impl Fn(&Connection) -> Result<(), DatabaseError> + Send + 'static {
    move |connection| {
        let sql = "INSERT INTO log_changes (offset, timestamp, headers) VALUES (?1, 0, x'')";
        connection.prepare_cached(sql)?.execute([id])?;
        Ok(())
    }
}

async fn all(database: &Database) -> Vec<i64> {
    let read = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT offset FROM log_changes ORDER BY offset")?;
        let ids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok::<_, DatabaseError>(ids)
    };
    database.read(Reader::Query, read).await.expect("reads")
}

/// Keeps the writer busy until the sender is used or dropped.
fn busy(database: &Arc<Database>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), DatabaseError>>) {
    let (release, released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let job = {
        let database = database.clone();
        let wait = move |_: &Connection| {
            started.send(()).expect("somebody waits for the start");
            released.recv().map_or(Ok(()), Ok)
        };
        tokio::spawn(async move { database.write(wait).await })
    };
    tokio::task::block_in_place(|| has_started.recv().expect("the writer runs"));
    (release, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_that_wait_share_one_commit_and_a_failing_one_undoes_only_itself() {
    let (_directory, path) = file();
    let database = Arc::new(Database::open(&path).expect("opens"));
    let (release, first) = busy(&database);
    // Queued one after the other: each is polled once, which puts its job into the queue.
    let mut jobs: Vec<_> = (0..100)
        .map(|id| {
            let database = database.clone();
            Box::pin(async move {
                database
                    .write(move |connection| {
                        put(id)(connection)?;
                        if id % 10 == 3 { put(id)(connection) } else { Ok(()) }
                    })
                    .await
            })
        })
        .collect();
    for job in &mut jobs {
        assert!(futures_poll(job.as_mut()).await.is_none(), "the writer is busy");
    }
    release.send(()).expect("the writer waits");
    first.await.expect("no panic").expect("written");
    for (id, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.await.is_err(), id % 10 == 3, "job {id}");
    }
    assert_eq!(database.commits(), 2, "one for the job that kept the writer busy, one for the hundred");
    assert_eq!(all(&database).await, (0..100).filter(|id| id % 10 != 3).collect::<Vec<_>>());
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_fails_all_its_jobs_and_the_next_one_is_tried() {
    let (_directory, path) = file();
    let database = Arc::new(Database::open(&path).expect("opens"));
    let (release, first) = busy(&database);
    let good = database.write(put(1));
    // Ends the transaction under the group, as a full disk does.
    let ending =
        database.write(|connection: &Connection| Ok::<_, DatabaseError>(connection.execute_batch("ROLLBACK")?));
    let (mut good, mut ending) = (Box::pin(good), Box::pin(ending));
    assert!(futures_poll(good.as_mut()).await.is_none() && futures_poll(ending.as_mut()).await.is_none());
    release.send(()).expect("the writer waits");
    first.await.expect("no panic").expect("written");
    assert!(good.await.is_err(), "it was undone with the others, so it must not be acknowledged");
    assert!(ending.await.is_err());
    assert_eq!(all(&database).await, Vec::<i64>::new());

    assert!(database.writer.last_commit_failed());
    database.check_writable().await.expect("the probe writes");
    assert!(!database.writer.last_commit_failed());
    database.write(put(2)).await.expect("written");
    assert_eq!(all(&database).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_a_caller_that_left_changes_nothing() {
    let (_directory, path) = file();
    let database = Arc::new(Database::open(&path).expect("opens"));
    let (release, first) = busy(&database);
    let mut refused = 0;
    for id in 0..600 {
        let job = database.write_now(put(id), |()| ());
        if let Some(answer) = futures_poll(Box::pin(job).as_mut()).await {
            assert!(matches!(answer, Err(DatabaseError::QueueFull)));
            refused += 1;
        }
    }
    assert_eq!(refused, 600 - 512);
    release.send(()).expect("the writer waits");
    first.await.expect("no panic").expect("written");
    database.write(put(1_000)).await.expect("there is room again");
    assert_eq!(all(&database).await.len(), 513, "jobs whose callers left are done all the same");
}

/// How many frames the write-ahead log has.
fn frames(connection: &Connection) -> i64 {
    connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1)).expect("counts")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_moved_into_the_database_and_begun_anew_while_commits_go_on() {
    const MEGABYTE: i64 = 1 << 20;
    let (_directory, path) = file();
    let database = Database::open(&path).expect("opens");
    let look = Connection::open(&path).expect("opens");
    let put = |id: i64| {
        move |connection: &Connection| {
            let sql = "INSERT INTO log_changes (offset, timestamp, value, headers) VALUES (?1, 0, zeroblob(?2), x'')";
            connection.prepare_cached(sql)?.execute((id, MEGABYTE))?;
            Ok::<_, DatabaseError>(())
        }
    };
    let (mut written, mut before) = (0, 0);
    loop {
        database.write(put(written)).await.expect("written");
        written += 1;
        let now = frames(&look);
        if now < before {
            break;
        }
        before = now;
        assert!(written < 1_000, "the log has grown to {now} frames");
    }
    assert!(before >= 16_000, "and not sooner than it has gathered much: {before} frames");
    assert_eq!(all(&database).await, (0..written).collect::<Vec<_>>());
    drop(look);
    drop(database);
    assert!(std::fs::metadata(with_suffix(&path, "-wal")).is_err(), "closing leaves one file");
    let database = Database::open(&path).expect("opens again");
    assert_eq!(all(&database).await, (0..written).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_was_closed_holds_everything_and_one_that_is_open_is_refused() {
    let (_directory, path) = file();
    let database = Database::open(&path).expect("opens");
    database.write(put(7)).await.expect("written");
    assert_eq!(all(&database).await, [7]);
    assert!(matches!(Database::open(&path), Err(OpenError::InUse(_))));
    drop(database);
    assert!(std::fs::metadata(with_suffix(&path, "-wal")).is_err(), "closing leaves one file");
    assert_eq!(all(&Database::open(&path).expect("opens again")).await, [7]);
}

#[test]
fn a_newer_file_and_a_foreign_one_are_refused_by_name() {
    let (_directory, path) = file();
    drop(Database::open(&path).expect("opens"));
    Connection::open(&path).expect("opens").execute_batch("PRAGMA user_version = 9").expect("set");
    let error = Database::open(&path).expect_err("newer").to_string();
    assert!(error.contains("rastro.sqlite") && error.contains("version 9"), "{error}");

    let (_directory, path) = file();
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    Connection::open(&path).expect("opens").execute_batch("CREATE TABLE notes (text)").expect("made");
    assert!(matches!(Database::open(&path), Err(OpenError::Foreign(_))));

    std::fs::write(&path, "no database at all, but long enough to be taken for one").expect("written");
    assert!(matches!(Database::open(&path), Err(OpenError::Sqlite { .. })));
}

#[tokio::test]
async fn a_file_of_the_first_release_keeps_what_it_holds_and_gets_what_came_later() {
    let (_directory, path) = file();
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    let first = Connection::open(&path).expect("opens");
    first.execute_batch(include_str!("schema_1.sql")).expect("made");
    first.execute_batch("PRAGMA application_id = 0x52535452; PRAGMA user_version = 1").expect("set");
    let ana = "INSERT INTO users VALUES ('ana', 'hash', 'client', 'client_001', 1700000000000, 1700000000001)";
    first.execute_batch(ana).expect("inserted");
    put(7)(&first).expect("written");
    drop(first);
    let database = Arc::new(Database::open(&path).expect("opens"));
    assert_eq!(all(&database).await, [7]);
    let later =
        |connection: &Connection| Ok::<_, DatabaseError>(connection.execute("DELETE FROM idempotency_keys", [])?);
    assert_eq!(database.write(later).await.expect("it is there"), 0);
    let ana = SqliteUsers::new(database).find("ana").await.expect("reads").expect("there");
    assert_eq!((ana.client_id.as_deref(), ana.disabled), (Some("client_001"), false));
}

#[tokio::test]
async fn a_commit_is_synced_and_readers_cannot_write() {
    let (_directory, path) = file();
    let database = Database::open(&path).expect("opens");
    let settings = |connection: &Connection| {
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok::<_, DatabaseError>((synchronous, mode))
    };
    assert_eq!(database.write(settings).await.expect("reads"), (2, "wal".to_owned()), "2 is FULL");
    assert!(database.read(Reader::Query, put(1)).await.is_err());
    database.check_readable().await.expect("readable");
}
