//! Shipments as callers see them (contract section 4).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use shared::shipment::Location;
use shared::shipment::registration::Party;
use shared::shipment::{EventId, HistoryEntry, Kind, Policy, ServiceType, Status, Timestamp, TrackingNumber};
use shared::shipment_store::StoredShipment;

#[derive(Serialize, JsonSchema)]
struct Place<'a> {
    address: &'a str,
    coordinates: Location,
}

#[derive(Serialize, JsonSchema)]
struct Dimensions {
    length: f64,
    width: f64,
    height: f64,
}

#[derive(Serialize, JsonSchema)]
struct Package<'a> {
    weight_kg: f64,
    dimensions: Dimensions,
    content_description: &'a str,
}

/// One scan or move.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryEntry")]
struct Entry<'a> {
    status: Option<Status>,
    kind: Option<Kind>,
    moved: bool,
    timestamp: Timestamp,
    recorded_at: Timestamp,
    source: &'a str,
    location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    event_id: EventId,
}

impl<'a> Entry<'a> {
    fn of(entry: &'a HistoryEntry) -> Self {
        Self {
            status: entry.claim.status(),
            kind: entry.claim.kind(),
            moved: entry.moved,
            timestamp: entry.timestamp,
            recorded_at: entry.recorded_at,
            source: &entry.source,
            location: entry.location,
            place: entry.place.as_deref(),
            code: entry.code.as_deref(),
            reason: entry.reason.as_deref(),
            event_id: entry.event_id,
        }
    }
}

/// A shipment without its history, as a list shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShipmentSummary")]
pub(super) struct Summary<'a> {
    tracking_number: TrackingNumber,
    client_id: &'a str,
    current_status: Status,
    origin: Place<'a>,
    destination: Place<'a>,
    package: Package<'a>,
    service_type: ServiceType,
    estimated_delivery: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
    transition_policy: Policy,
    last_scan: Option<Entry<'a>>,
    attempts: u32,
    exception: Option<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> Summary<'a> {
    pub(super) fn of(shipment: &'a StoredShipment) -> Self {
        let (created, state) = (&shipment.created, &shipment.state);
        let body = &created.body;
        Self {
            tracking_number: created.tracking_number,
            client_id: created.client_id(),
            current_status: state.current_status,
            origin: Place { address: &body.origin_address, coordinates: created.origin() },
            destination: Place { address: &body.destination_address, coordinates: created.destination() },
            package: Package {
                weight_kg: body.weight_kg,
                dimensions: Dimensions { length: body.length_cm, width: body.width_cm, height: body.height_cm },
                content_description: &body.content_description,
            },
            service_type: created.service_type(),
            estimated_delivery: created.estimated_delivery,
            created_at: created.created_at,
            updated_at: state.updated_at,
            version: state.version,
            transition_policy: created.policy(),
            last_scan: state.last_scan.as_deref().map(Entry::of),
            attempts: state.attempts,
            exception: state.exception.as_deref().map(Entry::of),
            sender: body.sender.as_ref(),
            recipient: body.recipient.as_ref(),
            reference: body.reference.as_deref(),
            metadata: &body.metadata,
        }
    }
}

/// A shipment with its history, in order of timestamp.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Shipment")]
pub(crate) struct Whole<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    status_history: Vec<Entry<'a>>,
    history_truncated: u64,
}

impl<'a> Whole<'a> {
    pub(super) fn of(shipment: &'a StoredShipment) -> Self {
        let entries = shipment.state.status_history.iter();
        Self {
            summary: Summary::of(shipment),
            status_history: entries.map(|entry| Entry::of(entry)).collect(),
            history_truncated: shipment.state.history_truncated,
        }
    }
}
