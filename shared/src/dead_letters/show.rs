//! One letter whole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;

use super::letter::tracking_number;
use super::{DeadLetters, Letter, LetterId, Original, Trouble};
use crate::event_log::{LogRecord, Position, ReadFault, ReadLimit, Stretch, Topic};
use crate::shipment::{Timestamp, TrackingNumber};

/// Records on each side of the original that are shown.
const AROUND: i64 = 5;
/// Most bytes that are read for them.
const AROUND_BYTES: usize = 16 << 20;

/// A letter with its record.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Shown {
    /// What its headers tell.
    #[serde(flatten)]
    pub letter: Letter,
    /// The time of the original record.
    pub timestamp: Timestamp,
    /// Its key, when it is text.
    pub key: Option<String>,
    /// Its key, when it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// All headers of the letter, in their order.
    pub headers: Vec<ShownHeader>,
    /// Its value, when it is text.
    pub value: Option<String>,
    /// Its value, when it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// The records around the original on its partition, and the original; empty when the log does not hold them any more.
    pub around: Vec<Neighbour>,
}

/// A header.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ShownHeader {
    /// Its name.
    pub name: String,
    /// Its value, when it is text.
    pub value: Option<String>,
    /// Its value, when it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// A record that stands near the original.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Neighbour {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: Timestamp,
    /// The shipment that it is about.
    pub tracking_number: Option<TrackingNumber>,
    /// The header `ce_id`: the event's id.
    pub event_id: Option<String>,
    /// The header `ce_type`.
    #[serde(rename = "type")]
    pub ce_type: Option<String>,
    /// The size of its value, in bytes.
    pub value_bytes: usize,
    /// It is the original itself.
    pub original: bool,
}

impl DeadLetters {
    /// The letter `id`; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn show(&self, id: LetterId) -> Result<Option<Shown>, Trouble> {
        let Some(record) = self.record_at(Topic::DeadLetters, id.0).await? else { return Ok(None) };
        let letter = Letter::of(&record);
        let around = match &letter.original {
            Some(original) if original.topic == self.events => self.around(original).await?,
            _ => Vec::new(),
        };
        let (key, key_base64) = readable(record.key.as_deref());
        let (value, value_base64) = readable(record.value.as_deref());
        let headers = record.headers.iter().map(|header| {
            let (value, value_base64) = readable(header.value.as_deref());
            ShownHeader { name: header.name.to_string(), value, value_base64 }
        });
        let (headers, timestamp) = (headers.collect(), Timestamp::from_millis(record.timestamp));
        Ok(Some(Shown { letter, timestamp, key, key_base64, headers, value, value_base64, around }))
    }

    async fn around(&self, original: &Original) -> Result<Vec<Neighbour>, Trouble> {
        let bounds = self.reader.bounds_of(Topic::Events).await?;
        let bounds = usize::try_from(original.partition).ok().and_then(|partition| bounds.get(partition));
        let Some(bounds) = bounds.filter(|bounds| (bounds.oldest..bounds.end).contains(&original.offset)) else {
            return Ok(Vec::new());
        };
        let stretch = Stretch {
            partition: original.partition,
            from: bounds.oldest.max(original.offset - AROUND),
            until: bounds.end.min(original.offset + AROUND + 1),
        };
        let limit = ReadLimit { records: usize::MAX, bytes: AROUND_BYTES };
        let piece = self.reader.read_topic(Topic::Events, &[stretch], limit).await?;
        let neighbour = |record: &LogRecord| Neighbour {
            partition: record.position.partition,
            offset: record.position.offset,
            timestamp: Timestamp::from_millis(record.timestamp),
            tracking_number: tracking_number(record),
            event_id: record.header("ce_id").map(str::to_owned),
            ce_type: record.header("ce_type").map(str::to_owned),
            value_bytes: record.value.as_ref().map_or(0, bytes::Bytes::len),
            original: record.position.offset == original.offset,
        };
        Ok(piece.records.iter().map(neighbour).collect())
    }

    /// The record at a position; `None` when the topic does not hold one there.
    pub(super) async fn record_at(&self, topic: Topic, at: Position) -> Result<Option<LogRecord>, Trouble> {
        let bounds = self.reader.bounds_of(topic).await?;
        let bounds = usize::try_from(at.partition).ok().and_then(|partition| bounds.get(partition));
        if !bounds.is_some_and(|bounds| (bounds.oldest..bounds.end).contains(&at.offset)) {
            return Ok(None);
        }
        let stretch = Stretch { partition: at.partition, from: at.offset, until: at.offset + 1 };
        let piece = self.reader.read_topic(topic, &[stretch], ReadLimit { records: 1, bytes: usize::MAX }).await;
        match piece {
            Err(ReadFault::OutOfRange) => Ok(None), // it went meanwhile
            piece => Ok(piece?.records.into_iter().find(|record| record.position == at)),
        }
    }
}

/// Bytes as text, or else in base 64.
fn readable(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(bytes)) => (None, Some(STANDARD.encode(bytes))),
    }
}
