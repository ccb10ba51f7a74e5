//! The pipeline of a batch: the protocol of design section 3, in one place and in its order.
//!
//! The state of a shipment is a pure function of its records up to a position, so whoever computes "the state at position 17" gets the same
//! answer. A write carries the position that it is the state of, and the store keeps the greater one. Hence no locks, no
//! compare-and-set and no fencing: a zombie can only write older states, and they lose. What has to be kept is the order of the steps:
//!
//! 1. rows, in log order, *then* states: the other order loses the audit of a batch that was cut off. A batch is judged as if its events were
//!    new; the first row whose id is taken ends the insertion, and the batch is judged again by what is there. A row that stands behind
//!    others of its shipment is there only if they are, so what it says of them is true whenever the batch is cut off;
//! 2. dead letters, *then* states: a record that its shipment's state has passed is skipped when it comes again, and a conflict with it;
//! 3. changes, window and notices after all of these are durable, offsets last of all.
//!
//! A state advances with the events that enter a history, and with whatever changes its parking; a rejected event leaves it where it is. When
//! its record comes again it is judged again, against the same state, to the same row, which is there already.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use shared::change_feed::Change;
use shared::dedup_window::Decided;
use shared::event_log::NewRecord;
use shared::shipment::record::Poison;
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::transition::parking;
use shared::shipment::{EventBody, LogPosition, Outcome, RowId, Shipment, TrackingNumber};
use shared::shipment_store::{EventRow, Inserted, RowPosition, StoreError};

use crate::Ports;
use crate::cache::Cache;
use crate::consume::{Batch, Lanes};
use crate::dead_letter::{Cause, KEY_CONFLICT};
use crate::dedup::{KnownKeys, Seen};
use crate::failure::Failure;
use crate::item::{Content, Item};
use crate::storm::Share;
use crate::turns::Turns;
use crate::write::{self, Changed};

/// A batch that is being applied. It outlives the attempts: what was decoded stays so, and what the store refused stays refused.
pub(crate) struct Work<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) items: Vec<Item>,
    /// Whether the store is asked for the keys of the events before they are judged: some are known, or may be.
    looks_up: bool,
    /// The items, by index, whose dead letters are acknowledged: a store that cannot take the states for an hour is no reason to write them
    /// at every attempt.
    pub(crate) buried: HashSet<usize>,
}

/// What an attempt decided. Nothing of it is written yet.
#[derive(Default)]
pub(crate) struct Decision {
    /// The rows of the events, in their order.
    pub(crate) rows: Vec<EventRow>,
    /// For each row the index of its item.
    row_items: Vec<usize>,
    /// The rows to write: all but those that an earlier attempt left there. Those of events which the store refused before and an operator had
    /// redriven replace what stands there.
    turns: Turns,
    /// The rows of events whose documents the store refused.
    refused: Vec<EventRow>,
    pub(crate) changed: Changed,
    /// The rows of parked events that this batch releases.
    pub(crate) released: Vec<EventRow>,
    /// Records that an earlier attempt applied, by the rows that it wrote.
    skipped: Vec<(RowId, RowPosition)>,
    /// Those of them that may have released parked events.
    may_have_released: Vec<(TrackingNumber, LogPosition)>,
    /// Records for the dead letters, by index.
    pub(crate) dead: Vec<(usize, Cause)>,
    /// How many events were there before.
    pub(crate) duplicates: usize,
}

impl<'a> Work<'a> {
    /// Step 1: decode. A record that cannot be decoded is poison now and for ever. `looks_up`: many of the events are expected to be known.
    pub(crate) fn decode(batch: &'a Batch, epoch: i64, looks_up: bool) -> Self {
        let items: Vec<Item> = batch.records.iter().map(|record| Item::of(record, epoch)).collect();
        let looks_up = looks_up || items.iter().any(|item| item.is_redriven);
        Self { batch, items, looks_up, buried: HashSet::new() }
    }

    /// Step 2: the states, out of the cache or the store.
    async fn states(&self, ports: &Ports, lanes: &Lanes) -> Result<HashMap<TrackingNumber, Shipment>, StoreError> {
        let (mut states, unknown) = self.remembered_states(&mut lanes.cache());
        if !unknown.is_empty() {
            let mut unknown: Vec<_> = unknown.into_iter().collect();
            unknown.sort_unstable();
            states.extend(ports.store.states(&unknown).await?);
        }
        Ok(states)
    }

    /// The states that are remembered, and the shipments that are not.
    fn remembered_states(&self, cache: &mut Cache) -> (HashMap<TrackingNumber, Shipment>, HashSet<TrackingNumber>) {
        let (mut states, mut unknown) = (HashMap::new(), HashSet::new());
        for (item, number) in self.items.iter().filter_map(|item| Some((item, item.number?))) {
            if states.contains_key(&number) || unknown.contains(&number) {
                continue;
            }
            match cache.get(number, item.position.partition, self.batch) {
                Some(shipment) => drop(states.insert(number, shipment)),
                None => drop(unknown.insert(number)),
            }
        }
        (states, unknown)
    }

    /// Takes what is remembered of the batch's shipments for unknown.
    pub(crate) fn forget_states(&self, cache: &mut Cache) {
        self.items.iter().filter_map(|item| item.number).for_each(|number| cache.forget(number));
    }

    /// Steps 2 to 4: read, then judge each record in order. Writes nothing.
    pub(crate) async fn decide(&mut self, ports: &Ports, lanes: &Lanes) -> Result<Decision, Failure> {
        let states = self.states(ports, lanes).await?;
        let applied_before = |item: &Item| {
            let shipment = item.number.and_then(|number| states.get(&number));
            shipment.filter(|shipment| item.position.log <= shipment.state.position)
        };
        let mut known = KnownKeys::default();
        if self.looks_up {
            // In log order, the refused ones in their places: which of two payloads is the conflict depends on it.
            let news = self.items.iter().filter_map(|item| match &item.content {
                Content::Event(event) => applied_before(item).is_none().then_some(event.id),
                Content::Poison(_) => Some(item.refused.as_ref()?.id),
                Content::Release(_) => None,
            });
            known = KnownKeys::look_up(&*ports.store, &news.collect::<Vec<_>>()).await?;
            self.refuse_again(&known);
        }
        let mut decision = Decision::default();
        for (index, item) in self.items.iter().enumerate() {
            let passed = applied_before(item);
            if let Some(shipment) = passed.filter(|shipment| shipment.terms.park_seconds > 0) {
                decision.may_have_released.push((shipment.tracking_number, item.position.log));
            }
            match &item.content {
                Content::Poison(poison) => {
                    let event = item.refused.as_ref();
                    let refused = event.and_then(|event| decision.refuse(event, item.position, &mut known));
                    let cause = match event {
                        Some(event) if refused == Some(Outcome::Conflict) => key_conflict(&event.report),
                        _ => cause_of(poison),
                    };
                    decision.dead.push((index, cause));
                    match refused {
                        _ if passed.is_some() => {}
                        Some(Outcome::DeadLettered) => decision.wait(item, &states),
                        None if event.is_none() => decision.wait(item, &states),
                        _ => decision.settle(item, &states), // of a conflict nothing can come any more
                    }
                }
                Content::Event(event) if passed.is_some() => {
                    decision.skipped.push((event.id.first_row(), item.position));
                }
                Content::Event(event) => decision.judge(index, item, event, &states, &mut known),
                Content::Release(release) if passed.is_none() => decision.release(item, *release, &states),
                Content::Release(_) => {}
            }
        }
        Ok(decision)
    }

    /// What the store refused in an earlier attempt, as the row says, stays refused: it was cut off, and its row is what others go by.
    fn refuse_again(&mut self, known: &KnownKeys) {
        let was_refused = |item: &Item| match &item.content {
            Content::Event(event) => known.was_refused(event.id, item.position.log, item.is_redriven),
            _ => false,
        };
        let again = self.items.iter().enumerate().filter(|(_, item)| was_refused(item));
        let again = again.map(|(index, _)| (index, "it was refused in an earlier attempt".to_owned())).collect();
        self.refuse(again);
    }

    /// Step 5: the rows. `Ok(false)` when the batch has to be decided again: the store refused one, and its record is poison from now on, or
    /// one is there already.
    pub(crate) async fn write_rows(&mut self, ports: &Ports, decision: &Decision) -> Result<bool, Failure> {
        for (replaces, places) in decision.turns.iter() {
            let rows = decision.rows_at(places);
            let written = if replaces {
                ports.store.replace_events(&rows).await.map(|()| Inserted::All)
            } else {
                ports.store.insert_events(&rows).await
            };
            match written {
                // It may be a known one, and then it is no matter whether the store would take it.
                Err(StoreError::Refused(_)) if !self.looks_up => {
                    self.looks_up = true;
                    return Ok(false);
                }
                Err(StoreError::Refused(refused)) => {
                    let items = refused.into_iter().map(|(index, why)| (decision.row_items[places[index]], why));
                    self.refuse(items.collect());
                    return Ok(false);
                }
                Ok(Inserted::UpTo(index)) => {
                    self.look_up_now(rows[index].row_id())?;
                    return Ok(false);
                }
                written => drop(written?),
            }
        }
        // Behind all others: a row that tells what a parked event came to is not taken back for an event that the store refuses.
        if !decision.released.is_empty() {
            ports.store.replace_events(&decision.released).await?;
        }
        if !decision.refused.is_empty() {
            match ports.store.replace_events(&decision.refused).await {
                Err(StoreError::Refused(refused)) => tracing::error!(
                    rows = refused.len(),
                    "the store refuses even the rows of dead letters; their outcomes stand in the dead letters only"
                ),
                written => written?,
            }
        }
        Ok(true)
    }

    /// The row `taken` is there. Where it was looked for and not found, another owner has just put it there, or it is not a majority's yet
    /// and may be rolled back: that passes.
    fn look_up_now(&mut self, taken: RowId) -> Result<(), StoreError> {
        if self.looks_up {
            return Err(StoreError::unavailable(format!(
                "the row {taken} is there, and was not when it was looked for"
            )));
        }
        self.looks_up = true;
        Ok(())
    }

    /// Step 7: the states. `Ok(false)` as for the rows.
    pub(crate) async fn write_states(&mut self, ports: &Ports, decision: &Decision) -> Result<bool, Failure> {
        let writes = decision.changed.writes();
        if !writes.is_empty() {
            match ports.store.write_states(&writes).await {
                Err(StoreError::Refused(refused)) => {
                    let refused: HashMap<_, _> =
                        refused.into_iter().map(|(write, why)| (writes[write].tracking_number, why)).collect();
                    let of_refused = |(&index, row): (&usize, &EventRow)| {
                        Some((index, refused.get(&row.event_id.tracking_number)?.clone()))
                    };
                    self.refuse(decision.row_items.iter().zip(&decision.rows).filter_map(of_refused).collect());
                    return Ok(false);
                }
                written => written?,
            }
        }
        Ok(true)
    }

    fn refuse(&mut self, items: Vec<(usize, String)>) {
        self.looks_up |= !items.is_empty(); // some of the rows may be there by now
        for (index, why) in items {
            let item = &mut self.items[index];
            if let Content::Event(event) = std::mem::replace(&mut item.content, Content::Poison(Poison::Refused(why))) {
                item.refused = Some(event);
            }
        }
    }
}

fn cause_of(poison: &Poison) -> Cause {
    Cause { class: poison.class(), message: poison.to_string() }
}

fn key_conflict(report: &EventBody) -> Cause {
    Cause { class: KEY_CONFLICT, message: format!("another event has the key {}", report.dedup_key()) }
}

impl Decision {
    /// The rows at these places. All of them, mostly.
    fn rows_at(&self, places: &[usize]) -> Cow<'_, [EventRow]> {
        if places.len() == self.rows.len() {
            return Cow::Borrowed(&self.rows);
        }
        places.iter().map(|&place| self.rows[place].clone()).collect()
    }

    /// The row of an event that the store refused holds its key like any other, or the same event in the same batch and in the next one
    /// would come to different ends.
    fn refuse(&mut self, event: &IdentifiedEvent, position: RowPosition, known: &mut KnownKeys) -> Option<Outcome> {
        let outcome = match known.seen(event.id, position.log, false) {
            Seen::New => Outcome::DeadLettered,
            Seen::Before(payload) if payload != event.id.payload => Outcome::Conflict,
            Seen::Before(_) => return Some(Outcome::DeadLettered), // it was redriven in vain, and has its row
            Seen::ConflictBefore => return None,                   // it has its row
        };
        let row = write::refused_row(event, outcome, position);
        known.add(&row);
        self.refused.push(row);
        Some(outcome)
    }

    fn judge(
        &mut self,
        index: usize,
        item: &Item,
        event: &IdentifiedEvent,
        states: &HashMap<TrackingNumber, Shipment>,
        known: &mut KnownKeys,
    ) {
        let event = &match known.refused_at(event.id) {
            None => Cow::Borrowed(event),
            refused_at => Cow::Owned(IdentifiedEvent { refused_at, ..event.clone() }),
        };
        let number = event.id.tracking_number;
        let position = item.position.log;
        let first = match known.seen(event.id, position, item.is_redriven) {
            Seen::New => None,
            Seen::Before(payload) => Some(payload),
            Seen::ConflictBefore => Some(event.id.payload), // a duplicate of that conflict
        };
        let shipment = self.newest(number, states);
        let was_parked = shipment.is_some_and(|shipment| !shipment.state.parked.is_empty());
        let turn = parking::take(shipment, first, event, position, item.repeats);
        let own = turn.own.as_ref().filter(|own| own.outcome != Outcome::Duplicate);
        let owner = turn.shipment.as_ref().or(shipment);
        match own.map(|own| write::row(event, own, item.position, owner)) {
            Some(row) => self.put(index, row, known),
            None => self.duplicates += 1,
        }
        if was_parked {
            self.take_over(turn, item.position);
        } else if let Some(shipment) = turn.shipment {
            self.changed.add(shipment, event.created.clone(), item.position.partition, false);
        }
    }

    /// Adds the row of the item `index`.
    fn put(&mut self, index: usize, row: EventRow, known: &mut KnownKeys) {
        if row.outcome == Outcome::Conflict {
            self.dead.push((index, key_conflict(&row.report)));
        }
        if row.refused_at.is_some() {
            self.turns.replace(row.event_id.tracking_number, self.rows.len());
        } else if !known.has_own(row.row_id(), row.position.log) {
            self.turns.insert(row.event_id.tracking_number, self.rows.len());
        }
        known.add(&row);
        self.rows.push(row);
        self.row_items.push(index);
    }

    /// What the storm breaker goes by.
    pub(crate) fn share(&self, batch: &Batch) -> Share {
        let dead = self.dead.iter().filter(|(_, cause)| cause.class != KEY_CONFLICT).count();
        Share { records: batch.records.len(), dead }
    }

    /// Step 8, the changes: those of this attempt, and again those of records that an earlier attempt applied, out of their rows. What a record
    /// released was judged when it was: a shipment's versions tell the order.
    pub(crate) async fn changes(&self, ports: &Ports) -> Result<Vec<NewRecord>, StoreError> {
        let again = self.rows_of_skipped(ports).await?;
        let rows = again.iter().chain(&self.rows).chain(&self.released);
        let mut rows: Vec<&EventRow> = rows.filter(|row| row.version.is_some()).collect();
        rows.sort_by_key(|row| (row.position.partition, row.judged_at(), row.version));
        rows.dedup_by_key(|row| row.position);
        Ok(rows.into_iter().filter_map(Change::of).map(|change| change.record()).collect())
    }

    async fn rows_of_skipped(&self, ports: &Ports) -> Result<Vec<EventRow>, StoreError> {
        let mut rows: Vec<EventRow> = Vec::new();
        if !self.skipped.is_empty() {
            let ids: Vec<RowId> = self.skipped.iter().map(|&(id, _)| id).collect();
            let positions: HashSet<RowPosition> = self.skipped.iter().map(|&(_, position)| position).collect();
            // A row at another position belongs to an earlier record with the same key, which published it itself; one that was released,
            // to the record that released it.
            let own = ports.store.rows(&ids).await?.into_iter();
            rows.extend(own.filter(|row| positions.contains(&row.position) && row.released_at.is_none()));
        }
        if !self.may_have_released.is_empty() {
            rows.extend(ports.store.released_at(&self.may_have_released).await?);
        }
        Ok(rows)
    }

    /// Step 8, the window: what was decided and is durable now.
    pub(crate) fn decided(&self) -> Vec<Decided> {
        let remembered =
            |row: &EventRow| !matches!(row.outcome, Outcome::Conflict | Outcome::DeadLettered | Outcome::Parked);
        let rows = self.rows.iter().chain(&self.released).filter(|row| remembered(row));
        let decided =
            rows.map(|row| Decided { dedup_key: row.report.dedup_key(), event_id: row.event_id, outcome: row.outcome });
        decided.collect()
    }

    /// Everything is durable: the cache may know.
    pub(crate) fn remember_states(self, cache: &mut Cache, batch: &Batch) {
        for (shipment, partition) in self.changed.into_shipments() {
            cache.put(shipment, partition, batch);
        }
    }
}
