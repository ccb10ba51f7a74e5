//! Writing in batches: one raw command for up to [`STATEMENTS`] documents, acknowledged by a majority. Rows are inserted in order, which
//! costs nothing on one shard; all else is unordered.
//!
//! Raw, because `Client::bulk_write` needs MongoDB 8 and the driver's `insert_many` copies every document twice. A raw command
//! is not retried by the driver; the caller writes the whole batch again, which is safe.

use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};

use super::{Names, decode, encode, find_by_id};
use crate::mongo::{Fault, MongoConnection, batch_command};
use crate::shipment::{LogPosition, TrackingNumber};
use crate::shipment_store::{EventRow, Inserted, StateWrite, StoreError};

/// Most statements in one command; the server allows 100,000.
const STATEMENTS: usize = 5_000;
/// Most bytes of documents in one command: half of the 16 MiB that a command may have.
const COMMAND_BYTES: usize = 8 * 1024 * 1024;
/// Largest document that is sent at all. The server's limit is 16 MiB, and a command that holds a larger one breaks the
/// connection instead of naming the document.
const DOCUMENT_BYTES: usize = 15 * 1024 * 1024;
/// How often statements are sent again that lost the race for a creation. The server has the document then, so the second time is enough.
const RACES: u32 = 3;

/// Inserts the rows up to the first whose id is taken.
pub(super) async fn insert_events(
    connection: &MongoConnection,
    names: &Names,
    rows: &[EventRow],
) -> Result<Inserted, StoreError> {
    let mut batch = Batch::ordered(connection, cstr!("insert"), &names.status_events, cstr!("documents"));
    for (index, row) in rows.iter().enumerate() {
        batch.push(index, encode::row(row)).await?;
        if batch.has_stopped() {
            break;
        }
    }
    // One that is too large to be sent stops it as well, and those before it are sent with the next attempt.
    if !batch.has_stopped() {
        batch.flush().await?;
    }
    match batch.duplicates.first() {
        Some(&taken) => Ok(Inserted::UpTo(taken)),
        None => refused_or_done(batch.refused).map(|()| Inserted::All),
    }
}

/// Writes the rows over what is there, unless that is of a later position.
pub(super) async fn replace_events(
    connection: &MongoConnection,
    names: &Names,
    rows: &[EventRow],
) -> Result<(), StoreError> {
    let mut again: Vec<usize> = (0..rows.len()).collect();
    let mut refused = Vec::new();
    for _ in 0..=RACES {
        let mut batch = Batch::new(connection, cstr!("update"), &names.status_events, cstr!("updates"));
        for &index in &again {
            let row = &rows[index];
            let statement = rawdoc! { "q": unless_later(row), "u": encode::row(row), "upsert": true };
            batch.push(index, statement).await?;
        }
        batch.flush().await?;
        again = std::mem::take(&mut batch.duplicates);
        refused.append(&mut batch.refused);
        if again.is_empty() {
            break;
        }
    }
    // What is there each time and never matches is of a later position, and stays.
    refused_or_done(refused)
}

/// Finds the row that is to be replaced, if it is not of a later position. Where it is, the upsert finds the `_id` taken.
fn unless_later(row: &EventRow) -> RawDocumentBuf {
    let LogPosition { epoch, offset } = row.position.log;
    rawdoc! {
        "_id": row.row_id().to_string(),
        "$or": [{ "e": { "$lt": epoch } }, { "e": epoch, "o": { "$lte": offset } }],
    }
}

/// Writes each state that is newer than the stored one.
pub(super) async fn write_states(
    connection: &MongoConnection,
    names: &Names,
    writes: &[StateWrite],
) -> Result<(), StoreError> {
    let mut again: Vec<usize> = (0..writes.len()).collect();
    let mut refused = Vec::new();
    let mut unmatched = 0;
    for _ in 0..=RACES {
        let mut batch = Batch::new(connection, cstr!("update"), &names.shipments, cstr!("updates"));
        for &index in &again {
            match state_statement(&writes[index]) {
                Ok(statement) => batch.push(index, statement).await?,
                Err(why) => batch.refused.push((index, why)),
            }
        }
        batch.flush().await?;
        again = std::mem::take(&mut batch.duplicates);
        refused.append(&mut batch.refused);
        unmatched += batch.unmatched;
        if again.is_empty() {
            if unmatched > 0 {
                return Err(who_is_missing(connection, names, writes).await);
            }
            return refused_or_done(refused);
        }
    }
    Err(lost_races(again.len()))
}

/// `{q: {_id}, u: {$max: {state}}}`: the filter is `_id` alone, which skips the query planner. A creation inserts the
/// document when it is not there.
fn state_statement(write: &StateWrite) -> Result<RawDocumentBuf, String> {
    let mut max = RawDocumentBuf::new();
    max.append(cstr!("state"), encode::state(&write.state));
    let mut update = RawDocumentBuf::new();
    update.append(cstr!("$max"), max);
    if let Some(created) = &write.created {
        update.append(cstr!("$setOnInsert"), encode::registration(created)?);
    }
    let mut statement = rawdoc! { "q": { "_id": write.tracking_number.as_str() } };
    statement.append(cstr!("u"), update);
    if write.created.is_some() {
        statement.append(cstr!("upsert"), true);
    }
    Ok(statement)
}

fn refused_or_done(mut refused: Vec<(usize, String)>) -> Result<(), StoreError> {
    if refused.is_empty() {
        return Ok(());
    }
    refused.sort_unstable_by_key(|&(index, _)| index);
    Err(StoreError::Refused(refused))
}

fn lost_races(count: usize) -> StoreError {
    StoreError::unavailable(format!("{count} documents were inserted by somebody else again and again"))
}

/// The reply says how many statements matched nothing, and not which.
async fn who_is_missing(connection: &MongoConnection, names: &Names, writes: &[StateWrite]) -> StoreError {
    let updated: Vec<TrackingNumber> =
        writes.iter().filter(|write| write.created.is_none()).map(|write| write.tracking_number).collect();
    let mut missing: std::collections::BTreeSet<_> = updated.iter().copied().collect();
    let shipments = connection.collection(&names.shipments);
    let found = find_by_id(&shipments, &updated, Some(doc! { "_id": 1 }), |document| {
        missing.remove(&decode::number(document)?);
        Ok(())
    });
    match (found.await, missing.first()) {
        (Err(error), _) => error,
        (Ok(()), Some(first)) => {
            StoreError::Corrupt(format!("{} shipments are not there, among them {first}", missing.len()))
        }
        // The next attempt writes their states.
        (Ok(()), None) => StoreError::unavailable("shipments appeared while their states were written"),
    }
}

/// Collects documents and sends them when there are enough.
struct Batch<'a> {
    connection: &'a MongoConnection,
    verb: &'static CStr,
    collection: &'a str,
    /// The server stops at the first document that it does not take.
    ordered: bool,
    members: &'static CStr,
    documents: RawArrayBuf,
    bytes: usize,
    /// For each document of the next command, its index in the call.
    indexes: Vec<usize>,
    /// Indexes in the call whose `_id` was taken.
    duplicates: Vec<usize>,
    /// Indexes in the call that will never be accepted, and why.
    refused: Vec<(usize, String)>,
    /// How many statements neither matched nor inserted anything.
    unmatched: usize,
}

impl<'a> Batch<'a> {
    fn new(connection: &'a MongoConnection, verb: &'static CStr, collection: &'a str, members: &'static CStr) -> Self {
        let (documents, indexes, duplicates, refused) = (RawArrayBuf::new(), Vec::new(), Vec::new(), Vec::new());
        let (ordered, bytes, unmatched) = (false, 0, 0);
        Self {
            connection,
            verb,
            collection,
            ordered,
            members,
            documents,
            bytes,
            indexes,
            duplicates,
            refused,
            unmatched,
        }
    }

    fn ordered(
        connection: &'a MongoConnection,
        verb: &'static CStr,
        collection: &'a str,
        members: &'static CStr,
    ) -> Self {
        Self { ordered: true, ..Self::new(connection, verb, collection, members) }
    }

    /// Whether there is a document that was not taken.
    fn has_stopped(&self) -> bool {
        !self.duplicates.is_empty() || !self.refused.is_empty()
    }

    async fn push(&mut self, index: usize, document: RawDocumentBuf) -> Result<(), StoreError> {
        let size = document.as_bytes().len();
        if size > DOCUMENT_BYTES {
            self.refused.push((index, format!("the document has {size} bytes")));
            return Ok(());
        }
        if !self.indexes.is_empty() && (self.indexes.len() >= STATEMENTS || self.bytes + size > COMMAND_BYTES) {
            self.flush().await?;
        }
        self.bytes += size;
        self.indexes.push(index);
        self.documents.push(document);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.indexes.is_empty() {
            return Ok(());
        }
        let (documents, indexes) = (std::mem::take(&mut self.documents), std::mem::take(&mut self.indexes));
        self.bytes = 0;
        let command = batch_command(self.verb, self.collection, self.ordered, self.members, documents);
        let reply = self.connection.run(command).await?;
        self.read_reply(&reply, &indexes)
    }

    fn read_reply(&mut self, reply: &Document, indexes: &[usize]) -> Result<(), StoreError> {
        let mut failed = 0;
        for error in reply.get_array("writeErrors").into_iter().flatten().filter_map(|error| error.as_document()) {
            let integer = |key| error.get_i32(key).ok();
            let code = integer("code").unwrap_or_default();
            let why = error.get_str("errmsg").unwrap_or("no reason was given");
            let index = integer("index").and_then(|index| indexes.get(usize::try_from(index).ok()?).copied());
            match (Fault::of(code), index) {
                (Fault::Duplicate, Some(index)) => self.duplicates.push(index),
                (Fault::Refused, Some(index)) => self.refused.push((index, format!("{why} (code {code})"))),
                (Fault::Unavailable, _) | (_, None) => {
                    return Err(StoreError::unavailable(format!("MongoDB did not write: {why} (code {code})")));
                }
            }
            failed += 1;
        }
        if let Ok(error) = reply.get_document("writeConcernError") {
            let why = error.get_str("errmsg").unwrap_or("no reason was given");
            return Err(StoreError::unavailable(format!("written, but not by a majority: {why}")));
        }
        let written = reply.get_i32("n").ok().and_then(|n| usize::try_from(n).ok());
        let Some(written) = written else {
            return Err(StoreError::unavailable("MongoDB's reply does not say how many documents it wrote"));
        };
        self.unmatched += indexes.len().saturating_sub(written + failed);
        Ok(())
    }
}
