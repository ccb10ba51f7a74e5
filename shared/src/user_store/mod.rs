//! The users who may log in.
//!
//! # Contract
//! User names are unique; adding a taken one fails with [`UserError::Taken`] and changes nothing, also when two callers do it at once.
//! The store keeps hashes and never a password. Users that differ in case only are two users.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// What a user may do (contract section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// When the user was added.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
}

/// Without the hash, so that none gets into a log.
impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "User({}, {})", self.username, self.role.as_str())
    }
}

/// Why a user was not added or found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is taken.
    #[error("the user name is taken")]
    Taken,
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
}
