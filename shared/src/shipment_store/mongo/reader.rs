//! The reading side, for the edge.

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::{SHIPMENTS, STATUS_EVENTS, decode, find_rows, read_all};
use crate::mongo::{CALL_DEADLINE, MongoConnection, SERVER_DEADLINE, date, within};
use crate::shipment::{RowId, TrackingNumber};
use crate::shipment_store::{
    EventRow, ListFilter, Page, PageStart, RowPosition, ShipmentReader, StoreError, StoredShipment,
};

/// The reading side. It has no way to write.
///
/// A list walks the index that [`super::schema`] made for its order and stops at the end of the page; what else is filtered (status,
/// service type) is looked at in each document on the way. An index on the status would be written with every
/// event; so the filter on it costs the query instead: a page of a rare status reads until it has enough.
#[derive(Clone, Debug)]
pub struct MongoReader {
    connection: MongoConnection,
}

impl MongoReader {
    /// The reader on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    /// The reader of `database` on the servers of `uri`, with connections of its own.
    ///
    /// # Errors
    /// See [`MongoConnection::open`].
    pub async fn connect(uri: &str, database: &str) -> Result<Self, StoreError> {
        MongoConnection::open(uri, database).await.map(|connection| Self::new(&connection))
    }

    fn shipments(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(SHIPMENTS)
    }

    fn status_events(&self) -> Collection<RawDocumentBuf> {
        self.connection.collection(STATUS_EVENTS)
    }

    /// How many match. Without a filter the collection's own count is exact and costs nothing.
    async fn total(&self, condition: &Document) -> Result<u64, StoreError> {
        let shipments = self.shipments();
        if condition.is_empty() {
            within(CALL_DEADLINE, shipments.estimated_document_count().max_time(SERVER_DEADLINE)).await
        } else {
            within(CALL_DEADLINE, shipments.count_documents(condition.clone()).max_time(SERVER_DEADLINE)).await
        }
    }

    async fn page(&self, condition: Document, skip: u64, size: u32) -> Result<Vec<StoredShipment>, StoreError> {
        let collection = self.shipments();
        let find = collection
            .find(condition)
            // The last entry is the last scan.
            .projection(doc! { "state.status_history": { "$slice": -1 } })
            .sort(newest_first())
            .skip(skip)
            .limit(i64::from(size))
            .batch_size(size.saturating_add(1))
            .max_time(SERVER_DEADLINE);
        let cursor = within(CALL_DEADLINE, find).await?;
        let mut shipments = Vec::new();
        read_all(cursor, &mut |document| {
            let mut shipment = decode::stored(document)?;
            shipment.state.status_history.clear();
            shipments.push(shipment);
            Ok(())
        })
        .await?;
        Ok(shipments)
    }
}

/// The order of lists.
pub(super) fn newest_first() -> Document {
    doc! { "created_at": -1, "_id": -1 }
}

/// The condition of `filter` alone, without that of the page.
pub(super) fn condition(filter: &ListFilter) -> Document {
    let mut condition = Document::new();
    if let Some(client) = &filter.client_id {
        // Within `$eq`, so that no text of a caller's is ever taken for an operator.
        condition.insert("client_id", doc! { "$eq": client });
    }
    if let Some(status) = filter.status {
        condition.insert("state.current_status", status.as_str());
    }
    if let Some(service) = filter.service_type {
        condition.insert("service_type", service.as_str());
    }
    if let Some(prefix) = &filter.prefix {
        condition.insert("_id", prefix_range(prefix));
    }
    let mut created = Document::new();
    if let Some(from) = filter.created_from {
        created.insert("$gte", date(from));
    }
    if let Some(to) = filter.created_to {
        created.insert("$lt", date(to));
    }
    if !created.is_empty() {
        condition.insert("created_at", created);
    }
    condition
}

/// All texts that begin with `prefix`, as a range of the index: up to the prefix with the greatest character of all behind it.
fn prefix_range(prefix: &str) -> Document {
    doc! { "$gte": prefix, "$lte": format!("{prefix}{}", char::MAX) }
}

/// `condition`, and behind `start`. The first bound is redundant and keeps the index scan from beginning at the top.
pub(super) fn behind(condition: &Document, start: PageStart) -> Document {
    let PageStart::After(time, number) = start else { return condition.clone() };
    let (time, number) = (date(time), number.as_str());
    doc! { "$and": [
        condition.clone(),
        { "created_at": { "$lte": time } },
        { "$or": [{ "created_at": { "$lt": time } }, { "_id": { "$lt": number } }] },
    ] }
}

#[async_trait]
impl ShipmentReader for MongoReader {
    async fn shipment(&self, number: TrackingNumber) -> Result<Option<StoredShipment>, StoreError> {
        let collection = self.shipments();
        let find = collection.find_one(doc! { "_id": number.as_str() }).max_time(SERVER_DEADLINE);
        let document = within(CALL_DEADLINE, find).await?;
        document.map(|document| decode::stored(&document)).transpose()
    }

    async fn list(&self, filter: &ListFilter, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        let condition = condition(filter);
        let skip = match start {
            PageStart::Offset(offset) => offset,
            PageStart::After(..) => 0,
        };
        if skip > u64::from(u32::MAX) {
            // More than there can be, and more than the server reads as a number together with the limit.
            let total = self.total(&condition).await?;
            return Ok(Page { shipments: Vec::new(), total, has_next: false });
        }
        let page = self.page(behind(&condition, start), skip, limit.saturating_add(1));
        let (total, mut shipments) = tokio::try_join!(self.total(&condition), page)?;
        let has_next = shipments.len() > limit as usize;
        shipments.truncate(limit as usize);
        Ok(Page { shipments, total, has_next })
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
        let cursor = within(CALL_DEADLINE, find).await?;
        let mut rows = Vec::new();
        read_all(cursor, &mut |document| {
            rows.push(decode::row(document)?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.connection.check().await
    }
}
