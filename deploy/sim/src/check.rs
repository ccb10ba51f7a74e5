//! Whether what is there is what the model says.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::event_log::{LogRecord, NewRecord};
use shared::shipment::{Event, EventId, LogPosition, Outcome, Status};
use shared::shipment_store::{EventRow, RowPosition, ShipmentReader};

use crate::model::Expected;
use crate::platform::{Platform, now};
use crate::workload::{INDEX, Workload, number};

/// Compares the platform with the model.
pub(crate) struct Checker<'a> {
    workload: &'a Workload,
    expected: &'a Expected,
    ids: Vec<Option<EventId>>,
    by_id: HashMap<EventId, usize>,
    at: HashMap<RowPosition, usize>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(workload: &'a Workload, expected: &'a Expected) -> Self {
        let ids: Vec<_> = expected.events.iter().map(|event| event.as_ref().map(Event::event_id)).collect();
        let mut by_id = HashMap::new();
        for (index, id) in ids.iter().enumerate() {
            if let Some(id) = id {
                by_id.entry(*id).or_insert(index);
            }
        }
        let at = (0..ids.len()).map(|index| (workload.at(index), index)).collect();
        Self { workload, expected, ids, by_id, at }
    }

    /// These records of a partition were committed: whatever they must leave behind is there, and durable.
    pub(crate) fn durable(&self, records: &[LogRecord], platform: &Platform) -> Result<(), String> {
        records.iter().try_for_each(|record| {
            let index = index_of(record.header(INDEX));
            self.left_behind(index, platform).map_err(|what| format!("record {index} is committed and {what}"))
        })
    }

    fn left_behind(&self, index: usize, platform: &Platform) -> Result<(), String> {
        let effect = &self.expected.effects[index];
        self.is_decided(index, platform)?;
        if effect.letter.is_some() && !platform.letters.iter().any(|letter| letter_of(letter).0 == index) {
            return Err("its dead letter is not there".to_owned());
        }
        for &judged in &effect.judged {
            let is_published = |change| Some(change_of(change)) == self.ids[judged];
            if self.expected.changes(judged) && !platform.changes.iter().any(is_published) {
                return Err(format!("the change of record {judged} was not published"));
            }
        }
        Ok(())
    }

    /// The rows of what a record has judged are there, its own too, and its state or a newer one.
    fn is_decided(&self, index: usize, platform: &Platform) -> Result<(), String> {
        self.row_of_record(index, platform)?;
        for &judged in &self.expected.effects[index].judged {
            let outcome = self.row_of_record(judged, platform)?;
            let expected = self.expected.effects[judged].row.as_ref().map(|row| row.outcome);
            if outcome != expected {
                return Err(format!("the row of record {judged} says {outcome:?} instead of {expected:?}"));
            }
        }
        let number = number(self.workload.records[index].shipment).parse().expect("well-formed");
        let made = self.workload.at(index).log;
        if self.expected.documents.contains_key(&(number, made)) {
            let stored = now(platform.majority.shipment(number)).map_err(|error| error.to_string())?;
            let position = stored.map(|stored| stored.state.position);
            if position.is_none_or(|position| position < made) {
                return Err(format!("its shipment's state is at {position:?}"));
            }
        }
        Ok(())
    }

    /// The outcome that the row of a record says, if it has one.
    fn row_of_record(&self, index: usize, platform: &Platform) -> Result<Option<Outcome>, String> {
        let (Some(row), Some(id)) = (&self.expected.effects[index].row, self.ids[index]) else { return Ok(None) };
        let place = if row.outcome == Outcome::Conflict { id.conflict_row() } else { id.first_row() };
        let found = now(platform.majority.events(&[place])).map_err(|error| error.to_string())?;
        let found = found.first().ok_or("its row is not there")?;
        if self.index_of_row(found) != index {
            return Err(format!("record {} stands in the place of its row", self.index_of_row(found)));
        }
        Ok(Some(found.outcome))
    }

    /// What the window and the waiting callers are told is true, and every state is that of its position.
    pub(crate) fn after_a_call(&self, platform: &mut Platform) -> Result<(), String> {
        for decided in std::mem::take(&mut platform.remembered) {
            let index =
                self.by_id.get(&decided.event_id).copied().ok_or("the window knows an event that nobody sent")?;
            let expected = self.expected.effects[index].row.as_ref().map(|row| row.outcome);
            if expected != Some(decided.outcome) {
                return Err(format!("the window says {} of record {index} instead of {expected:?}", decided.outcome));
            }
            self.is_decided(index, platform).map_err(|what| format!("the window knows record {index} and {what}"))?;
        }
        for end in std::mem::take(&mut platform.announced) {
            for offset in 0..=end.offset {
                // Which life of the topic is meant, nobody says; in the second one the first is all there.
                let known = |epoch| {
                    let log = LogPosition { epoch, offset };
                    self.at.get(&RowPosition { log, partition: end.partition })
                };
                let index = *known(1).or_else(|| known(2)).ok_or("a position was announced that there is not")?;
                self.is_decided(index, platform).map_err(|what| format!("record {index} is announced and {what}"))?;
            }
        }
        for stored in platform.majority.all_shipments() {
            let (number, position) = (stored.created.tracking_number, stored.state.position);
            let expected = self.expected.documents.get(&(number, position));
            if expected != Some(&stored) {
                return Err(format!("at {position:?} {number} {}", difference(&stored, expected)));
            }
        }
        Ok(())
    }

    /// Everything is as it must be, and nothing else is there.
    pub(crate) fn at_the_end(&self, platform: &Platform) -> Result<(), String> {
        for index in 0..self.ids.len() {
            self.left_behind(index, platform).map_err(|what| format!("at the end of record {index} {what}"))?;
        }
        for found in &platform.majority.all_rows() {
            let index = self.index_of_row(found);
            let expected = self.expected.effects.get(index).and_then(|effect| effect.row.as_ref());
            if expected != Some(found) {
                return Err(format!("the row of record {index} {}", difference(found, expected)));
            }
        }
        for letter in &platform.letters {
            let (index, class) = letter_of(letter);
            let expected = self.expected.effects[index].letter;
            let record = self.workload.log_record(index);
            let is_whole = (&letter.key, &letter.value) == (&record.key, &record.value);
            if expected != Some(class.as_str()) || !is_whole {
                return Err(format!("record {index} has a dead letter {class} instead of {expected:?}"));
            }
        }
        self.feed(platform)
    }

    /// The feed has each applied change, in order for each shipment, and the same one again at most.
    fn feed(&self, platform: &Platform) -> Result<(), String> {
        let mut published: HashMap<usize, &NewRecord> = HashMap::new();
        let mut newest: HashMap<usize, usize> = HashMap::new();
        let judged = self.expected.effects.iter().flat_map(|effect| &effect.judged);
        let turns: HashMap<usize, usize> = judged.enumerate().map(|(turn, &index)| (index, turn)).collect();
        for change in &platform.changes {
            let index = self.by_id.get(&change_of(change)).copied().ok_or("a change of an event that nobody sent")?;
            let Some(row) = self.expected.effects[index].row.as_ref().filter(|_| self.expected.changes(index)) else {
                return Err(format!("record {index} changed nothing and is in the feed"));
            };
            let newest = newest.entry(self.workload.records[index].shipment).or_default();
            match published.insert(index, change) {
                Some(before) if before == change => {}
                Some(_) => return Err(format!("the change of record {index} was published in two forms")),
                None if turns[&index] < *newest => {
                    return Err(format!("the change of record {index} was first published behind a later one"));
                }
                None => *newest = turns[&index],
            }
            let value: Value = serde_json::from_slice(change.value.as_deref().unwrap_or_default()).unwrap_or_default();
            if value["from"].as_str() != row.from.map(Status::as_str)
                || value["to"].as_str() != row.to.map(Status::as_str)
                || value["version"].as_i64() != row.version
            {
                return Err(format!("the change of record {index} is {value} instead of {row:?}"));
            }
        }
        Ok(())
    }

    fn index_of_row(&self, row: &EventRow) -> usize {
        self.at.get(&row.position).copied().unwrap_or(usize::MAX)
    }
}

/// The members in which two documents differ, for a person who reads it.
fn difference<T: Serialize>(found: &T, expected: Option<&T>) -> String {
    fn walk(path: &str, found: &Value, expected: &Value, told: &mut Vec<String>) {
        if let (Value::Object(found), Value::Object(expected)) = (found, expected) {
            for name in found.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
                let member = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or_default();
                walk(&format!("{path} {name}"), &member(found), &member(expected), told);
            }
        } else if found != expected {
            told.push(format!("has{path} {found} instead of {expected}"));
        }
    }
    let mut told = Vec::new();
    walk("", &json!(found), &json!(expected), &mut told);
    told.join(", ")
}

fn index_of(header: Option<&str>) -> usize {
    header.and_then(|text| text.parse().ok()).expect("every record has its index")
}

fn header(record: &NewRecord, name: &str) -> String {
    let header = record.headers.iter().find(|header| header.name == name);
    let value = header.and_then(|header| header.value.as_deref()).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// The record of a dead letter, and its class.
fn letter_of(letter: &NewRecord) -> (usize, String) {
    (index_of(Some(&header(letter, INDEX))), header(letter, "dlq.error.class"))
}

fn change_of(change: &NewRecord) -> EventId {
    header(change, "ce_id").parse().expect("a change has the id of its event")
}
