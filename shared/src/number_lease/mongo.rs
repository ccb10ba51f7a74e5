//! Leases in MongoDB: the document `tracking_numbers` of the collection `control`, with the counter `next` and the cipher's `key`.

use async_trait::async_trait;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, RawDocumentBuf, rawdoc};

use super::{NumberLease, NumberLeases, random_key};
use crate::mongo::{Members, MongoConnection, write_concern};
use crate::shipment_store::StoreError;

const CONTROL: &str = "control";
const TRACKING_NUMBERS: &str = "tracking_numbers";

/// The counter in one database.
#[derive(Clone, Debug)]
pub struct MongoLeases {
    connection: MongoConnection,
}

impl MongoLeases {
    /// The counter on `connection`. It is made, with a random key, by the first lease of all.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }
}

#[async_trait]
impl NumberLeases for MongoLeases {
    async fn lease(&self, count: u32) -> Result<NumberLease, StoreError> {
        // Only the first lease of all sets it; a key that is there stays.
        let key = Binary { subtype: BinarySubtype::Generic, bytes: random_key()?.to_vec() };
        // The server itself tries an upsert again that lost the race for `_id`.
        let command = rawdoc! {
            "findAndModify": CONTROL,
            "query": { "_id": TRACKING_NUMBERS },
            "update": { "$inc": { "next": i64::from(count) }, "$setOnInsert": { "key": key } },
            "upsert": true,
            "new": true,
            "writeConcern": write_concern(),
        };
        let reply = self.connection.run(command).await?;
        if reply.contains_key("writeConcernError") {
            return Err(StoreError::unavailable("the counter was advanced, but not by a majority"));
        }
        let reply = RawDocumentBuf::try_from(&reply).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let counter = Members(&reply).document("value")?;
        let key = counter.bytes("key")?;
        let wrong = || StoreError::Corrupt(format!("the key of {TRACKING_NUMBERS} has {} bytes, not 32", key.len()));
        let key = key.try_into().map_err(|_| wrong())?;
        // It counts up from 0 and is read after the addition.
        let first = counter.number::<u64>("next")?.saturating_sub(u64::from(count));
        Ok(NumberLease { first, count, key })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mongo::on_real_database;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_leases_keep_the_contract() {
        on_real_database("the_mongo_leases_keep_the_contract", async |connection| {
            crate::number_lease::conformance::run(Arc::new(MongoLeases::new(&connection))).await;
        })
        .await;
    }

    #[tokio::test]
    async fn a_second_process_goes_on_where_the_first_one_stopped() {
        on_real_database("a_second_process_goes_on_where_the_first_one_stopped", async |connection| {
            let first = MongoLeases::new(&connection).lease(10).await.expect("a lease");
            let second = MongoLeases::new(&connection).lease(5).await.expect("a lease");
            assert_eq!((first.first, second.first, second.count), (0, 10, 5));
            assert!(first.key == second.key);
        })
        .await;
    }
}
