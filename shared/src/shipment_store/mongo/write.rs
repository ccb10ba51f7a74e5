//! Writing in batches: one raw command for up to [`STATEMENTS`] documents, acknowledged by a majority. Rows are inserted in order, which
//! costs nothing on one shard; all else is unordered.
//!
//! Raw, because `Client::bulk_write` needs MongoDB 8 and the driver's `insert_many` copies every document twice. A raw command
//! is not retried by the driver; the caller writes the whole batch again, which is safe.

use std::ffi::CStr;

use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::{Names, decode, encode, find_by_id};
use crate::mongo::{BsonWriter, Fault, MongoConnection, Open, SERVER_DEADLINE};
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
    let mut batch = Batch::new(connection, Verb::Insert, &names.status_events);
    for (index, row) in rows.iter().enumerate() {
        batch
            .push(index, |document| {
                encode::row(document, row);
                Ok(())
            })
            .await?;
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
        let mut batch = Batch::new(connection, Verb::Update, &names.status_events);
        for &index in &again {
            batch.push(index, |statement| replacement(statement, &rows[index])).await?;
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

/// Finds the row that is to be replaced, if it was not judged at a later position. Where it was, the upsert finds the `_id` taken.
fn replacement(statement: &mut BsonWriter, row: &EventRow) -> Result<(), String> {
    let judged_at = row.judged_at();
    statement.document(c"q", |condition| {
        condition.text(c"_id", &row.row_id().text());
        condition.documents(c"$or", [true, false], |either, of_one_never_parked| {
            if of_one_never_parked {
                either.document(c"released_at", |released| released.flag(c"$exists", false));
                not_later(either, judged_at);
            } else {
                either.document(c"released_at", |released| {
                    released.document(c"$lte", |document| encode::position(document, judged_at));
                });
            }
        });
    });
    statement.document(c"u", |document| encode::row(document, row));
    statement.flag(c"upsert", true);
    Ok(())
}

fn not_later(condition: &mut BsonWriter, LogPosition { epoch, offset }: LogPosition) {
    condition.documents(c"$or", [true, false], |either, of_an_earlier_epoch| {
        if of_an_earlier_epoch {
            either.document(c"e", |earlier| earlier.integer(c"$lt", epoch));
        } else {
            either.integer(c"e", epoch);
            either.document(c"o", |not_later| not_later.integer(c"$lte", offset));
        }
    });
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
        let mut batch = Batch::new(connection, Verb::Update, &names.shipments);
        for &index in &again {
            batch.push(index, |statement| newest(statement, &writes[index])).await?;
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
pub(super) fn newest(statement: &mut BsonWriter, write: &StateWrite) -> Result<(), String> {
    statement.document(c"q", |condition| condition.text(c"_id", write.tracking_number.as_str()));
    let mut registered = Ok(());
    statement.document(c"u", |update| {
        update.document(c"$max", |max| {
            max.document(c"state", |state| encode::state(state, &write.state));
            if let Some(partition) = write.parking {
                max.document(c"parking", |parking| encode::parking(parking, &write.state, partition));
            }
        });
        if let Some(created) = &write.created {
            update.document(c"$setOnInsert", |insert| registered = encode::registration(insert, created));
        }
    });
    if write.created.is_some() {
        statement.flag(c"upsert", true);
    }
    registered
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

/// What a command does with its documents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// Inserts them, in their order, up to the first that the server does not take.
    Insert,
    /// Carries out each that it can.
    Update,
}

impl Verb {
    /// What the command and its array of documents are called.
    fn names(self) -> (&'static CStr, &'static CStr) {
        match self {
            Self::Insert => (c"insert", c"documents"),
            Self::Update => (c"update", c"updates"),
        }
    }
}

/// Writes documents into a command, and sends it when there are enough.
struct Batch<'a> {
    connection: &'a MongoConnection,
    verb: Verb,
    collection: &'a str,
    /// The command, as far as it is written, and where it and its array begin.
    command: BsonWriter,
    open: Option<(Open, Open)>,
    /// For each document of the command, its index in the call.
    indexes: Vec<usize>,
    /// Indexes in the call whose `_id` was taken.
    duplicates: Vec<usize>,
    /// Indexes in the call that will never be accepted, and why.
    refused: Vec<(usize, String)>,
    /// How many statements neither matched nor inserted anything.
    unmatched: usize,
}

impl<'a> Batch<'a> {
    fn new(connection: &'a MongoConnection, verb: Verb, collection: &'a str) -> Self {
        let (indexes, duplicates, refused) = (Vec::new(), Vec::new(), Vec::new());
        let (command, open, unmatched) = (BsonWriter::default(), None, 0);
        Self { connection, verb, collection, command, open, indexes, duplicates, refused, unmatched }
    }

    /// Whether there is a document that was not taken.
    fn has_stopped(&self) -> bool {
        !self.duplicates.is_empty() || !self.refused.is_empty()
    }

    /// Begins the next command: `{<verb>: collection, ordered, writeConcern: majority, <documents>: [`.
    fn begin(&mut self) -> (Open, Open) {
        let (verb, documents) = self.verb.names();
        let whole = self.command.open();
        self.command.text(verb, self.collection);
        self.command.flag(c"ordered", self.verb == Verb::Insert);
        self.command.document(c"writeConcern", |concern| {
            concern.text(c"w", "majority");
            concern.integer(c"wtimeout", i64::try_from(SERVER_DEADLINE.as_millis()).unwrap_or(i64::MAX));
        });
        (whole, self.command.open_array(documents))
    }

    /// Writes one more document, by what `members` writes of it.
    async fn push(
        &mut self,
        index: usize,
        members: impl FnOnce(&mut BsonWriter) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        if self.open.is_none() {
            self.open = Some(self.begin());
        }
        let before = self.command.len();
        let mut written = Ok(());
        self.command.item(self.indexes.len(), |document| written = members(document));
        let size = self.command.len() - before;
        if size > DOCUMENT_BYTES {
            written = written.and_then(|_| Err(format!("the document has {size} bytes")));
        }
        if let Err(why) = written {
            drop(self.command.split_off(before));
            self.refused.push((index, why));
            return Ok(());
        }
        if !self.indexes.is_empty() && (self.indexes.len() >= STATEMENTS || self.command.len() > COMMAND_BYTES) {
            // It goes with the next one.
            let item = self.command.split_off(before);
            self.flush().await?;
            if self.verb == Verb::Insert && self.has_stopped() {
                return Ok(());
            }
            self.open = Some(self.begin());
            self.command.written_item(0, document_of(&item));
        }
        self.indexes.push(index);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let Some((whole, documents)) = self.open.take() else { return Ok(()) };
        let (mut command, indexes) = (std::mem::take(&mut self.command), std::mem::take(&mut self.indexes));
        if indexes.is_empty() {
            return Ok(());
        }
        command.close(documents);
        command.close(whole);
        let command = RawDocumentBuf::from_bytes(command.into_bytes());
        let command = command.map_err(|error| StoreError::Corrupt(format!("our own command is no BSON: {error}")))?;
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

/// The document of an item of an array: what stands behind the byte of its type and its name.
fn document_of(item: &[u8]) -> &[u8] {
    let name_end = item.iter().skip(1).position(|&byte| byte == 0).unwrap_or(0);
    &item[name_end + 2..]
}
