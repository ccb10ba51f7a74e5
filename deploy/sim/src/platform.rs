//! What the lanes work on, as far as servers can tear it: a store of several members, topics, and effects that happen late.
//! The rules of the store (rows once, newest position wins) are those of the memory adapter.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use shared::dedup_window::Decided;
use shared::event_log::{NewRecord, Position, Topic};
use shared::shipment::Outcome;
use shared::shipment_store::memory::MemoryStore;
use shared::shipment_store::{EventRow, Inserted, RowPosition, ShipmentWriter, StateWrite, StoreError};

/// Something that a lane asks a server to do.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Rows(Vec<EventRow>),
    Replaced(Vec<EventRow>),
    States(Vec<StateWrite>),
    Append(Topic, Vec<NewRecord>),
    Remember(Vec<Decided>),
    Announce(Vec<Position>),
}

/// The servers.
#[derive(Default)]
pub(crate) struct Platform {
    /// What the member has that takes the writes.
    pub(crate) primary: MemoryStore,
    /// What a majority of the members has: what reads see, and what a failover cannot take away.
    pub(crate) majority: MemoryStore,
    /// The writes of the primary, and how many of them the majority has.
    writes: Vec<Effect>,
    replicated: usize,
    pub(crate) letters: Vec<NewRecord>,
    pub(crate) changes: Vec<NewRecord>,
    /// What was said to be durable, and has to be looked at.
    pub(crate) remembered: Vec<Decided>,
    pub(crate) announced: Vec<Position>,
    /// Effects that somebody gave up waiting for and that will happen all the same.
    pub(crate) late: Vec<Effect>,
    /// The records of which the store refuses what may be the cause.
    refused: HashSet<RowPosition>,
}

impl Platform {
    /// Servers of which the store refuses what is said of these records.
    pub(crate) fn new(refused: HashSet<RowPosition>) -> Self {
        Self { refused, ..Self::default() }
    }

    /// What the majority has afterwards is durable: an acknowledged write is, with every write before it.
    pub(crate) fn perform(&mut self, effect: Effect, by_majority: bool) -> Result<Inserted, StoreError> {
        match effect {
            Effect::Append(Topic::Changes, mut records) => self.changes.append(&mut records),
            Effect::Append(_, mut records) => self.letters.append(&mut records),
            Effect::Remember(mut decided) => self.remembered.append(&mut decided),
            Effect::Announce(mut positions) => self.announced.append(&mut positions),
            write => {
                let (write, refused) = self.without_the_refused(write);
                let written = apply(&self.primary, &write);
                self.writes.push(write);
                if by_majority {
                    self.replicate();
                }
                return match written? {
                    Inserted::All if !refused.is_empty() => Err(StoreError::Refused(refused)),
                    inserted => Ok(inserted),
                };
            }
        }
        Ok(Inserted::All)
    }

    /// The other members catch up.
    pub(crate) fn replicate(&mut self) {
        for write in &self.writes[self.replicated..] {
            drop(apply(&self.majority, write)); // the primary has answered for it already
        }
        self.replicated = self.writes.len();
    }

    /// What the server writes of it, and the rows that it refuses, by index: of insertions, which are in order, the first and all behind it.
    fn without_the_refused(&self, write: Effect) -> (Effect, Vec<(usize, String)>) {
        // A row that says so is bare of everything that may be the cause.
        let says_so = |row: &EventRow| matches!(row.outcome, Outcome::DeadLettered | Outcome::Conflict);
        let is_bare = |row: &EventRow| says_so(row) && row.shipment_client_id.is_none();
        let is_refused = |row: &EventRow| self.refused.contains(&row.position) && !is_bare(row);
        let refused = |rows: &[EventRow]| {
            let refused = rows.iter().enumerate().filter(|(_, row)| is_refused(row));
            refused.map(|(index, _)| (index, "the schedule says so".to_owned())).collect::<Vec<_>>()
        };
        match write {
            Effect::Rows(mut rows) => {
                let mut refused = refused(&rows);
                refused.truncate(1);
                rows.truncate(refused.first().map_or(rows.len(), |&(index, _)| index));
                (Effect::Rows(rows), refused)
            }
            Effect::Replaced(mut rows) => {
                let refused = refused(&rows);
                rows.retain(|row| !is_refused(row));
                (Effect::Replaced(rows), refused)
            }
            other => (other, Vec::new()),
        }
    }

    /// The primary dies; the next one has what the majority had.
    pub(crate) fn fail_over(&mut self) {
        self.writes.truncate(self.replicated);
        self.primary = MemoryStore::default();
        for write in &self.writes {
            drop(apply(&self.primary, write));
        }
    }
}

fn apply(store: &MemoryStore, write: &Effect) -> Result<Inserted, StoreError> {
    now(async {
        match write {
            Effect::Rows(rows) => return store.insert_events(rows).await,
            Effect::Replaced(rows) => store.replace_events(rows).await?,
            Effect::States(writes) => store.write_states(writes).await?,
            Effect::Append(..) | Effect::Remember(_) | Effect::Announce(_) => unreachable!("no write of the store"),
        }
        Ok(Inserted::All)
    })
}

/// What a call of a memory adapter gives: it waits for nothing.
pub(crate) fn now<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("the memory adapters never wait"),
    }
}

impl Effect {
    /// A part of it: of documents those whose bit is set, of rows and records, which are written in their order, the first few.
    pub(crate) fn part(self, bits: u32) -> Self {
        fn some<T>(all: Vec<T>, bits: u32) -> Vec<T> {
            all.into_iter().enumerate().filter(|(index, _)| bits >> (index % 32) & 1 == 1).map(|(_, one)| one).collect()
        }
        match self {
            Self::Rows(mut rows) => {
                rows.truncate(bits as usize % (rows.len() + 1));
                Self::Rows(rows)
            }
            Self::Replaced(rows) => Self::Replaced(some(rows, bits)),
            Self::States(writes) => Self::States(some(writes, bits)),
            Self::Append(topic, mut records) => {
                records.truncate(bits as usize % (records.len() + 1));
                Self::Append(topic, records)
            }
            whole @ (Self::Remember(_) | Self::Announce(_)) => whole,
        }
    }

    /// In words, for a schedule that somebody reads.
    pub(crate) fn describe(&self) -> String {
        let at = |rows: &[EventRow]| {
            let one =
                |row: &EventRow| format!(" {}/{}={}", row.position.partition, row.position.log.offset, row.outcome);
            rows.iter().map(one).collect::<String>()
        };
        match self {
            Self::Rows(rows) => format!("insert rows{}", at(rows)),
            Self::Replaced(rows) => format!("replace rows{}", at(rows)),
            Self::States(writes) => {
                let one = |write: &StateWrite| {
                    let (number, state) = (write.tracking_number, &write.state);
                    format!(" {number}@{}={}", state.position.offset, state.current_status)
                };
                format!("write states{}", writes.iter().map(one).collect::<String>())
            }
            Self::Append(topic, records) => format!("append {} records to {topic:?}", records.len()),
            Self::Remember(decided) => format!("tell the window of {} events", decided.len()),
            Self::Announce(positions) => format!("announce {positions:?}"),
        }
    }
}
