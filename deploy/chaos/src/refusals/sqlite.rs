//! The rule in the embedded file: a trigger, which looks into the log whether the record is a redriven one.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::MARK;

/// Longest wait for a writer to be done.
const BUSY: Duration = Duration::from_secs(10);

/// Sets the rule in `file`, which a program may have open.
///
/// # Errors
/// The file cannot be written.
pub fn set(file: &Path) -> rusqlite::Result<()> {
    let database = Connection::open(file)?;
    database.busy_timeout(BUSY)?;
    database.execute_batch(&format!(
        "CREATE TRIGGER chaos_refuses BEFORE INSERT ON status_events
         WHEN json_extract(NEW.row, '$.report.place') LIKE '{MARK}%'
             AND NOT EXISTS (SELECT 1 FROM log_events
                             WHERE offset = NEW.offset AND instr(headers, CAST('x-replay-of' AS BLOB)) > 0)
         BEGIN SELECT RAISE(ABORT, 'refused by a rule of chaos'); END"
    ))
}
