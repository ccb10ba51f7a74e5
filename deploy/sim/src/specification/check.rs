//! Whether what is there is what the model says.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::event_log::{LogRecord, NewRecord};
use shared::shipment::{EventId, LogPosition, TrackingNumber};
use shared::shipment_store::{RowPosition, ShipmentReader};

use super::model::{Effect, Expected};
use super::workload::{INDEX, Workload, number};
use crate::platform::{Platform, now};

/// Compares the platform with the model.
pub(crate) struct Checker<'a> {
    workload: &'a Workload,
    expected: &'a Expected,
    by_id: HashMap<EventId, usize>,
    at: HashMap<RowPosition, usize>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(workload: &'a Workload, expected: &'a Expected) -> Self {
        let rows = expected.effects.iter().enumerate().filter(|(_, effect)| effect.moved_to.is_none());
        let by_id = rows.filter_map(|(index, effect)| Some((effect.row.as_ref()?.event_id, index))).collect();
        let at = (0..workload.records.len()).map(|index| (workload.at(index), index)).collect();
        Self { workload, expected, by_id, at }
    }

    /// These records of a partition were committed: whatever they must leave behind is there, and durable.
    pub(crate) fn durable(&self, records: &[LogRecord], platform: &Platform) -> Result<(), String> {
        records.iter().try_for_each(|record| self.left_behind(index_of(record.header(INDEX)), platform))
    }

    fn left_behind(&self, index: usize, platform: &Platform) -> Result<(), String> {
        let effect = &self.expected.effects[index];
        self.is_decided(index, platform).map_err(|what| format!("record {index} is committed and {what}"))?;
        if !self.is_buried(index, platform) {
            return Err(format!("record {index} is committed and its dead letter is not there"));
        }
        for row in effect.judged.iter().filter_map(|&judged| self.expected.change(judged)) {
            if !platform.changes.iter().any(|change| change_of(change) == row.event_id) {
                return Err(format!(
                    "record {index} is committed and the change of {} was not published",
                    row.event_id
                ));
            }
        }
        Ok(())
    }

    fn is_buried(&self, index: usize, platform: &Platform) -> bool {
        let is_its = |letter: &NewRecord| letter_of(letter).0 == index;
        self.expected.effects[index].letter.is_none() || platform.letters.iter().any(is_its)
    }

    /// Whether a record of the log is there by now: an operator redrives what he finds in the dead letters.
    pub(crate) fn is_there(&self, record: &LogRecord, platform: &Platform) -> bool {
        let repeats = self.workload.records[index_of(record.header(INDEX))].repeats;
        repeats.is_none_or(|of| self.is_buried(of, platform))
    }

    /// The rows of a record and of those that it has judged are there, and its shipment's state or a newer one.
    fn is_decided(&self, index: usize, platform: &Platform) -> Result<(), String> {
        let effect = &self.expected.effects[index];
        for &of in std::iter::once(&index).chain(&effect.judged) {
            let Effect { row: Some(row), moved_to, .. } = &self.expected.effects[of] else { continue };
            let found = now(platform.majority.events(&[row.row_id()])).map_err(|error| error.to_string())?;
            let found = found.first().ok_or_else(|| format!("the row of record {of} is not there"))?;
            if *moved_to == Some(found.position) {
                continue;
            }
            // While an event waits its own record has not made it what it will be in the end.
            let is_judged = effect.judged.contains(&of);
            if found.position != row.position || (is_judged && found.outcome != row.outcome) {
                return Err(format!("the row of record {of} {}", difference(found, Some(row))));
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

    /// What the window and the waiting callers are told is true, and every state is that of its position.
    pub(crate) fn after_a_call(&self, platform: &mut Platform) -> Result<(), String> {
        for decided in std::mem::take(&mut platform.remembered) {
            let index = *self.by_id.get(&decided.event_id).ok_or("the window knows an event that nobody sent")?;
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
        (0..self.workload.records.len()).try_for_each(|index| self.left_behind(index, platform))?;
        for found in &platform.majority.all_rows() {
            let effect = self.at.get(&found.position).map(|&index| &self.expected.effects[index]);
            let expected = effect.filter(|effect| effect.moved_to.is_none()).and_then(|effect| effect.row.as_ref());
            if expected != Some(found) {
                return Err(format!("the row at {:?} {}", found.position, difference(found, expected)));
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
        let judged = self.expected.effects.iter().flat_map(|effect| &effect.judged);
        let turns: HashMap<usize, usize> = judged.enumerate().map(|(turn, &index)| (index, turn)).collect();
        let mut published: HashMap<usize, &NewRecord> = HashMap::new();
        let mut newest: HashMap<TrackingNumber, usize> = HashMap::new();
        for change in &platform.changes {
            let index = *self.by_id.get(&change_of(change)).ok_or("a change of an event that nobody sent")?;
            let Some(row) = self.expected.change(index) else {
                return Err(format!("record {index} changed nothing and is in the feed"));
            };
            let (turn, newest) = (turns[&index], newest.entry(row.event_id.tracking_number).or_default());
            match published.insert(index, change) {
                Some(before) if before == change => {}
                Some(_) => return Err(format!("the change of record {index} was published in two forms")),
                None if turn < *newest => {
                    return Err(format!("the change of record {index} was first published behind a later one"));
                }
                None => *newest = turn,
            }
            let value: Value = serde_json::from_slice(change.value.as_deref().unwrap_or_default()).unwrap_or_default();
            let says = ["from", "to", "version"].map(|name| value[name].clone());
            if says != [json!(row.from), json!(row.to), json!(row.version)] {
                return Err(format!("the change of record {index} is {value} instead of {row:?}"));
            }
        }
        Ok(())
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
