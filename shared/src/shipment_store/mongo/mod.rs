//! The store in MongoDB: `shipments`, `status_events` and the view `shipments_flat` (contract section 6).
//!
//! # Documents
//! - `shipments`: `_id` is the tracking number; at the top what never changes, written once with `$setOnInsert`; in the sub-document `state`
//!   what events change, written whole with `$max`. MongoDB compares documents member by member, so `state.e` (epoch) and
//!   `state.o` (offset), which lead, decide: the newest position wins, in one statement whose filter is `_id` alone. Of two
//!   states with one position the greater one stays; they are the same, since a state is a function of its position.
//! - `status_events`: `_id` is the row's id, `<tracking number>:<H1>`, and H2 behind it for a conflict. That one index serves the look-up by key,
//!   by event id (`evt_<suffix>_<H1><H2>`: the row `99M-<suffix>:<H1>` whose `h` is H2) and, by its prefix, by shipment. `h` is H2 as a number,
//!   `e`, `o`, `p` are the position, `reason` is the outcome's, `event_reason` the reported one, `client_id` whose shipment it is.
//! - While events of a shipment are parked, they are in `state.parked`, and `parking` beside it says until when: `$max` keeps the newest of that too.
//!
//! The first generation of the projection has these names; a later one has `_g<n>` behind them ([`crate::projection`]). The view shows the
//! live one.
//!
//! # Costs
//! Every further index is paid for by each event (docs/adr/0001 has the figures), so `status_events` has none and
//! those of `shipments` hold nothing that an event changes: they are written with the creation and never again. The one exception is partial: it
//! holds `parking`, which no other write touches.

#[cfg(feature = "cost")]
#[doc(hidden)]
pub mod cost;
mod decode;
mod encode;
mod list;
mod parked;
#[cfg(test)]
mod plans;
mod reader;
mod scan;
mod schema;
#[cfg(test)]
mod sharding;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Cursor};

use super::{EventRow, Inserted, KnownKey, ParkedShipment, ShipmentWriter, StateWrite, StoreError};
use crate::mongo::{CALL_DEADLINE, MongoConnection, SERVER_DEADLINE, calling, ids_in, majority, within};
use crate::projection::Generation;
use crate::shipment::{LogPosition, RowId, Shipment, TrackingNumber};

pub use reader::MongoReader;

const SHIPMENTS: &str = "shipments";
const STATUS_EVENTS: &str = "status_events";
/// The view for people who query by hand.
const SHIPMENTS_FLAT: &str = "shipments_flat";

/// Most ids in one `$in`: at 40 bytes each, 400 KB of a 16 MiB command.
const LOOK_UP_IDS: usize = 10_000;

/// The collections of one generation.
#[derive(Clone, Debug)]
struct Names {
    shipments: String,
    status_events: String,
}

impl Names {
    fn of(generation: Generation) -> Self {
        let name = |first| generation.name(first, "_g");
        Self { shipments: name(SHIPMENTS), status_events: name(STATUS_EVENTS) }
    }
}

/// The writing side, for the processor.
#[derive(Clone, Debug)]
pub struct MongoStore {
    connection: MongoConnection,
    names: Names,
}

impl MongoStore {
    /// The store on `connection`, of the first generation. Nothing is connected yet; see [`MongoStore::ensure_schema`].
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self::of(connection, Generation::FIRST)
    }

    /// The same of any generation.
    #[must_use]
    pub fn of(connection: &MongoConnection, generation: Generation) -> Self {
        Self { connection: connection.clone(), names: Names::of(generation) }
    }

    /// The store in `database` on the servers of `uri`, with connections of its own.
    ///
    /// # Errors
    /// See [`MongoConnection::open`].
    pub async fn connect(uri: &str, database: &str) -> Result<Self, StoreError> {
        MongoConnection::open(uri, database).await.map(|connection| Self::new(&connection))
    }

    /// Makes the indexes and the view that are not there yet. Safe to call again and from several processes at once;
    /// call it until it succeeds.
    ///
    /// # Errors
    /// MongoDB is away, or refuses.
    pub async fn ensure_schema(&self) -> Result<(), StoreError> {
        self.ensure_indexes().await?;
        self.ensure_view().await
    }

    /// Makes the indexes that are not there yet.
    ///
    /// # Errors
    /// MongoDB is away, refuses, or is still at it.
    pub async fn ensure_indexes(&self) -> Result<(), StoreError> {
        schema::ensure_indexes(&self.connection, &self.names).await
    }

    /// Makes the view show this generation.
    ///
    /// # Errors
    /// MongoDB is away, or refuses.
    pub async fn ensure_view(&self) -> Result<(), StoreError> {
        schema::ensure_view(&self.connection, &self.names).await
    }

    /// Drops the collections of this generation.
    ///
    /// # Errors
    /// MongoDB is away.
    pub async fn drop_collections(&self) -> Result<(), StoreError> {
        for collection in [self.shipments(), self.status_events()] {
            within(CALL_DEADLINE, collection.drop().write_concern(majority())).await?;
        }
        Ok(())
    }

    fn shipments(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(&self.names.shipments)
    }

    fn status_events(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(&self.names.status_events)
    }
}

/// All texts that begin with `prefix`, as a range of the index: up to the prefix with the greatest character of all behind it.
fn prefix_range(prefix: &str) -> Document {
    doc! { "$gte": prefix, "$lte": format!("{prefix}{}", char::MAX) }
}

/// Reads the documents with these ids: `read` is called with each that exists.
async fn find_by_id<T: ToString>(
    collection: &Collection<RawDocumentBuf>,
    ids: &[T],
    projection: Option<Document>,
    mut read: impl FnMut(&RawDocument) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for chunk in ids.chunks(LOOK_UP_IDS) {
        let mut find = collection.find(ids_in(chunk)).max_time(SERVER_DEADLINE);
        // One more than there can be, so that the first answer is the last one: without a size it stops at 101.
        find = find.batch_size(u32::try_from(chunk.len() + 1).unwrap_or(u32::MAX));
        if let Some(projection) = projection.clone() {
            find = find.projection(projection);
        }
        let reading = async { read_all(within(CALL_DEADLINE, find).await?, &mut read).await };
        calling("find", collection, reading).await?;
    }
    Ok(())
}

async fn read_all(
    mut cursor: Cursor<RawDocumentBuf>,
    read: &mut impl FnMut(&RawDocument) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    while within(CALL_DEADLINE, cursor.advance()).await? {
        read(cursor.current())?;
    }
    Ok(())
}

async fn find_rows(collection: &Collection<RawDocumentBuf>, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
    let mut rows = Vec::with_capacity(ids.len());
    find_by_id(collection, ids, None, |document| {
        rows.push(decode::row(document)?);
        Ok(())
    })
    .await?;
    Ok(rows)
}

#[async_trait]
impl ShipmentWriter for MongoStore {
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        let needed = doc! { "state": 1, "client_id": 1, "transition_policy": 1, "allow_cancel_in_transit": 1,
        "park_seconds": 1 };
        let mut shipments = HashMap::with_capacity(numbers.len());
        find_by_id(&self.shipments(), numbers, Some(needed), |document| {
            let shipment = decode::decided(document)?;
            shipments.insert(shipment.tracking_number, shipment);
            Ok(())
        })
        .await?;
        Ok(shipments)
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        let needed = doc! { "e": 1, "o": 1, "h": 1, "outcome": 1, "refused_at": 1 };
        let mut known = HashMap::new();
        find_by_id(&self.status_events(), ids, Some(needed), |document| {
            known.extend([decode::known(document)?]);
            Ok(())
        })
        .await?;
        Ok(known)
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        find_rows(&self.status_events(), ids).await
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        write::insert_events(&self.connection, &self.names, rows).await
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        write::replace_events(&self.connection, &self.names, rows).await
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        write::write_states(&self.connection, &self.names, writes).await
    }

    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        parked::released_at(&self.status_events(), records).await
    }

    async fn parked(&self, partitions: &[i32], limit: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        parked::parked(&self.shipments(), partitions, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.connection.check().await
    }
}
