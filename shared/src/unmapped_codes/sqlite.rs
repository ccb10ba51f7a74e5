//! Unmapped codes in the embedded file.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::{CODES_PER_CARRIER, KEPT, Room, Seen, UnmappedCode, UnmappedCodes};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, Reader};

/// The codes in an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteUnmappedCodes {
    database: Arc<Database>,
}

impl SqliteUnmappedCodes {
    /// The codes in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl UnmappedCodes for SqliteUnmappedCodes {
    async fn add(&self, sightings: &[UnmappedCode]) -> Result<(), StoreError> {
        let sightings = sightings.to_vec();
        self.database.write(move |connection| Ok(add(connection, &sightings)?)).await
    }

    async fn list(&self, carrier: Option<&str>, limit: u32) -> Result<Vec<UnmappedCode>, StoreError> {
        let carrier = carrier.map(str::to_owned);
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT carrier, seen, text, count, first_seen, last_seen, tracking_number FROM unmapped_codes
                 WHERE ?1 IS NULL OR carrier = ?1 ORDER BY count DESC, last_seen DESC LIMIT ?2",
            )?;
            let codes = statement.query_map((carrier, limit), read)?.collect::<rusqlite::Result<_>>()?;
            Ok(codes)
        };
        self.database.read(Reader::Query, list).await
    }
}

/// One writer at a time: what is counted here is true until the end of the transaction.
fn add(connection: &Connection, sightings: &[UnmappedCode]) -> rusqlite::Result<()> {
    let mut room = Room::default();
    let carriers: BTreeSet<&str> = sightings.iter().map(|sighting| sighting.carrier.as_str()).collect();
    for carrier in carriers {
        let latest = sightings.iter().filter(|sighting| sighting.carrier == carrier).map(|sighting| sighting.last_seen);
        room.set(carrier, room_of(connection, carrier, latest.max().unwrap_or_default())?);
    }
    let mut known =
        connection.prepare_cached("SELECT count(*) FROM unmapped_codes WHERE carrier = ?1 AND seen = ?2")?;
    let mut already = BTreeSet::new();
    for sighting in sightings {
        let key = (sighting.carrier.as_str(), sighting.seen.key());
        if known.query_row((key.0, &key.1), |row| row.get::<_, i64>(0))? > 0 {
            already.insert(key);
        }
    }
    let is_known = |sighting: &UnmappedCode| already.contains(&(sighting.carrier.as_str(), sighting.seen.key()));
    let mut upsert = connection.prepare_cached(
        "INSERT INTO unmapped_codes (carrier, seen, text, count, first_seen, last_seen, tracking_number)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (carrier, seen) DO UPDATE SET text = coalesce(excluded.text, text), count = count + excluded.count,
             first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen),
             tracking_number = excluded.tracking_number",
    )?;
    for code in room.divide(sightings, is_known) {
        let count = i64::try_from(code.count).unwrap_or(i64::MAX);
        let (first, last) = (code.first_seen.as_millis(), code.last_seen.as_millis());
        upsert.execute((
            &code.carrier,
            code.seen.key(),
            &code.text,
            count,
            first,
            last,
            code.tracking_number.as_str(),
        ))?;
    }
    Ok(())
}

/// How many new entries `carrier` has room for, after old ones were dropped if there was none.
fn room_of(connection: &Connection, carrier: &str, now: Timestamp) -> rusqlite::Result<usize> {
    let mut count =
        connection.prepare_cached("SELECT count(*) FROM unmapped_codes WHERE carrier = ?1 AND seen <> ?2")?;
    let mut entries = || {
        let entries: i64 = count.query_row((carrier, Seen::Rest.key()), |row| row.get(0))?;
        Ok::<_, rusqlite::Error>(usize::try_from(entries).unwrap_or(0))
    };
    if entries()? >= CODES_PER_CARRIER {
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let mut drop_old =
            connection.prepare_cached("DELETE FROM unmapped_codes WHERE carrier = ?1 AND last_seen < ?2")?;
        drop_old.execute((carrier, now.as_millis().saturating_sub(kept)))?;
    }
    Ok(CODES_PER_CARRIER.saturating_sub(entries()?))
}

fn read(row: &Row<'_>) -> rusqlite::Result<UnmappedCode> {
    let unreadable = |column, text: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("no {text:?}").into())
    };
    let (key, number): (String, String) = (row.get(1)?, row.get(6)?);
    Ok(UnmappedCode {
        carrier: row.get(0)?,
        seen: Seen::from_key(&key).ok_or_else(|| unreadable(1, &key))?,
        text: row.get(2)?,
        count: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        first_seen: Timestamp::from_millis(row.get(4)?),
        last_seen: Timestamp::from_millis(row.get(5)?),
        tracking_number: number.parse().map_err(|_| unreadable(6, &number))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sqlite_codes_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::open(&directory.path().join("rastro.sqlite")).expect("opens");
        crate::unmapped_codes::conformance::run(Arc::new(SqliteUnmappedCodes::new(Arc::new(database)))).await;
    }
}
