//! A point in time: UTC, whole milliseconds.
//!
//! Milliseconds because that is what every store of ours keeps (a MongoDB date is one): a finer time would come
//! back changed, and a rebuilt document would differ from the first one.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

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

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = OffsetDateTime::from_unix_timestamp(self.unix_seconds()).map_err(|_| fmt::Error)?;
        let (date, hour, minute, second) = (seconds.date(), seconds.hour(), seconds.minute(), seconds.second());
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.0.rem_euclid(1000) {
            0 => write!(formatter, "Z"),
            millis => write!(formatter, ".{millis:03}Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
