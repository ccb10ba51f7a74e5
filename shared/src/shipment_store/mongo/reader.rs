//! The reading side, for the edge.

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};

use super::list::Lists;
use super::{Names, decode, find_rows, prefix_range, read_all};
use crate::mongo::{CALL_DEADLINE, MongoConnection, SERVER_DEADLINE, calling, within};
use crate::projection::Generation;
use crate::shipment::{RowId, TrackingNumber};
use crate::shipment_store::{
    EventRow, ListBounds, ListFilter, Page, PageStart, RowPosition, ShipmentReader, StoreError, StoredShipment,
};

/// The reading side. It has no way to write.
#[derive(Clone, Debug)]
pub struct MongoReader {
    connection: MongoConnection,
    names: Names,
    bounds: ListBounds,
}

impl MongoReader {
    /// The reader on `connection`, of the first generation.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self::of(connection, Generation::FIRST)
    }

    /// The same of any generation.
    #[must_use]
    pub fn of(connection: &MongoConnection, generation: Generation) -> Self {
        Self { connection: connection.clone(), names: Names::of(generation), bounds: ListBounds::default() }
    }

    /// The same reader, whose lists cost no more than `bounds`.
    #[cfg(test)]
    pub(super) fn within(self, bounds: ListBounds) -> Self {
        Self { bounds, ..self }
    }

    /// The reader of `database` on the servers of `uri`, with connections of its own.
    ///
    /// # Errors
    /// See [`MongoConnection::open`].
    pub async fn connect(uri: &str, database: &str) -> Result<Self, StoreError> {
        MongoConnection::open(uri, database).await.map(|connection| Self::new(&connection))
    }

    pub(super) fn shipments(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(&self.names.shipments)
    }

    pub(super) fn status_events(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(&self.names.status_events)
    }
}

#[async_trait]
impl ShipmentReader for MongoReader {
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        let collection = self.shipments();
        let find = collection.find_one(doc! { "_id": number.as_str() }).max_time(SERVER_DEADLINE);
        let document = calling("find", &collection, within(CALL_DEADLINE, find)).await?;
        document.map(|document| decode::stored(&document)).transpose()
    }

    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        let lists = Lists { shipments: self.shipments(), bounds: self.bounds, filter };
        lists.page(start, limit).await
    }

    async fn events(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        find_rows(&self.status_events(), ids).await
    }

    async fn events_of(
        &self,
        number: TrackingNumber,
        after: Option<RowPosition>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        if limit == 0 {
            // MongoDB takes 0 for "no limit".
            return Ok(Vec::new());
        }
        let mut condition = doc! { "_id": prefix_range(&format!("{number}:")) };
        if let Some(RowPosition { log, partition }) = after {
            condition.insert(
                "$or",
                vec![
                    doc! { "e": { "$gt": log.epoch } },
                    doc! { "e": log.epoch, "o": { "$gt": log.offset } },
                    doc! { "e": log.epoch, "o": log.offset, "p": { "$gt": partition } },
                ],
            );
        }
        // Sorted in the server's memory: the rows of one shipment only, and the best `limit` of them.
        let collection = self.status_events();
        let find = collection
            .find(condition)
            .sort(doc! { "e": 1, "o": 1, "p": 1 })
            .limit(i64::from(limit))
            .batch_size(limit.saturating_add(1))
            .max_time(SERVER_DEADLINE);
        let mut rows = Vec::new();
        let mut read = |document: &RawDocument| {
            rows.push(decode::row(document)?);
            Ok(())
        };
        let reading = async { read_all(within(CALL_DEADLINE, find).await?, &mut read).await };
        calling("find", &collection, reading).await?;
        Ok(rows)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.connection.check().await
    }
}
