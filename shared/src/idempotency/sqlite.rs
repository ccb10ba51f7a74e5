//! Keys in the embedded file.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::held::{Held, enter};
use super::{Attempt, Claim, Fingerprint, IdempotencyKeys, KeptAnswer, KeyId, Standing};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;
use crate::sqlite::{Database, Reader};

/// How many expired keys each new one clears away: more than one, so that the table never holds more than a day's keys for long; few, so that
/// a burst of yesterday is not paid for by one request.
const CLEARED: i64 = 16;

/// The keys of an embedded file.
#[derive(Clone, Debug)]
pub struct SqliteKeys {
    database: Arc<Database>,
}

impl SqliteKeys {
    /// The keys in `database`, which this process has opened and therefore has for itself: whoever had a lease in it is dead, so all are ended.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open(database: Arc<Database>) -> Result<Self, StoreError> {
        let end_all = |connection: &Connection| {
            let sql = "UPDATE idempotency_keys SET lease_until = 0 WHERE answer_status IS NULL AND lease_until > 0";
            connection.execute(sql, []).map(drop).map_err(StoreError::from)
        };
        database.write(end_all).await?;
        Ok(Self { database })
    }
}

#[async_trait]
impl IdempotencyKeys for SqliteKeys {
    async fn resume(&self, claim: &Claim, now: Timestamp) -> Result<Option<Standing>, StoreError> {
        let claim = *claim;
        let look =
            move |connection: &Connection| Ok::<_, StoreError>(enter(find(connection, claim.id)?, &claim, None, now));
        let (standing, write) = self.database.read(Reader::Query, look).await?;
        if write.is_none() {
            return Ok(standing);
        }
        // Somebody else may be faster: the writer looks again.
        self.database.write(move |connection| enter_and_write(connection, &claim, None, now)).await
    }

    async fn begin(&self, claim: &Claim, plan: Bytes, now: Timestamp) -> Result<Standing, StoreError> {
        let claim = *claim;
        let begin = move |connection: &Connection| {
            clear_expired(connection, now)?;
            enter_and_write(connection, &claim, Some(plan.clone()), now)
        };
        Ok(self.database.write(begin).await?.expect("whoever has a plan has a standing"))
    }

    async fn finish(&self, attempt: &Attempt, answer: &KeptAnswer) -> Result<Option<KeptAnswer>, StoreError> {
        let (attempt, answer) = (*attempt, answer.clone());
        let finish = move |connection: &Connection| {
            let Some(held) = find(connection, attempt.id)?.filter(|held| held.knows(&attempt)) else { return Ok(None) };
            if held.answer.is_none() {
                keep(connection, attempt.id, &answer)?;
            }
            Ok::<_, StoreError>(held.answer)
        };
        self.database.write(finish).await
    }

    async fn release(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let attempt = *attempt;
        let release = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE idempotency_keys SET lease_until = 0
                 WHERE id = ?1 AND expires_at = ?2 AND attempt = ?3 AND answer_status IS NULL",
            )?;
            let Attempt { id, expires_at, number } = &attempt;
            statement.execute((id.0, expires_at.as_millis(), number)).map(drop).map_err(StoreError::from)
        };
        self.database.write(release).await
    }
}

fn find(connection: &Connection, id: KeyId) -> Result<Option<Held>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, expires_at, attempt, lease_until, plan, answer_status, answer_headers, answer_body
         FROM idempotency_keys WHERE id = ?1",
    )?;
    Ok(statement.query_row([id.0], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        fingerprint: Fingerprint(row.get(0)?),
        expires_at: Timestamp::from_millis(row.get(1)?),
        attempt: row.get(2)?,
        lease_until: Timestamp::from_millis(row.get(3)?),
        plan: row.get::<_, Vec<u8>>(4)?.into(),
        answer: match row.get(5)? {
            None => None,
            Some(status) => {
                let headers = serde_json::from_str(&row.get::<_, String>(6)?);
                let broken = |error| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, Box::new(error));
                Some(KeptAnswer { status, headers: headers.map_err(broken)?, body: row.get::<_, Vec<u8>>(7)?.into() })
            }
        },
    })
}

fn enter_and_write(
    connection: &Connection,
    claim: &Claim,
    plan: Option<Bytes>,
    now: Timestamp,
) -> Result<Option<Standing>, StoreError> {
    let (standing, write) = enter(find(connection, claim.id)?, claim, plan, now);
    if let Some(held) = write {
        // What is written has no answer: it is a new key, one that had expired, or an attempt that is taken over.
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO idempotency_keys (id, fingerprint, expires_at, attempt, lease_until, plan)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let (expires_at, lease_until) = (held.expires_at.as_millis(), held.lease_until.as_millis());
        let values = (claim.id.0, held.fingerprint.0, expires_at, held.attempt, lease_until, &held.plan[..]);
        statement.execute(values)?;
    }
    Ok(standing)
}

fn keep(connection: &Connection, id: KeyId, answer: &KeptAnswer) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE idempotency_keys SET plan = x'', answer_status = ?2, answer_headers = ?3, answer_body = ?4
         WHERE id = ?1",
    )?;
    let headers = serde_json::to_string(&answer.headers).expect("texts are JSON");
    statement.execute((id.0, answer.status, headers, &answer.body[..])).map(drop).map_err(StoreError::from)
}

fn clear_expired(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM idempotency_keys WHERE id IN
         (SELECT id FROM idempotency_keys WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    )?;
    statement.execute((now.as_millis(), CLEARED)).map(drop).map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::idempotency::{LEASE, REMEMBERED, conformance};

    async fn open(directory: &Path) -> SqliteKeys {
        let database = Database::open(&directory.join("rastro.sqlite")).expect("opens");
        SqliteKeys::open(Arc::new(database)).await.expect("opens")
    }

    fn claim(key: u32) -> Claim {
        Claim { id: KeyId::of(&[&key.to_be_bytes()]), fingerprint: Fingerprint::of(&[b"request"]) }
    }

    #[tokio::test]
    async fn the_sqlite_keys_keep_the_contract() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = open(directory.path()).await;
        conformance::run([Arc::new(keys.clone()), Arc::new(keys)]).await;
    }

    #[tokio::test]
    async fn after_a_restart_answers_are_there_and_nobody_waits_for_the_leases_of_the_dead() {
        let directory = tempfile::tempdir().expect("a directory");
        let (now, answer) = (Timestamp::from_millis(1_750_000_000_000), conformance::answer(201));
        let keys = open(directory.path()).await;
        let Ok(Standing::Started { attempt, .. }) = keys.begin(&claim(1), Bytes::new(), now).await else {
            panic!("the key is new")
        };
        keys.finish(&attempt, &answer).await.expect("kept");
        keys.begin(&claim(2), Bytes::from_static(b"plan"), now).await.expect("reachable");
        drop(keys);

        let keys = open(directory.path()).await;
        assert_eq!(keys.resume(&claim(1), now).await.expect("reachable"), Some(Standing::Done(answer)));
        let taken_over = keys.resume(&claim(2), now).await.expect("reachable");
        let Some(Standing::Started { attempt, plan }) = taken_over else { panic!("{taken_over:?}") };
        assert!(attempt.took_over() && plan == "plan", "{attempt:?} {plan:?}");
    }

    #[tokio::test]
    async fn new_keys_clear_away_those_that_have_expired() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = open(directory.path()).await;
        let yesterday = Timestamp::from_millis(1_750_000_000_000);
        for key in 0..50 {
            keys.begin(&claim(key), Bytes::new(), yesterday).await.expect("reachable");
        }
        let today = yesterday.plus(REMEMBERED + LEASE);
        for key in 50..54 {
            keys.begin(&claim(key), Bytes::new(), today).await.expect("reachable");
        }
        let count = |connection: &Connection| {
            let sql = "SELECT count(*) FROM idempotency_keys";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(StoreError::from)
        };
        assert_eq!(keys.database.read(Reader::Query, count).await.expect("reads"), 4);
    }
}
