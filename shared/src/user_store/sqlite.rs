//! Users in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Role, User, UserError, UserStore};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, Reader, is_refusal};

const SELECT: &str = "SELECT username, password_hash, role, client_id, disabled, created_at, updated_at FROM users";

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
        self.database.read(Reader::Query, move |connection| Ok(find(connection, &username)?)).await
    }

    async fn add(&self, user: User) -> Result<(), UserError> {
        let add = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO users (username, password_hash, role, client_id, disabled, created_at, updated_at)
                 VALUES (:username, :password_hash, :role, :client_id, :disabled, :created_at, :updated_at)",
            )?;
            let added = statement.execute(named_params! {
                ":username": user.username,
                ":password_hash": user.password_hash,
                ":role": user.role.as_str(),
                ":client_id": user.client_id,
                ":disabled": user.disabled,
                ":created_at": user.created_at.as_millis(),
                ":updated_at": user.updated_at.as_millis(),
            });
            match added {
                Ok(_) => Ok(()),
                Err(error) if is_refusal(&error) => Err(UserError::Taken),
                Err(error) => Err(error.into()),
            }
        };
        self.database.write(add).await
    }

    async fn all(&self) -> Result<Vec<User>, StoreError> {
        let all = |connection: &Connection| {
            let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY username"))?;
            let users = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
            Ok(users)
        };
        self.database.read(Reader::Query, all).await
    }

    async fn replace(&self, was: &User, user: User) -> Result<(), UserError> {
        let was_updated_at = was.updated_at;
        let replace = move |connection: &Connection| {
            let found = find(connection, &user.username)?.ok_or(UserError::Missing)?;
            if found.updated_at != was_updated_at {
                return Err(UserError::Changed);
            }
            if found.is_enabled_admin() && !user.is_enabled_admin() {
                check_another_admin(connection, &user.username)?;
            }
            let mut statement = connection.prepare_cached(
                "UPDATE users SET password_hash = :password_hash, role = :role, client_id = :client_id, disabled = :disabled,
                   updated_at = :updated_at
                 WHERE username = :username",
            )?;
            statement.execute(named_params! {
                ":username": user.username,
                ":password_hash": user.password_hash,
                ":role": user.role.as_str(),
                ":client_id": user.client_id,
                ":disabled": user.disabled,
                ":updated_at": user.updated_at.as_millis(),
            })?;
            Ok(())
        };
        self.database.write(replace).await
    }

    async fn remove(&self, username: &str) -> Result<(), UserError> {
        let username = username.to_owned();
        let remove = move |connection: &Connection| {
            let found = find(connection, &username)?.ok_or(UserError::Missing)?;
            if found.is_enabled_admin() {
                check_another_admin(connection, &username)?;
            }
            connection.prepare_cached("DELETE FROM users WHERE username = ?1")?.execute([&username])?;
            Ok(())
        };
        self.database.write(remove).await
    }
}

fn find(connection: &Connection, username: &str) -> rusqlite::Result<Option<User>> {
    connection.prepare_cached(&format!("{SELECT} WHERE username = ?1"))?.query_row([username], read).optional()
}

/// Within the writer's transaction nobody else changes a user.
fn check_another_admin(connection: &Connection, username: &str) -> Result<(), UserError> {
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE role = ?1 AND disabled = 0 AND username <> ?2)")?;
    let exists: bool = statement.query_row([Role::Admin.as_str(), username], |row| row.get(0))?;
    if exists { Ok(()) } else { Err(UserError::LastAdmin) }
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    let word: String = row.get(2)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(2, Type::Text, format!("no role {word:?}").into());
    Ok(User {
        username: row.get(0)?,
        password_hash: row.get(1)?,
        role: Role::of(&word).ok_or_else(unknown)?,
        client_id: row.get(3)?,
        disabled: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        updated_at: Timestamp::from_millis(row.get(6)?),
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
