//! What the suite writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::shipment::Location;
use crate::shipment::registration::Party;
use crate::shipment::{
    CarrierScan, Claim, Event, EventBody, HistoryEntry, Kind, LogPosition, OlderScan, Outcome, ParkedEvent, Place,
    Policy, RejectReason, Reporter, ServiceType, ShipmentCreated, ShipmentState, Status, Timestamp, TrackingNumber,
};
use crate::shipment_store::{EventRow, RowPosition, StateWrite, StoredShipment};

/// The beginning of the suite's time, in seconds since 1970.
pub(super) const BEGINNING: i64 = 1_739_372_000;

/// A tracking number; each part of the suite has a range of its own.
pub(super) fn number(counter: u64) -> TrackingNumber {
    format!("99M-{counter:08}").parse().expect("digits are well-formed")
}

pub(super) fn at(epoch: i64, offset: i64) -> LogPosition {
    LogPosition { epoch, offset }
}

/// `seconds` after the beginning, and some milliseconds, which a store must keep.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis((BEGINNING + seconds) * 1000 + seconds.rem_euclid(1000))
}

/// A registration with nothing but what is required; both coordinates of its destination are 0.
pub(super) fn registration(number: TrackingNumber, created: i64) -> ShipmentCreated {
    let body = json!({"tracking_number": number, "client_id": "client_001",
        "origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 0, "destination_lng": 0,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20.25, "height_cm": 15, "content_description": "Electrónica"});
    ShipmentCreated::from_json(body, time(created)).expect("a valid registration")
}

/// A registration with everything that is optional.
pub(super) fn full_registration(number: TrackingNumber, created: i64) -> ShipmentCreated {
    let mut full = registration(number, created);
    full.allow_cancel_in_transit = true;
    full.park_seconds = Some(3_600);
    full.estimated_delivery = time(created + 7_777);
    full.body.client_id = Some("client.*%_$".to_owned());
    full.body.service_type = Some(ServiceType::SameDay);
    full.body.transition_policy = Some(Policy::Field);
    full.body.sender = Some(Party { name: Some("José".to_owned()), email: None, phone: Some("+52 55".to_owned()) });
    full.body.recipient = Some(Party { name: None, email: Some("ana@example.com".to_owned()), phone: None });
    full.body.reference = Some("order 7/2 \"quoted\"".to_owned());
    let pairs = [("plain", "1"), ("with.dot", "2"), ("$dollar", "3"), ("$set", ""), ("ñ", "ü"), ("0", "zero")];
    full.body.metadata = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    full
}

/// The report of a scan of `claim` at `seconds`, with nothing optional.
pub(super) fn report(number: TrackingNumber, claim: Claim, seconds: i64) -> EventBody {
    EventBody {
        tracking_number: number,
        claim,
        timestamp: time(seconds),
        source: "driver_app".to_owned(),
        location: None,
        place: None,
        code: None,
        reason: None,
        notes: None,
        source_event_id: None,
        carrier: None,
    }
}

/// The same with everything optional.
pub(super) fn full_report(number: TrackingNumber, claim: Claim, seconds: i64) -> EventBody {
    EventBody {
        location: Some(Location { lat: 0.0, lng: -0.000_001 }),
        place: Some("Bodega Ñuñoa".to_owned()),
        code: Some("OK-17".to_owned()),
        reason: Some("nobody_there".to_owned()),
        notes: Some("left \"gate\"\n$now {a: 1}".to_owned()),
        source_event_id: Some(format!("A:{seconds}/ü")),
        carrier: Some(Box::new(CarrierScan {
            carrier: "correios_br".to_owned(),
            code: Some("BDE/01".to_owned()),
            text: Some("Objeto entregue ao destinatário".to_owned()),
            time: "12/02/2025 12:04".to_owned(),
            zone: Some("America/Sao_Paulo".to_owned()),
            scan_id: Some("A:1".to_owned()),
        })),
        ..report(number, claim, seconds)
    }
}

pub(super) fn entry(report: &EventBody, moved: bool) -> HistoryEntry {
    let recorded_at = Timestamp::from_millis(report.timestamp.as_millis() + 1_234);
    HistoryEntry::of(report, report.event_id(), recorded_at, moved)
}

/// The state right after the creation.
pub(super) fn fresh(created: &ShipmentCreated, position: LogPosition) -> ShipmentState {
    let id = Event::Created(Box::new(created.clone())).event_id();
    ShipmentState::created(created, id, position)
}

/// A state whose content tells its position, so that a mixture of two would be seen.
pub(super) fn state_at(created: &ShipmentCreated, position: LogPosition) -> ShipmentState {
    let scan =
        report(created.tracking_number, Claim::Status(Status::PickedUp), position.epoch * 50_000 + position.offset);
    fresh(created, position).after(entry(&scan, true), position)
}

/// A state in which nothing is left at its default.
pub(super) fn full_state(created: &ShipmentCreated, position: LogPosition) -> ShipmentState {
    let number = created.tracking_number;
    let steps = [
        entry(&report(number, Claim::Status(Status::PickedUp), 100), true),
        entry(&full_report(number, Claim::Status(Status::InWarehouse), 200), true),
        entry(&full_report(number, Claim::Kind(Kind::DeliveryAttemptFailed), 150), false),
        entry(&full_report(number, Claim::Kind(Kind::Exception), 300), false),
        entry(&report(number, Claim::Kind(Kind::Other), 50), false),
    ];
    let mut state = steps.into_iter().fold(fresh(created, position), |state, step| state.after(step, position));
    state.history_truncated = 70_000_000_000;
    state.older_scan = Some(OlderScan { status: Status::InTransit, timestamp: time(-90) });
    state.parked = parked(number, time(1_000));
    state
}

/// Places behind a dead letter that is waited for until `until`.
pub(super) fn parked(number: TrackingNumber, until: Timestamp) -> Vec<Place> {
    let event = |report: EventBody, reporter: Option<Reporter>| {
        let (event_id, recorded_at) = (report.event_id(), report.timestamp);
        let refused_at = reporter.is_some().then(|| at(1, 7));
        Place::Event(Arc::new(ParkedEvent { position: at(1, 8), event_id, report, recorded_at, reporter, refused_at }))
    };
    let (sub, role) = ("client_user_001".to_owned(), "client".to_owned());
    let reporter = Reporter { sub, role, client_id: Some("client_001".to_owned()) };
    vec![
        Place::Waiting { of: at(1, 7), until },
        event(report(number, Claim::Kind(Kind::Other), 400), None),
        Place::Waiting { of: at(2, 0), until: Timestamp::from_millis(until.as_millis() + 1) },
        event(full_report(number, Claim::Status(Status::InTransit), 410), Some(reporter)),
    ]
}

/// A write of a state that is taken at `position` of the partition, with something parked until `until`, or nothing.
pub(super) fn parking(
    created: &ShipmentCreated,
    position: LogPosition,
    partition: i32,
    until: Option<Timestamp>,
) -> StateWrite {
    let mut write = creation(created, &state_at(created, position));
    write.state.parked = until.map(|until| parked(created.tracking_number, until)).unwrap_or_default();
    write.parking = Some(partition);
    write
}

/// A write of the state of a shipment that is there.
pub(super) fn update(state: &ShipmentState, number: TrackingNumber) -> StateWrite {
    StateWrite { tracking_number: number, created: None, state: state.clone(), parking: None }
}

/// A write that creates the shipment when it is not there.
pub(super) fn creation(created: &ShipmentCreated, state: &ShipmentState) -> StateWrite {
    let number = created.tracking_number;
    StateWrite {
        tracking_number: number,
        created: Some(Arc::new(created.clone())),
        state: state.clone(),
        parking: None,
    }
}

/// Shipments by tracking number, as they should be read back.
pub(super) fn stored(created: ShipmentCreated, state: ShipmentState) -> StoredShipment {
    StoredShipment { created, state }
}

pub(super) fn row_position(epoch: i64, offset: i64, partition: i32) -> RowPosition {
    RowPosition { log: at(epoch, offset), partition }
}

/// The row of an applied event with nothing optional.
pub(super) fn row(report: EventBody, position: RowPosition) -> EventRow {
    EventRow {
        event_id: report.event_id(),
        position,
        released_at: None,
        refused_at: None,
        outcome: Outcome::Applied,
        outcome_reason: None,
        from: None,
        to: report.claim.status(),
        late: false,
        recorded_at: Timestamp::from_millis(report.timestamp.as_millis() + 7),
        report,
        reporter: None,
        shipment_client_id: None,
        version: None,
    }
}

/// The row of a rejected event with everything optional.
pub(super) fn full_row(report: EventBody, position: RowPosition) -> EventRow {
    let reporter = Reporter {
        sub: "client_user_001".to_owned(),
        role: "client".to_owned(),
        client_id: Some("client_002".to_owned()),
    };
    EventRow {
        outcome: Outcome::Rejected,
        outcome_reason: Some(RejectReason::InvalidTransition),
        from: Some(Status::Delivered),
        to: Some(Status::PickedUp),
        late: true,
        reporter: Some(reporter),
        shipment_client_id: Some("client_001".to_owned()),
        version: Some(9_000_000_000),
        ..row(report, position)
    }
}

/// The row of an event whose key was taken by another payload.
pub(super) fn conflict(report: EventBody, position: RowPosition) -> EventRow {
    EventRow { outcome: Outcome::Conflict, outcome_reason: Some(RejectReason::KeyConflict), ..row(report, position) }
}

/// Rows by id: a store may answer in any order.
pub(super) fn by_id(rows: Vec<EventRow>) -> BTreeMap<crate::shipment::RowId, EventRow> {
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.row_id(), row)).collect();
    assert_eq!(rows.len(), count, "no row is answered twice");
    rows
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).expect("an index fits");
            items.swap(last, other);
        }
    }
}
