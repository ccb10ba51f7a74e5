//! Records, their positions and the topics that they stand in.

use std::borrow::Cow;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shipment::TrackingNumber;

/// Header names that nearly every record has: they need no memory of their own.
#[cfg(any(feature = "kafka", feature = "sqlite"))]
const KNOWN_NAMES: [&str; 9] = [
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_time",
    "ce_subject",
    "ce_specversion",
    "content-type",
    "traceparent",
    "tracestate",
];

/// The three topics (contract section 5). What they are called is the adapter's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `shipments.events`: the source of truth.
    Events,
    /// `shipments.events.dlq`: dead letters.
    DeadLetters,
    /// `shipments.changes`: one record for each applied change.
    Changes,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::DeadLetters, Self::Changes];

    /// Its name, when the topic of events is called `events`.
    #[must_use]
    pub fn name(self, events: &str) -> String {
        match self {
            Self::Events => events.to_owned(),
            Self::DeadLetters => format!("{events}.dlq"),
            // `shipments.events` gives `shipments.changes`; a name of another form keeps its own prefix.
            Self::Changes => format!("{}.changes", events.strip_suffix(".events").unwrap_or(events)),
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
pub struct Position {
    /// The partition, from 0.
    pub partition: i32,
    /// The offset on it, from 0.
    pub offset: i64,
}

/// A header. Kafka allows a header without a value and the same name twice; both are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a text.
    pub fn text(name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }

    /// A name that was read.
    #[cfg(any(feature = "kafka", feature = "sqlite"))]
    pub(super) fn name_of(read: &str) -> Cow<'static, str> {
        let known = KNOWN_NAMES.iter().find(|known| **known == read);
        known.map_or_else(|| Cow::Owned(read.to_owned()), |known| Cow::Borrowed(*known))
    }
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// The key; it decides the partition.
    pub key: Option<Bytes>,
    /// The partition, taken modulo the number of partitions, for a record that must not follow its key (a dead
    /// letter stays on the partition of its original).
    pub partition: Option<i32>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch; `None` for now.
    pub timestamp: Option<i64>,
}

impl NewRecord {
    /// A record about a shipment.
    #[must_use]
    pub fn keyed(tracking_number: TrackingNumber, value: Bytes, headers: Vec<Header>) -> Self {
        let key = Bytes::copy_from_slice(tracking_number.as_str().as_bytes());
        Self { key: Some(key), partition: None, value: Some(value), headers, timestamp: None }
    }

    /// The record as it stands in the log at `position`, with the time `now` unless it brought its own.
    #[must_use]
    pub fn at(self, position: Position, now: i64) -> LogRecord {
        LogRecord {
            position,
            key: self.key,
            value: self.value,
            headers: self.headers,
            timestamp: self.timestamp.unwrap_or(now),
        }
    }
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands.
    pub position: Position,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its broker time, in milliseconds since the epoch; 0 when the broker gave none.
    pub timestamp: i64,
}

impl LogRecord {
    /// The text of the first header called `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    }

    /// Bytes that it keeps in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|header| header.name.len() + bytes(&header.value)).sum();
        bytes(&self.key) + bytes(&self.value) + headers
    }
}
