//! The log of operators in MongoDB, collection `operator_log`.
//!
//! `_id` is an object id, which begins with the second in which it was made: the index that is there anyway gives the newest first.

use async_trait::async_trait;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawDocument, doc, rawdoc};

use super::{Act, Entry, OperatorLog};
use crate::mongo::{CALL_DEADLINE, Members, MongoConnection, SERVER_DEADLINE, date, within};
use crate::shipment_store::StoreError;

const OPERATOR_LOG: &str = "operator_log";

/// The log in one database.
#[derive(Clone, Debug)]
pub struct MongoOperatorLog {
    connection: MongoConnection,
}

impl MongoOperatorLog {
    /// The log on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }
}

fn decode(document: &RawDocument) -> Result<Entry, StoreError> {
    let members = Members(document);
    Ok(Entry {
        at: members.date("at")?,
        by: members.string("by")?,
        act: members.parsed("act", Act::from_word)?,
        details: members.parsed("details", |text| serde_json::from_str(text).ok())?,
    })
}

#[async_trait]
impl OperatorLog for MongoOperatorLog {
    async fn write(&self, entry: &Entry) -> Result<(), StoreError> {
        let document = rawdoc! {
            "_id": ObjectId::new(),
            "at": date(entry.at),
            "by": entry.by.as_str(),
            "act": entry.act.as_str(),
            // As text: whatever it says, no name in it means anything to the server.
            "details": entry.details.to_string(),
        };
        self.connection.insert(OPERATOR_LOG, document).await.map(drop)
    }

    async fn newest(&self, act: Option<Act>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new()); // which the server takes for no limit
        }
        let filter = act.map_or_else(Document::new, |act| doc! { "act": act.as_str() });
        let collection = self.connection.collection(OPERATOR_LOG);
        let find = collection.find(filter).sort(doc! { "_id": -1 }).limit(i64::from(limit)).max_time(SERVER_DEADLINE);
        let mut cursor = within(CALL_DEADLINE, find).await?;
        let mut entries = Vec::new();
        while within(CALL_DEADLINE, cursor.advance()).await? {
            entries.push(decode(cursor.current())?);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mongo::on_real_database;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_log_keeps_the_contract() {
        on_real_database("the_mongo_log_keeps_the_contract", async |connection| {
            crate::operator_log::conformance::run(&MongoOperatorLog::new(&connection)).await;
        })
        .await;
    }
}
