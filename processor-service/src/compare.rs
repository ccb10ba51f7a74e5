//! What differs between the live projection and one that was made out of the log, document by document and field by field.
//!
//! The live one moves on meanwhile. A document that holds what the log had not been read for is *ahead*: it is compared again when the log
//! has been read further, and reported only if it differs then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;
use shared::event_log::murmur2::partition_of;
use shared::event_log::replay::Offsets;
use shared::shipment::TrackingNumber;
use shared::shipment_store::{Documents, EventRow, Found, RowPosition, ShipmentScan, StoreError, StoredShipment};

use crate::replayed::Select;

/// Documents that are fetched and compared at once: shipments with long histories have 100 KB and more.
const PAGE: u32 = 500;
/// Rows of one shipment that are fetched at once.
const ROWS: u32 = 1_000;
/// Fields that are shown of one document.
const FIELDS: usize = 12;
/// Characters that are shown of a value.
const VALUE: usize = 100;

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// Shipments that were compared.
    pub(crate) shipments: u64,
    /// Rows that were compared.
    pub(crate) rows: u64,
    /// Shipments that differ.
    pub(crate) shipments_differ: u64,
    /// Rows that differ.
    pub(crate) rows_differ: u64,
    /// Documents that are in the live projection and should not be.
    pub(crate) only_live: u64,
    /// Documents that should be in the live projection and are not.
    pub(crate) missing: u64,
    /// Documents of the live projection that cannot be read.
    pub(crate) unreadable: u64,
    /// Shipments that had moved on each time they were looked at.
    pub(crate) moved_on: u64,
    /// The first differences.
    pub(crate) shown: Vec<Difference>,
}

impl Report {
    /// How many documents differ.
    #[must_use]
    pub(crate) fn differences(&self) -> u64 {
        self.shipments_differ + self.rows_differ + self.only_live + self.missing + self.unreadable
    }
}

/// One document that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// `shipment` or `event`.
    pub(crate) kind: &'static str,
    /// The id of the document.
    pub(crate) id: String,
    /// How.
    pub(crate) how: How,
}

/// How a document differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    /// The log says that it should be there.
    Missing,
    /// The log knows nothing of it.
    OnlyLive,
    /// It cannot be read.
    Unreadable(String),
    /// These members differ: path, in the live one, by the log.
    Fields(Vec<(String, Option<Value>, Option<Value>)>),
}

/// A comparison that is under way.
pub(crate) struct Comparison<'a> {
    pub(crate) live: &'a dyn ShipmentScan,
    pub(crate) rebuilt: &'a dyn ShipmentScan,
    /// How many differences are kept one by one.
    pub(crate) keep: usize,
    pub(crate) report: Report,
    /// Shipments to be compared again.
    pub(crate) ahead: BTreeSet<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(live: &'a dyn ShipmentScan, rebuilt: &'a dyn ShipmentScan, keep: usize) -> Self {
        Self { live, rebuilt, keep, report: Report::default(), ahead: BTreeSet::new() }
    }

    /// Compares everything whose number stands in a range; `read` is how far the log was read.
    pub(crate) async fn range(&mut self, range: &Select, read: &Offsets) -> Result<(), StoreError> {
        let (after, to) = match range {
            Select::Between(after, to) => (after.clone(), to.clone()),
            _ => (None, None),
        };
        self.shipments(range, after.clone(), to.as_deref(), read).await?;
        // Row ids begin with the number, and a number that begins with another one stands before the rows of that one: the walk goes on
        // for as long as the shortest beginning of the last number lasts.
        let to = to.map(|to| format!("{}{}", to.get(..SHORTEST).unwrap_or(&to), char::MAX));
        self.rows(range, after, to.as_deref(), read).await
    }

    async fn shipments(
        &mut self,
        range: &Select,
        after: Option<String>,
        to: Option<&str>,
        read: &Offsets,
    ) -> Result<(), StoreError> {
        let mut from = after.clone();
        while let Some(page) = next_page(self.rebuilt.walk_shipments(from.as_deref(), PAGE).await?, &mut from, to) {
            let ids: Vec<String> = page.iter().map(|(id, _)| id.clone()).collect();
            let mut live: HashMap<_, _> = self.live.shipments_by_id(&ids).await?.into_iter().collect();
            for (id, rebuilt) in page {
                self.shipment(id.clone(), live.remove(&id), Some(rebuilt), read);
            }
        }
        let mut from = after;
        while let Some(page) = next_page(self.live.walk_shipments(from.as_deref(), PAGE).await?, &mut from, to) {
            let page: HashMap<_, _> = page.into_iter().filter(|(id, _)| range.takes(id)).collect();
            let ids: Vec<String> = page.keys().cloned().collect();
            let known: BTreeSet<_> = self.rebuilt.shipments_by_id(&ids).await?.into_iter().map(|(id, _)| id).collect();
            for (id, live) in page.into_iter().filter(|(id, _)| !known.contains(id)) {
                self.shipment(id, Some(live), None, read);
            }
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        range: &Select,
        after: Option<String>,
        to: Option<&str>,
        read: &Offsets,
    ) -> Result<(), StoreError> {
        let mut from = after.clone();
        while let Some(page) = next_page(self.rebuilt.walk_rows(from.as_deref(), PAGE).await?, &mut from, None) {
            let ids: Vec<String> = page.iter().map(|(id, _)| id.clone()).collect();
            let mut live: HashMap<_, _> = self.live.rows_by_id(&ids).await?.into_iter().collect();
            for (id, rebuilt) in page {
                self.row(id.clone(), live.remove(&id), Some(rebuilt), read);
            }
        }
        let mut from = after;
        while let Some(page) = next_page(self.live.walk_rows(from.as_deref(), PAGE).await?, &mut from, to) {
            let wanted = |id: &str| range.takes(id.split(':').next().unwrap_or_default());
            let page: HashMap<_, _> = page.into_iter().filter(|(id, _)| wanted(id)).collect();
            let ids: Vec<String> = page.keys().cloned().collect();
            let known: BTreeSet<_> = self.rebuilt.rows_by_id(&ids).await?.into_iter().map(|(id, _)| id).collect();
            for (id, live) in page.into_iter().filter(|(id, _)| !known.contains(id)) {
                self.row(id, Some(live), None, read);
            }
        }
        Ok(())
    }

    /// Compares the shipments that were made out of the log, and their rows; of the live ones nothing else is looked at, but `also`.
    pub(crate) async fn each(&mut self, also: Option<TrackingNumber>, read: &Offsets) -> Result<(), StoreError> {
        let mut from = None;
        let mut also = also.map(|number| number.to_string());
        while let Some(page) = next_page(self.rebuilt.walk_shipments(from.as_deref(), PAGE).await?, &mut from, None) {
            let ids: Vec<String> = page.into_iter().map(|(id, _)| id).collect();
            also = also.filter(|number| !ids.contains(number));
            self.these(&ids, true, read).await?;
        }
        self.these(also.as_slice(), true, read).await
    }

    /// Compares these shipments again, which were ahead.
    pub(crate) async fn again(&mut self, read: &Offsets) -> Result<(), StoreError> {
        let ahead: Vec<String> = std::mem::take(&mut self.ahead).into_iter().collect();
        for ids in ahead.chunks(PAGE as usize) {
            self.report.shipments -= ids.len() as u64;
            self.these(ids, false, read).await?;
        }
        Ok(())
    }

    async fn these(&mut self, ids: &[String], with_rows: bool, read: &Offsets) -> Result<(), StoreError> {
        let mut live: HashMap<_, _> = self.live.shipments_by_id(ids).await?.into_iter().collect();
        let mut rebuilt: HashMap<_, _> = self.rebuilt.shipments_by_id(ids).await?.into_iter().collect();
        for id in ids {
            self.shipment(id.clone(), live.remove(id), rebuilt.remove(id), read);
            if with_rows && let Ok(number) = id.parse() {
                self.rows_of(number, read).await?;
            }
        }
        Ok(())
    }

    async fn rows_of(&mut self, number: TrackingNumber, read: &Offsets) -> Result<(), StoreError> {
        let mut live = match all_rows(self.live, number).await {
            Err(StoreError::Corrupt(why)) => {
                self.differs("event", format!("{number}:…"), How::Unreadable(why));
                return Ok(());
            }
            rows => rows?,
        };
        for (id, rebuilt) in all_rows(self.rebuilt, number).await? {
            let live = live.remove(&id).map(Found::Readable);
            self.row(id, live, Some(Found::Readable(rebuilt)), read);
        }
        for (id, live) in live {
            self.row(id, Some(Found::Readable(live)), None, read);
        }
        Ok(())
    }

    fn shipment(
        &mut self,
        id: String,
        live: Option<Found<StoredShipment>>,
        rebuilt: Option<Found<StoredShipment>>,
        read: &Offsets,
    ) {
        self.report.shipments += 1;
        if let Some(Found::Readable(live)) = &live
            && is_ahead(&id, live.state.position.offset, read)
        {
            self.ahead.insert(id);
            return;
        }
        if let Some(how) = how(live, rebuilt) {
            self.differs("shipment", id, how);
        }
    }

    fn row(&mut self, id: String, live: Option<Found<EventRow>>, rebuilt: Option<Found<EventRow>>, read: &Offsets) {
        if let (Some(Found::Readable(row)), None) = (&live, &rebuilt) {
            let RowPosition { log, partition } = row.position;
            if read.get(&partition).is_none_or(|&read| log.offset >= read) {
                return; // of a record that was not read
            }
        }
        self.report.rows += 1;
        if let Some(how) = how(live, rebuilt) {
            self.differs("event", id, how);
        }
    }

    fn differs(&mut self, kind: &'static str, id: String, how: How) {
        let report = &mut self.report;
        *match (&how, kind) {
            (How::Missing, _) => &mut report.missing,
            (How::OnlyLive, _) => &mut report.only_live,
            (How::Unreadable(_), _) => &mut report.unreadable,
            (How::Fields(_), "shipment") => &mut report.shipments_differ,
            (How::Fields(_), _) => &mut report.rows_differ,
        } += 1;
        if report.shown.len() < self.keep {
            report.shown.push(Difference { kind, id, how });
        }
    }
}

/// Characters of the shortest tracking number.
const SHORTEST: usize = 10;

/// What of a page is not behind `to`; moves on. `None` at the end.
fn next_page<T>(page: Documents<T>, from: &mut Option<String>, to: Option<&str>) -> Option<Documents<T>> {
    let last = page.last()?.0.clone();
    if to.is_some_and(|to| from.as_deref().is_some_and(|from| from > to)) {
        return None;
    }
    *from = Some(last);
    Some(page.into_iter().filter(|(id, _)| to.is_none_or(|to| id.as_str() <= to)).collect())
}

async fn all_rows(store: &dyn ShipmentScan, number: TrackingNumber) -> Result<BTreeMap<String, EventRow>, StoreError> {
    let mut rows = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.events_of(number, after, ROWS).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(last.position);
        rows.extend(page.into_iter().map(|row| (row.row_id().to_string(), row)));
    }
}

/// Whether a live shipment's last record is one that was not read.
fn is_ahead(id: &str, offset: i64, read: &Offsets) -> bool {
    let partitions = i32::try_from(read.len()).unwrap_or(i32::MAX);
    partitions > 0 && read.get(&partition_of(id.as_bytes(), partitions)).is_some_and(|&read| offset >= read)
}

fn how<T: Serialize + PartialEq>(live: Option<Found<T>>, rebuilt: Option<Found<T>>) -> Option<How> {
    match (live, rebuilt) {
        (None, None) => None,
        (Some(Found::Unreadable(why)), _) => Some(How::Unreadable(why)),
        (None, Some(_)) => Some(How::Missing),
        (Some(_), None) => Some(How::OnlyLive),
        (Some(_), Some(Found::Unreadable(why))) => Some(How::Unreadable(format!("what was just written: {why}"))),
        (Some(Found::Readable(live)), Some(Found::Readable(rebuilt))) => {
            if live == rebuilt {
                return None;
            }
            let json = |value: &T| serde_json::to_value(value).unwrap_or_default();
            let mut fields = Vec::new();
            compare("", Some(&json(&live)), Some(&json(&rebuilt)), &mut fields);
            Some(How::Fields(fields))
        }
    }
}

/// Adds the members that differ, by their paths.
fn compare(
    path: &str,
    live: Option<&Value>,
    rebuilt: Option<&Value>,
    fields: &mut Vec<(String, Option<Value>, Option<Value>)>,
) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (live, rebuilt) {
        (live, rebuilt) if live == rebuilt => {}
        (Some(Value::Object(live)), Some(Value::Object(rebuilt))) => {
            let names: BTreeSet<&String> = live.keys().chain(rebuilt.keys()).collect();
            for name in names {
                compare(&below(name), live.get(name), rebuilt.get(name), fields);
            }
        }
        (Some(Value::Array(live)), Some(Value::Array(rebuilt))) => {
            for index in 0..live.len().max(rebuilt.len()) {
                compare(&format!("{path}[{index}]"), live.get(index), rebuilt.get(index), fields);
            }
        }
        (live, rebuilt) => fields.push((path.to_owned(), live.cloned(), rebuilt.cloned())),
    }
}

/// The report as it is printed.
pub(crate) fn text(report: &Report, read: &Offsets) -> String {
    let mut text = String::new();
    for Difference { kind, id, how } in &report.shown {
        let line = match how {
            How::Missing => format!("{kind} {id}: is missing; the log says that it should be there\n"),
            How::OnlyLive => format!("{kind} {id}: is there; the log knows nothing of it\n"),
            How::Unreadable(why) => format!("{kind} {id}: cannot be read: {why}\n"),
            How::Fields(fields) => {
                let mut lines = format!("{kind} {id}:\n");
                for (path, live, rebuilt) in fields.iter().take(FIELDS) {
                    writeln!(lines, "    {path}: live {}, by the log {}", value(live.as_ref()), value(rebuilt.as_ref()))
                        .expect("a text takes everything");
                }
                if fields.len() > FIELDS {
                    writeln!(lines, "    and {} fields more", fields.len() - FIELDS).expect("a text takes everything");
                }
                lines
            }
        };
        text.push_str(&line);
    }
    let shown = report.shown.len() as u64;
    if report.differences() > shown {
        writeln!(text, "… and {} more", report.differences() - shown).expect("a text takes everything");
    }
    let Report { shipments, rows, shipments_differ, rows_differ, only_live, missing, unreadable, moved_on, .. } = report;
    let offsets: Vec<_> = read.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
    let differences = report.differences();
    write!(text, "compared {shipments} shipments and {rows} events with the log up to {}: ", offsets.join(","))
        .expect("a text takes everything");
    if differences == 0 {
        text.push_str("no difference");
    } else {
        write!(
            text,
            "{differences} differ ({shipments_differ} shipments and {rows_differ} events otherwise, {missing} missing, \
             {only_live} too many, {unreadable} unreadable)"
        )
        .expect("a text takes everything");
    }
    if *moved_on > 0 {
        write!(text, "; {moved_on} shipments had moved on each time and were not compared").expect("a text takes everything");
    }
    text
}

fn value(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= VALUE { text } else { text.chars().take(VALUE).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_paths() {
        let live = json!({"a": 1, "b": {"c": [1, {"d": 2}], "gone": true}});
        let rebuilt = json!({"a": 1, "b": {"c": [1, {"d": 3}, 4]}});
        let mut fields = Vec::new();
        compare("", Some(&live), Some(&rebuilt), &mut fields);
        let expected = [
            ("b.c[1].d".to_owned(), Some(json!(2)), Some(json!(3))),
            ("b.c[2]".to_owned(), None, Some(json!(4))),
            ("b.gone".to_owned(), Some(json!(true)), None),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let how = How::Fields(vec![("state.version".to_owned(), Some(json!(7)), Some(json!(3)))]);
        let shown = vec![Difference { kind: "shipment", id: "99M-ABC12345".to_owned(), how }];
        let report = Report { shipments: 9, rows: 20, shipments_differ: 2, missing: 1, shown, ..Report::default() };
        let text = text(&report, &[(0, 12), (1, 5)].into());
        let expected = "shipment 99M-ABC12345:\n    state.version: live 7, by the log 3\n… and 2 more\n\
            compared 9 shipments and 20 events with the log up to 0:12,1:5: 3 differ (2 shipments and 0 events otherwise, \
            1 missing, 0 too many, 0 unreadable)";
        assert_eq!(text, expected);
    }
}
