//! The keys of machines (scanners, a client's own systems), which cannot log in every day as people do.
//!
//! # Contract
//! - Ids are unique; adding a taken one fails with [`ApiKeyError::Taken`] and changes nothing, also when two callers do it at once.
//! - The store keeps the hash of a key and never the key.
//! - A key that was removed is not found any more by whoever asks afterwards.
//! - [`ApiKeyStore::used`] never makes the time of the last use earlier, and adds no key.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod key;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;

pub use key::{KeyHash, KeyId, KeyText};

use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::user_store::Role;

/// A key, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name.
    pub id: KeyId,
    /// What it is for, in the words of whoever made it.
    pub name: String,
    /// The hash of the whole key.
    pub hash: KeyHash,
    /// What its holder may do.
    pub role: Role,
    /// The client that its holder belongs to; always there for role `client`.
    pub client_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The name of the admin who made it.
    pub created_by: String,
    /// From when on it is worth nothing; `None`: until it is removed.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, as far as that was noted.
    pub last_used_at: Option<Timestamp>,
}

/// Why a key was not added.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// The id is taken.
    #[error("the id of the key is taken")]
    Taken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys.
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// The key called `id`.
    ///
    /// # Errors
    /// The store failed.
    async fn find(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError>;

    /// Adds a key.
    ///
    /// # Errors
    /// The id is taken, or the store failed.
    async fn add(&self, key: ApiKey) -> Result<(), ApiKeyError>;

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    async fn all(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Removes a key; says whether there was one.
    ///
    /// # Errors
    /// The store failed.
    async fn remove(&self, id: &KeyId) -> Result<bool, StoreError>;

    /// Notes that a key was used at `at`.
    ///
    /// # Errors
    /// The store failed.
    async fn used(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError>;
}
