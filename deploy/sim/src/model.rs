//! What must become of a log, told in the plainest way: one record after the other, nothing in between. It shares no code with the service.

use std::collections::{BTreeMap, HashMap};

use crate::workload::{Claim, Record, Sender, Workload, recorded_at};

/// What one record must leave behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effect {
    /// Its row in `status_events`; a duplicate has none.
    pub(crate) row: Option<Row>,
    /// The class of its dead letter.
    pub(crate) letter: Option<&'static str>,
    /// Whether it is in the changes feed.
    pub(crate) change: bool,
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
}

/// What must become of a whole log.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    /// For each record.
    pub(crate) effects: Vec<Effect>,
    /// For each shipment its states, by the record that made them.
    pub(crate) documents: BTreeMap<usize, BTreeMap<usize, Document>>,
}

#[derive(Default)]
struct Model {
    /// For each key the claims that were made under it; the first one is the event, the others are conflicts.
    keys: HashMap<Key, Vec<Payload>>,
    shipments: HashMap<usize, (Claim, Document)>,
}

type Key = (usize, Option<(usize, i64)>);
type Payload = (Option<&'static str>, bool, usize);

impl Expected {
    /// What must become of `workload`.
    #[must_use]
    pub(crate) fn of(workload: &Workload) -> Self {
        let (mut model, mut expected) = (Model::default(), Self::default());
        for (index, record) in workload.records.iter().enumerate() {
            let effect = model.take(index, record, &workload.records);
            if effect.row.as_ref().is_some_and(|row| row.version.is_some()) {
                let document = model.shipments[&record.shipment].1.clone();
                expected.documents.entry(record.shipment).or_default().insert(index, document);
            }
            expected.effects.push(effect);
        }
        expected
    }
}

impl Model {
    fn take(&mut self, index: usize, record: &Record, records: &[Record]) -> Effect {
        let (key, payload) = match record.claim {
            Claim::Poison(class) => return Effect { letter: Some(class), ..Effect::default() },
            Claim::Created { field, weight, .. } => ((record.shipment, None), (None, field, weight)),
            Claim::Status(word) | Claim::Kind(word) => {
                ((record.shipment, Some((record.source, record.second))), (Some(word), false, 0))
            }
        };
        let claims = self.keys.entry(key).or_default();
        if claims.contains(&payload) {
            return Effect::default();
        }
        claims.push(payload);
        let is_conflict = claims.len() > 1;
        let shipment = self.shipments.get(&record.shipment);
        let status = shipment.map(|(_, document)| document.status);
        let has_owner = shipment.is_some();
        let base =
            Row { from: status, to: claimed(record), has_owner, recorded_at: recorded_at(index), ..Row::default() };
        let refused = |outcome, reason| Row { outcome, reason: Some(reason), ..base.clone() };
        // The store takes the row of what it refuses only bare of everything that may be the cause.
        let bare = |row: Row| Row { from: None, has_owner: false, ..row };
        if is_conflict {
            let row = refused("conflict", "KEY_CONFLICT");
            let row = if record.is_refused(index) { bare(row) } else { row };
            return Effect { row: Some(row), letter: Some("KEY_CONFLICT"), change: false };
        }
        if record.is_refused(index) {
            let row = bare(refused("dead_lettered", "STORE_REFUSED"));
            return Effect { row: Some(row), letter: Some("STORE_REFUSED"), change: false };
        }
        let rejected = |reason| Effect { row: Some(refused("rejected", reason)), ..Effect::default() };
        match (record.claim, shipment) {
            (Claim::Created { .. }, Some(_)) => rejected("INVALID_TRANSITION"),
            (Claim::Created { .. }, None) => {
                let history = vec![(index, true)];
                let (version, updated_at) = (1, recorded_at(index));
                let document = Document {
                    status: "created",
                    version,
                    updated_at,
                    history,
                    last_scan: index,
                    attempts: 0,
                    exception: None,
                };
                self.shipments.insert(record.shipment, (record.claim, document));
                let row = Row { outcome: "applied", version: Some(1), has_owner: true, ..base };
                Effect { row: Some(row), letter: None, change: true }
            }
            (_, None) => rejected("SHIPMENT_NOT_FOUND"),
            (_, Some(_)) if record.sender == Sender::Stranger => rejected("FORBIDDEN"),
            (_, Some((terms, document))) => match enter(*terms, document, index, records) {
                None => rejected("INVALID_TRANSITION"),
                Some((next, moved, late)) => {
                    let (outcome, version) = (if moved { "applied" } else { "recorded" }, Some(next.version));
                    let row = Row { outcome, version, to: Some(next.status), late, ..base };
                    let terms = *terms;
                    self.shipments.insert(record.shipment, (terms, next));
                    Effect { row: Some(row), letter: None, change: moved }
                }
            },
        }
    }
}

fn claimed(record: &Record) -> Option<&'static str> {
    match record.claim {
        Claim::Created { .. } => Some("created"),
        Claim::Status(word) => Some(word),
        Claim::Kind(_) | Claim::Poison(_) => None,
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
