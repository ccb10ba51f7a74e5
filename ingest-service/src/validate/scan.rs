//! A scan in a carrier's words: read through the carrier's vocabulary into an event.

use serde_json::{Value, json};
use shared::carrier::{CarrierMapping, ReadTime, TimeError, Zone};
use shared::shipment::Location;
use shared::shipment::form::Form;
use shared::shipment::{CarrierScan, EventBody, FieldError, Timestamp, TrackingNumber, UnknownFields, limits};

use super::{Understood, ahead};

/// The body of one scan.
///
/// # Errors
/// Every bad field.
pub(crate) fn scan(value: Value, mapping: &CarrierMapping, now: Timestamp) -> Result<Understood, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let Sent { tracking_number, code, text, time, location, place, scan_id, notes } = Sent::read(&mut form);
    let read = time.understood(&mut form, mapping, now);
    let time = time.text;
    form.finish(UnknownFields::Refuse)?;

    let read = read.expect("a form without an error has a time");
    let zone = read.zone.map(|zone| zone.name().to_owned());
    let carrier = mapping.carrier().to_owned();
    let said = CarrierScan { carrier: carrier.clone(), code, text, time, zone, scan_id };
    let reading = mapping.read(said.code.as_deref(), said.text.as_deref());
    let body = EventBody {
        tracking_number: tracking_number.expect("a form without an error has a tracking number"),
        claim: reading.claim,
        timestamp: read.timestamp,
        source: carrier,
        location,
        code: said.event_code(),
        reason: reading.reason.clone(),
        notes,
        source_event_id: Some(said.source_event_id(read.timestamp.unix_seconds(), place.as_deref())),
        place,
        carrier: Some(Box::new(said)),
    };
    Ok(Understood { body, mapped: Some(reading) })
}

/// The schema of a scan.
pub(crate) fn scan_schema() -> Value {
    Form::describe(Sent::read)
}

/// A scan as it was sent.
struct Sent {
    /// `None` only when an error has been remembered.
    tracking_number: Option<TrackingNumber>,
    code: Option<String>,
    text: Option<String>,
    time: SentTime,
    location: Option<Location>,
    place: Option<String>,
    scan_id: Option<String>,
    notes: Option<String>,
}

impl Sent {
    fn read(form: &mut Form) -> Self {
        let tracking_number = form.parsed("tracking_number", "malformed", str::parse);
        form.any_of(["code", "text"]);
        Self {
            tracking_number,
            code: form.optional_text("code", limits::CARRIER_CODE),
            text: form.optional_text("text", limits::CARRIER_TEXT),
            time: SentTime::read(form),
            location: Location::read(form, UnknownFields::Refuse),
            place: form.optional_text("place", limits::PLACE),
            scan_id: form.optional_text("scan_id", limits::SOURCE_EVENT_ID),
            notes: form.optional_text("notes", limits::NOTES),
        }
    }
}

/// The time as it is written.
struct SentTime {
    text: String,
    zone: Option<Zone>,
    /// A zone was named, and there is none of that name.
    lost: bool,
}

impl SentTime {
    fn read(form: &mut Form) -> Self {
        let has_zone = form.has("zone");
        let zone = form.optional_parsed("zone", "unknown_value", Zone::named);
        let text = form.text("time", limits::CARRIER_TIME);
        form.also("time", || json!({"format": "carrier-time", "examples": ["2026-01-31T15:04:05-06:00"]}));
        Self { text, lost: has_zone && zone.is_none(), zone }
    }

    /// The time as it is understood; `None` only when an error has been remembered.
    fn understood(&self, form: &mut Form, mapping: &CarrierMapping, now: Timestamp) -> Option<ReadTime> {
        if self.text.is_empty() || self.lost {
            return None;
        }
        match mapping.read_time(&self.text, self.zone.as_ref()) {
            Ok(read) => {
                if let Some(error) = ahead("time", read.timestamp, now) {
                    form.error(&error.field, error.code, error.message);
                }
                Some(read)
            }
            Err(error @ TimeError::Malformed) => {
                form.error("time", "malformed", error.to_string());
                None
            }
            Err(error @ TimeError::NoZone) => {
                form.error("zone", "required", error.to_string());
                None
            }
        }
    }
}
