//! The identity of an event: contract section 3 and design section 3, "Keys".
//!
//! H1 is 80 bits of SHA-256 of the dedup key, H2 is 30 bits of SHA-256 of the payload. `event_id` carries both, so
//! the same report sent again has the same id, and one index of `status_events` serves the look-up by key, by event
//! id and by shipment.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::base32;
use super::tracking_number::{ACCEPTED_CHARACTERS, PREFIX, TrackingNumber};

const KEY_CHARACTERS: u32 = 16;
const PAYLOAD_CHARACTERS: u32 = 6;

/// H1: 80 bits of the hash of an event's dedup key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyHash(u128);

/// H2: 30 bits of the hash of an event's payload. It tells a duplicate from a conflict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PayloadHash(u32);

impl KeyHash {
    /// The hash of a dedup key.
    #[must_use]
    pub fn of(dedup_key: &str) -> Self {
        let digest = Sha256::digest(dedup_key.as_bytes());
        let value = digest[..10].iter().fold(0_u128, |value, &byte| (value << 8) | u128::from(byte));
        Self(value)
    }
}

impl PayloadHash {
    /// The hash as a number below 2³⁰.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        self.0
    }

    /// The hash that [`PayloadHash::as_u32`] gave.
    #[must_use]
    pub fn from_u32(value: u32) -> Self {
        Self(value & 0x3FFF_FFFF)
    }
}

/// Collects the members of a payload; each is preceded by its length, so that no two payloads run into one.
pub(super) struct PayloadHasher(Sha256);

impl PayloadHasher {
    pub(super) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(super) fn text(mut self, member: Option<&str>) -> Self {
        match member {
            None => self.0.update([0]),
            Some(text) => {
                self.0.update([1]);
                self.0.update((text.len() as u64).to_be_bytes());
                self.0.update(text.as_bytes());
            }
        }
        self
    }

    pub(super) fn number(mut self, member: Option<f64>) -> Self {
        match member {
            None => self.0.update([0]),
            Some(number) => {
                self.0.update([1]);
                self.0.update(number.to_bits().to_be_bytes());
            }
        }
        self
    }

    pub(super) fn seconds(mut self, member: Option<i64>) -> Self {
        match member {
            None => self.0.update([0]),
            Some(seconds) => {
                self.0.update([1]);
                self.0.update(seconds.to_be_bytes());
            }
        }
        self
    }

    pub(super) fn finish(self) -> PayloadHash {
        let digest = self.0.finalize();
        PayloadHash::from_u32(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 2)
    }

    /// 128 bits, where a payload's 30 would be too few to tell one from another.
    pub(super) fn finish_wide(self) -> u128 {
        let digest = self.0.finalize();
        digest[..16].iter().fold(0_u128, |value, &byte| (value << 8) | u128::from(byte))
    }
}

/// The id of an event, `evt_<tracking number without 99M->_<H1><H2>`. The same report has the same id, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The shipment that it is about.
    pub tracking_number: TrackingNumber,
    /// H1.
    pub key: KeyHash,
    /// H2.
    pub payload: PayloadHash,
}

/// The text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no event id: evt_, the tracking number without 99M-, _ and 22 characters")]
pub struct MalformedEventId;

impl EventId {
    /// Where its row stands when it is the first event of its key.
    #[must_use]
    pub fn first_row(&self) -> RowId {
        RowId { tracking_number: self.tracking_number, key: self.key, conflict: None }
    }

    /// Where its row stands when its key had already been taken by another payload.
    #[must_use]
    pub fn conflict_row(&self) -> RowId {
        RowId { conflict: Some(self.payload), ..self.first_row() }
    }
}

/// Room for the text of an id of the longest tracking number, 39 bytes.
type Text = ArrayString<40>;

impl EventId {
    /// The id as text, on the stack.
    #[must_use]
    pub fn text(&self) -> Text {
        let mut text = Text::new();
        text.push_str("evt_");
        text.push_str(self.tracking_number.suffix());
        text.push('_');
        text.push_str(&base32::encode(self.key.0, KEY_CHARACTERS));
        text.push_str(&base32::encode(u128::from(self.payload.0), PAYLOAD_CHARACTERS));
        text
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for EventId {
    type Err = MalformedEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (suffix, hashes) =
            text.strip_prefix("evt_").and_then(|rest| rest.split_once('_')).ok_or(MalformedEventId)?;
        let tracking_number = format!("{PREFIX}{suffix}").parse().map_err(|_| MalformedEventId)?;
        let (key, payload) = parse_hashes(hashes).ok_or(MalformedEventId)?;
        Ok(Self { tracking_number, key, payload: payload.ok_or(MalformedEventId)? })
    }
}

/// H1 and, where there are more characters, H2.
fn parse_hashes(text: &str) -> Option<(KeyHash, Option<PayloadHash>)> {
    if !text.is_ascii() {
        return None;
    }
    let (key, payload) = text.split_at_checked(KEY_CHARACTERS as usize)?;
    let key = KeyHash(base32::decode(key)?);
    match payload.len() {
        0 => Some((key, None)),
        6 => Some((key, Some(PayloadHash(u32::try_from(base32::decode(payload)?).ok()?)))),
        _ => None,
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for EventId {
    fn schema_name() -> Cow<'static, str> {
        "EventId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (fewest, most) = ACCEPTED_CHARACTERS.into_inner();
        let (digit, either) = (base32::class(), base32::either_case());
        let hashes = KEY_CHARACTERS + PAYLOAD_CHARACTERS;
        json_schema!({"type": "string", "pattern": format!("^evt_{either}{{{fewest},{most}}}_{digit}{{{hashes}}}$")})
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The `_id` of a row in `status_events`: `<tracking number>:<H1>`, and H2 behind it for a conflict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The shipment that the row is about.
    pub tracking_number: TrackingNumber,
    /// H1.
    pub key: KeyHash,
    /// H2 of a conflict, `None` for the first event of the key.
    pub conflict: Option<PayloadHash>,
}

impl RowId {
    /// The id as text, on the stack.
    #[must_use]
    pub fn text(&self) -> Text {
        let mut text = Text::new();
        text.push_str(self.tracking_number.as_str());
        text.push(':');
        text.push_str(&base32::encode(self.key.0, KEY_CHARACTERS));
        if let Some(payload) = self.conflict {
            text.push_str(&base32::encode(u128::from(payload.0), PAYLOAD_CHARACTERS));
        }
        text
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for RowId {
    type Err = MalformedEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, hashes) = text.split_once(':').ok_or(MalformedEventId)?;
        let tracking_number = number.parse().map_err(|_| MalformedEventId)?;
        let (key, conflict) = parse_hashes(hashes).ok_or(MalformedEventId)?;
        Ok(Self { tracking_number, key, conflict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn an_id() -> EventId {
        EventId {
            tracking_number: "99M-ABC12345".parse().expect("well-formed"),
            key: KeyHash::of("dedup:99M-ABC12345:driver_app:1739372645"),
            payload: PayloadHasher::new().text(Some("picked_up")).text(None).finish(),
        }
    }

    #[test]
    fn ids_read_back_from_their_text() {
        let id = an_id();
        assert!(id.to_string().starts_with("evt_ABC12345_"), "{id}");
        assert_eq!(id.to_string().len(), 4 + 8 + 1 + 22);
        assert_eq!(id.to_string().parse(), Ok(id));
        for row in [id.first_row(), id.conflict_row()] {
            assert_eq!(row.to_string().parse(), Ok(row));
        }
    }

    #[test]
    fn the_conflict_row_sorts_behind_the_first_row_of_its_key() {
        let id = an_id();
        assert!(id.conflict_row().to_string().starts_with(&id.first_row().to_string()));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in ["", "evt_", "evt_ABC12345_", "evt_ABC12345_0123", "abc", "evt_ABC12345_ééééééééééé"] {
            assert_eq!(text.parse::<EventId>(), Err(MalformedEventId), "{text}");
        }
    }

    #[test]
    fn members_do_not_run_into_one_another() {
        let one = PayloadHasher::new().text(Some("ab")).text(Some("c")).finish();
        let other = PayloadHasher::new().text(Some("a")).text(Some("bc")).finish();
        assert_ne!(one, other);
    }
}
