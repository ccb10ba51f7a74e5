//! The users who may log in.
//!
//! # Contract
//! - User names are unique; adding a taken one fails with [`UserError::Taken`] and changes nothing, also when two callers do it at once.
//!   Users that differ in case only are two users.
//! - The store keeps hashes and never a password.
//! - A change is made to what its caller saw: [`UserStore::replace`] fails with [`UserError::Changed`] when somebody else was first. Each
//!   change makes `updated_at` greater, so two states of one user never have the same.
//! - Where there is an enabled admin, one remains: what would disable, demote or remove the last one fails with
//!   [`UserError::LastAdmin`], also when several callers do that to each other at once.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// What a user may do (contract section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// The shipments of one client.
    Client,
    /// Posts events.
    Source,
}

impl Role {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Admin, Self::Client, Self::Source];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Client => "client",
            Self::Source => "source",
        }
    }

    /// The role that `word` is the word for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == word)
    }
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub username: String,
    /// The bcrypt hash of the password.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// The client that the user belongs to; always there for role `client`.
    pub client_id: Option<String>,
    /// Whether the user is kept out.
    pub disabled: bool,
    /// When the user was added.
    pub created_at: Timestamp,
    /// When password, role, client or `disabled` was last changed. There is nothing else to change, so this is the version of the user's
    /// credentials: what was given out for another one is worth nothing.
    pub updated_at: Timestamp,
}

impl User {
    /// A user who is added at `now`.
    #[must_use]
    pub fn new(username: String, password_hash: String, role: Role, client_id: Option<String>, now: Timestamp) -> Self {
        Self { username, password_hash, role, client_id, disabled: false, created_at: now, updated_at: now }
    }

    /// Whether the user may administer.
    #[must_use]
    pub fn is_enabled_admin(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }
}

/// Without the hash, so that none gets into a log.
impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "User({}, {})", self.username, self.role.as_str())
    }
}

/// Why a user was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is taken.
    #[error("the user name is taken")]
    Taken,
    /// There is no such user.
    #[error("there is no such user")]
    Missing,
    /// The user is not what the caller saw any more.
    #[error("the user was changed by somebody else")]
    Changed,
    /// There would be no enabled admin left.
    #[error("it is the last enabled admin")]
    LastAdmin,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The users.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// The user called `username`.
    ///
    /// # Errors
    /// The store failed.
    async fn find(&self, username: &str) -> Result<Option<User>, StoreError>;

    /// Adds a user.
    ///
    /// # Errors
    /// The name is taken, or the store failed.
    async fn add(&self, user: User) -> Result<(), UserError>;

    /// All users by name.
    ///
    /// # Errors
    /// The store failed.
    async fn all(&self) -> Result<Vec<User>, StoreError>;

    /// Puts `user` in the place of `was`, who has the same name and an earlier `updated_at`.
    ///
    /// # Errors
    /// The user is gone or is not `was` any more, is the last enabled admin and would not be one, or the store failed.
    async fn replace(&self, was: &User, user: User) -> Result<(), UserError>;

    /// Removes the user called `username`.
    ///
    /// # Errors
    /// There is no such user, it is the last enabled admin, or the store failed.
    async fn remove(&self, username: &str) -> Result<(), UserError>;
}
