//! The tables, and the versions of them that this program knows.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{OpenError, connect};

/// What `PRAGMA application_id` says in a file of ours: "RSTR".
const APPLICATION_ID: i64 = 0x5253_5452;

/// One step of the schema for each version; a file of version n has the first n of them. Only ever add one.
const STEPS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_unmapped_codes.sql"),
    include_str!("schema_idempotency_keys.sql"),
    include_str!("schema_lists_by_service.sql"),
    include_str!("schema_accounts.sql"),
    include_str!("schema_operator_log.sql"),
    include_str!("schema_projection.sql"),
    include_str!("schema_parked_shipments.sql"),
];

/// Pages that the writer keeps in memory, in KB: the upper levels of all indexes of some ten million events.
const WRITER_CACHE_KB: u32 = 65_536;

/// Opens the file for writing, with its tables as this version knows them.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(path, flags).map_err(sqlite)?;
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id").map_err(sqlite)?, number("user_version").map_err(sqlite)?);
    let is_new = application == 0 && found == 0 && is_empty(&connection).map_err(sqlite)?;
    if !is_new && application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    configure(&connection).map_err(sqlite)?;
    migrate(&mut connection, usize::try_from(found).unwrap_or(0)).map_err(sqlite)?;
    Ok(connection)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// A connection that writes. Checkpoints are made by [`super::checkpoints`].
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // FULL: a commit is on disk before it is answered. The fullfsync pair matters on macOS only, where a plain fsync stops at the drive's cache.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{WRITER_CACHE_KB};
         PRAGMA wal_autocheckpoint = 0;"
    ))
}

fn migrate(connection: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (index, step) in STEPS.iter().enumerate().skip(from) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
            index + 1
        ))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Writes something that changes nothing.
pub(super) fn write_probe(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO probe (id, writes) VALUES (0, 1) ON CONFLICT (id) DO UPDATE SET writes = writes + 1",
    )?;
    statement.execute([]).map(drop)
}

/// Reads something.
pub(super) fn read_probe(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM shipments LIMIT 1")?;
    statement.query_row([], |row| row.get::<_, i64>(0)).optional().map(drop)
}
