//! Dead letters: the original record byte for byte, and headers that say where it stood and what was wrong (contract section 5).

use shared::event_log::{Header, LogRecord, NewRecord};
use shared::shipment::Timestamp;

/// The class of an event whose key another one has: it is a conflict, and its record is kept here.
pub(crate) const KEY_CONFLICT: &str = "KEY_CONFLICT";

/// Why a record became a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    /// A word for programs: the header `dlq.error.class` and the label `reason`.
    pub(crate) class: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

/// How often and since when a record was tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    pub(crate) count: u32,
    pub(crate) first_failed_at: Timestamp,
}

/// The dead letter of `record`, which stood in `topic` and was read by `group`.
pub(crate) fn dead_letter(
    record: &LogRecord,
    cause: &Cause,
    topic: &str,
    group: &str,
    attempts: Attempts,
) -> NewRecord {
    let mut headers = record.headers.clone();
    headers.extend([
        Header::text("dlq.topic", topic.to_owned()),
        Header::text("dlq.partition", record.position.partition.to_string()),
        Header::text("dlq.offset", record.position.offset.to_string()),
        Header::text("dlq.error.class", cause.class),
        Header::text("dlq.error.message", cause.message.clone()),
        Header::text("dlq.attempts", attempts.count.to_string()),
        Header::text("dlq.first_failed_at", attempts.first_failed_at.to_string()),
        Header::text("dlq.group", group.to_owned()),
    ]);
    NewRecord {
        key: record.key.clone(),
        partition: Some(record.position.partition),
        value: record.value.clone(),
        headers,
        timestamp: Some(record.timestamp),
    }
}

/// The same dead letter without its value, for a log that refuses it as too large. The original stays where it is, for ever, and
/// the headers say where; so nothing is lost.
pub(crate) fn without_value(letter: &NewRecord) -> NewRecord {
    let mut short = letter.clone();
    let bytes = letter.value.as_ref().map_or(0, |value| value.len());
    short.value = None;
    short.headers.push(Header::text("dlq.value.omitted", format!("{bytes} bytes; read the original record")));
    short
}
