//! Which events of a batch were there before: what the rows in the store say, and what this batch adds to it.
//!
//! Two rows can stand for a key: its first event, and one for each other payload that came under the same key (a
//! conflict). The store's rows are looked up only when one of the batch met one ([`shared::shipment_store::Inserted`]): most events are
//! new, and the insertion of their rows says so.

use std::collections::HashMap;

use shared::shipment::{EventId, LogPosition, Outcome, PayloadHash, RowId};
use shared::shipment_store::{EventRow, KnownKey, ShipmentWriter, StoreError};

/// What is known of the keys of a batch.
#[derive(Default)]
pub(crate) struct KnownKeys {
    rows: HashMap<RowId, KnownKey>,
}

/// What an event is, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The first of its key.
    New,
    /// Its key was first used by a record with this payload.
    Before(PayloadHash),
    /// The same conflict was there before.
    ConflictBefore,
    /// The store refused it before, and an operator had it redriven: it is judged anew, and its row replaced.
    RefusedBefore,
}

impl KnownKeys {
    /// Looks up `events`, which are in log order.
    pub(crate) async fn look_up(store: &dyn ShipmentWriter, events: &[EventId]) -> Result<Self, StoreError> {
        let mut firsts: Vec<RowId> = events.iter().map(EventId::first_row).collect();
        firsts.sort_unstable();
        firsts.dedup();
        let mut rows = if firsts.is_empty() { HashMap::new() } else { store.known_keys(&firsts).await? };
        // A conflict is rare, so its row is asked for only when the key is known to hold another payload. Two payloads of one
        // key within the batch make one too.
        let mut payloads: HashMap<RowId, PayloadHash> = HashMap::new();
        let mut conflicts = Vec::new();
        for id in events {
            let first = rows.get(&id.first_row()).map(|known| known.payload);
            let first = first.unwrap_or_else(|| *payloads.entry(id.first_row()).or_insert(id.payload));
            if first != id.payload {
                conflicts.push(id.conflict_row());
            }
        }
        if !conflicts.is_empty() {
            conflicts.sort_unstable();
            conflicts.dedup();
            rows.extend(store.known_keys(&conflicts).await?);
        }
        Ok(Self { rows })
    }

    /// What the event `id` at `position` is. A row at this very position is our own earlier attempt and does not count. One at a later position does:
    /// it is of an event that the store refused and an operator had redriven, and what comes again is one of the records before that.
    pub(crate) fn seen(&self, id: EventId, position: LogPosition, is_redriven: bool) -> Seen {
        let other = |row: RowId| self.rows.get(&row).filter(|known| known.position != position);
        let was_refused = |first: &KnownKey| first.outcome == Outcome::DeadLettered && first.position < position;
        match other(id.first_row()) {
            None => Seen::New,
            Some(first) if is_redriven && first.payload == id.payload && was_refused(first) => Seen::RefusedBefore,
            Some(first) if first.payload == id.payload => Seen::Before(first.payload),
            Some(_) if other(id.conflict_row()).is_some() => Seen::ConflictBefore,
            Some(first) => Seen::Before(first.payload),
        }
    }

    /// What became of the event whose record stands at `position` in an earlier attempt of ours, by its row `row`.
    pub(crate) fn own(&self, row: RowId, position: LogPosition) -> Option<Outcome> {
        self.rows.get(&row).filter(|known| known.position == position).map(|known| known.outcome)
    }

    /// Adds a row that the batch will write.
    pub(crate) fn add(&mut self, row: &EventRow) {
        self.rows.insert(row.row_id(), row.known());
    }
}
