//! The times of carriers: with an offset, or local ones in a zone.

use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp as Instant, civil};

use super::zone::Zone;
use crate::shipment::Timestamp;

/// Why a time cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It has none of the known forms, or there is no such day.
    #[error(
        "must be a time such as 2026-01-31T15:04:05Z, 2026-01-31 15:04 or 2026-01-31, or of a form that the carrier's mapping names"
    )]
    Malformed,
    /// It has no offset, and nobody says in which zone it is.
    #[error("is required: the time has no offset, and the carrier's mapping names no zone")]
    NoZone,
}

/// A time that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadTime {
    /// The instant.
    pub timestamp: Timestamp,
    /// The zone in which it was read; `None` when the time had an offset.
    pub zone: Option<Zone>,
}

/// A form of times, in the notation of `strftime`.
#[derive(Clone, Debug)]
pub(super) struct TimeFormat(String);

impl TimeFormat {
    /// A form that gives back the time that is written in it.
    ///
    /// # Errors
    /// Why it does not, for the author of the mapping.
    pub(super) fn checked(format: &str) -> Result<Self, String> {
        // Every part differs from every other, so that one which is missing or stands for another is noticed.
        let sample = civil::date(2001, 11, 22).at(15, 34, 46, 0);
        let offset = Offset::from_seconds(-7 * 3600).map_err(|error| error.to_string())?;
        let zoned = sample.to_zoned_datetime(TimeZone::fixed(offset)).map_err(|error| error.to_string())?;
        let written = BrokenDownTime::from(&zoned).to_string(format).map_err(|error| error.to_string())?;
        let read = BrokenDownTime::parse(format, &written).map_err(|error| error.to_string())?;
        let date = read.to_date().map_err(|_| "it names no whole date".to_owned())?;
        let time = read.to_time().map_err(|_| "it names no whole time of day".to_owned())?;
        let is_date_only = read.hour().is_none();
        if date != sample.date() || !(is_date_only || (time.hour(), time.minute()) == (15, 34)) {
            return Err(format!("it reads {sample}, written as {written:?}, as {date} {time}"));
        }
        Ok(Self(format.to_owned()))
    }

    fn read(&self, text: &str) -> Option<Local> {
        let read = BrokenDownTime::parse(&self.0, text).ok()?;
        let zone = match read.iana_time_zone() {
            Some(name) => Some(Zone::named(name).ok()?),
            None => None,
        };
        Some(Local { time: read.to_datetime().ok()?, offset: read.offset(), zone })
    }
}

/// A time as it is written.
struct Local {
    time: DateTime,
    offset: Option<Offset>,
    zone: Option<Zone>,
}

impl Local {
    /// `2026-01-31`, `2026-01-31T15:04`, `2026-01-31 15:04:05.5`, each time with or without an offset (ISO 8601). A date is its midnight.
    fn iso(text: &str) -> Option<Self> {
        let pieces = Pieces::parse(text).ok()?;
        if pieces.time_zone_annotation().is_some() {
            return None;
        }
        let time = pieces.time().unwrap_or(Time::midnight());
        Some(Self { time: pieces.date().to_datetime(time), offset: pieces.to_numeric_offset(), zone: None })
    }
}

/// Reads `text`: in one of `formats`, else in ISO 8601. `zone` counts where the time has no offset.
pub(super) fn read(text: &str, formats: &[TimeFormat], zone: Option<&Zone>) -> Result<ReadTime, TimeError> {
    let text = text.trim();
    let formatted = formats.iter().find_map(|format| format.read(text));
    let Local { time, offset, zone: named } = formatted.or_else(|| Local::iso(text)).ok_or(TimeError::Malformed)?;
    // What RFC 3339 can write, and our records with it.
    if !(0..=9999).contains(&time.year()) {
        return Err(TimeError::Malformed);
    }
    let (instant, zone) = match offset {
        Some(offset) => (offset.to_timestamp(time).ok(), None),
        None => {
            let zone = named.as_ref().or(zone).ok_or(TimeError::NoZone)?;
            (zone.instant(time), Some(zone.clone()))
        }
    };
    let timestamp = instant.map(milliseconds).ok_or(TimeError::Malformed)?;
    Ok(ReadTime { timestamp, zone })
}

/// Digits finer than a millisecond are cut off, as those of every event are.
fn milliseconds(instant: Instant) -> Timestamp {
    let millis = instant.as_nanosecond().div_euclid(1_000_000);
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in(zone: &str, text: &str) -> String {
        let zone = Zone::named(zone).expect("a zone");
        read(text, &[], Some(&zone)).expect("a time").timestamp.to_string()
    }

    #[test]
    fn a_local_time_is_read_in_its_zone_and_one_with_an_offset_is_not() {
        for (text, expected) in [
            ("2025-02-12T09:04:05", "2025-02-12T15:04:05Z"),
            ("2025-02-12 09:04:05", "2025-02-12T15:04:05Z"),
            ("2025-02-12 09:04", "2025-02-12T15:04:00Z"),
            (" 2025-02-12T09:04:05.2509 ", "2025-02-12T15:04:05.250Z"),
            ("2025-02-12", "2025-02-12T06:00:00Z"),
            ("2025-02-12T09:04:05Z", "2025-02-12T09:04:05Z"),
            ("2025-02-12T09:04:05+01:00", "2025-02-12T08:04:05Z"),
            ("2025-02-12 09:04+0100", "2025-02-12T08:04:00Z"),
        ] {
            assert_eq!(read_in("America/Mexico_City", text), expected, "{text}");
        }
        let zone = Zone::named("America/Mexico_City").expect("a zone");
        assert_eq!(read("2025-02-12 09:04", &[], Some(&zone)).expect("a time").zone, Some(zone.clone()));
        assert_eq!(read("2025-02-12T09:04:05Z", &[], Some(&zone)).expect("a time").zone, None);
        assert_eq!(read("2025-02-12 09:04", &[], None), Err(TimeError::NoZone));
    }

    #[test]
    fn rfc_3339_is_read_as_every_other_event_s_time_is() {
        for text in ["2025-02-12T09:04:05.123987-06:00", "1969-12-31T23:59:59.500Z", "2025-02-12T15:04:05+14:00"] {
            let expected = Timestamp::parse(text).expect("RFC 3339");
            assert_eq!(read(text, &[], None).map(|read| read.timestamp), Ok(expected), "{text}");
        }
    }

    #[test]
    fn when_clocks_are_set_back_the_earlier_instant_counts() {
        // Santiago went from −03 to −04 at midnight of 2024-04-07: 23:00 to 23:59 came twice.
        assert_eq!(read_in("America/Santiago", "2024-04-06 23:30"), "2024-04-07T02:30:00Z");
        assert_eq!(read_in("America/Santiago", "2024-04-07 00:00"), "2024-04-07T04:00:00Z");
        assert_eq!(read_in("Europe/Berlin", "2024-10-27 02:30"), "2024-10-27T00:30:00Z");
    }

    #[test]
    fn when_clocks_are_set_forward_a_time_that_never_was_is_as_much_later() {
        // Santiago went from −04 to −03 at midnight of 2024-09-08: 00:30 is shown by no clock, and 01:30 is half an hour after the change.
        assert_eq!(read_in("America/Santiago", "2024-09-08 00:30"), "2024-09-08T04:30:00Z");
        assert_eq!(read_in("America/Santiago", "2024-09-08 01:30"), "2024-09-08T04:30:00Z");
        assert_eq!(read_in("Europe/Berlin", "2024-03-31 02:30"), "2024-03-31T01:30:00Z");
        assert_eq!(read_in("America/Sao_Paulo", "2018-11-04"), "2018-11-04T03:00:00Z", "a date that began at one");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let utc = Zone::named("UTC").expect("a zone");
        for text in [
            "",
            "noon",
            "2025-02-30 10:00",
            "2025-02-12 25:00",
            "12/02/2025",
            "2025-02-12T09:04[Asia/Seoul]",
            "-000001-01-01",
        ] {
            assert_eq!(read(text, &[], Some(&utc)), Err(TimeError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_mapping_s_own_forms_come_first() {
        let formats = ["%d/%m/%Y %H:%M", "%d.%m.%y, %I:%M %p", "%Y%m%d%H%M%S%z", "%d/%m/%Y", "%d %b %Y %H:%M %Q"];
        let formats = formats.map(|format| TimeFormat::checked(format).expect(format));
        let zone = Zone::named("America/Mexico_City").expect("a zone");
        for (text, expected) in [
            ("12/02/2025 09:04", "2025-02-12T15:04:00Z"),
            ("12.02.25, 09:04 PM", "2025-02-13T03:04:00Z"),
            ("20250212090405+0000", "2025-02-12T09:04:05Z"),
            ("12/02/2025", "2025-02-12T06:00:00Z"),
            ("12 Feb 2025 09:04 Asia/Seoul", "2025-02-12T00:04:00Z"),
            ("2025-02-12 09:04", "2025-02-12T15:04:00Z"),
        ] {
            let read = read(text, &formats, Some(&zone)).expect(text);
            assert_eq!(read.timestamp.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_form_that_loses_the_time_is_refused() {
        for format in ["", "%H:%M", "%d/%m", "%Y-%m", "%d/%m/%Y %I:%M", "%d/%m/%Y %M", "%Y-%m-%d %Z", "%!", "%Y-%d-%d"]
        {
            assert!(TimeFormat::checked(format).is_err(), "{format}");
        }
    }
}
