//! What the pair writes: records, documents and entries of the window.

use acceptance::platform::Platform;
use acceptance::servers::Servers;
use acceptance::topic;
use futures::TryStreamExt;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc, rawdoc};
use mongodb::{Client, Database};

use super::{Journey, awaited, expect};
use crate::failure::Failure;
use crate::template::Template;
use crate::walk::SOURCE;

/// Collections of the first generation.
pub const SHIPMENTS: &str = "shipments";
/// See [`SHIPMENTS`].
pub const STATUS_EVENTS: &str = "status_events";

/// A record of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub key: Template,
    /// Its value.
    pub value: Template,
    /// Its headers.
    pub headers: Vec<(String, Template)>,
}

/// What one move of a shipment is in each place.
#[derive(Clone, Debug)]
pub struct Move {
    /// In the log.
    pub record: Record,
    /// In `status_events`.
    pub row: Template,
    /// The `_id` of that.
    pub row_id: Template,
    /// The statement that brings the shipment's document to the state after the move.
    pub statement: Template,
    /// Key and value in the dedup window.
    pub window: (Template, Template),
}

/// A shipment of the pair.
#[derive(Clone, Debug)]
pub struct PairSpecimen {
    /// The record of its registration.
    pub created: Record,
    /// Its document after that, older than any record.
    pub shipment: Template,
    /// Its moves.
    pub moves: Vec<Move>,
    /// The indexes of each collection, besides that of `_id`.
    pub indexes: Vec<(&'static str, Vec<Document>)>,
}

impl PairSpecimen {
    /// Starts a pair on `servers`, brings a shipment through its moves, and reads everything that was written about it.
    ///
    /// # Errors
    /// It does not do that, or writes what is not understood here.
    pub async fn take(servers: &Servers) -> Result<Self, Failure> {
        let platform = Platform::pair(servers, 1, 1).await;
        let own = platform.on_servers();
        let database = Client::with_uri_str(&servers.mongo_uri).await?.database(&own.database);
        let mut journey = Journey::begin(&platform).await?;
        let number = journey.number.clone();
        let shipment = Template::of(shipment(&database, &number).await?.into_bytes(), &number)?.before_all_records()?;
        let mut statements = Vec::new();
        for index in 0..journey.steps.len() {
            journey.step(index).await?;
            statements.push(statement(&self::shipment(&database, &number).await?, &number)?);
        }
        let moves = statements.len();
        let records = topic::read(&servers.kafka_brokers, &own.topic).await;
        let records = records.iter().filter(|record| record.key_text() == number).map(|found| record(found, &number));
        let mut records = expect("records", moves + 1, records.collect::<Result<Vec<_>, _>>()?)?.into_iter();
        let created = records.next().ok_or_else(|| Failure::Specimen("no record".to_owned()))?;
        let rows = rows(&database, &number).await?;
        // The first one is the registration's.
        let rows = expect("rows", moves + 1, rows)?.into_iter().skip(1);
        let window =
            awaited("entries of the window", moves, async || window(&servers.redis_addr, &number).await).await?;
        let parts = records.zip(rows).zip(statements).zip(window);
        let moves =
            parts.map(|(((record, (row_id, row)), statement), window)| Move { record, row, row_id, statement, window });
        let moves = moves.collect();
        let mut indexes = Vec::new();
        for name in [SHIPMENTS, STATUS_EVENTS] {
            indexes.push((name, further_indexes(&database, name).await?));
        }
        Ok(Self { created, shipment, moves, indexes })
    }
}

async fn shipment(database: &Database, number: &str) -> Result<RawDocumentBuf, Failure> {
    let found = database.collection::<RawDocumentBuf>(SHIPMENTS).find_one(doc! { "_id": number }).await?;
    found.ok_or_else(|| Failure::Specimen(format!("{number} is not in {SHIPMENTS}")))
}

/// The statement of an update that writes the state of `document` when it is the newest.
fn statement(document: &RawDocument, number: &str) -> Result<Template, Failure> {
    let state = document.get_document("state").map_err(|error| Failure::Specimen(error.to_string()))?;
    let mut statement = rawdoc! { "q": { "_id": number } };
    let mut max = RawDocumentBuf::new();
    max.append(cstr!("state"), state.to_owned());
    let mut update = RawDocumentBuf::new();
    update.append(cstr!("$max"), max);
    statement.append(cstr!("u"), update);
    Template::of(statement.into_bytes(), number)?.with_offset()
}

fn record(found: &topic::Record, number: &str) -> Result<Record, Failure> {
    let template = |bytes: &Option<Vec<u8>>| Template::of(bytes.clone().unwrap_or_default(), number);
    let headers = found.headers.iter().map(|(name, value)| Ok((name.clone(), template(value)?)));
    Ok(Record {
        key: template(&found.key)?,
        value: template(&found.value)?,
        headers: headers.collect::<Result<_, Failure>>()?,
    })
}

/// The rows of a shipment and their ids, in the order of the log.
async fn rows(database: &Database, number: &str) -> Result<Vec<(Template, Template)>, Failure> {
    let of_number = doc! { "_id": { "$gte": format!("{number}:"), "$lt": format!("{number};") } };
    let collection = database.collection::<RawDocumentBuf>(STATUS_EVENTS);
    let found: Vec<RawDocumentBuf> = collection.find(of_number).sort(doc! { "o": 1 }).await?.try_collect().await?;
    let row = |document: RawDocumentBuf| {
        let id = document.get_str("_id").map_err(|error| Failure::Specimen(error.to_string()))?;
        Ok((Template::of(id, number)?, Template::of(document.into_bytes(), number)?.with_offset()?))
    };
    found.into_iter().map(row).collect()
}

/// What the dedup window holds about the moves of a shipment, in their order: a key ends in its second.
async fn window(address: &str, number: &str) -> Result<Vec<(Template, Template)>, Failure> {
    let mut connection = redis::Client::open(format!("redis://{address}"))?.get_multiplexed_async_connection().await?;
    // The servers are ours: there is little else.
    let mut keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("dedup:{number}:{SOURCE}:*")).query_async(&mut connection).await?;
    keys.sort_unstable();
    let mut entries = Vec::new();
    for key in keys {
        let value: String = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        entries.push((Template::of(key, number)?, Template::of(value, number)?));
    }
    Ok(entries)
}

async fn further_indexes(database: &Database, collection: &str) -> Result<Vec<Document>, Failure> {
    let reply = database.run_command(doc! { "listIndexes": collection }).await?;
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.map_err(|error| Failure::Specimen(format!("the indexes of {collection}: {error}")))?;
    let specifications = batch.iter().filter_map(|index| index.as_document().cloned());
    Ok(specifications.filter(|index| index.get_str("name").is_ok_and(|name| name != "_id_")).collect())
}
