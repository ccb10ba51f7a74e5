//! Generations in MongoDB: the document `live` of the collection `projection`, and collections called `shipments_g<n>` and
//! `status_events_g<n>` beside the first ones.
//!
//! The document is read with read concern *linearizable*: a primary that was voted out and does not know it yet must not tell anybody that
//! the old generation is the live one.

use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::{Document, RawDocumentBuf, deserialize_from_document, doc, rawdoc, serialize_to_document};

use super::{Generation, Generations, Projection, ProjectionControl};
use crate::mongo::{CALL_DEADLINE, MongoConnection, SERVER_DEADLINE, within, write_concern};
use crate::shipment_store::mongo::{MongoReader, MongoStore};
use crate::shipment_store::{ShipmentScan, ShipmentWriter, StoreError};

const PROJECTION: &str = "projection";
const LIVE: &str = "live";

/// The generations of one database.
#[derive(Clone, Debug)]
pub struct MongoProjection {
    connection: MongoConnection,
}

impl MongoProjection {
    /// Those on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    fn store(&self, generation: Generation) -> MongoStore {
        MongoStore::of(&self.connection, generation)
    }
}

fn encode(projection: &Projection) -> Result<Document, StoreError> {
    serialize_to_document(projection).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn decode(document: Document) -> Result<Projection, StoreError> {
    let corrupt = |error| StoreError::Corrupt(format!("document {LIVE} of {PROJECTION}: {error}"));
    deserialize_from_document(document).map_err(corrupt)
}

#[async_trait]
impl ProjectionControl for MongoProjection {
    async fn read(&self) -> Result<Projection, StoreError> {
        let collection = self.connection.linearizable(PROJECTION);
        let find = collection.find_one(doc! { "_id": LIVE }).max_time(SERVER_DEADLINE);
        match within(CALL_DEADLINE, find).await? {
            None => Ok(Projection::default()),
            Some(raw) => {
                let read = |error: mongodb::bson::error::Error| StoreError::Corrupt(error.to_string());
                decode(Document::try_from(&*raw).map_err(read)?)
            }
        }
    }

    async fn replace(&self, next: &Projection) -> Result<bool, StoreError> {
        let mut document = encode(next)?;
        if next.revision == 1 {
            // Nothing is there yet; who comes second finds the id taken.
            document.insert("_id", LIVE);
            let raw = RawDocumentBuf::try_from(&document).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            return self.connection.insert(PROJECTION, raw).await;
        }
        let raw = RawDocumentBuf::try_from(&document).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let command = rawdoc! {
            "findAndModify": PROJECTION,
            "query": { "_id": LIVE, "revision": next.revision - 1 },
            "update": raw,
            "fields": { "_id": 1 },
            "writeConcern": write_concern(),
        };
        let reply = self.connection.run(command).await?;
        if reply.contains_key("writeConcernError") {
            return Err(StoreError::unavailable("the generations were changed, but not by a majority"));
        }
        Ok(reply.get_document("value").is_ok())
    }
}

#[async_trait]
impl Generations for MongoProjection {
    fn control(&self) -> Arc<dyn ProjectionControl> {
        Arc::new(self.clone())
    }

    fn writer(&self, generation: Generation) -> Arc<dyn ShipmentWriter> {
        Arc::new(self.store(generation))
    }

    fn scan(&self, generation: Generation) -> Arc<dyn ShipmentScan> {
        Arc::new(MongoReader::of(&self.connection, generation))
    }

    /// Collections come with their first document.
    async fn make(&self, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn complete(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).ensure_indexes().await
    }

    async fn show(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).ensure_view().await
    }

    async fn remove(&self, generation: Generation) -> Result<(), StoreError> {
        self.store(generation).drop_collections().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::on_real_database;
    use crate::projection::conformance;

    #[tokio::test(flavor = "multi_thread")]
    async fn generations_in_mongodb_keep_the_contract() {
        on_real_database("generations_in_mongodb_keep_the_contract", async |connection| {
            conformance::run(Arc::new(MongoProjection::new(&connection))).await;
        })
        .await;
    }
}
