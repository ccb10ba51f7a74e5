//! Keys in MongoDB, collection `idempotency_keys`.
//!
//! A new key is an insert: the index on `_id` lets one of all who try in. Whoever finds the key there looks at it and, where the rule says so,
//! changes it, in one command on one document (`findAndModify` with a pipeline); the rule is `held::enter`, and the pipeline
//! does what it would have written. The command gives the document as it was before, and waits for a majority also when it changed
//! nothing, so what is said of it cannot be rolled back.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mongodb::bson::raw::cstr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, RawArrayBuf, RawDocumentBuf, doc, rawdoc};

use super::held::{Held, enter};
use super::{Attempt, Claim, Fingerprint, IdempotencyKeys, KeptAnswer, KeyId, LEASE, Standing};
use crate::mongo::{
    CALL_DEADLINE, Members, MongoConnection, SERVER_DEADLINE, batch_command, calling, date, within, write_concern,
};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

const IDEMPOTENCY_KEYS: &str = "idempotency_keys";
/// The collection is small: one day's keys.
const SCHEMA_DEADLINE: Duration = Duration::from_secs(10);
/// How long after its expiry MongoDB clears a key away. We do not look at it any more then; the hour is for a server whose clock is ahead of ours,
/// which must not forget what we still promise.
const CLEARED_AFTER: Duration = Duration::from_secs(3600);
/// How often a key that came and went (cleared away between our two commands) is tried again.
const RACES: u32 = 3;

/// The keys in one database.
#[derive(Clone, Debug)]
pub struct MongoKeys {
    connection: MongoConnection,
}

impl MongoKeys {
    /// The keys on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    /// Makes the index by which MongoDB clears away what has expired. Safe to call again and from several processes at once.
    ///
    /// # Errors
    /// MongoDB is away, or refuses.
    pub async fn ensure_schema(&self) -> Result<(), StoreError> {
        let seconds = i64::try_from(CLEARED_AFTER.as_secs()).unwrap_or(i64::MAX);
        let indexes = doc! { "createIndexes": IDEMPOTENCY_KEYS, "indexes": [
            { "name": "expiry", "key": { "expires_at": 1 }, "expireAfterSeconds": seconds },
        ] };
        self.connection.administer(indexes, SCHEMA_DEADLINE).await.map_err(|failure| failure.error)
    }

    async fn find(&self, id: KeyId) -> Result<Option<Held>, StoreError> {
        let keys = self.connection.collection(IDEMPOTENCY_KEYS);
        let find = keys.find_one(doc! { "_id": id.to_string() }).max_time(SERVER_DEADLINE);
        let found = calling("find", &keys, within(CALL_DEADLINE, find)).await?;
        found.as_deref().map(|document| decode(Members(document))).transpose()
    }

    /// Whether the key was new.
    async fn insert(&self, id: KeyId, held: &Held) -> Result<bool, StoreError> {
        self.connection.insert(IDEMPOTENCY_KEYS, encode(id, held)).await
    }

    /// Changes the document that `query` finds; gives what it was, or the part of it that `fields` names.
    async fn change<T>(
        &self,
        query: RawDocumentBuf,
        pipeline: RawArrayBuf,
        fields: RawDocumentBuf,
        read: impl FnOnce(Members<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let command = rawdoc! {
            "findAndModify": IDEMPOTENCY_KEYS,
            "query": query,
            "update": pipeline,
            "fields": fields,
            "writeConcern": write_concern(),
        };
        let reply = self.connection.run(command).await?;
        if reply.contains_key("writeConcernError") {
            return Err(StoreError::unavailable("read or written, but not by a majority"));
        }
        let reply = RawDocumentBuf::try_from(&reply).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Members(&reply).optional_document("value")?.map(read).transpose()
    }

    /// Enters where a key is; `None` when there is none, or one that has expired and no plan to begin it anew.
    async fn enter(&self, claim: &Claim, plan: Option<Bytes>, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        let mut branches = RawArrayBuf::new();
        if let Some(plan) = plan.clone() {
            branches.push(rawdoc! {
                "case": { "$lte": ["$expires_at", date(now)] },
                "then": { "$literal": encode(claim.id, &Held::begun(claim, plan, now)) },
            });
        }
        branches.push(rawdoc! {
            "case": { "$and": [
                { "$gt": ["$expires_at", date(now)] },
                { "$eq": ["$fingerprint", binary(&claim.fingerprint.0)] },
                { "$eq": [{ "$type": "$answer" }, "missing"] },
                { "$lte": ["$lease_until", date(now)] },
            ] },
            "then": { "$mergeObjects": ["$$ROOT", {
                "attempt": { "$add": ["$attempt", 1_i64] },
                "lease_until": date(now.plus(LEASE)),
            }] },
        });
        let mut pipeline = RawArrayBuf::new();
        pipeline.push(rawdoc! { "$replaceWith": { "$switch": { "branches": branches, "default": "$$ROOT" } } });
        let query = rawdoc! { "_id": claim.id.to_string() };
        let held = self.change(query, pipeline, rawdoc! {}, decode).await?;
        // Without a document nothing was changed, so nothing may be begun.
        Ok(held.and_then(|held| enter(Some(held), claim, plan, now).0))
    }
}

#[async_trait]
impl IdempotencyKeys for MongoKeys {
    async fn resume(&self, claim: &Claim, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        // What a majority holds may be a moment old; then it says less than is true, never more.
        let (standing, write) = enter(self.find(claim.id).await?, claim, None, now);
        if write.is_none() { Ok(standing) } else { self.enter(claim, None, now).await }
    }

    async fn begin(&self, claim: &Claim, plan: Bytes, now: Timestamp) -> Result<Standing, StoreError> {
        let held = Held::begun(claim, plan.clone(), now);
        for _ in 0..=RACES {
            if self.insert(claim.id, &held).await? {
                return Ok(held.started(claim.id));
            }
            if let Some(standing) = self.enter(claim, Some(plan.clone()), now).await? {
                return Ok(standing);
            }
        }
        Err(StoreError::unavailable("the key came and went again and again"))
    }

    async fn finish(&self, attempt: &Attempt, answer: &KeptAnswer) -> Result<Option<KeptAnswer>, StoreError> {
        let query = rawdoc! { "_id": attempt.id.to_string(), "expires_at": date(attempt.expires_at) };
        let mut pipeline = RawArrayBuf::new();
        let first = rawdoc! { "$ifNull": ["$answer", { "$literal": encode_answer(answer) }] };
        pipeline.push(rawdoc! { "$set": { "answer": first } });
        pipeline.push(rawdoc! { "$unset": "plan" });
        let read = |members: Members<'_>| members.optional_document("answer")?.map(decode_answer).transpose();
        Ok(self.change(query, pipeline, rawdoc! { "answer": 1 }, read).await?.flatten())
    }

    async fn release(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let mut updates = RawArrayBuf::new();
        updates.push(rawdoc! {
            "q": {
                "_id": attempt.id.to_string(),
                "expires_at": date(attempt.expires_at),
                "attempt": attempt.number,
                "answer": { "$exists": false },
            },
            "u": { "$set": { "lease_until": date(Timestamp::default()) } },
        });
        self.connection
            .write_one(batch_command(cstr!("update"), IDEMPOTENCY_KEYS, cstr!("updates"), updates))
            .await
            .map(drop)
    }
}

fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

/// A document without an answer: that is added when there is one.
fn encode(id: KeyId, held: &Held) -> RawDocumentBuf {
    rawdoc! {
        "_id": id.to_string(),
        "fingerprint": binary(&held.fingerprint.0),
        "expires_at": date(held.expires_at),
        "attempt": held.attempt,
        "lease_until": date(held.lease_until),
        "plan": binary(&held.plan),
    }
}

fn encode_answer(answer: &KeptAnswer) -> RawDocumentBuf {
    let mut headers = RawArrayBuf::new();
    for (name, value) in &answer.headers {
        headers.push(rawdoc! { "name": name.as_str(), "value": value.as_str() });
    }
    rawdoc! { "status": i32::from(answer.status), "headers": headers, "body": binary(&answer.body) }
}

fn decode(members: Members<'_>) -> Result<Held, StoreError> {
    let fingerprint = members.bytes("fingerprint")?;
    let wrong = |_| StoreError::Corrupt(format!("a fingerprint has {} bytes, not 32", fingerprint.len()));
    let answer = members.optional_document("answer")?.map(decode_answer).transpose()?;
    // The plan of a key that has its answer is gone.
    let plan = if answer.is_some() { &[] } else { members.bytes("plan")? };
    Ok(Held {
        fingerprint: Fingerprint(fingerprint.try_into().map_err(wrong)?),
        expires_at: members.date("expires_at")?,
        attempt: members.integer("attempt")?,
        lease_until: members.date("lease_until")?,
        plan: Bytes::copy_from_slice(plan),
        answer,
    })
}

fn decode_answer(members: Members<'_>) -> Result<KeptAnswer, StoreError> {
    let mut headers = Vec::new();
    for header in members.optional_array("headers")?.into_iter().flatten() {
        let header = header.ok().and_then(|header| header.as_document());
        let header = Members(header.ok_or_else(|| StoreError::Corrupt("a header is no document".to_owned()))?);
        headers.push((header.string("name")?, header.string("value")?));
    }
    let body = Bytes::copy_from_slice(members.bytes("body")?);
    Ok(KeptAnswer { status: members.number("status")?, headers, body })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::idempotency::conformance;
    use crate::mongo::on_real_database;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_keys_keep_the_contract() {
        on_real_database("the_mongo_keys_keep_the_contract", async |connection| {
            let keys = MongoKeys::new(&connection);
            tokio::try_join!(keys.ensure_schema(), keys.ensure_schema()).expect("made");
            conformance::run([Arc::new(keys), Arc::new(MongoKeys::new(&connection))]).await;
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_is_taken_once_also_without_the_index() {
        on_real_database("a_key_is_taken_once_also_without_the_index", async |connection| {
            let keys = MongoKeys::new(&connection);
            conformance::run([Arc::new(keys.clone()), Arc::new(keys)]).await;
        })
        .await;
    }

    #[tokio::test]
    async fn mongodb_clears_away_what_has_expired() {
        on_real_database("mongodb_clears_away_what_has_expired", async |connection| {
            MongoKeys::new(&connection).ensure_schema().await.expect("made");
            let reply = connection.run(rawdoc! { "listIndexes": IDEMPOTENCY_KEYS }).await.expect("listed");
            let indexes = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).expect("some");
            let expiry = indexes
                .iter()
                .filter_map(|index| index.as_document())
                .find(|index| index.contains_key("expireAfterSeconds"));
            let expiry = expiry.expect("an index that expires");
            assert_eq!(expiry.get_document("key").expect("it has one"), &doc! { "expires_at": 1 });
        })
        .await;
    }
}
