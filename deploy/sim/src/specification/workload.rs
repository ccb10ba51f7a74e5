//! What stands in the log: some shipments' lives, with everything that sources get wrong.

use serde_json::{Value, json};
use shared::dead_letters::REPLAY_OF;
use shared::event_log::{Header, LogRecord, NewRecord, Position};
use shared::shipment::record::{CREATED_TYPE, RELEASED_TYPE, REPORTED_TYPE, decode, to_json};
use shared::shipment::{Event, LogPosition, Timestamp};
use shared::shipment_store::RowPosition;

use crate::dice::Dice;

/// The records of a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// How many partitions the topic has; shipment `n` stands on `n` modulo this.
    pub(crate) partitions: usize,
    /// What they say, in the order in which they were appended.
    pub(crate) records: Vec<Record>,
    /// From this record on they stand in a topic that was made anew: epoch 2, offsets from 0.
    pub(crate) second_life: usize,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    /// Which shipment it is about.
    pub(crate) shipment: usize,
    /// When it happened, in seconds; with source and shipment this is its key.
    pub(crate) second: i64,
    /// Its source, 0 or 1.
    pub(crate) source: usize,
    /// What is claimed.
    pub(crate) claim: Claim,
    /// Who sends it.
    pub(crate) sender: Sender,
    /// The store refuses its row, but for one that says so.
    pub(crate) refused: bool,
    /// It was redriven: the record that it repeats, by its index. An operator has mended it meanwhile, or not.
    pub(crate) repeats: Option<usize>,
}

/// What a record claims.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Claim {
    Created {
        field: bool,
        cancel_in_transit: bool,
        parks: bool,
        weight: usize,
    },
    Status(&'static str),
    Kind(&'static str),
    Poison(&'static str),
    /// Dead letters that were to be waited for until then, in milliseconds, are given up.
    Release {
        until: i64,
    },
}

/// Who sends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// An operator's import: nobody is named.
    Nobody,
    /// The client whose shipment it is.
    Owner,
    /// Another client.
    Stranger,
}

/// How long a shipment that parks waits for a dead letter, in seconds.
pub(crate) const PARK_SECONDS: i64 = 1;
/// What the topic is called.
pub(crate) const TOPIC: &str = "events";
/// The header by which a dead letter names its record: a number from 0.
pub(crate) const INDEX: &str = "sim-record";
pub(crate) const STATUSES: [&str; 5] = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"];
const KINDS: [&str; 3] = ["delivery_attempt_failed", "exception", "out_for_delivery"];
type Spoil = fn(&mut NewRecord);
/// The classes of poison, and how a good report is spoilt to be of that class.
const POISON: [(&str, Spoil); 5] = [
    ("NO_VALUE", |record| record.value = None),
    ("UNKNOWN_TYPE", |record| record.headers[0] = Header::text("ce_type", "something.else")),
    ("NO_JSON", |record| record.value = Some("{".into())),
    ("BAD_FIELDS", |record| record.value = Some("{}".into())),
    ("KEY_MISMATCH", |record| record.key = Some("99M-ANOTHER1".into())),
];

impl Workload {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let (shipments, partitions) = (1 + dice.below(4), 1 + dice.below(2));
        let mut records: Vec<Record> = Vec::new();
        let mut lives = vec![0; shipments];
        for index in 0..3 + dice.below(12) {
            let operated = if dice.percent(20) { operated(dice, &records) } else { None };
            let new = Record::next(dice, index, &mut lives);
            let new = if records.is_empty() || dice.percent(65) { new } else { again(dice.one_of(&records), dice) };
            records.push(operated.unwrap_or(new));
        }
        let second_life = if dice.percent(15) { dice.below(records.len()) } else { records.len() };
        Self { partitions, records, second_life }
    }

    /// Leaves out record `index`.
    pub(crate) fn leave_out(&mut self, index: usize) {
        self.records.remove(index);
        self.second_life -= usize::from(index < self.second_life);
        for record in &mut self.records {
            record.repeats = record.repeats.filter(|of| *of != index).map(|of| of - usize::from(index < of));
        }
    }

    /// The partition, epoch and offset of record `index`.
    pub(crate) fn position(&self, index: usize) -> (usize, i64, i64) {
        let on = |record: &Record| record.shipment % self.partitions;
        let (partition, second) = (on(&self.records[index]), index >= self.second_life);
        let begin = if second { self.second_life } else { 0 };
        let before = self.records[begin..index].iter().filter(|record| on(record) == partition).count();
        (partition, if second { 2 } else { 1 }, before as i64)
    }

    /// Record `index` as it stands in the log.
    pub(crate) fn log_record(&self, index: usize) -> LogRecord {
        let (partition, _, offset) = self.position(index);
        let mut record = self.records[index].encoded(index);
        if let Some((partition, _, offset)) = self.records[index].repeats.map(|of| self.position(of)) {
            record.headers.push(Header::text(REPLAY_OF, format!("{TOPIC}/{partition}/{offset}")));
        }
        record.at(Position { partition: partition as i32, offset }, recorded_at(index))
    }

    /// Where record `index` stands, as rows say it.
    pub(crate) fn at(&self, index: usize) -> RowPosition {
        let (partition, epoch, offset) = self.position(index);
        RowPosition { log: LogPosition { epoch, offset }, partition: partition as i32 }
    }

    /// The events of the records, where they are no poison.
    pub(crate) fn events(&self) -> Vec<Option<Event>> {
        (0..self.records.len()).map(|index| decode(&self.log_record(index)).ok()?.event()).collect()
    }
}

/// The record again, or something else under its key.
fn again(earlier: Record, dice: &mut Dice) -> Record {
    let claim = match earlier.claim {
        claim if dice.percent(60) => claim,
        Claim::Created { field, cancel_in_transit, parks, .. } => {
            Claim::Created { field, cancel_in_transit, parks, weight: 2 }
        }
        _ => Claim::Status(dice.one_of(&STATUSES)),
    };
    Record { claim, ..earlier }
}

/// What an operator does about a dead letter: redrives it, mostly mended, or has waited long enough.
fn operated(dice: &mut Dice, records: &[Record]) -> Option<Record> {
    let is_poison = |index: usize| matches!(records[index].claim, Claim::Poison(_));
    // A duplicate of what the store refuses has no dead letter of its own.
    let is_first = |index: usize| !records[..index].iter().any(|earlier| earlier.key() == records[index].key());
    let is_dead = |&index: &usize| is_poison(index) || (records[index].refused && is_first(index));
    let dead: Vec<usize> = (0..records.len()).filter(is_dead).collect();
    if dead.is_empty() {
        return None;
    }
    let of = dice.one_of(&dead);
    let letter = records[of];
    let was_reported = |word: &'static str| {
        records[..of].iter().any(|record| record.shipment == letter.shipment && record.claim == Claim::Status(word))
    };
    let missing = STATUSES.into_iter().find(|&word| !was_reported(word));
    let claim = match dice.below(10) {
        0..=3 => Claim::Release { until: recorded_at(of) + PARK_SECONDS * 1_000 - dice.one_of(&[0, 0, 0, 1]) },
        // Of what the store refuses nobody mends a word: it is the store that is mended.
        below if below < 6 || !is_poison(of) => letter.claim,
        6 => Claim::Status(dice.one_of(&STATUSES)),
        _ => Claim::Status(missing.unwrap_or("delivered")),
    };
    let repeats = if matches!(claim, Claim::Release { .. }) { None } else { letter.repeats.or(Some(of)) };
    Some(Record { claim, repeats, refused: dice.percent(25), ..letter })
}

impl Record {
    /// Mostly the next step of a life.
    fn next(dice: &mut Dice, index: usize, lives: &mut [usize]) -> Self {
        let shipment = dice.below(lives.len());
        let life = lives[shipment];
        lives[shipment] += 1;
        let claim = match dice.below(22) {
            0..=12 if life == 0 => Claim::Created {
                field: dice.percent(50),
                cancel_in_transit: dice.percent(20),
                parks: dice.percent(70),
                weight: 1,
            },
            0..=12 => Claim::Status(STATUSES[(life - 1).min(3)]),
            13..=15 => Claim::Status(dice.one_of(&STATUSES)),
            16..=17 => Claim::Kind(dice.one_of(&KINDS)),
            18 => Claim::Created { field: dice.percent(50), cancel_in_transit: false, parks: false, weight: 1 },
            _ => Claim::Poison(dice.one_of(&POISON).0),
        };
        // Some come late, a few happened before the registration (which is at second 100).
        let early = dice.one_of(&[0, 0, 0, 0, 0, 4, 4, 950]);
        let sender = dice.one_of(&[Sender::Nobody, Sender::Nobody, Sender::Owner, Sender::Owner, Sender::Stranger]);
        let second = 1_000 + index as i64 - early;
        Self { shipment, second, source: dice.below(2), claim, sender, refused: dice.percent(5), repeats: None }
    }

    /// The key of its event: its shipment, and when and by whom it is reported, unless it is the registration. Poison has none.
    pub(crate) fn key(&self) -> Option<(usize, Option<(usize, i64)>)> {
        match self.claim {
            Claim::Poison(_) | Claim::Release { .. } => None,
            Claim::Created { .. } => Some((self.shipment, None)),
            Claim::Status(_) | Claim::Kind(_) => Some((self.shipment, Some((self.source, self.second)))),
        }
    }

    /// What it says of that key's event; the rest of a registration is no part of it.
    pub(crate) fn payload(&self) -> Claim {
        match self.claim {
            Claim::Created { field, weight, .. } => {
                Claim::Created { field, weight, cancel_in_transit: false, parks: false }
            }
            claim => claim,
        }
    }

    fn encoded(&self, index: usize) -> NewRecord {
        let number = number(self.shipment);
        let (ce_type, mut value) = match self.claim {
            Claim::Created { field, cancel_in_transit, parks, weight } => {
                let policy = if field { "field" } else { "strict" };
                let body = json!({"tracking_number": number, "client_id": "owner", "created_at": time(recorded_at(index)),
                    "origin_address": "a", "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1,
                    "destination_lng": 1, "weight_kg": weight, "length_cm": 1, "width_cm": 1, "height_cm": 1,
                    "content_description": "c", "transition_policy": policy, "allow_cancel_in_transit": cancel_in_transit,
                    "park_seconds": if parks { PARK_SECONDS } else { 0 }});
                (CREATED_TYPE, body)
            }
            Claim::Status(word) => (REPORTED_TYPE, json!({"tracking_number": number, "status": word})),
            Claim::Kind(word) => (REPORTED_TYPE, json!({"tracking_number": number, "kind": word})),
            Claim::Release { until } => (RELEASED_TYPE, json!({"tracking_number": number, "until": time(until)})),
            Claim::Poison(_) => (REPORTED_TYPE, json!({"tracking_number": number, "status": "picked_up"})),
        };
        if ce_type == REPORTED_TYPE {
            value["timestamp"] = time(self.second * 1000);
            value["recorded_at"] = time(recorded_at(index));
            value["source"] = ["driver", "scanner"][self.source].into();
            let reporter = |client: &str| json!({"sub": "someone", "role": "client", "client_id": client});
            match self.sender {
                Sender::Nobody => {}
                Sender::Owner => value["reporter"] = reporter("owner"),
                Sender::Stranger => value["reporter"] = reporter("stranger"),
            }
        }
        let headers = vec![Header::text("ce_type", ce_type), Header::text(INDEX, index.to_string())];
        let (key, value) = (Some(number.into()), Some(to_json(&value)));
        let mut record = NewRecord { key, partition: None, value, headers, timestamp: None };
        if let Claim::Poison(class) = self.claim {
            let poison = POISON.iter().find(|(name, _)| *name == class);
            poison.expect("only what is in the table is thrown").1(&mut record);
        }
        record
    }
}

/// The tracking number of shipment `n`.
pub(crate) fn number(n: usize) -> String {
    format!("99M-S1MP{n:04}")
}

/// When the platform accepted record `index`, in milliseconds.
pub(crate) fn recorded_at(index: usize) -> i64 {
    100_000 + index as i64 * 10
}

fn time(millis: i64) -> Value {
    Timestamp::from_millis(millis).to_string().into()
}
