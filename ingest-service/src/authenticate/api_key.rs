//! Callers with a key, `Authorization: Bearer rk_…`.
//!
//! A key is looked up by its id and compared by its hash. What the store said about it is remembered: a removed key stops within
//! [`LIVES`]`.present`, 30 s, on every instance, and at once on the one that removed it; a new one works at once, or within 5 s where it was
//! tried too early. While the store does not answer, a key that was seen before goes on for as long as a token would, so that scanners go on
//! reporting while MongoDB is away; one that was not cannot be judged, which is a 503 and no 401.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::api_key_store::{ApiKey, ApiKeyStore, KeyId, KeyText};
use shared::shipment::Timestamp;
use shared::shipment_store::StoreError;

use super::Caller;
use super::remembered::{Answer, Lives, Remembered, Source};
use super::token::LIFE_SECONDS;
use crate::error::Problem;

/// How long an instance goes by what the store said about a key.
const LIVES: Lives = Lives {
    present: Duration::from_secs(30),
    absent: Duration::from_secs(5),
    without_store: Duration::from_secs(LIFE_SECONDS.unsigned_abs()),
};
/// How exactly the last use is noted: a write each time would cost more than the request.
const USE_NOTED_EVERY: Duration = Duration::from_secs(600);

/// A key as it is remembered.
pub(crate) struct KnownKey {
    key: ApiKey,
    /// When a use was last noted, in milliseconds.
    noted: AtomicI64,
}

impl KnownKey {
    /// Whether a use at `now` is to be noted: once in a while, and by one caller.
    fn is_to_be_noted(&self, now: Timestamp) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        let due = Timestamp::from_millis(noted).plus(USE_NOTED_EVERY) <= now;
        due && self.noted.compare_exchange(noted, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

struct Keys(Arc<dyn ApiKeyStore>);

#[async_trait]
impl Source for Keys {
    type Value = Arc<KnownKey>;

    async fn find(&self, id: &str) -> Result<Option<Arc<KnownKey>>, StoreError> {
        let Some(id) = KeyId::parse(id) else { return Ok(None) };
        let key = self.0.find(&id).await?;
        let noted = |key: &ApiKey| AtomicI64::new(key.last_used_at.map_or(i64::MIN, Timestamp::as_millis));
        Ok(key.map(|key| Arc::new(KnownKey { noted: noted(&key), key })))
    }
}

/// What became of a key that was presented.
#[derive(Debug)]
pub(crate) enum KeyJudgement {
    /// It is this caller's.
    Stands(Caller),
    /// The same, as far as is known; the store does not answer.
    Unconfirmed(Caller),
    /// There is no such key.
    Invalid,
    Expired,
}

/// The keys of all who call.
pub(crate) struct KeyChecks {
    remembered: Remembered<Keys>,
    store: Arc<dyn ApiKeyStore>,
}

impl KeyChecks {
    pub(crate) fn new(store: Arc<dyn ApiKeyStore>) -> Self {
        Self { remembered: Remembered::new(Keys(store.clone()), LIVES), store }
    }

    /// Whose key `text` is at `now`.
    ///
    /// # Errors
    /// 503: the store does not answer, and the key is not known; 500: it cannot be read.
    pub(crate) async fn judge(&self, text: &str, now: Timestamp) -> Result<KeyJudgement, Problem> {
        let Some(presented) = KeyText::parse(text) else { return Ok(KeyJudgement::Invalid) };
        let (known, is_confirmed) = match self.remembered.find(presented.id().as_str()).await? {
            Answer::Confirmed(Some(known)) => (known, true),
            Answer::Confirmed(None) => return Ok(KeyJudgement::Invalid),
            Answer::Last(Some(known)) => (known, false),
            Answer::Last(None) | Answer::Unknown => {
                let what = "The key cannot be looked up, because the database cannot be reached; try again";
                return Err(Problem::unavailable(what, "a key that is not known yet"));
            }
        };
        if known.key.hash != presented.hash() {
            return Ok(KeyJudgement::Invalid);
        }
        if known.key.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Ok(KeyJudgement::Expired);
        }
        let ApiKey { id, role, client_id, .. } = &known.key;
        // No user has a name with a colon, so the two are never taken for each other.
        let caller = Caller { sub: format!("key:{id}"), role: *role, client_id: client_id.clone() };
        if !is_confirmed {
            return Ok(KeyJudgement::Unconfirmed(caller));
        }
        if known.is_to_be_noted(now) {
            self.note_use(id.clone(), now);
        }
        Ok(KeyJudgement::Stands(caller))
    }

    /// Behind the caller's back: nobody waits for it, and a use that is not noted is noted the next time.
    fn note_use(&self, id: KeyId, now: Timestamp) {
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.used(&id, now).await {
                tracing::warn!(key = %id, %error, "the use of a key was not noted");
            }
        });
    }

    /// The key called `id` was made or removed here.
    pub(crate) fn changed(&self, id: &KeyId) {
        self.remembered.forget(id.as_str());
    }
}
