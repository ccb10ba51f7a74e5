//! Unmapped codes in MongoDB, collection `unmapped_codes`.
//!
//! `_id` is the carrier and the code, so that one index serves everything: all entries of a carrier stand side by side in it.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, doc, rawdoc};

use super::{CODES_PER_CARRIER, KEPT, Room, Seen, UnmappedCode, UnmappedCodes};
use crate::mongo::{
    CALL_DEADLINE, Fault, Members, MongoConnection, SERVER_DEADLINE, append_text, batch_command, date, ids_in, within,
};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

const UNMAPPED_CODES: &str = "unmapped_codes";

/// The codes in one database.
#[derive(Clone, Debug)]
pub struct MongoUnmappedCodes {
    connection: MongoConnection,
}

impl MongoUnmappedCodes {
    /// The codes on `connection`.
    #[must_use]
    pub fn new(connection: &MongoConnection) -> Self {
        Self { connection: connection.clone() }
    }

    async fn known(&self, sightings: &[UnmappedCode]) -> Result<HashSet<String>, StoreError> {
        let ids: Vec<_> = sightings.iter().map(id).collect();
        let collection = self.connection.collection(UNMAPPED_CODES);
        let find = collection.find(ids_in(&ids)).projection(doc! { "_id": 1 }).max_time(SERVER_DEADLINE);
        let mut cursor = within(CALL_DEADLINE, find).await?;
        let mut known = HashSet::new();
        while within(CALL_DEADLINE, cursor.advance()).await? {
            known.insert(Members(cursor.current()).string("_id")?);
        }
        Ok(known)
    }

    /// How many new entries `carrier` has room for, after old ones were dropped if there was none.
    async fn room_of(&self, carrier: &str, now: Timestamp) -> Result<usize, StoreError> {
        let collection = self.connection.collection(UNMAPPED_CODES);
        let count = async || {
            let mut entries = of_carrier(carrier);
            entries.insert("rest", doc! { "$ne": true });
            let count = collection.count_documents(entries).max_time(SERVER_DEADLINE);
            let count = within(CALL_DEADLINE, count).await?;
            Ok::<_, StoreError>(usize::try_from(count).unwrap_or(usize::MAX))
        };
        let mut entries = count().await?;
        if entries >= CODES_PER_CARRIER {
            let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
            let since = Timestamp::from_millis(now.as_millis().saturating_sub(kept));
            let mut old = of_carrier(carrier);
            old.insert("last_seen", doc! { "$lt": date(since) });
            within(CALL_DEADLINE, collection.delete_many(old)).await?;
            entries = count().await?;
        }
        Ok(CODES_PER_CARRIER.saturating_sub(entries))
    }
}

/// A slug holds no colon, so nothing of another carrier begins in this way.
fn id(code: &UnmappedCode) -> String {
    format!("{}:{}", code.carrier, code.seen.key())
}

/// All entries of `carrier`: those whose `_id` begins with it and a colon. The semicolon is the next character.
fn of_carrier(carrier: &str) -> Document {
    doc! { "_id": { "$gte": format!("{carrier}:"), "$lt": format!("{carrier};") } }
}

fn statement(code: &UnmappedCode) -> RawDocumentBuf {
    let count = i64::try_from(code.count).unwrap_or(i64::MAX);
    let mut latest = rawdoc! { "carrier": code.carrier.as_str(), "tracking_number": code.tracking_number.as_str() };
    append_text(&mut latest, cstr!("text"), code.text.as_deref());
    if code.seen == Seen::Rest {
        latest.append(cstr!("rest"), true);
    }
    rawdoc! {
        "q": { "_id": id(code) },
        "u": {
            "$inc": { "count": count },
            "$min": { "first_seen": date(code.first_seen) },
            "$max": { "last_seen": date(code.last_seen) },
            "$set": latest,
        },
        "upsert": true,
    }
}

fn decode(document: &RawDocument) -> Result<UnmappedCode, StoreError> {
    let members = Members(document);
    let carrier = members.string("carrier")?;
    let seen = |id: &str| Seen::from_key(id.strip_prefix(&carrier)?.strip_prefix(':')?);
    Ok(UnmappedCode {
        seen: members.parsed("_id", seen)?,
        text: members.optional_string("text")?,
        count: members.number("count")?,
        first_seen: members.date("first_seen")?,
        last_seen: members.date("last_seen")?,
        tracking_number: members.parsed("tracking_number", |text| text.parse().ok())?,
        carrier,
    })
}

#[async_trait]
impl UnmappedCodes for MongoUnmappedCodes {
    async fn add(&self, sightings: &[UnmappedCode]) -> Result<(), StoreError> {
        if sightings.is_empty() {
            return Ok(());
        }
        let known = self.known(sightings).await?;
        let is_known = |sighting: &UnmappedCode| known.contains(&id(sighting));
        let mut latest = BTreeMap::<&str, Timestamp>::new();
        for sighting in sightings.iter().filter(|sighting| !is_known(sighting)) {
            let time = latest.entry(&sighting.carrier).or_default();
            *time = sighting.last_seen.max(*time);
        }
        let mut room = Room::default();
        for (carrier, now) in latest {
            room.set(carrier, self.room_of(carrier, now).await?);
        }
        let mut again: Vec<RawDocumentBuf> = room.divide(sightings, is_known).iter().map(statement).collect();
        // Two processes that make one entry at once: the second one is told that it is there, and finds it when it tries again.
        for _ in 0..RACES {
            again = self.write(again).await?;
            if again.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::unavailable("others made the same entries each time"))
    }

    async fn list(&self, carrier: Option<&str>, limit: u32) -> Result<Vec<UnmappedCode>, StoreError> {
        let collection = self.connection.collection(UNMAPPED_CODES);
        let order = doc! { "count": -1, "last_seen": -1 };
        let find = collection.find(carrier.map(of_carrier).unwrap_or_default()).sort(order);
        let mut cursor = within(CALL_DEADLINE, find.limit(i64::from(limit)).max_time(SERVER_DEADLINE)).await?;
        let mut codes = Vec::new();
        while within(CALL_DEADLINE, cursor.advance()).await? {
            codes.push(decode(cursor.current())?);
        }
        Ok(codes)
    }
}

/// How often statements are sent again that lost the race for a new entry. The server has it then, so the second time is enough.
const RACES: u32 = 3;

impl MongoUnmappedCodes {
    /// Runs the statements; gives back those that lost a race.
    async fn write(&self, statements: Vec<RawDocumentBuf>) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let mut updates = RawArrayBuf::new();
        for statement in &statements {
            updates.push(statement.clone());
        }
        let command = batch_command(cstr!("update"), UNMAPPED_CODES, cstr!("updates"), updates);
        let reply = self.connection.run(command).await?;
        if reply.contains_key("writeConcernError") {
            return Err(StoreError::unavailable("written, but not by a majority"));
        }
        let mut lost = Vec::new();
        for error in reply.get_array("writeErrors").into_iter().flatten().filter_map(Bson::as_document) {
            let index = error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
            let why = error.get_str("errmsg").unwrap_or_default();
            match (Fault::of(error.get_i32("code").unwrap_or_default()), index.and_then(|index| statements.get(index)))
            {
                (Fault::Duplicate, Some(statement)) => lost.push(statement.clone()),
                (Fault::Refused, _) => return Err(StoreError::Refused(vec![(index.unwrap_or(0), why.to_owned())])),
                (Fault::Duplicate | Fault::Unavailable, _) => return Err(StoreError::unavailable(why)),
            }
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mongo::on_real_database;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_mongo_codes_keep_the_contract() {
        on_real_database("the_mongo_codes_keep_the_contract", async |connection| {
            crate::unmapped_codes::conformance::run(Arc::new(MongoUnmappedCodes::new(&connection))).await;
        })
        .await;
    }
}
