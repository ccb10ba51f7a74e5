//! The counter in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;

use super::{NumberLease, NumberLeases, random_key};
use crate::shipment_store::StoreError;
use crate::sqlite::Database;

/// The counter of an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteLeases {
    database: Arc<Database>,
}

impl SqliteLeases {
    /// The counter in `database`. The first lease makes it, and the key.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl NumberLeases for SqliteLeases {
    async fn lease(&self, count: u32) -> Result<NumberLease, StoreError> {
        let lease = move |connection: &rusqlite::Connection| {
            let begin = "INSERT INTO number_lease (id, next, cipher_key) VALUES (0, 0, ?1) ON CONFLICT (id) DO NOTHING";
            connection.prepare_cached(begin)?.execute([random_key()?])?;
            let advance = "UPDATE number_lease SET next = next + ?1 RETURNING next - ?1, cipher_key";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?));
            let (first, key) = connection.prepare_cached(advance)?.query_row([count], read)?;
            let first = u64::try_from(first).map_err(|_| StoreError::Corrupt(format!("the counter is {first}")))?;
            Ok(NumberLease { first, count, key })
        };
        self.database.write(lease).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sqlite_leases_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        crate::number_lease::conformance::run(Arc::new(SqliteLeases::new(Arc::new(database)))).await;
    }
}
