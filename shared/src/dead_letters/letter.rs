//! One dead letter, as far as its headers and its key tell.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::event_log::{LogRecord, Position};
use crate::shipment::{Timestamp, TrackingNumber};

/// The header of a redriven record: `<topic>/<partition>/<offset>` of the record that it repeats.
pub const REPLAY_OF: &str = "x-replay-of";
/// The header of a redriven record: who had it redriven.
pub const REPLAY_BY: &str = "x-replayed-by";
/// What all headers begin with that the processor adds to a dead letter.
pub(super) const ADDED: &str = "dlq.";
/// What stands for the topic in [`Letter::root`] when the letter does not say where its original is.
const NO_ORIGINAL: &str = "dead-letters";
/// The reason of a letter that nobody gave one.
const UNKNOWN: &str = "UNKNOWN";

/// Where a letter stands in its topic: `<partition>:<offset>`. Opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(pub Position);

/// A text that is no [`LetterId`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a dead letter, such as 3:1041")]
pub struct MalformedId;

impl fmt::Display for LetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.0.partition, self.0.offset)
    }
}

impl FromStr for LetterId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (partition, offset) = text.split_once(':').ok_or(MalformedId)?;
        if !digits(partition) || !digits(offset) {
            return Err(MalformedId);
        }
        let partition = partition.parse().map_err(|_| MalformedId)?;
        let offset = offset.parse().map_err(|_| MalformedId)?;
        Ok(Self(Position { partition, offset }))
    }
}

impl JsonSchema for LetterId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LetterId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+:[0-9]+$"})
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the original record of a letter stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
pub struct Original {
    /// The name of its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

impl fmt::Display for Original {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A dead letter without its record.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Letter {
    /// Its id.
    pub id: LetterId,
    /// The shipment that it is about: by the record's key, else by its value.
    pub tracking_number: Option<TrackingNumber>,
    /// The error class.
    pub reason: String,
    /// What was wrong, for people.
    pub message: Option<String>,
    /// When the record was first tried and failed; for a letter that does not say so, the time of its record.
    pub buried_at: Timestamp,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// Where the record stands.
    pub original: Option<Original>,
    /// The group that read it.
    pub group: Option<String>,
    /// The letter is of a redriven record: what that one repeats.
    pub replay_of: Option<String>,
    /// Who had that one redriven.
    pub replayed_by: Option<String>,
    /// The size of its value, in bytes.
    pub value_bytes: usize,
    /// The value is not in the letter; it is in the original record.
    pub value_omitted: bool,
}

impl Letter {
    /// What `record`, which stands in the topic of dead letters, says of itself.
    #[must_use]
    pub fn of(record: &LogRecord) -> Self {
        let text = |name: &str| last(record, name).map(str::to_owned);
        let number = |name: &str| last(record, name)?.parse::<i64>().ok();
        let original = || {
            let partition = i32::try_from(number("dlq.partition")?).ok()?;
            Some(Original { topic: text("dlq.topic")?, partition, offset: number("dlq.offset")? })
        };
        let buried_at = last(record, "dlq.first_failed_at").and_then(|time| Timestamp::parse(time).ok());
        Self {
            id: LetterId(record.position),
            tracking_number: tracking_number(record),
            reason: text("dlq.error.class").unwrap_or_else(|| UNKNOWN.to_owned()),
            message: text("dlq.error.message"),
            buried_at: buried_at.unwrap_or_else(|| Timestamp::from_millis(record.timestamp)),
            attempts: number("dlq.attempts").and_then(|attempts| u32::try_from(attempts).ok()),
            original: original(),
            group: text("dlq.group"),
            replay_of: text(REPLAY_OF),
            replayed_by: text(REPLAY_BY),
            value_bytes: record.value.as_ref().map_or(0, bytes::Bytes::len),
            value_omitted: last(record, "dlq.value.omitted").is_some(),
        }
    }

    /// What a record that repeats the letter's is a repetition of: the first of all, however often it was redriven.
    #[must_use]
    pub fn root(&self) -> String {
        match (&self.replay_of, &self.original) {
            (Some(root), _) => root.clone(),
            (None, Some(original)) => original.to_string(),
            (None, None) => format!("{NO_ORIGINAL}/{}/{}", self.id.0.partition, self.id.0.offset),
        }
    }
}

/// The record of the log that a redriven one repeats: the first of all, however often it was redriven. What the topic is called does not matter: a
/// log that was brought elsewhere says the same.
#[must_use]
pub fn repeated(record: &LogRecord) -> Option<Position> {
    let (place, offset) = record.header(REPLAY_OF)?.rsplit_once('/')?;
    let (topic, partition) = place.rsplit_once('/')?;
    let position = Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
    (topic != NO_ORIGINAL).then_some(position)
}

/// The last header of a name: the processor adds its own behind those that the record brought along.
fn last<'a>(record: &'a LogRecord, name: &str) -> Option<&'a str> {
    let header = record.headers.iter().rev().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}

/// The shipment that a record is about. The key says so for every record that can be decoded, and for most others.
pub(super) fn tracking_number(record: &LogRecord) -> Option<TrackingNumber> {
    let by_key = || std::str::from_utf8(record.key.as_deref()?).ok()?.parse().ok();
    let by_value = || {
        let value: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
        value.get("tracking_number")?.as_str()?.parse().ok()
    };
    by_key().or_else(by_value)
}
