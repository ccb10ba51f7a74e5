//! Shipments and rows as BSON, written by hand: this is the processor's hot path, and a detour through `Document` doubles its cost.

use mongodb::bson::raw::{CString, cstr};
use mongodb::bson::{RawArrayBuf, RawBsonRef, RawDocumentBuf, rawdoc};

use crate::mongo::{append_text, date};
use crate::shipment::event::Location;
use crate::shipment::registration::{Party, creation_key};
use crate::shipment::{CarrierScan, Claim, EventBody, HistoryEntry, Reporter, ShipmentCreated, ShipmentState, Status};
use crate::shipment_store::EventRow;

fn location(location: Location) -> RawDocumentBuf {
    rawdoc! { "lat": location.lat, "lng": location.lng }
}

/// A claim is a member `status` or a member `kind`.
fn append_claim(document: &mut RawDocumentBuf, claim: Claim) {
    match claim {
        Claim::Status(status) => document.append(cstr!("status"), status.as_str()),
        Claim::Kind(kind) => document.append(cstr!("kind"), kind.as_str()),
    }
}

fn entry(entry: &HistoryEntry) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    append_claim(&mut document, entry.claim);
    document.append(cstr!("timestamp"), date(entry.timestamp));
    document.append(cstr!("source"), entry.source.as_str());
    if let Some(place) = entry.location {
        document.append(cstr!("location"), location(place));
    }
    append_text(&mut document, cstr!("place"), entry.place.as_deref());
    append_text(&mut document, cstr!("code"), entry.code.as_deref());
    append_text(&mut document, cstr!("reason"), entry.reason.as_deref());
    document.append(cstr!("moved"), entry.moved);
    document.append(cstr!("recorded_at"), date(entry.recorded_at));
    document.append(cstr!("event_id"), entry.event_id.to_string());
    document
}

/// The sub-document `state`. `e` and `o` lead, because `$max` compares documents member by member. The last scan is the last entry
/// of the history, so it is written down only where that is not so: it would be a fifth of every write.
pub(super) fn state(state: &ShipmentState) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("e"), state.position.epoch);
    document.append(cstr!("o"), state.position.offset);
    document.append(cstr!("current_status"), state.current_status.as_str());
    document.append(cstr!("updated_at"), date(state.updated_at));
    document.append(cstr!("version"), state.version);
    let mut history = RawArrayBuf::new();
    for one in &state.status_history {
        history.push(entry(one));
    }
    document.append(cstr!("status_history"), history);
    document.append(cstr!("history_truncated"), i64::try_from(state.history_truncated).unwrap_or(i64::MAX));
    document.append(cstr!("attempts"), i64::from(state.attempts));
    if state.last_scan.as_ref() != state.status_history.last() {
        match &state.last_scan {
            Some(scan) => document.append(cstr!("last_scan"), entry(scan)),
            None => document.append(cstr!("last_scan"), RawBsonRef::Null),
        }
    }
    if let Some(exception) = &state.exception {
        document.append(cstr!("exception"), entry(exception));
    }
    if let Some(older) = state.older_scan {
        let older = rawdoc! { "status": older.status.as_str(), "timestamp": date(older.timestamp) };
        document.append(cstr!("older_scan"), older);
    }
    document
}

fn party(party: &Party) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    append_text(&mut document, cstr!("name"), party.name.as_deref());
    append_text(&mut document, cstr!("email"), party.email.as_deref());
    append_text(&mut document, cstr!("phone"), party.phone.as_deref());
    document
}

/// What never changes of a shipment, without its `_id`.
///
/// # Errors
/// The name of a metadata pair cannot be the name of a BSON member.
pub(super) fn registration(created: &ShipmentCreated) -> Result<RawDocumentBuf, String> {
    let body = &created.body;
    let mut document = rawdoc! {
        "client_id": created.client_id(),
        "origin": { "address": body.origin_address.as_str(), "coordinates": location(created.origin()) },
        "destination": { "address": body.destination_address.as_str(), "coordinates": location(created.destination()) },
        "package": {
            "weight_kg": body.weight_kg,
            "dimensions": { "length": body.length_cm, "width": body.width_cm, "height": body.height_cm },
            "content_description": body.content_description.as_str(),
        },
        "service_type": created.service_type().as_str(),
        "created_at": date(created.created_at),
        "estimated_delivery": date(created.estimated_delivery),
        "transition_policy": created.policy().as_str(),
        "allow_cancel_in_transit": created.allow_cancel_in_transit,
    };
    if let Some(sender) = &body.sender {
        document.append(cstr!("sender"), party(sender));
    }
    if let Some(recipient) = &body.recipient {
        document.append(cstr!("recipient"), party(recipient));
    }
    append_text(&mut document, cstr!("reference"), body.reference.as_deref());
    if !body.metadata.is_empty() {
        let mut metadata = RawDocumentBuf::new();
        for (name, value) in &body.metadata {
            let name = CString::try_from(name.clone()).map_err(|_| format!("metadata name {name:?} holds a NUL"))?;
            metadata.append(name, value.as_str());
        }
        document.append(cstr!("metadata"), metadata);
    }
    Ok(document)
}

fn reporter(reporter: &Reporter) -> RawDocumentBuf {
    let mut document = rawdoc! { "sub": reporter.sub.as_str(), "role": reporter.role.as_str() };
    append_text(&mut document, cstr!("client_id"), reporter.client_id.as_deref());
    document
}

fn carrier(scan: &CarrierScan) -> RawDocumentBuf {
    let mut document = rawdoc! { "carrier": scan.carrier.as_str(), "time": scan.time.as_str() };
    append_text(&mut document, cstr!("code"), scan.code.as_deref());
    append_text(&mut document, cstr!("text"), scan.text.as_deref());
    append_text(&mut document, cstr!("zone"), scan.zone.as_deref());
    append_text(&mut document, cstr!("scan_id"), scan.scan_id.as_deref());
    document
}

/// The key of the row's event. A creation's does not follow from what it reports.
fn dedup_key(report: &EventBody) -> String {
    if report.claim == Claim::Status(Status::Created) {
        creation_key(report.tracking_number)
    } else {
        report.dedup_key()
    }
}

/// A document of `status_events`. What the look-up of keys projects stands first.
pub(super) fn row(row: &EventRow) -> RawDocumentBuf {
    let report = &row.report;
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), row.row_id().to_string());
    document.append(cstr!("e"), row.position.log.epoch);
    document.append(cstr!("o"), row.position.log.offset);
    document.append(cstr!("h"), i64::from(row.event_id.payload.as_u32()));
    document.append(cstr!("p"), row.position.partition);
    document.append(cstr!("tracking_number"), report.tracking_number.as_str());
    append_claim(&mut document, report.claim);
    document.append(cstr!("timestamp"), date(report.timestamp));
    document.append(cstr!("source"), report.source.as_str());
    if let Some(place) = report.location {
        document.append(cstr!("location"), location(place));
    }
    document.append(cstr!("idempotency_key"), dedup_key(report));
    document.append(cstr!("created_at"), date(row.recorded_at));
    document.append(cstr!("outcome"), row.outcome.as_str());
    append_text(&mut document, cstr!("reason"), row.outcome_reason.map(|reason| reason.as_str()));
    append_text(&mut document, cstr!("from"), row.from.map(Status::as_str));
    append_text(&mut document, cstr!("to"), row.to.map(Status::as_str));
    if row.late {
        document.append(cstr!("late"), true);
    }
    append_text(&mut document, cstr!("place"), report.place.as_deref());
    append_text(&mut document, cstr!("code"), report.code.as_deref());
    append_text(&mut document, cstr!("event_reason"), report.reason.as_deref());
    append_text(&mut document, cstr!("notes"), report.notes.as_deref());
    append_text(&mut document, cstr!("source_event_id"), report.source_event_id.as_deref());
    if let Some(scan) = &report.carrier {
        document.append(cstr!("carrier"), carrier(scan));
    }
    if let Some(sender) = &row.reporter {
        document.append(cstr!("reporter"), reporter(sender));
    }
    append_text(&mut document, cstr!("client_id"), row.shipment_client_id.as_deref());
    if let Some(version) = row.version {
        document.append(cstr!("version"), version);
    }
    document
}
