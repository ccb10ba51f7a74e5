//! Shipments and rows out of BSON: the counterpart of [`super::encode`].

use std::collections::BTreeMap;
use std::sync::Arc;

use mongodb::bson::RawDocument;

use crate::mongo::Members;
use crate::shipment::Location;
use crate::shipment::registration::Party;
use crate::shipment::{
    CarrierScan, Claim, EventBody, EventId, HistoryEntry, Kind, LogPosition, OlderScan, Outcome, ParkedEvent,
    PayloadHash, Place, Policy, RejectReason, Reporter, RowId, ServiceType, Shipment, ShipmentBody, ShipmentCreated,
    ShipmentState, Status, Terms, TrackingNumber,
};
use crate::shipment_store::{EventRow, KnownKey, RowPosition, StoreError, StoredShipment};

/// The tracking number in a shipment's `_id`.
pub(super) fn number(document: &RawDocument) -> Result<TrackingNumber, StoreError> {
    Members(document).parsed("_id", |text| text.parse().ok())
}

fn row_id(document: &RawDocument) -> Result<RowId, StoreError> {
    Members(document).parsed("_id", |text| text.parse().ok())
}

fn location(members: Members<'_>) -> Result<Location, StoreError> {
    Ok(Location { lat: members.float("lat")?, lng: members.float("lng")? })
}

fn optional_location(members: Members<'_>) -> Result<Option<Location>, StoreError> {
    members.optional_document("location")?.map(location).transpose()
}

fn claim(members: Members<'_>) -> Result<Claim, StoreError> {
    match members.optional_parsed("status", Status::from_word)? {
        Some(status) => Ok(Claim::Status(status)),
        None => Ok(Claim::Kind(members.parsed("kind", Kind::from_word)?)),
    }
}

fn position(members: Members<'_>) -> Result<LogPosition, StoreError> {
    Ok(LogPosition { epoch: members.integer("e")?, offset: members.integer("o")? })
}

fn entry(members: Members<'_>) -> Result<HistoryEntry, StoreError> {
    Ok(HistoryEntry {
        event_id: members.parsed("event_id", |text| text.parse::<EventId>().ok())?,
        claim: claim(members)?,
        moved: members.flag("moved")?,
        timestamp: members.date("timestamp")?,
        recorded_at: members.date("recorded_at")?,
        source: members.string("source")?,
        location: optional_location(members)?,
        place: members.optional_string("place")?,
        code: members.optional_string("code")?,
        reason: members.optional_string("reason")?,
    })
}

fn optional_entry(members: Members<'_>, key: &str) -> Result<Option<Arc<HistoryEntry>>, StoreError> {
    members.optional_document(key)?.map(|found| entry(found).map(Arc::new)).transpose()
}

fn history(members: Members<'_>) -> Result<Vec<Arc<HistoryEntry>>, StoreError> {
    let Some(array) = members.optional_array("status_history")? else { return Ok(Vec::new()) };
    let unreadable = || StoreError::Corrupt("an entry of status_history is no document".to_owned());
    array
        .into_iter()
        .map(|value| {
            let document = value.ok().and_then(|value| value.as_document()).ok_or_else(unreadable)?;
            entry(Members(document)).map(Arc::new)
        })
        .collect()
}

fn older_scan(members: Members<'_>) -> Result<OlderScan, StoreError> {
    Ok(OlderScan { status: members.parsed("status", Status::from_word)?, timestamp: members.date("timestamp")? })
}

fn state(members: Members<'_>) -> Result<ShipmentState, StoreError> {
    let status_history = history(members)?;
    let last_scan = match members.0.get("last_scan") {
        Ok(None) => status_history.last().cloned(),
        _ => optional_entry(members, "last_scan")?,
    };
    Ok(ShipmentState {
        position: position(members)?,
        current_status: members.parsed("current_status", Status::from_word)?,
        updated_at: members.date("updated_at")?,
        version: members.integer("version")?,
        status_history,
        history_truncated: members.number("history_truncated")?,
        last_scan,
        attempts: members.number("attempts")?,
        exception: optional_entry(members, "exception")?,
        older_scan: members.optional_document("older_scan")?.map(older_scan).transpose()?,
        parked: parked(members)?,
    })
}

fn parked(members: Members<'_>) -> Result<Vec<Place>, StoreError> {
    let Some(array) = members.optional_array("parked")? else { return Ok(Vec::new()) };
    let unreadable = || StoreError::Corrupt("a place of parked is no document".to_owned());
    array
        .into_iter()
        .map(|value| {
            let document = value.ok().and_then(|value| value.as_document()).ok_or_else(unreadable)?;
            place(Members(document))
        })
        .collect()
}

fn place(members: Members<'_>) -> Result<Place, StoreError> {
    let position = position(members)?;
    if let Some(until) = members.optional_date("until")? {
        return Ok(Place::Waiting { of: position, until });
    }
    let event_id = members.parsed("event_id", |text| text.parse::<EventId>().ok())?;
    Ok(Place::Event(Arc::new(ParkedEvent {
        position,
        event_id,
        report: report(members, event_id.tracking_number)?,
        recorded_at: members.date("recorded_at")?,
        reporter: members.optional_document("reporter")?.map(reporter).transpose()?,
        refused_at: refused_at(members)?,
    })))
}

fn optional_park_seconds(members: Members<'_>) -> Result<Option<u32>, StoreError> {
    members.optional_integer("park_seconds")?.map(|_| members.number("park_seconds")).transpose()
}

/// What was reported, out of a row or a place.
fn report(members: Members<'_>, tracking_number: TrackingNumber) -> Result<EventBody, StoreError> {
    Ok(EventBody {
        tracking_number,
        claim: claim(members)?,
        timestamp: members.date("timestamp")?,
        source: members.string("source")?,
        location: optional_location(members)?,
        place: members.optional_string("place")?,
        code: members.optional_string("code")?,
        reason: members.optional_string("event_reason")?,
        notes: members.optional_string("notes")?,
        source_event_id: members.optional_string("source_event_id")?,
        carrier: members.optional_document("carrier")?.map(carrier).transpose()?,
    })
}

/// A shipment as the decision sees it.
pub(super) fn decided(document: &RawDocument) -> Result<Shipment, StoreError> {
    let members = Members(document);
    let terms = Terms {
        client_id: members.string("client_id")?,
        policy: members.parsed("transition_policy", Policy::from_word)?,
        allow_cancel_in_transit: members.flag("allow_cancel_in_transit")?,
        park_seconds: optional_park_seconds(members)?.unwrap_or(0),
    };
    let state = state(members.document("state")?)?;
    Ok(Shipment { tracking_number: number(document)?, terms: Arc::new(terms), state })
}

fn party(members: Members<'_>) -> Result<Party, StoreError> {
    Ok(Party {
        name: members.optional_string("name")?,
        email: members.optional_string("email")?,
        phone: members.optional_string("phone")?,
    })
}

fn metadata(members: Members<'_>) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(found) = members.optional_document("metadata")? else { return Ok(BTreeMap::new()) };
    found
        .0
        .iter()
        .map(|pair| {
            let (name, value) = pair.map_err(|error| StoreError::Corrupt(format!("metadata: {error}")))?;
            let value = value.as_str().ok_or_else(|| StoreError::Corrupt(format!("metadata {name} is no text")))?;
            Ok((name.as_str().to_owned(), value.to_owned()))
        })
        .collect()
}

fn registration(document: &RawDocument) -> Result<ShipmentCreated, StoreError> {
    let members = Members(document);
    let (origin, destination) = (members.document("origin")?, members.document("destination")?);
    let (from, to) = (location(origin.document("coordinates")?)?, location(destination.document("coordinates")?)?);
    let package = members.document("package")?;
    let dimensions = package.document("dimensions")?;
    let body = ShipmentBody {
        origin_address: origin.string("address")?,
        origin_lat: from.lat,
        origin_lng: from.lng,
        destination_address: destination.string("address")?,
        destination_lat: to.lat,
        destination_lng: to.lng,
        weight_kg: package.float("weight_kg")?,
        length_cm: dimensions.float("length")?,
        width_cm: dimensions.float("width")?,
        height_cm: dimensions.float("height")?,
        content_description: package.string("content_description")?,
        client_id: Some(members.string("client_id")?),
        service_type: Some(members.parsed("service_type", ServiceType::from_word)?),
        sender: members.optional_document("sender")?.map(party).transpose()?,
        recipient: members.optional_document("recipient")?.map(party).transpose()?,
        reference: members.optional_string("reference")?,
        metadata: metadata(members)?,
        transition_policy: Some(members.parsed("transition_policy", Policy::from_word)?),
    };
    Ok(ShipmentCreated {
        tracking_number: number(document)?,
        body,
        created_at: members.date("created_at")?,
        estimated_delivery: members.date("estimated_delivery")?,
        allow_cancel_in_transit: members.flag("allow_cancel_in_transit")?,
        park_seconds: optional_park_seconds(members)?,
    })
}

/// A shipment as the edge sees it.
pub(super) fn stored(document: &RawDocument) -> Result<StoredShipment, StoreError> {
    let state = state(Members(document).document("state")?)?;
    Ok(StoredShipment { created: registration(document)?, state })
}

fn payload(members: Members<'_>) -> Result<PayloadHash, StoreError> {
    members.number("h").map(PayloadHash::from_u32)
}

fn refused_at(members: Members<'_>) -> Result<Option<LogPosition>, StoreError> {
    members.optional_document("refused_at")?.map(position).transpose()
}

/// What the look-up of keys projects.
pub(super) fn known(document: &RawDocument) -> Result<(RowId, KnownKey), StoreError> {
    let members = Members(document);
    let outcome = members.parsed("outcome", Outcome::from_word)?;
    let (position, payload, refused_at) = (position(members)?, payload(members)?, refused_at(members)?);
    Ok((row_id(document)?, KnownKey { position, payload, outcome, refused_at }))
}

fn reporter(members: Members<'_>) -> Result<Reporter, StoreError> {
    Ok(Reporter {
        sub: members.string("sub")?,
        role: members.string("role")?,
        client_id: members.optional_string("client_id")?,
    })
}

fn carrier(members: Members<'_>) -> Result<Box<CarrierScan>, StoreError> {
    Ok(Box::new(CarrierScan {
        carrier: members.string("carrier")?,
        code: members.optional_string("code")?,
        text: members.optional_string("text")?,
        time: members.string("time")?,
        zone: members.optional_string("zone")?,
        scan_id: members.optional_string("scan_id")?,
    }))
}

/// A document of `status_events`.
pub(super) fn row(document: &RawDocument) -> Result<EventRow, StoreError> {
    let members = Members(document);
    let id = row_id(document)?;
    Ok(EventRow {
        event_id: EventId { tracking_number: id.tracking_number, key: id.key, payload: payload(members)? },
        position: RowPosition { log: position(members)?, partition: members.number("p")? },
        released_at: members.optional_document("released_at")?.map(position).transpose()?,
        refused_at: refused_at(members)?,
        outcome: members.parsed("outcome", Outcome::from_word)?,
        outcome_reason: members.optional_parsed("reason", RejectReason::from_word)?,
        from: members.optional_parsed("from", Status::from_word)?,
        to: members.optional_parsed("to", Status::from_word)?,
        late: members.optional_flag("late")?.unwrap_or(false),
        report: report(members, id.tracking_number)?,
        recorded_at: members.date("created_at")?,
        reporter: members.optional_document("reporter")?.map(reporter).transpose()?,
        shipment_client_id: members.optional_string("client_id")?,
        version: members.optional_integer("version")?,
    })
}
