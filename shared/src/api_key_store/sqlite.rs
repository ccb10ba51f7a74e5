//! Keys in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{ApiKey, ApiKeyError, ApiKeyStore, KeyHash, KeyId};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, DatabaseError, Reader, is_refusal};
use crate::user_store::Role;

const SELECT: &str = "SELECT id, name, secret_hash, role, client_id, created_at, created_by, expires_at, last_used_at
                      FROM api_keys";

/// The keys of an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteApiKeys {
    database: Arc<Database>,
}

impl SqliteApiKeys {
    /// The keys in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl ApiKeyStore for SqliteApiKeys {
    async fn find(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        let id = id.clone();
        let find = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            Ok(statement.query_row([id.as_str()], read).optional()?)
        };
        self.database.read(Reader::Query, find).await
    }

    async fn add(&self, key: ApiKey) -> Result<(), ApiKeyError> {
        let add = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO api_keys (id, name, secret_hash, role, client_id, created_at, created_by, expires_at, last_used_at)
                 VALUES (:id, :name, :secret_hash, :role, :client_id, :created_at, :created_by, :expires_at, :last_used_at)",
            )?;
            let added = statement.execute(named_params! {
                ":id": key.id.as_str(),
                ":name": key.name,
                ":secret_hash": key.hash.bytes(),
                ":role": key.role.as_str(),
                ":client_id": key.client_id,
                ":created_at": key.created_at.as_millis(),
                ":created_by": key.created_by,
                ":expires_at": key.expires_at.map(Timestamp::as_millis),
                ":last_used_at": key.last_used_at.map(Timestamp::as_millis),
            });
            match added {
                Ok(_) => Ok(()),
                Err(error) if is_refusal(&error) => Err(ApiKeyError::Taken),
                Err(error) => Err(error.into()),
            }
        };
        self.database.write(add).await
    }

    async fn all(&self) -> Result<Vec<ApiKey>, StoreError> {
        let all = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY created_at, id"))?;
            let keys = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
            Ok(keys)
        };
        self.database.read(Reader::Query, all).await
    }

    async fn remove(&self, id: &KeyId) -> Result<bool, StoreError> {
        let id = id.clone();
        let remove = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("DELETE FROM api_keys WHERE id = ?1")?;
            Ok(statement.execute([id.as_str()])? > 0)
        };
        self.database.write(remove).await
    }

    async fn used(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        let id = id.clone();
        let note = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE api_keys SET last_used_at = max(?2, coalesce(last_used_at, ?2)) WHERE id = ?1",
            )?;
            statement.execute((id.as_str(), at.as_millis()))?;
            Ok(())
        };
        self.database.write(note).await
    }
}

impl From<DatabaseError> for ApiKeyError {
    fn from(error: DatabaseError) -> Self {
        Self::Store(error.into())
    }
}

impl From<rusqlite::Error> for ApiKeyError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let unreadable =
        |column, what: &str| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("no {what}").into());
    let (id, role): (String, String) = (row.get(0)?, row.get(3)?);
    let time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis));
    Ok(ApiKey {
        id: KeyId::parse(&id).ok_or_else(|| unreadable(0, "id of a key"))?,
        name: row.get(1)?,
        hash: KeyHash::of_bytes(row.get(2)?),
        role: Role::of(&role).ok_or_else(|| unreadable(3, "role"))?,
        client_id: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        created_by: row.get(6)?,
        expires_at: time(7)?,
        last_used_at: time(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sqlite_keys_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        crate::api_key_store::conformance::run(Arc::new(SqliteApiKeys::new(Arc::new(database)))).await;
    }
}
