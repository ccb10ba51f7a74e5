//! Shipments by number, rows by id and by shipment.

use std::collections::HashMap;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::{EventRow, KnownKey, ParkedShipment, RowPosition, StoreError, StoredShipment};
use super::Tables;
use crate::shipment::{
    LogPosition, Outcome, PayloadHash, Policy, RowId, Shipment, ShipmentCreated, Terms, Timestamp, TrackingNumber,
};

pub(super) fn states(
    connection: &Connection,
    tables: &Tables,
    numbers: &[TrackingNumber],
) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
    let mut statement = tables.prepare(connection, WHOLE)?;
    let mut found = HashMap::with_capacity(numbers.len());
    for &number in numbers {
        let read = |row: &Row<'_>| Ok((json::<StoredTerms>(row, 0)?, json(row, 1)?));
        if let Some((terms, state)) = statement.query_row([number.as_str()], read).optional()? {
            found.insert(number, Shipment { tracking_number: number, terms: Terms::from(terms).into(), state });
        }
    }
    Ok(found)
}

/// What the decision needs of a registration. The rest of it is skipped and not built: this is read for each shipment that the lane
/// does not remember.
#[derive(Deserialize)]
struct StoredTerms {
    client_id: String,
    transition_policy: Policy,
    allow_cancel_in_transit: bool,
    #[serde(default)]
    park_seconds: u32,
}

impl From<StoredTerms> for Terms {
    fn from(stored: StoredTerms) -> Self {
        let StoredTerms { client_id, transition_policy: policy, allow_cancel_in_transit, park_seconds } = stored;
        Self { client_id, policy, allow_cancel_in_transit, park_seconds }
    }
}

const WHOLE: &str = "SELECT created, state FROM shipments{g} JOIN registrations{g} USING (id) JOIN states{g} USING (id)
     WHERE tracking_number = ?1";

pub(super) fn shipment(
    connection: &Connection,
    tables: &Tables,
    number: TrackingNumber,
) -> Result<Option<StoredShipment>, StoreError> {
    let mut statement = tables.prepare(connection, WHOLE)?;
    Ok(statement.query_row([number.as_str()], stored).optional()?)
}

/// Reads the columns `created` and `state`.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredShipment> {
    Ok(StoredShipment { created: json::<ShipmentCreated>(row, 0)?, state: json(row, 1)? })
}

/// What a look-up of keys needs of a row.
#[derive(Deserialize)]
struct OfRow {
    outcome: Outcome,
    #[serde(default)]
    refused_at: Option<LogPosition>,
}

pub(super) fn known_keys(
    connection: &Connection,
    tables: &Tables,
    ids: &[RowId],
) -> Result<HashMap<RowId, KnownKey>, StoreError> {
    let mut statement =
        tables.prepare(connection, "SELECT epoch, offset, payload, row FROM status_events{g} WHERE row_id = ?1")?;
    let read = |row: &Row<'_>| {
        let position = LogPosition { epoch: row.get(0)?, offset: row.get(1)? };
        let OfRow { outcome, refused_at } = json(row, 3)?;
        Ok(KnownKey { position, payload: PayloadHash::from_u32(row.get(2)?), outcome, refused_at })
    };
    let mut known = HashMap::new();
    for &id in ids {
        if let Some(key) = statement.query_row([id.to_string()], read).optional()? {
            known.insert(id, key);
        }
    }
    Ok(known)
}

pub(super) fn rows(connection: &Connection, tables: &Tables, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
    let mut statement = tables.prepare(connection, "SELECT row FROM status_events{g} WHERE row_id = ?1")?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(statement.query_row([id.to_string()], |row| json(row, 0)).optional()?);
    }
    Ok(found)
}

/// The rows that were released by one record.
const RELEASED_AT: &str = "SELECT row FROM status_events{g}
     WHERE rowid IN (SELECT rowid FROM status_events{g} WHERE row_id > ?1 || ':' AND row_id < ?1 || ';')
     AND json_extract(row, '$.released_at.epoch') = ?2 AND json_extract(row, '$.released_at.offset') = ?3";

pub(super) fn released_at(
    connection: &Connection,
    tables: &Tables,
    records: &[(TrackingNumber, LogPosition)],
) -> Result<Vec<EventRow>, StoreError> {
    let mut statement = tables.prepare(connection, RELEASED_AT)?;
    let mut rows = Vec::new();
    for (number, position) in records {
        let found = statement.query_map((number.as_str(), position.epoch, position.offset), |row| json(row, 0))?;
        rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(rows)
}

pub(super) fn parked(
    connection: &Connection,
    tables: &Tables,
    partitions: &[i32],
    limit: u32,
) -> Result<Vec<ParkedShipment>, StoreError> {
    let sql = "SELECT tracking_number, until FROM parked_shipments JOIN shipments{g} USING (id)
         WHERE generation = ?1 AND partition IN (SELECT value FROM json_each(?2)) ORDER BY until LIMIT ?3";
    let partitions = serde_json::to_string(partitions).expect("numbers are JSON");
    let mut statement = tables.prepare(connection, sql)?;
    let read = |row: &Row<'_>| {
        let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
        let tracking_number = row.get_ref(0)?.as_str()?.parse().map_err(unreadable)?;
        Ok(ParkedShipment { tracking_number, until: Timestamp::from_millis(row.get(1)?) })
    };
    let found = statement.query_map((tables.generation(), partitions, limit), read)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The row ids of a shipment are those from `<number>:` to `<number>;`. All of its rows are put in order, for each page: an index in that
/// order would be written with every event (docs/adr/0001). `IN` visits them in the order in which they stand in the file.
pub(super) const EVENTS_OF: &str = "SELECT row FROM status_events{g}
     WHERE rowid IN (SELECT rowid FROM status_events{g} WHERE row_id > ?1 || ':' AND row_id < ?1 || ';')
     AND (epoch, offset, partition) > (?2, ?3, ?4)
     ORDER BY epoch, offset, partition LIMIT ?5";

pub(super) fn events_of(
    connection: &Connection,
    tables: &Tables,
    number: TrackingNumber,
    after: Option<RowPosition>,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let mut statement = tables.prepare(connection, EVENTS_OF)?;
    let before_all = RowPosition { log: LogPosition { epoch: i64::MIN, offset: i64::MIN }, partition: i32::MIN };
    let RowPosition { log, partition } = after.unwrap_or(before_all);
    let found = statement.query_map((number.as_str(), log.epoch, log.offset, partition, limit), |row| json(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Reads a JSON column.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_bytes()?;
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error));
    serde_json::from_slice(text).map_err(unreadable)
}
