//! What differs, and how it is shown.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;
use shared::event_log::replay::Offsets;
use shared::shipment_store::Found;

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

/// How two documents differ; `None` when they do not.
pub(crate) fn how<T: Serialize + PartialEq>(live: Option<Found<T>>, rebuilt: Option<Found<T>>) -> Option<How> {
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
                    writeln!(
                        lines,
                        "    {path}: live {}, by the log {}",
                        value(live.as_ref()),
                        value(rebuilt.as_ref())
                    )
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
    let Report { shipments, rows, shipments_differ, rows_differ, only_live, missing, unreadable, moved_on, .. } =
        report;
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
        write!(text, "; {moved_on} shipments had moved on each time and were not compared")
            .expect("a text takes everything");
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
