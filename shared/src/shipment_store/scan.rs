//! Reading a whole projection, to compare it with another one.

use async_trait::async_trait;

use super::{EventRow, ShipmentReader, StoreError, StoredShipment};

/// A document as it was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T> {
    /// It can be read.
    Readable(T),
    /// It is there and cannot be read, for this reason: it was not written by us.
    Unreadable(String),
}

/// Documents by the text of their ids: tracking numbers, or row ids.
pub type Documents<T> = Vec<(String, Found<T>)>;

/// What a comparison needs besides. A document that cannot be read is no error of a call: it is what is looked for.
#[async_trait]
pub trait ShipmentScan: ShipmentReader {
    /// Shipments with their histories, in an order of the store's own: at most `limit`, behind the one with the id `after`. Fewer than
    /// `limit` are the last ones.
    ///
    /// # Errors
    /// The store is away.
    async fn walk_shipments(&self, after: Option<&str>, limit: u32) -> Result<Documents<StoredShipment>, StoreError>;

    /// Rows, in the same way.
    ///
    /// # Errors
    /// The store is away.
    async fn walk_rows(&self, after: Option<&str>, limit: u32) -> Result<Documents<EventRow>, StoreError>;

    /// The shipments that exist among `ids`.
    ///
    /// # Errors
    /// The store is away.
    async fn shipments_by_id(&self, ids: &[String]) -> Result<Documents<StoredShipment>, StoreError>;

    /// The rows that exist among `ids`.
    ///
    /// # Errors
    /// The store is away.
    async fn rows_by_id(&self, ids: &[String]) -> Result<Documents<EventRow>, StoreError>;

    /// How many shipments there are, about.
    ///
    /// # Errors
    /// The store is away.
    async fn estimated_shipments(&self) -> Result<u64, StoreError>;
}
