//! Rows and states. They are encoded on the caller's thread, so that the writer's does nothing but write.

use rusqlite::{Connection, OptionalExtension, Statement};

use super::super::{EventRow, Inserted, StateWrite, StoreError};
use super::Tables;
use crate::shipment::{LogPosition, Timestamp, TrackingNumber};
use crate::sqlite::is_refusal;

/// A row of `status_events`, ready to be written.
pub(super) struct EncodedRow {
    id: String,
    position: crate::shipment_store::RowPosition,
    judged_at: LogPosition,
    payload: u32,
    json: String,
}

pub(super) fn encode_rows(rows: &[EventRow]) -> Vec<EncodedRow> {
    let encode = |row: &EventRow| EncodedRow {
        id: row.row_id().to_string(),
        position: row.position,
        judged_at: row.judged_at(),
        payload: row.event_id.payload.as_u32(),
        json: json(row),
    };
    rows.iter().map(encode).collect()
}

/// A state, ready to be written.
pub(super) struct EncodedState {
    tracking_number: TrackingNumber,
    created: Option<EncodedCreation>,
    current_status: &'static str,
    position: LogPosition,
    json: String,
    /// The partition, and until when something is parked, when that has changed.
    parking: Option<(i32, Option<i64>)>,
}

struct EncodedCreation {
    client_id: String,
    service_type: &'static str,
    created_at: i64,
    json: String,
}

pub(super) fn encode_states(writes: &[StateWrite]) -> Vec<EncodedState> {
    let encode = |write: &StateWrite| EncodedState {
        tracking_number: write.tracking_number,
        created: write.created.as_ref().map(|created| EncodedCreation {
            client_id: created.client_id().to_owned(),
            service_type: created.service_type().as_str(),
            created_at: created.created_at.as_millis(),
            json: json(&**created),
        }),
        current_status: write.state.current_status.as_str(),
        position: write.state.position,
        json: json(&write.state),
        parking: write.parking.map(|partition| (partition, write.state.parked_until().map(Timestamp::as_millis))),
    };
    writes.iter().map(encode).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("our own values are JSON")
}

/// Inserts the rows up to the first whose id is taken.
pub(super) fn insert_events(
    connection: &Connection,
    tables: &Tables,
    rows: &[EncodedRow],
) -> Result<Inserted, StoreError> {
    let mut statement = tables.prepare(
        connection,
        "INSERT INTO status_events{g} (row_id, epoch, offset, partition, payload, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (row_id) DO NOTHING",
    )?;
    for (index, row) in rows.iter().enumerate() {
        match put(&mut statement, row) {
            Ok(1) => {}
            Ok(_) => return Ok(Inserted::UpTo(index)),
            // The error undoes those before it, and the next attempt inserts them.
            Err(error) if is_refusal(&error) => return Err(StoreError::Refused(vec![(index, error.to_string())])),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Inserted::All)
}

pub(super) fn replace_events(connection: &Connection, tables: &Tables, rows: &[EncodedRow]) -> Result<(), StoreError> {
    let mut statement = tables.prepare(
        connection,
        "INSERT INTO status_events{g} (row_id, epoch, offset, partition, payload, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (row_id) DO UPDATE SET epoch = excluded.epoch, offset = excluded.offset,
             partition = excluded.partition, payload = excluded.payload, row = excluded.row
             WHERE (?7, ?8) >= (ifnull(json_extract(row, '$.released_at.epoch'), epoch),
                                ifnull(json_extract(row, '$.released_at.offset'), offset))",
    )?;
    each(rows, |row| {
        let (log, judged) = (row.position.log, row.judged_at);
        let (partition, payload) = (row.position.partition, row.payload);
        statement
            .execute((&row.id, log.epoch, log.offset, partition, payload, &row.json, judged.epoch, judged.offset))
            .map(drop)
    })
}

/// How many rows it changed.
fn put(statement: &mut Statement<'_>, row: &EncodedRow) -> rusqlite::Result<usize> {
    let (log, partition) = (row.position.log, row.position.partition);
    statement.execute((&row.id, log.epoch, log.offset, partition, row.payload, &row.json))
}

pub(super) fn write_states(
    connection: &Connection,
    tables: &Tables,
    writes: &[EncodedState],
) -> Result<(), StoreError> {
    // One statement for nearly all of them: who is asked first and written afterwards is looked for twice.
    let mut advance = tables.prepare(
        connection,
        "UPDATE shipments{g} SET current_status = ?2, epoch = ?3, offset = ?4
         WHERE tracking_number = ?1 AND (epoch, offset) < (?3, ?4) RETURNING id",
    )?;
    let mut find =
        tables.prepare(connection, "SELECT EXISTS (SELECT 1 FROM shipments{g} WHERE tracking_number = ?1)")?;
    let mut is_there = |number: &str| find.query_row([number], |row| row.get::<_, bool>(0));
    let mut change = tables.prepare(connection, "UPDATE states{g} SET state = ?2 WHERE id = ?1")?;
    let mut missing = None;
    each(writes, |write| {
        let (number, LogPosition { epoch, offset }) = (write.tracking_number.as_str(), write.position);
        // Nobody writes between two looks: there is one writer, and it is here.
        if let Some(created) = &write.created
            && !is_there(number)?
        {
            return create(connection, tables, write, created);
        }
        let advanced = advance.query_row((number, write.current_status, epoch, offset), |row| row.get::<_, i64>(0));
        if let Some(id) = advanced.optional()? {
            change.execute((id, &write.json))?;
            park(connection, tables, id, write)?;
        } else if !is_there(number)? {
            missing.get_or_insert(write.tracking_number);
        }
        Ok(())
    })?;
    match missing {
        None => Ok(()),
        Some(number) => Err(StoreError::Corrupt(format!("{number} is not there"))),
    }
}

/// Keeps until when something of a shipment is parked.
fn park(connection: &Connection, tables: &Tables, id: i64, write: &EncodedState) -> rusqlite::Result<()> {
    let generation = tables.generation();
    match write.parking {
        None => {}
        Some((partition, Some(until))) => {
            let sql =
                "INSERT OR REPLACE INTO parked_shipments (generation, id, partition, until) VALUES (?1, ?2, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((generation, id, partition, until))?;
        }
        Some((_, None)) => {
            let sql = "DELETE FROM parked_shipments WHERE generation = ?1 AND id = ?2";
            connection.prepare_cached(sql)?.execute((generation, id))?;
        }
    }
    Ok(())
}

fn create(
    connection: &Connection,
    tables: &Tables,
    write: &EncodedState,
    created: &EncodedCreation,
) -> rusqlite::Result<()> {
    let mut shipment = tables.prepare(
        connection,
        "INSERT INTO shipments{g} (tracking_number, client_id, service_type, created_at, current_status, epoch, offset)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let LogPosition { epoch, offset } = write.position;
    let EncodedCreation { client_id, service_type, created_at, json } = created;
    let number = write.tracking_number.as_str();
    let id = shipment.insert((number, client_id, service_type, created_at, write.current_status, epoch, offset))?;
    tables.prepare(connection, "INSERT INTO registrations{g} (id, created) VALUES (?1, ?2)")?.execute((id, json))?;
    tables.prepare(connection, "INSERT INTO states{g} (id, state) VALUES (?1, ?2)")?.execute((id, &write.json))?;
    park(connection, tables, id, write)
}

/// Puts each item; collects those that SQLite refuses. An error undoes the whole job.
fn each<I>(items: &[I], mut put: impl FnMut(&I) -> rusqlite::Result<()>) -> Result<(), StoreError> {
    let mut refused = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match put(item) {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => refused.push((index, error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(StoreError::Refused(refused)) }
}
