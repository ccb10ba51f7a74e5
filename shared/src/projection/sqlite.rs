//! Generations in the embedded file: one row, and tables with `_g<n>` behind their names beside the first ones.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::{Generation, Generations, Projection, ProjectionControl};
use crate::shipment_store::sqlite::SqliteStore;
use crate::shipment_store::{ShipmentScan, ShipmentWriter, StoreError};
use crate::sqlite::{Database, Reader};

/// The generations of an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteProjection {
    database: Arc<Database>,
}

impl SqliteProjection {
    /// Those in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    fn store(&self, generation: Generation) -> SqliteStore {
        SqliteStore::of(self.database.clone(), generation)
    }
}

fn read(connection: &Connection) -> Result<Projection, StoreError> {
    let mut statement = connection.prepare_cached("SELECT projection FROM projection")?;
    let json: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    let Some(json) = json else { return Ok(Projection::default()) };
    serde_json::from_str(&json).map_err(|error| StoreError::Corrupt(format!("table projection: {error}")))
}

#[async_trait]
impl ProjectionControl for SqliteProjection {
    async fn read(&self) -> Result<Projection, StoreError> {
        self.database.read(Reader::Query, read).await
    }

    async fn replace(&self, next: &Projection) -> Result<bool, StoreError> {
        let next = next.clone();
        let json = serde_json::to_string(&next).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let replace = move |connection: &Connection| {
            if read(connection)?.revision + 1 != next.revision {
                return Ok(false);
            }
            let sql = "INSERT INTO projection (id, projection) VALUES (0, ?1)
                       ON CONFLICT (id) DO UPDATE SET projection = excluded.projection";
            connection.prepare_cached(sql)?.execute([&json])?;
            Ok::<_, StoreError>(true)
        };
        self.database.write(replace).await
    }
}

#[async_trait]
impl Generations for SqliteProjection {
    fn control(&self) -> Arc<dyn ProjectionControl> {
        Arc::new(self.clone())
    }

    fn writer(&self, generation: Generation) -> Arc<dyn ShipmentWriter> {
        Arc::new(self.store(generation))
    }

    fn scan(&self, generation: Generation) -> Arc<dyn ShipmentScan> {
        Arc::new(self.store(generation))
    }

    async fn make(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).make_tables().await
    }

    async fn complete(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).make_indexes().await
    }

    /// There is no view: who queries by hand finds the generation in the table `projection`.
    async fn show(&self, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).drop_tables().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::conformance;

    #[tokio::test]
    async fn generations_in_sqlite_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        conformance::run(Arc::new(SqliteProjection::new(Arc::new(database)))).await;
    }
}
