//! The bare MongoDB writer: for each batch one look-up of the events' keys, one insert of their rows and one update of their shipments to
//! the newest position, each acknowledged by a majority. Nothing is decided, and no state is looked up.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawArrayBuf, RawBsonRef, RawDocumentBuf, doc, rawdoc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tokio::task::JoinSet;

use super::Rate;
use crate::failure::Failure;
use crate::numbers::Suffix;
use crate::specimen::pair::{Move, PairSpecimen, SHIPMENTS, STATUS_EVENTS};

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
                let documents = chunk.iter().map(|&suffix| specimen.shipment.stamp(suffix));
                self.write(insert(SHIPMENTS, documents)?, chunk.len()).await?;
            }
            Ok::<_, Failure>(())
        });
        try_join_all(stores).await.map(drop)
    }

    /// Writes the moves of `suffixes` in so many lanes, until all are written or the time is over.
    ///
    /// # Errors
    /// MongoDB does not write something.
    pub async fn write_moves(
        &self,
        specimen: &PairSpecimen,
        suffixes: &[Suffix],
        lanes: usize,
        at_most: Duration,
    ) -> Result<Rate, Failure> {
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for suffixes in suffixes.chunks(suffixes.len().div_ceil(lanes).max(1)) {
            let (store, moves, suffixes) = (self.clone(), specimen.moves.clone(), suffixes.to_vec());
            running.spawn(async move { store.lane(&moves, &suffixes, begin + at_most).await });
        }
        let mut count = 0;
        while let Some(lane) = running.join_next().await {
            count += lane.map_err(|error| Failure::NotMeasured(error.to_string()))??;
        }
        Ok(Rate { count, took: begin.elapsed() })
    }

    async fn lane(&self, moves: &[Move], suffixes: &[Suffix], until: Instant) -> Result<usize, Failure> {
        let mut count = 0;
        for one in moves {
            for batch in suffixes.chunks(BATCH) {
                if Instant::now() >= until {
                    return Ok(count);
                }
                let offset = i64::try_from(count).unwrap_or(i64::MAX);
                self.look_up(one, batch).await?;
                let rows = batch.iter().zip(offset..).map(|(&suffix, offset)| one.row.stamp_at(suffix, offset));
                self.write(insert(STATUS_EVENTS, rows)?, batch.len()).await?;
                let statements =
                    batch.iter().zip(offset..).map(|(&suffix, offset)| one.statement.stamp_at(suffix, offset));
                self.write(update(SHIPMENTS, statements)?, batch.len()).await?;
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

    async fn write(&self, command: RawDocumentBuf, wanted: usize) -> Result<(), Failure> {
        let reply = self.database.run_raw_command(command).await?;
        let written = reply.get_i32("n").ok().and_then(|n| usize::try_from(n).ok());
        if written == Some(wanted) && !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError") {
            return Ok(());
        }
        Err(Failure::NotMeasured(format!("MongoDB wrote {written:?} of {wanted} documents")))
    }
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

fn insert(collection: &str, documents: impl Iterator<Item = Vec<u8>>) -> Result<RawDocumentBuf, Failure> {
    command(rawdoc! { "insert": collection }, "documents", documents)
}

fn update(collection: &str, statements: impl Iterator<Item = Vec<u8>>) -> Result<RawDocumentBuf, Failure> {
    command(rawdoc! { "update": collection }, "updates", statements)
}

fn command(
    mut command: RawDocumentBuf,
    member: &'static str,
    documents: impl Iterator<Item = Vec<u8>>,
) -> Result<RawDocumentBuf, Failure> {
    let mut array = RawArrayBuf::new();
    for bytes in documents {
        array.push(RawDocumentBuf::from_bytes(bytes).map_err(|error| Failure::Specimen(error.to_string()))?);
    }
    command.append(cstr!("ordered"), false);
    command.append(cstr!("writeConcern"), rawdoc! { "w": "majority" });
    let name = mongodb::bson::raw::CString::try_from(member).map_err(|error| Failure::Specimen(error.to_string()))?;
    command.append(name, RawBsonRef::Array(&array));
    Ok(command)
}
