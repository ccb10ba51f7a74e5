//! Time zones by name, out of the IANA database that is compiled in: wherever a time is read, it is read alike.

use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

/// There is no such zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no zone of the IANA database, such as America/Mexico_City")]
pub struct UnknownZone;

impl Zone {
    /// The zone called `name`; upper and lower case are one.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| UnknownZone)?;
        if zone.is_unknown() { Err(UnknownZone) } else { Ok(Self(zone)) }
    }

    /// Its name, as the database spells it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// The instant of a local time. One that there was twice, because clocks were set back, is the earlier instant; one that there was
    /// never, because clocks were set forward, is as much later. `None` beyond the years that an instant can have.
    pub(super) fn instant(&self, local: DateTime) -> Option<Instant> {
        self.0.to_ambiguous_timestamp(local).compatible().ok()
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "time-zone", "examples": ["America/Mexico_City"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_does_not_exist_is_refused() {
        for name in ["", "Mexico", "America/Macondo", "UTC+3", "Etc/Unknown", "-06:00", "CET-1CEST,M3.5.0,M10.5.0/3"] {
            assert_eq!(Zone::named(name), Err(UnknownZone), "{name}");
        }
        for (name, spelled) in
            [("america/mexico_city", "America/Mexico_City"), ("utc", "UTC"), ("Asia/Seoul", "Asia/Seoul")]
        {
            assert_eq!(Zone::named(name).expect("a zone").name(), spelled);
        }
    }
}
