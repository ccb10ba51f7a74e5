//! Keys in MongoDB, collection `auth_api_keys`. `_id` is the key's id, so the index that every collection has is the only one.

use async_trait::async_trait;
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, RawDocument, RawDocumentBuf, doc};

use super::{ApiKey, ApiKeyError, ApiKeyStore, KeyHash, KeyId};
use crate::mongo::{
    CALL_DEADLINE, Members, MongoConnection, SERVER_DEADLINE, append_text, calling, date, majority, within,
};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::user_store::Role;

const AUTH_API_KEYS: &str = "auth_api_keys";

/// The keys in one database.
#[derive(Clone, Debug)]
pub struct MongoApiKeys {
    connection: MongoConnection,
}

impl MongoApiKeys {
    /// The keys on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    async fn select(&self, condition: mongodb::bson::Document) -> Result<Vec<ApiKey>, StoreError> {
        let collection = self.connection.collection(AUTH_API_KEYS);
        let find = collection.find(condition).sort(doc! { "created_at": 1, "_id": 1 }).max_time(SERVER_DEADLINE);
        let reading = async {
            let mut cursor = within(CALL_DEADLINE, find).await?;
            let mut keys = Vec::new();
            while within(CALL_DEADLINE, cursor.advance()).await? {
                keys.push(decode(cursor.current())?);
            }
            Ok(keys)
        };
        calling("find", &collection, reading).await
    }
}

fn encode(key: &ApiKey) -> RawDocumentBuf {
    let hash = Binary { subtype: BinarySubtype::Generic, bytes: key.hash.bytes().to_vec() };
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), key.id.as_str());
    document.append(cstr!("name"), key.name.as_str());
    document.append(cstr!("hash"), hash);
    document.append(cstr!("role"), key.role.as_str());
    append_text(&mut document, cstr!("client_id"), key.client_id.as_deref());
    document.append(cstr!("created_at"), date(key.created_at));
    document.append(cstr!("created_by"), key.created_by.as_str());
    if let Some(time) = key.expires_at {
        document.append(cstr!("expires_at"), date(time));
    }
    if let Some(time) = key.last_used_at {
        document.append(cstr!("last_used_at"), date(time));
    }
    document
}

fn decode(document: &RawDocument) -> Result<ApiKey, StoreError> {
    let members = Members(document);
    let hash = members.bytes("hash")?;
    let wrong = || StoreError::Corrupt(format!("the hash of a key has {} bytes, not 32", hash.len()));
    Ok(ApiKey {
        id: members.parsed("_id", KeyId::parse)?,
        name: members.string("name")?,
        hash: KeyHash::of_bytes(hash.try_into().map_err(|_| wrong())?),
        role: members.parsed("role", Role::of)?,
        client_id: members.optional_string("client_id")?,
        created_at: members.date("created_at")?,
        created_by: members.string("created_by")?,
        expires_at: members.optional_date("expires_at")?,
        last_used_at: members.optional_date("last_used_at")?,
    })
}

#[async_trait]
impl ApiKeyStore for MongoApiKeys {
    async fn find(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        let found = self.select(doc! { "_id": id.as_str() }).await?;
        Ok(found.into_iter().next())
    }

    async fn add(&self, key: ApiKey) -> Result<(), ApiKeyError> {
        let is_new = self.connection.insert(AUTH_API_KEYS, encode(&key)).await?;
        if is_new { Ok(()) } else { Err(ApiKeyError::Taken) }
    }

    async fn all(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.select(doc! {}).await
    }

    async fn remove(&self, id: &KeyId) -> Result<bool, StoreError> {
        let collection = self.connection.collection(AUTH_API_KEYS);
        let delete = collection.delete_one(doc! { "_id": id.as_str() }).write_concern(majority());
        Ok(calling("delete", &collection, within(CALL_DEADLINE, delete)).await?.deleted_count > 0)
    }

    async fn used(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        let collection = self.connection.collection(AUTH_API_KEYS);
        let later = doc! { "$max": { "last_used_at": date(at) } };
        let note = collection.update_one(doc! { "_id": id.as_str() }, later);
        calling("update", &collection, within(CALL_DEADLINE, note)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mongo::on_real_database;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_keys_keep_the_contract() {
        on_real_database("the_mongo_keys_keep_the_contract", async |connection| {
            crate::api_key_store::conformance::run(Arc::new(MongoApiKeys::new(&connection))).await;
        })
        .await;
    }
}
