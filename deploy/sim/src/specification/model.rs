//! What must become of a log, told in the plainest way: one record after the other, nothing in between.
//!
//! It speaks of documents and rows in the service's own types, so that they are compared whole, member by member. Of the service's code it uses only
//! what makes such a value out of an event (an id, a registration, an entry of a history), which has tests of its own: no rule is taken from there.

use std::collections::HashMap;
use std::sync::Arc;

use shared::shipment::{
    Claim as Claimed, Event, HistoryEntry, Kind, LogPosition, Outcome, ParkedEvent, Place, Policy, RejectReason,
    ShipmentState, Status, Timestamp, TrackingNumber,
};
use shared::shipment_store::{EventRow, RowPosition, StoredShipment};

use super::workload::{Claim, PARK_SECONDS, Sender, Workload, recorded_at};

/// What one record must leave behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effect {
    /// Its row in `status_events`, as it is in the end; a duplicate has none.
    pub(crate) row: Option<EventRow>,
    /// Where that row stands since the record, which the store refused, was redriven and judged anew.
    pub(crate) moved_to: Option<RowPosition>,
    /// The class of its dead letter.
    pub(crate) letter: Option<&'static str>,
    /// The records that are judged when it comes, in their order: itself, or those that waited for it.
    pub(crate) judged: Vec<usize>,
}

/// What must become of a whole log.
#[derive(Debug)]
pub(crate) struct Expected {
    /// For each record.
    pub(crate) effects: Vec<Effect>,
    /// For each shipment its states, by the position of the record that made them.
    pub(crate) documents: HashMap<(TrackingNumber, LogPosition), StoredShipment>,
}

impl Effect {
    /// Whether its row says this.
    fn is(&self, outcome: Outcome) -> bool {
        self.moved_to.is_none() && self.row.as_ref().is_some_and(|row| row.outcome == outcome)
    }
}

struct Model<'a> {
    workload: &'a Workload,
    events: &'a [Option<Event>],
    shipments: HashMap<usize, StoredShipment>,
    effects: Vec<Effect>,
}

impl Expected {
    /// What must become of `workload`.
    #[must_use]
    pub(crate) fn of(workload: &Workload) -> Self {
        let (events, effects) = (workload.events(), vec![Effect::default(); workload.records.len()]);
        let mut model = Model { workload, events: &events, shipments: HashMap::new(), effects };
        let mut documents = HashMap::new();
        for (index, record) in workload.records.iter().enumerate() {
            let before = model.shipments.get(&record.shipment).cloned();
            model.take(index);
            let after = model.shipments.get_mut(&record.shipment).filter(|after| Some(&**after) != before.as_ref());
            if let Some(after) = after {
                let position = workload.at(index).log;
                after.state.position = position;
                documents.insert((after.created.tracking_number, position), after.clone());
            }
        }
        let effects = model.effects;
        Self { effects, documents }
    }

    /// The row of record `index`, if its event changes its shipment for all to see.
    pub(crate) fn change(&self, index: usize) -> Option<&EventRow> {
        self.effects[index].row.as_ref().filter(|row| row.outcome == Outcome::Applied)
    }
}

impl Model<'_> {
    fn take(&mut self, index: usize) {
        let record = self.workload.records[index];
        match record.claim {
            Claim::Poison(class) => {
                self.effects[index].letter = Some(class);
                if class != "KEY_MISMATCH" {
                    self.wait(index);
                }
            }
            Claim::Release { until: now } => self.release(index, now),
            Claim::Created { .. } | Claim::Status(_) | Claim::Kind(_) => self.report(index),
        }
    }

    /// An event: told at once when nothing that waits can change it, else judged in its turn.
    fn report(&mut self, index: usize) {
        let (records, record) = (&self.workload.records, self.workload.records[index]);
        let earlier: Vec<usize> = (0..index).filter(|&earlier| records[earlier].key() == record.key()).collect();
        let says_it = |&earlier: &usize| records[earlier].payload() == record.payload();
        let (is_first, is_known) = (earlier.first().is_none_or(says_it), earlier.iter().any(says_it));
        // What was redriven is judged anew, when nothing has come of it yet but that the store refused it.
        let is_dead = |&earlier: &usize| self.effects[earlier].is(Outcome::DeadLettered);
        let anew = earlier.into_iter().find(|earlier| is_first && record.repeats.is_some() && is_dead(earlier));
        if is_known && anew.is_none() {
            return self.settle(index);
        }
        let conflict = (Outcome::Conflict, RejectReason::KeyConflict);
        let told = if is_first { self.told_at_once(index) } else { Some(conflict) };
        let is_letter = |told: &(Outcome, _)| matches!(told.0, Outcome::Conflict | Outcome::DeadLettered);
        self.effects[index].letter = told.filter(is_letter).map(|(_, reason)| reason.as_str());
        let is_dead = told.is_some_and(|(outcome, _)| outcome == Outcome::DeadLettered);
        match anew {
            Some(_) if is_dead => return self.wait(index), // in vain
            Some(first) => self.effects[first].moved_to = Some(self.workload.at(index)),
            None => {}
        }
        let Some((outcome, reason)) = told else { return self.take_turn(index) };
        let row = EventRow { outcome, outcome_reason: Some(reason), ..self.row(index) };
        // The store takes the row of what it refuses only bare of everything that may be the cause.
        let row = if record.refused { EventRow { from: None, shipment_client_id: None, ..row } } else { row };
        self.effects[index].row = Some(row);
        if is_dead { self.wait(index) } else { self.settle(index) }
    }

    /// Whatever was waited for, record `index` is what came of it.
    fn settle(&mut self, index: usize) {
        if let Some(place) = self.place_of(index) {
            self.queue(index).remove(place);
            self.go_on(index);
        }
    }

    fn told_at_once(&self, index: usize) -> Option<(Outcome, RejectReason)> {
        use RejectReason::{Forbidden, InvalidTransition, ShipmentNotFound, StoreRefused};
        let record = self.workload.records[index];
        match (record.claim, self.shipments.get(&record.shipment)) {
            _ if record.refused => Some((Outcome::DeadLettered, StoreRefused)),
            (Claim::Created { .. }, None) => None,
            (Claim::Created { .. }, Some(_)) => Some((Outcome::Rejected, InvalidTransition)),
            (_, None) => Some((Outcome::Rejected, ShipmentNotFound)),
            _ => (record.sender == Sender::Stranger).then_some((Outcome::Rejected, Forbidden)),
        }
    }

    /// An event that stands for a dead letter has its place; any other one is behind all that wait.
    fn take_turn(&mut self, index: usize) {
        let shipment = self.workload.records[index].shipment;
        let waiting = self.shipments.get(&shipment).map_or(0, |shipment| shipment.state.parked.len());
        let place = if waiting == 0 { None } else { self.place_of(index).or(Some(waiting)) };
        match place {
            None => self.judge(index, index),
            Some(0) => {
                self.queue(index).remove(0);
                self.judge(index, index);
                self.go_on(index);
            }
            Some(place) => {
                let waits = EventRow { outcome: Outcome::Parked, from: None, ..self.row(index) };
                let event = Place::Event(Arc::new(ParkedEvent {
                    position: waits.position.log,
                    event_id: waits.event_id,
                    report: waits.report.clone(),
                    recorded_at: waits.recorded_at,
                    refused_at: waits.refused_at,
                    reporter: waits.reporter.clone(),
                }));
                self.effects[index].row = Some(waits);
                let queue = self.queue(index);
                if place < queue.len() {
                    queue[place] = event;
                } else {
                    queue.push(event);
                }
            }
        }
    }

    /// A dead letter is waited for, from the time of its record on, unless it is already.
    fn wait(&mut self, index: usize) {
        let shipment = self.workload.records[index].shipment;
        let parks = |shipment: &StoredShipment| shipment.created.park_seconds.is_some();
        if self.shipments.get(&shipment).is_some_and(parks) && self.place_of(index).is_none() {
            let of = LogPosition { offset: self.stands_for(index), ..self.workload.at(index).log };
            let until = Timestamp::from_millis(recorded_at(index) + PARK_SECONDS * 1_000);
            self.queue(index).push(Place::Waiting { of, until });
        }
    }

    /// It is `now`: nobody waits any more for what should have come by now.
    fn release(&mut self, index: usize, now: i64) {
        if self.shipments.contains_key(&self.workload.records[index].shipment) {
            self.queue(index)
                .retain(|place| !matches!(place, Place::Waiting { until, .. } if until.as_millis() <= now));
            self.go_on(index);
        }
    }

    /// Judges what waits, as far as the next dead letter, because of record `index`.
    fn go_on(&mut self, index: usize) {
        while let Some(Place::Event(waiting)) = self.queue(index).first().cloned() {
            let is_it = |&earlier: &usize| {
                self.workload.at(earlier).log == waiting.position
                    && self.workload.records[earlier].shipment == self.workload.records[index].shipment
            };
            let next = (0..=index).find(is_it).expect("what waits has a record");
            self.queue(index).remove(0);
            self.judge(next, index);
        }
    }

    fn queue(&mut self, index: usize) -> &mut Vec<Place> {
        let shipment = self.workload.records[index].shipment;
        &mut self.shipments.get_mut(&shipment).expect("only a shipment has a queue").state.parked
    }

    /// The offset of the record that `index` repeats, or its own.
    fn stands_for(&self, index: usize) -> i64 {
        self.workload.at(self.workload.records[index].repeats.unwrap_or(index)).log.offset
    }

    /// The place that is kept for what record `index` repeats.
    fn place_of(&self, index: usize) -> Option<usize> {
        let record = self.workload.records[index];
        let parked = &self.shipments.get(&record.shipment)?.state.parked;
        let of = record.repeats.map(|_| self.stands_for(index))?;
        parked.iter().position(|place| matches!(place, Place::Waiting { of: dead, .. } if dead.offset == of))
    }

    fn event(&self, index: usize) -> &Event {
        self.events[index].as_ref().expect("only an event is judged")
    }

    /// What every row of record `index` says.
    fn row(&self, index: usize) -> EventRow {
        let (event, shipment) = (self.event(index), self.shipments.get(&self.workload.records[index].shipment));
        let (report, position) = (event.report(), self.workload.at(index));
        let refused = self.effects.iter().position(|effect| effect.moved_to == Some(position));
        EventRow {
            event_id: event.event_id(),
            position,
            released_at: None,
            refused_at: refused.map(|first| self.workload.at(first).log),
            outcome: Outcome::Rejected,
            outcome_reason: None,
            from: shipment.map(|shipment| shipment.state.current_status),
            to: report.claim.status(),
            late: false,
            report,
            recorded_at: event.recorded_at(),
            reporter: event.reporter().cloned(),
            shipment_client_id: shipment.map(|_| "owner".to_owned()),
            version: None,
        }
    }

    /// Judges the event of record `index` when record `by` comes.
    fn judge(&mut self, index: usize, by: usize) {
        let (shipment, by_at) = (self.workload.records[index].shipment, self.workload.at(by).log);
        let base = EventRow { released_at: (by != index).then_some(by_at), ..self.row(index) };
        let row = match (self.event(index).clone(), self.shipments.get_mut(&shipment)) {
            (Event::Created(created), None) => {
                let state = ShipmentState::created(&created, base.event_id, by_at);
                self.shipments.insert(shipment, StoredShipment { created: *created, state });
                let owner = Some("owner".to_owned());
                EventRow { outcome: Outcome::Applied, version: Some(1), shipment_client_id: owner, ..base }
            }
            (event, Some(shipment)) => match enter(shipment, &event) {
                None => EventRow { outcome_reason: Some(RejectReason::InvalidTransition), ..base },
                Some((next, moved, late)) => {
                    let (version, to) = (Some(next.version), Some(next.current_status));
                    shipment.state = next;
                    let outcome = if moved { Outcome::Applied } else { Outcome::Recorded };
                    EventRow { outcome, version, to, late, ..base }
                }
            },
            (Event::Reported(_), None) => unreachable!("told at once"),
        };
        self.effects[index].row = Some(row);
        self.effects[by].judged.push(index);
    }
}

/// The state with `event` in it, whether that moved the status, and whether it came late; `None` when the policy forbids it.
fn enter(shipment: &StoredShipment, event: &Event) -> Option<(ShipmentState, bool, bool)> {
    let (report, before) = (event.report(), &shipment.state);
    let field = shipment.created.policy() == Policy::Field;
    let moved = match report.claim.status() {
        Some(to) if !field && !strict_allows(before.current_status, to, shipment.created.allow_cancel_in_transit) => {
            return None;
        }
        claimed => !field && claimed.is_some(),
    };
    let mut next = before.clone();
    next.version += 1;
    next.updated_at = next.updated_at.max(event.recorded_at());
    next.attempts += u32::from(report.claim == Claimed::Kind(Kind::DeliveryAttemptFailed));
    let entry = Arc::new(HistoryEntry::of(&report, event.event_id(), event.recorded_at(), moved));
    next.status_history.push(entry.clone());
    next.status_history.sort_by_key(|entry| entry.timestamp); // stable: of one time, the earlier record comes first
    if field {
        (next.current_status, next.exception) = (Status::Created, None);
        for entry in &mut next.status_history {
            match entry.claim {
                Claimed::Status(to) if !is_creation(entry) => {
                    let moves = field_moves(next.current_status, to);
                    Arc::make_mut(entry).moved = moves;
                    if moves {
                        (next.current_status, next.exception) = (to, None);
                    }
                }
                Claimed::Kind(Kind::Exception) => next.exception = Some(entry.clone()),
                _ => {}
            }
        }
    } else {
        match entry.claim {
            Claimed::Status(to) => (next.current_status, next.exception) = (to, None),
            Claimed::Kind(Kind::Exception) => next.exception = Some(entry.clone()),
            Claimed::Kind(_) => {}
        }
    }
    let history = &next.status_history;
    next.last_scan = history.iter().rfind(|entry| !is_creation(entry)).cloned();
    let place = history.iter().position(|known| known.event_id == entry.event_id).expect("it was put there");
    let late = field && history[place + 1..].iter().any(|later| !is_creation(later));
    let moved = history[place].moved;
    Some((next, moved, late))
}

fn is_creation(entry: &HistoryEntry) -> bool {
    entry.claim == Claimed::Status(Status::Created)
}

fn strict_allows(from: Status, to: Status, cancel_in_transit: bool) -> bool {
    use Status::{Cancelled, Created, Delivered, InTransit, InWarehouse, PickedUp};
    match from {
        Created => matches!(to, PickedUp | Cancelled),
        PickedUp => matches!(to, InWarehouse | Cancelled),
        InWarehouse => matches!(to, InTransit | Cancelled),
        InTransit => to == Delivered || (to == Cancelled && cancel_in_transit),
        Delivered | Cancelled => false,
    }
}

fn field_moves(from: Status, to: Status) -> bool {
    let rank = |status: Status| match status {
        Status::Created => 0,
        Status::PickedUp => 1,
        Status::InWarehouse | Status::InTransit => 2,
        Status::Delivered | Status::Cancelled => 3,
    };
    rank(to) > rank(from) || (rank(to) == 2 && rank(from) == 2 && to != from)
}
