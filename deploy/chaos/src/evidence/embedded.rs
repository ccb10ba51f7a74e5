//! The evidence about the embedded program: read from its file, after it ended, and over HTTP before.

use std::collections::BTreeMap;
use std::path::Path;

use acceptance::topic::Record;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{Evidence, Row};

/// The only partition of the embedded log.
const PARTITION: i32 = 0;

/// The topic of events.
///
/// # Errors
/// The file cannot be read.
pub fn events(file: &Path) -> rusqlite::Result<Vec<Record>> {
    records(&open(file)?, "log_events")
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Gathers what stands in `file`; `shipments` is what GETs showed.
///
/// # Errors
/// The file cannot be read.
pub fn gather(file: &Path, shipments: BTreeMap<String, Value>) -> rusqlite::Result<Evidence> {
    let database = open(file)?;
    let rows = {
        let mut all = database.prepare("SELECT offset, row FROM status_events")?;
        let all = all.query_map([], |found| Ok(row(found.get(0)?, &found.get::<_, String>(1)?)))?;
        all.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let numbers = {
        let mut all = database.prepare("SELECT tracking_number FROM shipments")?;
        let all = all.query_map([], |found| found.get(0))?;
        all.collect::<rusqlite::Result<_>>()?
    };
    Ok(Evidence {
        events: records(&database, "log_events")?,
        dead_letters: records(&database, "log_dead_letters")?,
        changes: records(&database, "log_changes")?,
        rows,
        numbers,
        shipments,
    })
}

fn records(database: &Connection, table: &str) -> rusqlite::Result<Vec<Record>> {
    let mut all =
        database.prepare(&format!("SELECT offset, timestamp, key, value, headers FROM {table} ORDER BY offset"))?;
    let all = all.query_map([], |found| {
        Ok(Record {
            partition: Some(PARTITION),
            offset: found.get(0)?,
            timestamp: Some(found.get(1)?),
            key: found.get(2)?,
            value: found.get(3)?,
            headers: headers(&found.get::<_, Vec<u8>>(4)?),
        })
    })?;
    all.collect()
}

fn row(offset: i64, json: &str) -> Row {
    let row: Value = serde_json::from_str(json).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Row {
        number: text(&row["report"]["tracking_number"]).unwrap_or_default(),
        position: (PARTITION, offset),
        outcome: text(&row["outcome"]).unwrap_or_default(),
        reason: text(&row["outcome_reason"]),
        to: text(&row["to"]),
        released_at: row["released_at"]["offset"].as_i64(),
    }
}

/// Headers as the file holds them: for each the length of its name, the name, the length of its value plus one (0: none), the value;
/// lengths in seven bits a byte, the lowest first.
fn headers(mut bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let length = length(&mut bytes);
        let name = String::from_utf8_lossy(take(&mut bytes, length)).into_owned();
        let value = self::length(&mut bytes).checked_sub(1).map(|length| take(&mut bytes, length).to_vec());
        headers.push((name, value));
    }
    headers
}

fn length(bytes: &mut &[u8]) -> usize {
    let (mut length, mut shift) = (0, 0);
    while let [byte, rest @ ..] = *bytes {
        *bytes = rest;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_with_repeated_names_and_without_values() {
        let long = "x".repeat(200);
        let mut bytes = vec![1, b'a', 2, b'1', 1, b'a', 0, 1, b'b', 0xC9, 0x01];
        bytes.extend_from_slice(long.as_bytes());
        let expected = [("a", Some("1")), ("a", None), ("b", Some(long.as_str()))];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.map(|value| value.as_bytes().to_vec())));
        assert_eq!(headers(&bytes), expected);
    }
}
