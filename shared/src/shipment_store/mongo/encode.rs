//! Shipments and rows as BSON, written by hand into one buffer: this is the processor's hot path.

use std::ffi::CString;

use crate::mongo::BsonWriter;
use crate::shipment::Location;
use crate::shipment::registration::{Party, creation_key};
use crate::shipment::{
    CarrierScan, Claim, EventBody, HistoryEntry, LogPosition, ParkedEvent, Place, Reporter, ShipmentCreated,
    ShipmentState, Status,
};
use crate::shipment_store::EventRow;

fn location(document: &mut BsonWriter, location: Location) {
    document.float(c"lat", location.lat);
    document.float(c"lng", location.lng);
}

fn optional_location(document: &mut BsonWriter, place: Option<Location>) {
    if let Some(place) = place {
        document.document(c"location", |document| location(document, place));
    }
}

/// A claim is a member `status` or a member `kind`.
fn claim(document: &mut BsonWriter, claim: Claim) {
    match claim {
        Claim::Status(status) => document.text(c"status", status.as_str()),
        Claim::Kind(kind) => document.text(c"kind", kind.as_str()),
    }
}

fn entry(document: &mut BsonWriter, entry: &HistoryEntry) {
    claim(document, entry.claim);
    document.date(c"timestamp", entry.timestamp);
    document.text(c"source", &entry.source);
    optional_location(document, entry.location);
    document.optional_text(c"place", entry.place.as_deref());
    document.optional_text(c"code", entry.code.as_deref());
    document.optional_text(c"reason", entry.reason.as_deref());
    document.flag(c"moved", entry.moved);
    document.date(c"recorded_at", entry.recorded_at);
    document.text(c"event_id", &entry.event_id.text());
}

/// The members of the sub-document `state`. `e` and `o` lead, because `$max` compares documents member by member. The last scan is the last entry
/// of the history, so it is written down only where that is not so: it would be a fifth of every write.
pub(super) fn state(document: &mut BsonWriter, state: &ShipmentState) {
    document.integer(c"e", state.position.epoch);
    document.integer(c"o", state.position.offset);
    document.text(c"current_status", state.current_status.as_str());
    document.date(c"updated_at", state.updated_at);
    document.integer(c"version", state.version);
    document.documents(c"status_history", &state.status_history, |document, one| entry(document, one));
    document.integer(c"history_truncated", i64::try_from(state.history_truncated).unwrap_or(i64::MAX));
    document.integer(c"attempts", i64::from(state.attempts));
    if state.last_scan.as_ref() != state.status_history.last() {
        match &state.last_scan {
            Some(scan) => document.document(c"last_scan", |document| entry(document, scan)),
            None => document.null(c"last_scan"),
        }
    }
    if let Some(exception) = &state.exception {
        document.document(c"exception", |document| entry(document, exception));
    }
    if let Some(older) = state.older_scan {
        document.document(c"older_scan", |document| {
            document.text(c"status", older.status.as_str());
            document.date(c"timestamp", older.timestamp);
        });
    }
    if !state.parked.is_empty() {
        document.documents(c"parked", &state.parked, place);
    }
}

pub(super) fn position(document: &mut BsonWriter, position: LogPosition) {
    document.integer(c"e", position.epoch);
    document.integer(c"o", position.offset);
}

/// A dead letter's place has an `until`, an event's has what the event is.
fn place(document: &mut BsonWriter, place: &Place) {
    match place {
        Place::Waiting { of, until } => {
            position(document, *of);
            document.date(c"until", *until);
        }
        Place::Event(event) => parked_event(document, event),
    }
}

fn parked_event(document: &mut BsonWriter, event: &ParkedEvent) {
    let report = &event.report;
    position(document, event.position);
    document.text(c"event_id", &event.event_id.text());
    claim(document, report.claim);
    document.date(c"timestamp", report.timestamp);
    document.text(c"source", &report.source);
    optional_location(document, report.location);
    document.date(c"recorded_at", event.recorded_at);
    rest_of_report(document, report, event.reporter.as_ref());
    optional_refused_at(document, event.refused_at);
}

/// The members of the sub-document `parking`: until when something is parked, if it is. Like the state it is led by its position, and only its own
/// writes touch it: an index that held a member of `state` would be looked at with each event.
pub(super) fn parking(document: &mut BsonWriter, state: &ShipmentState, partition: i32) {
    position(document, state.position);
    document.integer(c"p", i64::from(partition));
    if let Some(until) = state.parked_until() {
        document.date(c"until", until);
    }
}

fn party(document: &mut BsonWriter, party: &Party) {
    document.optional_text(c"name", party.name.as_deref());
    document.optional_text(c"email", party.email.as_deref());
    document.optional_text(c"phone", party.phone.as_deref());
}

fn end_of_the_way(document: &mut BsonWriter, address: &str, place: Location) {
    document.text(c"address", address);
    document.document(c"coordinates", |document| location(document, place));
}

/// What never changes of a shipment, without its `_id`.
///
/// # Errors
/// The name of a metadata pair cannot be the name of a BSON member. What was written up to there is of no use.
pub(super) fn registration(document: &mut BsonWriter, created: &ShipmentCreated) -> Result<(), String> {
    let body = &created.body;
    document.text(c"client_id", created.client_id());
    document.document(c"origin", |origin| end_of_the_way(origin, &body.origin_address, created.origin()));
    document.document(c"destination", |to| end_of_the_way(to, &body.destination_address, created.destination()));
    document.document(c"package", |package| {
        package.float(c"weight_kg", body.weight_kg);
        package.document(c"dimensions", |dimensions| {
            dimensions.float(c"length", body.length_cm);
            dimensions.float(c"width", body.width_cm);
            dimensions.float(c"height", body.height_cm);
        });
        package.text(c"content_description", &body.content_description);
    });
    document.text(c"service_type", created.service_type().as_str());
    document.date(c"created_at", created.created_at);
    document.date(c"estimated_delivery", created.estimated_delivery);
    document.text(c"transition_policy", created.policy().as_str());
    document.flag(c"allow_cancel_in_transit", created.allow_cancel_in_transit);
    if let Some(seconds) = created.park_seconds {
        document.integer(c"park_seconds", i64::from(seconds));
    }
    if let Some(sender) = &body.sender {
        document.document(c"sender", |document| party(document, sender));
    }
    if let Some(recipient) = &body.recipient {
        document.document(c"recipient", |document| party(document, recipient));
    }
    document.optional_text(c"reference", body.reference.as_deref());
    if !body.metadata.is_empty() {
        let named =
            |name: &String| CString::new(name.as_str()).map_err(|_| format!("metadata name {name:?} holds a NUL"));
        let pairs = body.metadata.iter().map(|(name, value)| Ok((named(name)?, value)));
        let pairs = pairs.collect::<Result<Vec<_>, String>>()?;
        document.document(c"metadata", |metadata| pairs.iter().for_each(|(name, value)| metadata.text(name, value)));
    }
    Ok(())
}

fn reporter(document: &mut BsonWriter, reporter: &Reporter) {
    document.text(c"sub", &reporter.sub);
    document.text(c"role", &reporter.role);
    document.optional_text(c"client_id", reporter.client_id.as_deref());
}

fn carrier(document: &mut BsonWriter, scan: &CarrierScan) {
    document.text(c"carrier", &scan.carrier);
    document.text(c"time", &scan.time);
    document.optional_text(c"code", scan.code.as_deref());
    document.optional_text(c"text", scan.text.as_deref());
    document.optional_text(c"zone", scan.zone.as_deref());
    document.optional_text(c"scan_id", scan.scan_id.as_deref());
}

/// The key of the row's event. A creation's does not follow from what it reports.
fn dedup_key(report: &EventBody) -> String {
    if report.claim == Claim::Status(Status::Created) {
        creation_key(report.tracking_number)
    } else {
        report.dedup_key()
    }
}

/// What a row and a place say of a report in the same words.
fn rest_of_report(document: &mut BsonWriter, report: &EventBody, sender: Option<&Reporter>) {
    document.optional_text(c"place", report.place.as_deref());
    document.optional_text(c"code", report.code.as_deref());
    document.optional_text(c"event_reason", report.reason.as_deref());
    document.optional_text(c"notes", report.notes.as_deref());
    document.optional_text(c"source_event_id", report.source_event_id.as_deref());
    if let Some(scan) = &report.carrier {
        document.document(c"carrier", |document| carrier(document, scan));
    }
    if let Some(sender) = sender {
        document.document(c"reporter", |document| reporter(document, sender));
    }
}

fn optional_refused_at(document: &mut BsonWriter, refused_at: Option<LogPosition>) {
    if let Some(refused_at) = refused_at {
        document.document(c"refused_at", |document| position(document, refused_at));
    }
}

/// The members of a document of `status_events`. What the look-up of keys projects stands first.
pub(super) fn row(document: &mut BsonWriter, row: &EventRow) {
    let report = &row.report;
    document.text(c"_id", &row.row_id().text());
    document.integer(c"e", row.position.log.epoch);
    document.integer(c"o", row.position.log.offset);
    document.integer(c"h", i64::from(row.event_id.payload.as_u32()));
    document.integer(c"p", i64::from(row.position.partition));
    if let Some(released_at) = row.released_at {
        document.document(c"released_at", |document| position(document, released_at));
    }
    optional_refused_at(document, row.refused_at);
    document.text(c"tracking_number", report.tracking_number.as_str());
    claim(document, report.claim);
    document.date(c"timestamp", report.timestamp);
    document.text(c"source", &report.source);
    optional_location(document, report.location);
    document.text(c"idempotency_key", &dedup_key(report));
    document.date(c"created_at", row.recorded_at);
    document.text(c"outcome", row.outcome.as_str());
    document.optional_text(c"reason", row.outcome_reason.map(|reason| reason.as_str()));
    document.optional_text(c"from", row.from.map(Status::as_str));
    document.optional_text(c"to", row.to.map(Status::as_str));
    if row.late {
        document.flag(c"late", true);
    }
    rest_of_report(document, report, row.reporter.as_ref());
    document.optional_text(c"client_id", row.shipment_client_id.as_deref());
    if let Some(version) = row.version {
        document.integer(c"version", version);
    }
}
