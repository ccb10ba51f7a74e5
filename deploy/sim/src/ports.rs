//! The ports of one owner. Each call waits at a gate until the scheduler says what becomes of it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use processor_service::Ports;
use shared::applied::{AnnounceError, AppliedAnnouncer};
use shared::dedup_window::{Decided, DedupWindow, WindowError};
use shared::event_log::{AppendError, Appended, EventAppender, NewRecord, Position, Topic};
use shared::operator_log::memory::MemoryOperatorLog;
use shared::shipment::{EventId, LogPosition, Outcome, RowId, Shipment, TrackingNumber};
use shared::shipment_store::{EventRow, Inserted, KnownKey, ParkedShipment, ShipmentWriter, StateWrite, StoreError};

use crate::platform::{Effect, Platform, now};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done and answered.
    Done,
    /// It is done; the answer lies there until the owner is let run again.
    Unread,
    /// It fails and nothing happened.
    Fails,
    /// It is done and durable, and the answer is lost.
    AnswerLost,
    /// A part of it (which, say the bits) is done, on the primary only, and it fails.
    Half(u32),
    /// It fails, and a part of it happens later.
    Late(u32),
}

/// The servers as one owner sees them.
pub(crate) struct Gate {
    /// What the owner waits for; nothing between two calls, or while it waits for records or for time to pass.
    asks: Mutex<Option<String>>,
    told: Mutex<Option<Verdict>>,
    platform: Arc<Mutex<Platform>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(crate) fn new(platform: Arc<Mutex<Platform>>) -> Arc<Self> {
        Arc::new(Self { asks: Mutex::default(), told: Mutex::default(), platform })
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        let operators = Arc::new(MemoryOperatorLog::default());
        Ports { store: self.clone(), log: self.clone(), window: self.clone(), announcer: self.clone(), operators }
    }

    /// What the owner waits for, if it is a server that has not been told what becomes of it.
    pub(crate) fn asks(&self) -> Option<String> {
        lock(&self.asks).clone()
    }

    pub(crate) fn tell(&self, verdict: Verdict) {
        *lock(&self.asks) = None;
        *lock(&self.told) = Some(verdict);
    }

    fn platform(&self) -> MutexGuard<'_, Platform> {
        lock(&self.platform)
    }

    async fn ask(&self, call: String) -> Verdict {
        *lock(&self.asks) = Some(call);
        poll_fn(|_| lock(&self.told).take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// A look-up sees what the majority has.
    async fn read<T>(&self, what: &str, look: impl FnOnce(&Platform) -> T + Send) -> Result<T, StoreError> {
        let verdict = self.ask(what.to_owned()).await;
        if !matches!(verdict, Verdict::Done | Verdict::Unread) {
            return Err(StoreError::unavailable("the schedule says so"));
        }
        let found = look(&self.platform());
        if verdict == Verdict::Unread {
            self.ask(format!("read the answer to: {what}")).await;
        }
        Ok(found)
    }

    async fn perform(&self, effect: Effect) -> Result<Inserted, StoreError> {
        let what = effect.describe();
        match self.ask(what.clone()).await {
            Verdict::Done => return self.platform().perform(effect, true),
            Verdict::Unread => {
                let done = self.platform().perform(effect, true);
                self.ask(format!("read the answer to: {what}")).await;
                return done;
            }
            Verdict::Fails => {}
            Verdict::AnswerLost => drop(self.platform().perform(effect, true)),
            Verdict::Half(bits) => drop(self.platform().perform(effect.part(bits), false)),
            Verdict::Late(bits) => self.platform().late.push(effect.part(bits)),
        }
        Err(StoreError::unavailable("the schedule says so"))
    }
}

#[async_trait]
impl ShipmentWriter for Gate {
    async fn states(&self, numbers: &[TrackingNumber]) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        self.read("read states", |platform| now(platform.majority.states(numbers))).await?
    }

    async fn known_keys(&self, ids: &[RowId]) -> Result<HashMap<RowId, KnownKey>, StoreError> {
        self.read("look up keys", |platform| now(platform.majority.known_keys(ids))).await?
    }

    async fn rows(&self, ids: &[RowId]) -> Result<Vec<EventRow>, StoreError> {
        self.read("read rows", |platform| now(platform.majority.rows(ids))).await?
    }

    async fn insert_events(&self, rows: &[EventRow]) -> Result<Inserted, StoreError> {
        self.perform(Effect::Rows(rows.to_vec())).await
    }

    async fn replace_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        self.perform(Effect::Replaced(rows.to_vec())).await.map(drop)
    }

    async fn write_states(&self, writes: &[StateWrite]) -> Result<(), StoreError> {
        self.perform(Effect::States(writes.to_vec())).await.map(drop)
    }

    async fn released_at(&self, records: &[(TrackingNumber, LogPosition)]) -> Result<Vec<EventRow>, StoreError> {
        self.read("read what was released", |platform| now(platform.majority.released_at(records))).await?
    }

    /// Asked beside the lane, by what appends the releases; here the workload has them.
    async fn parked(&self, _: &[i32], _: u32) -> Result<Vec<ParkedShipment>, StoreError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl EventAppender for Gate {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        match self.perform(Effect::Append(topic, records)).await {
            Ok(_) => Appended { positions: Vec::new(), refused: None }, // the lane asks only whether all were taken
            Err(error) => Appended::nothing(AppendError::Unavailable(error.to_string())),
        }
    }

    async fn end_of(&self, _: Topic, _: &[u8]) -> Result<Position, AppendError> {
        Err(AppendError::Unavailable("no lane asks for it".to_owned()))
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

#[async_trait]
impl DedupWindow for Gate {
    /// It lies: it knows everything. Whoever believed it would lose every event.
    async fn look_up(&self, dedup_keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        let known: EventId = "evt_S1MP0000_0000000000000000000000".parse().map_err(|_| WindowError(String::new()))?;
        Ok(vec![Some((known, Outcome::Applied)); dedup_keys.len()])
    }

    async fn remember(&self, decided: &[Decided]) -> Result<(), WindowError> {
        self.perform(Effect::Remember(decided.to_vec())).await.map(drop).map_err(|error| WindowError(error.to_string()))
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(())
    }
}

#[async_trait]
impl AppliedAnnouncer for Gate {
    async fn announce(&self, positions: &[Position]) -> Result<(), AnnounceError> {
        let mut positions = positions.to_vec();
        positions.sort_unstable(); // they come out of a hash map, and a seed tells the same story each time
        self.perform(Effect::Announce(positions)).await.map(drop).map_err(|error| AnnounceError(error.to_string()))
    }
}
