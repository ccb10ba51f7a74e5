//! What the lanes work on, as far as servers can tear it: a store of several members, topics, and effects that happen late.
//! The rules of the store (rows once, newest position wins) are those of the memory adapter.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use shared::dedup_window::Decided;
use shared::event_log::{NewRecord, Position, Topic};
use shared::shipment_store::memory::MemoryStore;
use shared::shipment_store::{EventRow, Inserted, ShipmentWriter, StateWrite, StoreError};

use crate::workload::{REFUSED, REFUSED_MILLIS, number};

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
}

impl Platform {
    /// What the majority has afterwards is durable: an acknowledged write is, with every write before it.
    pub(crate) fn perform(&mut self, effect: Effect, by_majority: bool) -> Result<Inserted, StoreError> {
        match effect {
            Effect::Append(Topic::Changes, mut records) => self.changes.append(&mut records),
            Effect::Append(_, mut records) => self.letters.append(&mut records),
            Effect::Remember(mut decided) => self.remembered.append(&mut decided),
            Effect::Announce(mut positions) => self.announced.append(&mut positions),
            write => {
                let (write, refused) = up_to_the_refused(write);
                let written = apply(&self.primary, &write);
                self.writes.push(write);
                if by_majority {
                    self.replicate();
                }
                return match (written?, refused) {
                    (Inserted::All, Some(index)) => {
                        Err(StoreError::Refused(vec![(index, "the schedule says so".to_owned())]))
                    }
                    (inserted, _) => Ok(inserted),
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

    /// The primary dies; the next one has what the majority had.
    pub(crate) fn fail_over(&mut self) {
        self.writes.truncate(self.replicated);
        self.primary = MemoryStore::default();
        for write in &self.writes {
            drop(apply(&self.primary, write));
        }
    }
}

/// What is before the first row that the server would not write at all, and the index of that one.
fn up_to_the_refused(write: Effect) -> (Effect, Option<usize>) {
    let Effect::Rows(mut rows) = write else { return (write, None) };
    let refused_number = number(REFUSED);
    let is_refused = |row: &EventRow| {
        row.report.tracking_number.as_str() == refused_number && row.report.timestamp.as_millis() % REFUSED_MILLIS == 0
    };
    let refused = rows.iter().position(is_refused);
    rows.truncate(refused.unwrap_or(rows.len()));
    (Effect::Rows(rows), refused)
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
