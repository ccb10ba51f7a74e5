//! What must become of a log, told in the plainest way: one record after the other, nothing in between. It shares no code with the service.

use std::collections::{BTreeMap, HashMap};

use crate::workload::{Claim, PARK_SECONDS, Record, Sender, Workload, recorded_at};

/// What one record must leave behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effect {
    /// Its row in `status_events`, as it is in the end; a duplicate has none.
    pub(crate) row: Option<Row>,
    /// The class of its dead letter.
    pub(crate) letter: Option<&'static str>,
    /// The records that are judged when it comes, in their order: itself, or those that waited for it.
    pub(crate) judged: Vec<usize>,
}

/// A row: what the model knows of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) from: Option<&'static str>,
    pub(crate) to: Option<&'static str>,
    pub(crate) late: bool,
    pub(crate) version: Option<i64>,
    pub(crate) has_owner: bool,
    pub(crate) recorded_at: i64,
    /// The record that it waited for.
    pub(crate) released_by: Option<usize>,
}

/// A shipment. Entries of its history are records, by their index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) status: &'static str,
    pub(crate) version: i64,
    pub(crate) updated_at: i64,
    pub(crate) history: Vec<(usize, bool)>,
    pub(crate) last_scan: usize,
    pub(crate) attempts: u32,
    pub(crate) exception: Option<usize>,
    pub(crate) queue: Vec<Place>,
}

/// A place in the queue behind a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// The dead letter at this offset, which is waited for until then.
    DeadLetter { offset: i64, until: i64 },
    /// A record that came later.
    Record(usize),
}

/// What must become of a whole log.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// For each record.
    pub(crate) effects: Vec<Effect>,
    /// For each shipment its states, by the record that made them.
    pub(crate) documents: BTreeMap<usize, BTreeMap<usize, Document>>,
}

struct Model<'a> {
    workload: &'a Workload,
    /// For each key the claims that were made under it; the first one is the event, the others are conflicts.
    keys: HashMap<Key, Vec<Payload>>,
    shipments: HashMap<usize, (Claim, Document)>,
    effects: Vec<Effect>,
}

type Key = (usize, Option<(usize, i64)>);
type Payload = (Option<&'static str>, bool, usize);

impl Expected {
    /// What must become of `workload`.
    #[must_use]
    pub(crate) fn of(workload: &Workload) -> Self {
        let effects = vec![Effect::default(); workload.records.len()];
        let mut model = Model { workload, keys: HashMap::new(), shipments: HashMap::new(), effects };
        let mut documents = BTreeMap::<usize, BTreeMap<usize, Document>>::new();
        for (index, record) in workload.records.iter().enumerate() {
            let before = model.shipments.get(&record.shipment).cloned();
            model.take(index);
            let after = model.shipments.get(&record.shipment).filter(|&after| Some(after) != before.as_ref());
            if let Some((_, document)) = after {
                documents.entry(record.shipment).or_default().insert(index, document.clone());
            }
        }
        Self { effects: model.effects, documents }
    }

    /// Whether the event of record `index` changes its shipment for all to see.
    pub(crate) fn changes(&self, index: usize) -> bool {
        self.effects[index].row.as_ref().is_some_and(|row| row.outcome == "applied")
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
            Claim::Created { field, weight, .. } => self.report(index, (record.shipment, None), (None, field, weight)),
            Claim::Status(word) | Claim::Kind(word) => {
                let key = (record.shipment, Some((record.source, record.second)));
                self.report(index, key, (Some(word), false, 0));
            }
        }
    }

    /// An event: told at once when nothing that waits can change it, else judged in its turn.
    fn report(&mut self, index: usize, key: Key, payload: Payload) {
        let record = self.workload.records[index];
        let claims = self.keys.entry(key).or_default();
        let (is_new, is_first) = (!claims.contains(&payload), claims.is_empty());
        if is_new {
            claims.push(payload);
            let told = if is_first { self.told_at_once(index) } else { Some(("conflict", "KEY_CONFLICT")) };
            let Some((outcome, reason)) = told else { return self.take_turn(index) };
            let row = Row { outcome, reason: Some(reason), ..self.row(index) };
            // The store takes the row of what it refuses only bare of everything that may be the cause.
            let row = if record.is_refused(index) { Row { from: None, has_owner: false, ..row } } else { row };
            self.effects[index].row = Some(row);
            self.effects[index].letter = matches!(outcome, "conflict" | "dead_lettered").then_some(reason);
            if outcome == "dead_lettered" {
                return self.wait(index);
            }
        }
        // Whatever was waited for, this is what came of it.
        if let Some(place) = self.place_of(index) {
            self.queue(index).remove(place);
            self.go_on(index);
        }
    }

    fn told_at_once(&self, index: usize) -> Option<(&'static str, &'static str)> {
        let record = self.workload.records[index];
        match (record.claim, self.shipments.get(&record.shipment)) {
            _ if record.is_refused(index) => Some(("dead_lettered", "STORE_REFUSED")),
            (Claim::Created { .. }, None) => None,
            (Claim::Created { .. }, Some(_)) => Some(("rejected", "INVALID_TRANSITION")),
            (_, None) => Some(("rejected", "SHIPMENT_NOT_FOUND")),
            _ => (record.sender == Sender::Stranger).then_some(("rejected", "FORBIDDEN")),
        }
    }

    /// An event that stands for a dead letter has its place; any other one is behind all that wait.
    fn take_turn(&mut self, index: usize) {
        let shipment = self.workload.records[index].shipment;
        let waiting = self.shipments.get(&shipment).map_or(0, |(_, document)| document.queue.len());
        let place = if waiting == 0 { None } else { self.place_of(index).or(Some(waiting)) };
        match place {
            None => self.judge(index, index),
            Some(0) => {
                self.queue(index).remove(0);
                self.judge(index, index);
                self.go_on(index);
            }
            Some(place) => {
                let waits = Row { outcome: "parked", from: None, ..self.row(index) };
                self.effects[index].row = Some(waits);
                let queue = self.queue(index);
                if place < queue.len() {
                    queue[place] = Place::Record(index);
                } else {
                    queue.push(Place::Record(index));
                }
            }
        }
    }

    /// A dead letter is waited for, from the time of its record on, unless it is already.
    fn wait(&mut self, index: usize) {
        let shipment = self.workload.records[index].shipment;
        let parks = |(terms, _): &(Claim, Document)| matches!(terms, Claim::Created { parks: true, .. });
        if self.shipments.get(&shipment).is_some_and(parks) && self.place_of(index).is_none() {
            let (offset, until) = (self.stands_for(index), recorded_at(index) + PARK_SECONDS * 1_000);
            self.queue(index).push(Place::DeadLetter { offset, until });
        }
    }

    /// It is `now`: nobody waits any more for what should have come by now.
    fn release(&mut self, index: usize, now: i64) {
        if self.shipments.contains_key(&self.workload.records[index].shipment) {
            self.queue(index).retain(|place| !matches!(place, Place::DeadLetter { until, .. } if *until <= now));
            self.go_on(index);
        }
    }

    /// Judges what waits, as far as the next dead letter, because of record `index`.
    fn go_on(&mut self, index: usize) {
        while let Some(&Place::Record(next)) = self.queue(index).first() {
            self.queue(index).remove(0);
            self.judge(next, index);
        }
    }

    fn queue(&mut self, index: usize) -> &mut Vec<Place> {
        let shipment = self.workload.records[index].shipment;
        &mut self.shipments.get_mut(&shipment).expect("only a shipment has a queue").1.queue
    }

    /// The offset of the record that `index` repeats, or its own.
    fn stands_for(&self, index: usize) -> i64 {
        self.workload.position(self.workload.records[index].repeats.unwrap_or(index)).2
    }

    /// The place that is kept for what record `index` repeats.
    fn place_of(&self, index: usize) -> Option<usize> {
        let record = self.workload.records[index];
        let (_, document) = self.shipments.get(&record.shipment)?;
        let of = record.repeats.map(|_| self.stands_for(index))?;
        document.queue.iter().position(|place| matches!(place, Place::DeadLetter { offset, .. } if *offset == of))
    }

    /// What every row of record `index` says.
    fn row(&self, index: usize) -> Row {
        let record = &self.workload.records[index];
        let shipment = self.shipments.get(&record.shipment);
        let from = shipment.map(|(_, document)| document.status);
        let (to, has_owner) = (claimed(record), shipment.is_some());
        Row { from, to, has_owner, recorded_at: recorded_at(index), ..Row::default() }
    }

    /// Judges the event of record `index` when record `by` comes.
    fn judge(&mut self, index: usize, by: usize) {
        let record = self.workload.records[index];
        let base = Row { released_by: (by != index).then_some(by), ..self.row(index) };
        let row = match self.shipments.get_mut(&record.shipment) {
            None => {
                self.shipments.insert(record.shipment, (record.claim, registered(index)));
                Row { outcome: "applied", version: Some(1), has_owner: true, ..base }
            }
            Some((terms, document)) => match enter(*terms, document, index, &self.workload.records) {
                None => Row { outcome: "rejected", reason: Some("INVALID_TRANSITION"), ..base },
                Some((next, moved, late)) => {
                    *document = next;
                    let (version, to) = (Some(document.version), Some(document.status));
                    Row { outcome: if moved { "applied" } else { "recorded" }, version, to, late, ..base }
                }
            },
        };
        self.effects[index].row = Some(row);
        self.effects[by].judged.push(index);
    }
}

/// The shipment that record `index` registers.
fn registered(index: usize) -> Document {
    Document {
        status: "created",
        version: 1,
        updated_at: recorded_at(index),
        history: vec![(index, true)],
        last_scan: index,
        attempts: 0,
        exception: None,
        queue: Vec::new(),
    }
}

fn claimed(record: &Record) -> Option<&'static str> {
    match record.claim {
        Claim::Created { .. } => Some("created"),
        Claim::Status(word) => Some(word),
        Claim::Kind(_) | Claim::Poison(_) | Claim::Release { .. } => None,
    }
}

/// The document after record `index`, whether that moved the status, and whether it came late; `None` when the policy forbids it.
fn enter(terms: Claim, before: &Document, index: usize, records: &[Record]) -> Option<(Document, bool, bool)> {
    let Claim::Created { field, cancel_in_transit, .. } = terms else { unreachable!("terms are a creation's") };
    let record = &records[index];
    let when = |entry: usize| match records[entry].claim {
        Claim::Created { .. } => recorded_at(entry),
        _ => records[entry].second * 1000,
    };
    let mut next = before.clone();
    next.version += 1;
    next.updated_at = next.updated_at.max(recorded_at(index));
    next.attempts += u32::from(record.claim == Claim::Kind("delivery_attempt_failed"));
    let moved = match record.claim {
        Claim::Status(word) if !field && !strict_allows(before.status, word, cancel_in_transit) => return None,
        claim => !field && matches!(claim, Claim::Status(_)),
    };
    next.history.push((index, moved));
    next.history.sort_by_key(|&(entry, _)| when(entry)); // stable: of one time, the earlier record comes first
    let is_scan = |entry: usize| !matches!(records[entry].claim, Claim::Created { .. });
    let newest = next.history.iter().rev().map(|&(entry, _)| entry).find(|&entry| is_scan(entry));
    next.last_scan = newest.unwrap_or(before.last_scan);
    if !field {
        match record.claim {
            Claim::Status(word) => (next.status, next.exception) = (word, None),
            Claim::Kind("exception") => next.exception = Some(index),
            _ => {}
        }
        return Some((next, moved, false));
    }
    (next.status, next.exception) = ("created", None);
    for (entry, moved) in &mut next.history {
        match records[*entry].claim {
            Claim::Status(word) => {
                *moved = field_moves(next.status, word);
                if *moved {
                    (next.status, next.exception) = (word, None);
                }
            }
            Claim::Kind("exception") => next.exception = Some(*entry),
            _ => {}
        }
    }
    let place = next.history.iter().position(|&(entry, _)| entry == index).expect("it was put there");
    let late = next.history[place + 1..].iter().any(|&(entry, _)| is_scan(entry));
    let moved = next.history[place].1;
    Some((next, moved, late))
}

fn strict_allows(from: &str, to: &str, cancel_in_transit: bool) -> bool {
    match from {
        "created" => matches!(to, "picked_up" | "cancelled"),
        "picked_up" => matches!(to, "in_warehouse" | "cancelled"),
        "in_warehouse" => matches!(to, "in_transit" | "cancelled"),
        "in_transit" => to == "delivered" || (to == "cancelled" && cancel_in_transit),
        _ => false,
    }
}

fn field_moves(from: &str, to: &str) -> bool {
    let rank = |status: &str| match status {
        "created" => 0,
        "picked_up" => 1,
        "in_warehouse" | "in_transit" => 2,
        _ => 3,
    };
    rank(to) > rank(from) || (rank(to) == 2 && rank(from) == 2 && to != from)
}
