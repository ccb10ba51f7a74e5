//! A point in time: UTC, whole milliseconds.
//!
//! Milliseconds because that is what every store of ours keeps (a MongoDB date is one): a finer time would come
//! back changed, and a rebuilt document would differ from the first one.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use arrayvec::ArrayString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 0000 to 9999 that RFC 3339 can write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z: the first instant that RFC 3339 can write.
const FIRST_MILLIS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write.
const LAST_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch, held within the years 0000 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(FIRST_MILLIS, LAST_MILLIS))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads an RFC 3339 time with an offset; digits finer than a millisecond are cut off.
    ///
    /// # Errors
    /// The text is no RFC 3339 time, or outside of the years 0000 to 9999 in UTC.
    pub fn parse(text: &str) -> Result<Self, time::error::Parse> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339)?;
        let millis = parsed.unix_timestamp() * 1000 + i64::from(parsed.millisecond());
        Ok(Self::from_millis(millis))
    }

    /// This instant and `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }
}

/// `2025-02-12T15:04:05.123Z`.
type Text = ArrayString<24>;

impl Timestamp {
    /// As RFC 3339 writes it. Several times an event, so without the machinery of formats: that was a third of what it costs to write
    /// an event as JSON.
    fn text(self) -> Text {
        let mut text = Text::new();
        let seconds = OffsetDateTime::from_unix_timestamp(self.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = seconds.to_calendar_date();
        push_digits(&mut text, year.unsigned_abs(), 4);
        for (before, number) in [('-', u8::from(month)), ('-', day)] {
            text.push(before);
            push_digits(&mut text, number.into(), 2);
        }
        for (before, number) in [('T', seconds.hour()), (':', seconds.minute()), (':', seconds.second())] {
            text.push(before);
            push_digits(&mut text, number.into(), 2);
        }
        let millis = u32::try_from(self.0.rem_euclid(1000)).unwrap_or_default();
        if millis > 0 {
            text.push('.');
            push_digits(&mut text, millis, 3);
        }
        text.push('Z');
        text
    }
}

/// The last `digits` (at most four) decimal digits of `number`.
fn push_digits(text: &mut Text, number: u32, digits: usize) {
    for place in &[1000, 100, 10, 1][4 - digits..] {
        text.push(char::from_digit(number / place % 10, 10).unwrap_or('0'));
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contract: "times RFC 3339 in UTC with `Z`"
    #[test]
    fn offsets_are_turned_to_utc_and_fractions_cut_to_milliseconds() {
        let parsed = Timestamp::parse("2025-02-12T09:04:05.123987-06:00").expect("a valid time");
        assert_eq!(parsed.to_string(), "2025-02-12T15:04:05.123Z");
        assert_eq!(Timestamp::parse("2025-02-12T15:04:05Z").expect("valid").to_string(), "2025-02-12T15:04:05Z");
    }

    #[test]
    fn a_time_before_the_epoch_is_rounded_down() {
        let parsed = Timestamp::parse("1969-12-31T23:59:59.500Z").expect("a valid time");
        assert_eq!((parsed.as_millis(), parsed.unix_seconds()), (-500, -1));
        assert_eq!(parsed.to_string(), "1969-12-31T23:59:59.500Z");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert!(Timestamp::parse("2025-02-12T15:04:05").is_err());
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
