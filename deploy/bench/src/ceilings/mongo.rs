//! The bare MongoDB writer: for each batch one look-up by `_id`, one insert of the events' rows, in order, and one update of their shipments to
//! the newest position, both acknowledged by a majority. Nothing is decided. The platform looks up the states that it does not remember, and
//! keys only where one is there already; what the look-up costs is seen by a writer that has none, beside.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::Write;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tokio::task::JoinSet;

use super::Rate;
use crate::failure::Failure;
use crate::numbers::Suffix;
use crate::specimen::pair::{Move, PairSpecimen, SHIPMENTS, STATUS_EVENTS};
use crate::template::Template;

/// Events in a batch: the most that a lane takes at a time, and what it does take when there is as much as can be.
pub const BATCH: usize = 2_000;
/// Documents in one insert of stored shipments.
const STORED_AT_ONCE: usize = 4_000;
/// Such inserts under way at a time.
const STORES: usize = 2;
/// Connections, as many as the platform has.
const POOL: u32 = 10;

/// A database of its own with the collections and the indexes of the platform.
#[derive(Clone)]
pub struct BareStore {
    database: Database,
}

impl BareStore {
    /// The database `name` on the servers of `uri`.
    ///
    /// # Errors
    /// They cannot be reached.
    pub async fn open(uri: &str, name: &str) -> Result<Self, Failure> {
        let mut options = ClientOptions::parse(uri).await?;
        options.max_pool_size = Some(POOL);
        Ok(Self { database: Client::with_options(options)?.database(name) })
    }

    /// Makes collections and indexes.
    ///
    /// # Errors
    /// MongoDB refuses.
    pub async fn make(&self, specimen: &PairSpecimen) -> Result<(), Failure> {
        for (collection, indexes) in &specimen.indexes {
            self.database.run_command(doc! { "create": *collection }).await?;
            let keys = |index: &Document| {
                let mut index = index.clone();
                index.remove("v");
                index
            };
            let indexes: Vec<Document> = indexes.iter().map(keys).collect();
            if !indexes.is_empty() {
                self.database.run_command(doc! { "createIndexes": *collection, "indexes": indexes }).await?;
            }
        }
        Ok(())
    }

    /// What the database is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// Drops the database.
    ///
    /// # Errors
    /// It is still there.
    pub async fn drop(&self) -> Result<(), Failure> {
        Ok(self.database.drop().await?)
    }

    /// Stores a shipment for each of `suffixes`, in the form that the platform stores it in after its registration.
    ///
    /// # Errors
    /// MongoDB refuses.
    pub async fn store(&self, specimen: &PairSpecimen, suffixes: &[Suffix]) -> Result<(), Failure> {
        let share = suffixes.len().div_ceil(STORES).max(1);
        let stores = suffixes.chunks(share).map(|suffixes| async move {
            for chunk in suffixes.chunks(STORED_AT_ONCE) {
                self.write(&INSERT_SHIPMENTS, &specimen.shipment, chunk, None).await?;
            }
            Ok::<_, Failure>(())
        });
        try_join_all(stores).await.map(drop)
    }

    /// Writes the moves of `suffixes`, until all are written or the time is over.
    ///
    /// # Errors
    /// MongoDB does not write something.
    pub async fn write_moves(
        &self,
        specimen: &PairSpecimen,
        suffixes: &[Suffix],
        how: Writer,
        at_most: Duration,
    ) -> Result<Rate, Failure> {
        let mut suffixes = suffixes.to_vec();
        if how.mixes {
            suffixes.sort_by_cached_key(|suffix| BuildHasherDefault::<DefaultHasher>::default().hash_one(suffix));
        }
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for suffixes in suffixes.chunks(suffixes.len().div_ceil(how.lanes).max(1)) {
            let (store, moves, suffixes) = (self.clone(), specimen.moves.clone(), suffixes.to_vec());
            running.spawn(async move { store.lane(&moves, &suffixes, how, begin + at_most).await });
        }
        let mut count = 0;
        while let Some(lane) = running.join_next().await {
            count += lane.map_err(|error| Failure::NotMeasured(error.to_string()))??;
        }
        Ok(Rate { count, took: begin.elapsed() })
    }

    async fn lane(&self, moves: &[Move], suffixes: &[Suffix], how: Writer, until: Instant) -> Result<usize, Failure> {
        let mut count = 0;
        for one in moves {
            for batch in suffixes.chunks(BATCH) {
                if Instant::now() >= until {
                    return Ok(count);
                }
                if how.looks_up {
                    self.look_up(one, batch).await?;
                }
                let offset = i64::try_from(count).unwrap_or(i64::MAX);
                self.write(&INSERT_ROWS, &one.row, batch, Some(offset)).await?;
                self.write(&UPDATE_SHIPMENTS, &one.statement, batch, Some(offset)).await?;
                count += batch.len();
            }
        }
        Ok(count)
    }

    /// Asks for rows that are not there.
    async fn look_up(&self, one: &Move, batch: &[Suffix]) -> Result<(), Failure> {
        let mut ids = RawArrayBuf::new();
        batch.iter().for_each(|&suffix| ids.push(one.row_id.text(suffix)));
        let size = i32::try_from(batch.len() + 1).unwrap_or(i32::MAX);
        let command = rawdoc! {
            "find": STATUS_EVENTS, "filter": { "_id": { "$in": ids } }, "projection": { "e": 1, "o": 1, "h": 1 },
            "batchSize": size, "singleBatch": true, "readConcern": { "level": "majority" },
        };
        let reply = self.database.run_raw_command(command).await?;
        let found = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        match found {
            Ok(found) if found.is_empty() => Ok(()),
            _ => Err(Failure::NotMeasured("rows were there before they were written".to_owned())),
        }
    }

    /// Sends one command with a document for each of `batch`.
    async fn write(
        &self,
        command: &Command,
        template: &Template,
        batch: &[Suffix],
        offset: Option<i64>,
    ) -> Result<(), Failure> {
        let wanted = batch.len();
        let reply = self.database.run_raw_command(command.of(template, batch, offset)?).await?;
        let written = reply.get_i32("n").ok().and_then(|n| usize::try_from(n).ok());
        if written == Some(wanted) && !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError") {
            return Ok(());
        }
        Err(Failure::NotMeasured(format!("MongoDB wrote {written:?} of {wanted} documents")))
    }
}

/// How the moves are written.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// So many batches at a time.
    pub lanes: usize,
    /// Whether the keys of a batch are looked up before.
    pub looks_up: bool,
    /// Whether the shipments of a batch lie anywhere in the collection, and not one behind the other: tracking numbers come in no order, and
    /// partitions mix them.
    pub mixes: bool,
}

/// A command that writes many documents.
struct Command {
    verb: &'static CStr,
    collection: &'static str,
    /// The member that holds the documents.
    documents: &'static str,
    ordered: bool,
}

const INSERT_ROWS: Command =
    Command { verb: cstr!("insert"), collection: STATUS_EVENTS, documents: "documents", ordered: true };
const UPDATE_SHIPMENTS: Command =
    Command { verb: cstr!("update"), collection: SHIPMENTS, documents: "updates", ordered: false };
const INSERT_SHIPMENTS: Command =
    Command { verb: cstr!("insert"), collection: SHIPMENTS, documents: "documents", ordered: false };

/// BSON's types of an array and of a document.
const ARRAY: u8 = 4;
const DOCUMENT: u8 = 3;

impl Command {
    /// The command with the documents of `batch`, one offset after the other: every byte is written once, where it is sent from.
    fn of(&self, template: &Template, batch: &[Suffix], offset: Option<i64>) -> Result<RawDocumentBuf, Failure> {
        let mut head = RawDocumentBuf::new();
        head.append(self.verb, self.collection);
        head.append(cstr!("ordered"), self.ordered);
        head.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
        let mut bytes = head.into_bytes();
        bytes.reserve(batch.len() * (template.bytes().len() + 8));
        bytes.pop(); // the end
        bytes.push(ARRAY);
        bytes.extend_from_slice(self.documents.as_bytes());
        bytes.push(0);
        let array = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        for (index, &suffix) in batch.iter().enumerate() {
            // Writing to a Vec cannot fail.
            write!(bytes, "{}{index}\0", char::from(DOCUMENT)).expect("a Vec takes what is written");
            template.stamp_at(suffix, offset.map(|first| first + index as i64), &mut bytes);
        }
        bytes.push(0);
        put_length(&mut bytes, array);
        bytes.push(0);
        put_length(&mut bytes, 0);
        RawDocumentBuf::from_bytes(bytes).map_err(|error| Failure::Specimen(error.to_string()))
    }
}

/// Writes the length of what begins at `place` and ends with `bytes` there.
fn put_length(bytes: &mut [u8], place: usize) {
    let length = i32::try_from(bytes.len() - place).unwrap_or(i32::MAX);
    bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
}

/// Databases that may be dropped by their name: those that the scripts beside this program make.
const MEASURED: &str = "rastro_measured_";

/// Drops a database that the scripts beside this program made.
///
/// # Errors
/// It is none of these, or it is still there.
pub async fn drop_measured(uri: &str, name: &str) -> Result<(), Failure> {
    if !name.starts_with(MEASURED) {
        return Err(Failure::NotMeasured(format!("{name} does not begin with {MEASURED}: not dropped")));
    }
    BareStore::open(uri, name).await?.drop().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_document_that_the_driver_would_write() {
        let row = doc! { "_id": "99M-ABCDEFGH:1", "e": 1_i64, "o": 9_i64, "text": "ABCDEFGH" };
        let template = Template::of(row.to_vec().expect("is BSON"), "99M-ABCDEFGH").and_then(Template::with_offset);
        let batch: Vec<Suffix> = (0..12).map(crate::numbers::suffix).collect();
        let command = INSERT_ROWS.of(&template.expect("has an offset"), &batch, Some(70)).expect("is BSON");
        let rows = batch.iter().zip(70_i64..).map(|(suffix, offset)| {
            let suffix = String::from_utf8_lossy(suffix);
            doc! { "_id": format!("99M-{suffix}:1"), "e": 1_i64, "o": offset, "text": &*suffix }
        });
        let rows: Vec<Document> = rows.collect();
        let wanted =
            doc! { "insert": "status_events", "ordered": true, "writeConcern": { "w": "majority" }, "documents": rows };
        assert_eq!(command.into_bytes(), wanted.to_vec().expect("is BSON"));
    }
}
