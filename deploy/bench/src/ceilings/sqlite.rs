//! The bare SQLite writer: one connection that writes, for each event, the record, the row, the shipment, its state and the change, with the
//! settings of the platform's file. A transaction holds the records of as many events as come together, and everything else about those
//! that came before them: so each event is on disk before it is answered, and again when it is applied.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params_from_iter};

use super::Rate;
use crate::failure::Failure;
use crate::numbers::{Suffix, number};
use crate::specimen::embedded::{EmbeddedSpecimen, Move};

/// Events in a transaction: what 16 connections with batches of 100 have on their way, and wait for together.
pub const TRANSACTION: usize = 1_600;
/// Shipments stored in a transaction.
const STORED_AT_ONCE: usize = 20_000;
/// The settings of the platform's writing connection.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 16000;";
/// Prepared statements that are kept.
const STATEMENTS: usize = 32;

/// A file with the tables of the platform.
pub struct BareFile {
    connection: Connection,
}

impl BareFile {
    /// A new file, with the tables of the specimen.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn make(path: &Path, specimen: &EmbeddedSpecimen) -> Result<Self, Failure> {
        let file = Self::open(path)?;
        for statement in &specimen.schema {
            file.connection.execute_batch(statement)?;
        }
        Ok(file)
    }

    /// A file that is there, of a platform that does not run.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SETTINGS)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { connection })
    }

    /// Stores a shipment for each of `suffixes`, as the platform stores it after its registration.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn store(&mut self, specimen: &EmbeddedSpecimen, suffixes: &[Suffix]) -> Result<(), Failure> {
        let first = "SELECT coalesce(max(id), 0) + 1 FROM shipments";
        let mut id: i64 = self.connection.query_row(first, [], |row| row.get(0))?;
        for chunk in suffixes.chunks(STORED_AT_ONCE) {
            let transaction = self.connection.transaction()?;
            for &suffix in chunk {
                for row in &specimen.shipment {
                    // Before all records.
                    let values = row.values(suffix, &[("id", id), ("epoch", 0), ("offset", 0)]);
                    transaction.prepare_cached(&row.insert)?.execute(params_from_iter(values))?;
                }
                id += 1;
            }
            transaction.commit()?;
        }
        Ok(())
    }

    /// Writes the moves of `suffixes`, until all are written or the time is over.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn write_moves(
        &mut self,
        specimen: &EmbeddedSpecimen,
        suffixes: &[Suffix],
        at_most: Duration,
    ) -> Result<Rate, Failure> {
        let begin = Instant::now();
        let (mut appended, mut applied) = (0, 0);
        let mut before: Option<(&Move, &[Suffix])> = None;
        let all = specimen.moves.iter().flat_map(|one| suffixes.chunks(TRANSACTION).map(move |batch| (one, batch)));
        for (one, batch) in all {
            if begin.elapsed() >= at_most {
                break;
            }
            let transaction = self.connection.transaction()?;
            if let Some((one, batch)) = before {
                apply(&transaction, one, batch, applied)?;
                applied += batch.len() as i64;
            }
            append(&transaction, one, batch, appended)?;
            transaction.commit()?;
            appended += batch.len() as i64;
            before = Some((one, batch));
        }
        if let Some((one, batch)) = before {
            let transaction = self.connection.transaction()?;
            apply(&transaction, one, batch, applied)?;
            transaction.commit()?;
            applied += batch.len() as i64;
        }
        Ok(Rate { count: usize::try_from(applied).unwrap_or(0), took: begin.elapsed() })
    }
}

fn append(connection: &Connection, one: &Move, batch: &[Suffix], first: i64) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached(&one.record.insert)?;
    for (&suffix, offset) in batch.iter().zip(first..) {
        insert.execute(params_from_iter(one.record.values(suffix, &[("offset", offset)])))?;
    }
    Ok(())
}

fn apply(connection: &Connection, one: &Move, batch: &[Suffix], first: i64) -> Result<(), Failure> {
    let mut row = connection.prepare_cached(&one.row.insert)?;
    for (&suffix, offset) in batch.iter().zip(first..) {
        row.execute(params_from_iter(one.row.values(suffix, &[("offset", offset)])))?;
    }
    let mut advance = connection.prepare_cached(
        "UPDATE shipments SET current_status = ?2, epoch = 1, offset = ?3 WHERE tracking_number = ?1 RETURNING id",
    )?;
    let mut state = connection.prepare_cached("UPDATE states SET state = ?2 WHERE id = ?1")?;
    for (&suffix, offset) in batch.iter().zip(first..) {
        let id: i64 = advance.query_row((number(suffix), &one.status, offset), |row| row.get(0))?;
        state.execute((id, one.state.text(suffix)))?;
    }
    let mut change = connection.prepare_cached(&one.change.insert)?;
    for (&suffix, offset) in batch.iter().zip(first..) {
        change.execute(params_from_iter(one.change.values(suffix, &[("offset", offset)])))?;
    }
    let mut commit = connection.prepare_cached(
        "INSERT INTO log_committed (id, offset) VALUES (0, ?1) ON CONFLICT (id) DO UPDATE SET offset = excluded.offset",
    )?;
    commit.execute([first + batch.len() as i64])?;
    Ok(())
}
