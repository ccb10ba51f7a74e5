//! Users in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row};

use super::{Role, User, UserError, UserStore};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, Reader, is_refusal};

/// The users of an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteUsers {
    database: Arc<Database>,
}

impl SqliteUsers {
    /// The users in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl UserStore for SqliteUsers {
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError> {
        let username = username.to_owned();
        let find = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT username, password_hash, role, client_id, created_at, updated_at FROM users WHERE username = ?1",
            )?;
            Ok(statement.query_row([username], read).optional()?)
        };
        self.database.read(Reader::Query, find).await
    }

    async fn add(&self, user: User) -> Result<(), UserError> {
        let add = move |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO users (username, password_hash, role, client_id, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let (created, updated) = (user.created_at.as_millis(), user.updated_at.as_millis());
            let User { username, password_hash, role, client_id, .. } = &user;
            let values = (username, password_hash, role.as_str(), client_id, created, updated);
            match statement.execute(values) {
                Ok(_) => Ok(()),
                Err(error) if is_refusal(&error) => Err(UserError::Taken),
                Err(error) => Err(error.into()),
            }
        };
        self.database.write(add).await
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        let all = |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT username, password_hash, role, client_id, created_at, updated_at FROM users ORDER BY username",
            )?;
            let users = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
            Ok(users)
        };
        self.database.read(Reader::Query, all).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    let word: String = row.get(2)?;
    let role = Role::ALL.iter().copied().find(|role| role.as_str() == word);
    let unknown = || rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no role {word:?}").into());
    Ok(User {
        username: row.get(0)?,
        password_hash: row.get(1)?,
        role: role.ok_or_else(unknown)?,
        client_id: row.get(3)?,
        created_at: Timestamp::from_millis(row.get(4)?),
        updated_at: Timestamp::from_millis(row.get(5)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sqlite_users_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        crate::user_store::conformance::run(Arc::new(SqliteUsers::new(Arc::new(database)))).await;
    }
}
