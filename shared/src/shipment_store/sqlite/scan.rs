//! Everything in order of its id, a part at a time.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use super::read::{json, stored};
use super::tables::Tables;
use super::{Reader, SqliteStore};
use crate::shipment_store::{Documents, EventRow, Found, ShipmentScan, StoreError, StoredShipment};

const SHIPMENTS: &str = "SELECT created, state, tracking_number FROM shipments{g}
     JOIN registrations{g} USING (id) JOIN states{g} USING (id)";
const ROWS: &str = "SELECT row, row_id FROM status_events{g}";

#[async_trait]
impl ShipmentScan for SqliteStore {
    async fn walk_shipments(&self, after: Option<&str>, limit: u32) -> Result<Documents<StoredShipment>, StoreError> {
        let sql = format!("{SHIPMENTS} WHERE tracking_number > ?1 ORDER BY tracking_number LIMIT ?2");
        self.walk(sql, after, limit, shipment).await
    }

    async fn walk_rows(&self, after: Option<&str>, limit: u32) -> Result<Documents<EventRow>, StoreError> {
        self.walk(format!("{ROWS} WHERE row_id > ?1 ORDER BY row_id LIMIT ?2"), after, limit, event).await
    }

    async fn shipments_by_id(&self, ids: &[String]) -> Result<Documents<StoredShipment>, StoreError> {
        self.look_up(format!("{SHIPMENTS} WHERE tracking_number = ?1"), ids, shipment).await
    }

    async fn rows_by_id(&self, ids: &[String]) -> Result<Documents<EventRow>, StoreError> {
        self.look_up(format!("{ROWS} WHERE row_id = ?1"), ids, event).await
    }

    async fn estimated_shipments(&self) -> Result<u64, StoreError> {
        let sql = self.tables.sql("SELECT count(*) FROM shipments{g}");
        let count = move |connection: &Connection| Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?);
        let count: Result<i64, StoreError> = self.database.read(Reader::Query, count).await;
        Ok(u64::try_from(count?).unwrap_or(0))
    }
}

type Read<T> = fn(&Row<'_>) -> rusqlite::Result<(String, Found<T>)>;

impl SqliteStore {
    async fn walk<T: Send + 'static>(
        &self,
        sql: String,
        after: Option<&str>,
        limit: u32,
        read: Read<T>,
    ) -> Result<Documents<T>, StoreError> {
        let (tables, after): (Tables, String) = (self.tables.clone(), after.unwrap_or_default().to_owned());
        let walk = move |connection: &Connection| {
            let mut statement = tables.prepare(connection, &sql)?;
            Ok(statement.query_map((&after, limit), read)?.collect::<rusqlite::Result<_>>()?)
        };
        self.database.read(Reader::Query, walk).await
    }

    async fn look_up<T: Send + 'static>(
        &self,
        sql: String,
        ids: &[String],
        read: Read<T>,
    ) -> Result<Documents<T>, StoreError> {
        let (tables, ids) = (self.tables.clone(), ids.to_vec());
        let look_up = move |connection: &Connection| {
            let mut statement = tables.prepare(connection, &sql)?;
            let mut found = Documents::new();
            for id in ids {
                found.extend(statement.query_row([id], read).optional()?);
            }
            Ok(found)
        };
        self.database.read(Reader::Query, look_up).await
    }
}

fn shipment(row: &Row<'_>) -> rusqlite::Result<(String, Found<StoredShipment>)> {
    Ok((row.get(2)?, readable(stored(row))?))
}

fn event(row: &Row<'_>) -> rusqlite::Result<(String, Found<EventRow>)> {
    Ok((row.get(1)?, readable(event_row(row))?))
}

fn event_row<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    json(row, 0)
}

/// A document that is no JSON of ours is what is looked for; anything else is a failure.
fn readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Found<T>> {
    match read {
        Ok(document) => Ok(Found::Readable(document)),
        Err(error @ rusqlite::Error::FromSqlConversionFailure(..)) => Ok(Found::Unreadable(error.to_string())),
        Err(error) => Err(error),
    }
}
