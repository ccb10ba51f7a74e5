//! A scan in a carrier's words: read through the carrier's vocabulary into an event.

use serde_json::Value;
use shared::carrier::{CarrierMapping, ReadTime, TimeError, Zone};
use shared::shipment::event::Location;
use shared::shipment::form::Form;
use shared::shipment::{CarrierScan, EventBody, FieldError, Timestamp, UnknownFields, limits};

use super::{Understood, ahead};

/// The body of one scan.
///
/// # Errors
/// Every bad field.
pub(crate) fn scan(value: Value, mapping: &CarrierMapping, now: Timestamp) -> Result<Understood, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let tracking_number = form.parsed("tracking_number", "malformed", str::parse);
    if !form.has("code") && !form.has("text") {
        form.error("code", "required", "is required, or text instead of it");
    }
    let code = form.optional_text("code", limits::CARRIER_CODE);
    let text = form.optional_text("text", limits::CARRIER_TEXT);
    let (time, read) = read_time(&mut form, mapping, now);
    let location = Location::read(&mut form, UnknownFields::Refuse);
    let place = form.optional_text("place", limits::PLACE);
    let scan_id = form.optional_text("scan_id", limits::SOURCE_EVENT_ID);
    let notes = form.optional_text("notes", limits::NOTES);
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

/// The time as it is written, and as it is understood; `None` only when an error has been remembered.
fn read_time(form: &mut Form, mapping: &CarrierMapping, now: Timestamp) -> (String, Option<ReadTime>) {
    let has_zone = form.has("zone");
    let zone = form.optional_parsed("zone", "unknown_value", Zone::named);
    let has_time = form.has("time");
    let time = form.text("time", limits::CARRIER_TIME);
    if time.is_empty() || (has_zone && zone.is_none()) || !has_time {
        return (time, None);
    }
    match mapping.read_time(&time, zone.as_ref()) {
        Ok(read) => {
            if let Some(error) = ahead("time", read.timestamp, now) {
                form.error(&error.field, error.code, error.message);
            }
            (time, Some(read))
        }
        Err(error @ TimeError::Malformed) => {
            form.error("time", "malformed", error.to_string());
            (time, None)
        }
        Err(error @ TimeError::NoZone) => {
            form.error("zone", "required", error.to_string());
            (time, None)
        }
    }
}
