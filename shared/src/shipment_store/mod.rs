//! The store: a projection of the log that can be built again from it. The processor writes it, the edge reads it.
//!
//! # What a writer promises
//! - **Durable before done.** When a write returns `Ok`, its effect survives the loss of a minority of the servers (MongoDB,
//!   `w:majority`) or a kill -9 (SQLite, on disk).
//! - **The newest position wins.** [`ShipmentWriter::write_states`] keeps, for each shipment on its own, the state with the greater
//!   [`LogPosition`](crate::shipment::LogPosition); an equal or older one changes nothing and is no error. So a zombie owner can do no harm, and a
//!   batch may be written twice. What never changes is written with the creation only.
//! - **Rows are written once, in their order.** [`ShipmentWriter::insert_events`] stops at the first row whose id is taken or which is
//!   refused: of the rows behind it none is there. So what a row says of the events before it in the batch is true as soon as it
//!   is there, also when the caller dies before it hears of it; and to insert is to look whether an event is new. Only
//!   [`ShipmentWriter::replace_events`] overwrites, for records that the store refused and for events that were parked; it leaves a row
//!   that was judged at a later position as it is ([`EventRow::judged_at`]), so that a zombie owner takes back nothing.
//! - **No partial silence.** A write that was done in part says so. Writing again what is not there yet is safe.
//! - **Reads see what was acknowledged** (read concern majority): never a write that may be rolled back.
//!
//! # What an error means
//! [`StoreError::Unavailable`]: network, failover, time-out; the same call may succeed later, and *may have happened*.
//! [`StoreError::Refused`]: this very document will never be accepted; its index in the call is named.
//!
//! # What a reader promises
//! A reader cannot write. Lists are in order of `(created_at, tracking_number)`, newest first, without a gap or a repeat between pages, also while
//! shipments are created and change. What a list costs is bounded, and so a page may be short ([`Page`]) and a total a lower bound
//! ([`Total`]). The rows of a shipment come in log order; a page of them sorts all of them (docs/adr/0001).

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod list;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
mod row;
mod scan;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

pub use list::{ListBounds, ListFilter, Page, PageStart, Total};
pub use row::{EventRow, KnownKey, RowPosition};
pub use scan::{Documents, Found, ShipmentScan};

use crate::shipment::{LogPosition, RowId, Shipment, ShipmentCreated, ShipmentState, Timestamp, TrackingNumber};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time. The same call may succeed later, and may have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses these documents, and will refuse them again: index in the call, and why.
    #[error("the store refused {} documents, the first because {}", .0.len(), .0.first().map_or("", |(_, why)| why.as_str()))]
    Refused(Vec<(usize, String)>),
    /// What it holds cannot be read: it was not written by us.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// The store could not be reached because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// How far an insertion of rows came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inserted {
    /// All of them are there.
    All,
    /// Those before this index in the call, at most: its id is taken, and nothing behind it was inserted. The row that is there may not be
    /// a majority's yet.
    UpTo(usize),
}

/// One state to write.
#[derive(Clone, Debug)]
pub struct StateWrite {
    /// The shipment.
    pub tracking_number: TrackingNumber,
    /// Its registration, when the batch holds it: what never changes.
    pub created: Option<Arc<ShipmentCreated>>,
    /// Its state after the batch.
    pub state: ShipmentState,
    /// The partition of its records, when the batch has changed what of it is parked: then the store keeps when the first dead letter is not
    /// waited for any more, for [`ShipmentWriter::parked`].
    pub parking: Option<i32>,
}

/// A shipment with parked events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedShipment {
    /// Which one.
    pub tracking_number: TrackingNumber,
    /// When the first dead letter that they wait for is given up.
    pub until: Timestamp,
}

/// What the processor needs of the store.
#[async_trait]
pub trait ShipmentWriter: Send + Sync {
    /// The shipments that exist among `numbers`.
    ///
    /// # Errors
    /// See the module.
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError>;

    /// What is known of the rows that exist among `ids`.
    ///
    /// # Errors
    /// See the module.
    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError>;

    /// The whole rows that exist among `ids`.
    ///
    /// # Errors
    /// See the module.
    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError>;

    /// Inserts rows in their order, up to the first whose id is taken.
    ///
    /// # Errors
    /// See the module. [`StoreError::Refused`] names one row, and nothing behind it was inserted.
    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError>;

    /// Writes rows over what is there, unless that was judged at a later position.
    ///
    /// # Errors
    /// See the module.
    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError>;

    /// Writes each state that is newer than the stored one.
    ///
    /// # Errors
    /// See the module.
    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError>;

    /// The rows of parked events that records released: those of a shipment and the position at which it was judged. In no order. It reads all
    /// rows of these shipments, and is asked after a crash only.
    ///
    /// # Errors
    /// See the module.
    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError>;

    /// The shipments on `partitions` that have parked events, as the last [`StateWrite::parking`] says: at most `limit`, those first that are to be
    /// released first.
    ///
    /// # Errors
    /// See the module.
    async fn parked(&self, partitions: &[i32], limit: u32) -> Result<Vec<ParkedShipment>, StoreError>;

    /// Whether the store can be written to, within two seconds.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> Result<(), StoreError>;
}

/// A shipment as it is read: what never changes and what events have made of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredShipment {
    /// The registration.
    pub created: ShipmentCreated,
    /// The state. In a list its history is empty, and what is parked is left out.
    pub state: ShipmentState,
}

/// What the edge needs of the store.
#[async_trait]
pub trait ShipmentReader: Send + Sync {
    /// One shipment with its history.
    ///
    /// # Errors
    /// See the module.
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError>;

    /// A page of at most `limit` shipments; see [`Page`].
    ///
    /// # Errors
    /// See the module.
    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError>;

    /// The rows that exist among `ids`.
    ///
    /// # Errors
    /// See the module.
    async fn events(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError>;

    /// The rows of one shipment in order of their position: at most `limit`, behind `after`.
    ///
    /// # Errors
    /// See the module.
    async fn events_of(
        &self,
        number: TrackingNumber,
        after: Option<RowPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Whether the store can be read, within two seconds.
    ///
    /// # Errors
    /// Why not.
    async fn check(&self) -> Result<(), StoreError>;
}
