//! The tables of one generation. In the text of a statement `{g}` stands for what is behind their names: nothing in the first generation.

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};

use crate::projection::Generation;
use crate::shipment_store::StoreError;

/// The same tables as those of the first generation, which the schema's steps make (`shared/src/sqlite/schema_*.sql`); a test compares. A
/// step that changes them must do so for each generation that is there.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS shipments{g} (
    id INTEGER PRIMARY KEY,
    tracking_number TEXT NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    service_type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    current_status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS registrations{g} (id INTEGER PRIMARY KEY, created TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS states{g} (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS status_events{g} (
    row_id TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    payload INTEGER NOT NULL,
    row TEXT NOT NULL
) STRICT;";

const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS shipments_by_time{g} ON shipments{g} (created_at, tracking_number);
CREATE INDEX IF NOT EXISTS shipments_by_client{g} ON shipments{g} (client_id, created_at, tracking_number);
CREATE INDEX IF NOT EXISTS shipments_by_service{g} ON shipments{g} (service_type, created_at, tracking_number);
CREATE INDEX IF NOT EXISTS shipments_by_client_and_service{g}
    ON shipments{g} (client_id, service_type, created_at, tracking_number);";

const DROP: &str = "
DROP TABLE IF EXISTS shipments{g};
DROP TABLE IF EXISTS registrations{g};
DROP TABLE IF EXISTS states{g};
DROP TABLE IF EXISTS status_events{g};";

/// The tables of the first generation stay, empty: the steps of the schema are about them.
const EMPTY: &str = "
DELETE FROM shipments;
DELETE FROM registrations;
DELETE FROM states;
DELETE FROM status_events;";

/// What a generation has in the table that all of them share.
const FORGET_PARKED: &str = "DELETE FROM parked_shipments WHERE generation = ?1";

/// What is behind the names of a generation's tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    behind: Arc<str>,
}

impl Tables {
    pub(super) fn of(generation: Generation) -> Self {
        Self { behind: generation.name("", "_g").into() }
    }

    /// The text of a statement for this generation.
    pub(super) fn sql(&self, text: &str) -> String {
        text.replace("{g}", &self.behind)
    }

    /// The statement, out of the connection's cache when it is there.
    pub(super) fn prepare<'a>(&self, connection: &'a Connection, text: &str) -> rusqlite::Result<CachedStatement<'a>> {
        connection.prepare_cached(&self.sql(text))
    }

    pub(super) fn make(&self, connection: &Connection) -> Result<(), StoreError> {
        Ok(connection.execute_batch(&self.sql(TABLES))?)
    }

    pub(super) fn index(&self, connection: &Connection) -> Result<(), StoreError> {
        Ok(connection.execute_batch(&self.sql(INDEXES))?)
    }

    pub(super) fn drop(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.execute(FORGET_PARKED, [&*self.behind])?;
        Ok(connection.execute_batch(&if self.behind.is_empty() { EMPTY.to_owned() } else { self.sql(DROP) })?)
    }

    /// The generation, as the tables that all of them share name it.
    pub(super) fn generation(&self) -> &str {
        &self.behind
    }
}
