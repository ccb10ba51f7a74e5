//! The store in the embedded file.
//!
//! Writes are jobs of the one writer thread; each is one savepoint, so a write happens whole or not at all. States and rows are
//! kept as the JSON of the code's own types; the columns beside it are what is searched (`shared/src/sqlite/schema_*.sql`).

#[cfg(feature = "cost")]
#[doc(hidden)]
pub mod cost;
mod list;
mod read;
mod scan;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    EventRow, Inserted, KnownKey, ListBounds, ListFilter, Page, PageStart, ParkedShipment, RowPosition, ShipmentReader,
    ShipmentWriter, StateWrite, StoreError, StoredShipment,
};
use crate::projection::Generation;
use crate::shipment::{LogPosition, RowId, Shipment, TrackingNumber};
use crate::sqlite::{Database, Reader};
use tables::Tables;

/// Shipments and rows of an embedded file. Clones are the same store.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    database: Arc<Database>,
    tables: Tables,
    bounds: ListBounds,
}

impl SqliteStore {
    /// The store in `database`, of the first generation.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self::of(database, Generation::FIRST)
    }

    /// The same of any generation. Its tables are there, or made by [`SqliteStore::make_tables`].
    #[must_use]
    pub fn of(database: Arc<Database>, generation: Generation) -> Self {
        Self { database, tables: Tables::of(generation), bounds: ListBounds::default() }
    }

    /// Makes the tables of this generation that are not there yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn make_tables(&self) -> Result<(), StoreError> {
        let tables = self.tables.clone();
        self.database.write(move |connection| tables.make(connection)).await
    }

    /// Makes the indexes of its lists that are not there yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn make_indexes(&self) -> Result<(), StoreError> {
        let tables = self.tables.clone();
        self.database.write(move |connection| tables.index(connection)).await
    }

    /// Drops them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn drop_tables(&self) -> Result<(), StoreError> {
        let tables = self.tables.clone();
        self.database.write(move |connection| tables.drop(connection)).await
    }
}

#[async_trait]
impl ShipmentWriter for SqliteStore {
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        let tables = self.tables.clone();
        let numbers = numbers.to_vec();
        self.database.read(Reader::Work, move |connection| read::states(connection, &tables, &numbers)).await
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        let tables = self.tables.clone();
        let ids = ids.to_vec();
        self.database.read(Reader::Work, move |connection| read::known_keys(connection, &tables, &ids)).await
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        let tables = self.tables.clone();
        let ids = ids.to_vec();
        self.database.read(Reader::Work, move |connection| read::rows(connection, &tables, &ids)).await
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        let tables = self.tables.clone();
        let rows = write::encode_rows(rows);
        self.database.write(move |connection| write::insert_events(connection, &tables, &rows)).await
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        let tables = self.tables.clone();
        let rows = write::encode_rows(rows);
        self.database.write(move |connection| write::replace_events(connection, &tables, &rows)).await
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        let tables = self.tables.clone();
        let writes = write::encode_states(writes);
        self.database.write(move |connection| write::write_states(connection, &tables, &writes)).await
    }

    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        let tables = self.tables.clone();
        let records = records.to_vec();
        self.database.read(Reader::Work, move |connection| read::released_at(connection, &tables, &records)).await
    }

    async fn parked(&self, partitions: &[i32], limit: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        let tables = self.tables.clone();
        let partitions = partitions.to_vec();
        self.database.read(Reader::Work, move |connection| read::parked(connection, &tables, &partitions, limit)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(self.database.check_writable().await?)
    }
}

#[async_trait]
impl ShipmentReader for SqliteStore {
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        let tables = self.tables.clone();
        self.database.read(Reader::Query, move |connection| read::shipment(connection, &tables, number)).await
    }

    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        let tables = self.tables.clone();
        let filter = filter.clone();
        let bounds = self.bounds;
        self.database
            .read(Reader::Query, move |connection| list::list(connection, &tables, bounds, &filter, start, limit))
            .await
    }

    async fn events(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        let tables = self.tables.clone();
        let ids = ids.to_vec();
        self.database.read(Reader::Query, move |connection| read::rows(connection, &tables, &ids)).await
    }

    async fn events_of(
        &self,
        number: TrackingNumber,
        after: Option<RowPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let tables = self.tables.clone();
        self.database
            .read(Reader::Query, move |connection| read::events_of(connection, &tables, number, after, limit))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(self.database.check_readable().await?)
    }
}
