//! Everything in order of `_id`, a part at a time.

use async_trait::async_trait;
use mongodb::Collection;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc};

use super::{MongoReader, decode, find_by_id, read_all};
use crate::mongo::{CALL_DEADLINE, Members, SERVER_DEADLINE, within};
use crate::shipment_store::{Documents, EventRow, Found, ShipmentScan, StoreError, StoredShipment};

type Decode<T> = fn(&RawDocument) -> Result<T, StoreError>;

#[async_trait]
impl ShipmentScan for MongoReader {
    async fn walk_shipments(&self, after: Option<&str>, limit: u32) -> Result<Documents<StoredShipment>, StoreError> {
        walk(&self.shipments(), after, limit, decode::stored).await
    }

    async fn walk_rows(&self, after: Option<&str>, limit: u32) -> Result<Documents<EventRow>, StoreError> {
        walk(&self.status_events(), after, limit, decode::row).await
    }

    async fn shipments_by_id(&self, ids: &[String]) -> Result<Documents<StoredShipment>, StoreError> {
        look_up(&self.shipments(), ids, decode::stored).await
    }

    async fn rows_by_id(&self, ids: &[String]) -> Result<Documents<EventRow>, StoreError> {
        look_up(&self.status_events(), ids, decode::row).await
    }

    async fn estimated_shipments(&self) -> Result<u64, StoreError> {
        // Out of the collection's own count: no document is looked at.
        within(CALL_DEADLINE, self.shipments().estimated_document_count().max_time(SERVER_DEADLINE)).await
    }
}

async fn walk<T>(
    collection: &Collection<RawDocumentBuf>,
    after: Option<&str>,
    limit: u32,
    decode: Decode<T>,
) -> Result<Documents<T>, StoreError> {
    let condition = after.map_or_else(|| doc! {}, |id| doc! { "_id": { "$gt": id } });
    let find = collection
        .find(condition)
        .sort(doc! { "_id": 1 })
        .limit(i64::from(limit))
        .batch_size(limit.saturating_add(1))
        .max_time(SERVER_DEADLINE);
    let cursor = within(CALL_DEADLINE, find).await?;
    let mut found = Documents::new();
    read_all(cursor, &mut |document| {
        found.push(read(document, decode)?);
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn look_up<T>(
    collection: &Collection<RawDocumentBuf>,
    ids: &[String],
    decode: Decode<T>,
) -> Result<Documents<T>, StoreError> {
    let mut found = Documents::new();
    find_by_id(collection, ids, None, |document| {
        found.push(read(document, decode)?);
        Ok(())
    })
    .await?;
    Ok(found)
}

fn read<T>(document: &RawDocument, decode: Decode<T>) -> Result<(String, Found<T>), StoreError> {
    let id = Members(document).string("_id")?;
    Ok((id, decode(document).map_or_else(|error| Found::Unreadable(error.to_string()), Found::Readable)))
}
