//! The size of everything that a caller can send, in one place. Validation, documentation and error messages name
//! these constants; none of them is written down a second time.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Latitudes, in degrees.
pub const LATITUDE: RangeInclusive<f64> = -90.0..=90.0;
/// Longitudes, in degrees.
pub const LONGITUDE: RangeInclusive<f64> = -180.0..=180.0;
/// Longest street address, in characters: the longest postal address formats have about 200.
pub const ADDRESS: usize = 300;
/// Longest description of the content, in characters.
pub const CONTENT_DESCRIPTION: usize = 500;
/// Longest client id, in characters: it is a slug-like name that the operator gives out.
pub const CLIENT_ID: usize = 64;
/// Longest name of a person, in characters.
pub const PERSON_NAME: usize = 120;
/// Longest e-mail address, in characters (RFC 5321, section 4.5.3.1).
pub const EMAIL: usize = 254;
/// Longest telephone number, in characters: 15 digits (E.164) and what people write between them.
pub const PHONE: usize = 32;
/// Longest order number of the client's own, in characters.
pub const REFERENCE: usize = 100;
/// Most pairs in `metadata` (contract section 4).
pub const METADATA_PAIRS: usize = 20;
/// Longest name of a metadata pair, in characters.
pub const METADATA_NAME: usize = 40;
/// Longest value of a metadata pair, in characters.
pub const METADATA_VALUE: usize = 500;
/// Heaviest package, in kilograms: a full truck; more is a mistake in the unit.
pub const WEIGHT_KG: f64 = 50_000.0;
/// Longest side of a package, in centimetres: a road train; more is a mistake in the unit.
pub const SIDE_CM: f64 = 3_000.0;
/// Longest slug (`source`, `reason`), in characters (contract section 1).
pub const SLUG: usize = 64;
/// Longest place name of a scan, in characters (contract section 4).
pub const PLACE: usize = 120;
/// Longest code of a source's own, in characters (contract section 4).
pub const CODE: usize = 40;
/// Longest notes, in characters (contract section 4).
pub const NOTES: usize = 500;
/// Longest id that a source gives to its own event, in characters (contract section 3).
pub const SOURCE_EVENT_ID: usize = 64;
/// Longest code of a carrier, in characters: published ones have up to 60. The event's own `code` shows the first [`CODE`] of it.
pub const CARRIER_CODE: usize = 80;
/// Longest text of a carrier's scan, in characters: a few sentences; nearly all have less than 120.
pub const CARRIER_TEXT: usize = 500;
/// Longest time as a carrier writes it, in characters: a date in words with its zone has about 40.
pub const CARRIER_TIME: usize = 64;
/// Longest name of a time zone, in characters: the IANA database's own have up to 32.
pub const ZONE: usize = 64;
/// How far a source's clock may be ahead of ours (contract section 4).
pub const CLOCK_AHEAD: Duration = Duration::from_secs(5 * 60);
/// How many of the newest history entries a shipment shows, besides those that moved the status (contract section 2).
pub const HISTORY_ENTRIES: usize = 200;
/// Longest time that a shipment's events are parked behind a dead letter, in seconds: a month. Who has not repaired it by then will not.
pub const PARK_SECONDS: u32 = 30 * 24 * 3600;
/// Most places in a shipment's parking, dead letters and events together: as many as a history shows entries. An event has about 1 KB, so the
/// document stays far below 16 MiB, and a shipment that gets more meanwhile has waited long enough.
pub const PARKED: usize = 200;
/// Largest value of a record that the processor decodes, in bytes: sixteen times the largest that the edge can
/// write, and well below the 16 MiB of a MongoDB document.
pub const RECORD_BYTES: usize = 256 * 1024;
