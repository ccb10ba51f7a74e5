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
    /// The first of its key; or the store refused it before, and an operator had it redriven: it is judged anew.
    New,
    /// Its key was first used by a record with this payload.
    Before(PayloadHash),
    /// The same conflict was there before.
    ConflictBefore,
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
            Some(first) if is_redriven && first.payload == id.payload && was_refused(first) => Seen::New,
            Some(first) if first.payload == id.payload => Seen::Before(first.payload),
            Some(_) if other(id.conflict_row()).is_some() => Seen::ConflictBefore,
            Some(first) => Seen::Before(first.payload),
        }
    }

    /// Whether the store refused the record at `position` of the event `id` in an earlier attempt. It did when the row says so, also where an operator
    /// has had the event redriven since; and what was redriven before the record that was judged was redriven in vain.
    pub(crate) fn was_refused(&self, id: EventId, position: LogPosition, is_redriven: bool) -> bool {
        let Some(known) = self.rows.get(&id.first_row()).filter(|known| known.payload == id.payload) else {
            return false;
        };
        let in_vain = |first: LogPosition| is_redriven && first < position && position < known.position;
        refused_at(known).is_some_and(|first| first == position || in_vain(first))
    }

    /// The record of the event `id` that the store refused, when it is judged anew.
    pub(crate) fn refused_at(&self, id: EventId) -> Option<LogPosition> {
        self.rows.get(&id.first_row()).filter(|known| known.payload == id.payload).and_then(refused_at)
    }

    /// Whether an earlier attempt of ours left the row `row` for the record at `position`.
    pub(crate) fn has_own(&self, row: RowId, position: LogPosition) -> bool {
        self.rows.get(&row).is_some_and(|known| known.position == position)
    }

    /// Adds a row that the batch will write.
    pub(crate) fn add(&mut self, row: &EventRow) {
        self.rows.insert(row.row_id(), row.known());
    }
}

/// The record that the store refused, if it did.
fn refused_at(known: &KnownKey) -> Option<LogPosition> {
    known.refused_at.or_else(|| (known.outcome == Outcome::DeadLettered).then_some(known.position))
}
