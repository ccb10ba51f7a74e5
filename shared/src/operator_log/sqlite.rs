//! The log of operators in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::{Act, Entry, OperatorLog};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, Reader};

/// The log in an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteOperatorLog {
    database: Arc<Database>,
}

impl SqliteOperatorLog {
    /// The log in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let unreadable = |column, text: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("no {text:?}").into())
    };
    let (act, details): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(Entry {
        at: Timestamp::from_millis(row.get(0)?),
        by: row.get(1)?,
        act: Act::from_word(&act).ok_or_else(|| unreadable(2, &act))?,
        details: serde_json::from_str(&details).map_err(|_| unreadable(3, &details))?,
    })
}

#[async_trait]
impl OperatorLog for SqliteOperatorLog {
    async fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        let entry = entry.clone();
        let insert = move |connection: &Connection| {
            let mut statement = connection
                .prepare_cached("INSERT INTO operator_log (at, operator, act, details) VALUES (?1, ?2, ?3, ?4)")?;
            statement.execute((entry.at.as_millis(), &entry.by, entry.act.as_str(), entry.details.to_string()))?;
            Ok(())
        };
        self.database.write(insert).await
    }

    async fn newest(&self, act: Option<Act>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT at, operator, act, details FROM operator_log
                 WHERE ?1 IS NULL OR act = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let entries = statement.query_map((act.map(Act::as_str), limit), read)?.collect::<rusqlite::Result<_>>()?;
            Ok(entries)
        };
        self.database.read(Reader::Query, list).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sqlite_log_keeps_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        crate::operator_log::conformance::run(&SqliteOperatorLog::new(Arc::new(database))).await;
    }
}
