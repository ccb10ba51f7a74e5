//! Three events as callers send them, and everything that they become on their way from the body of a request to the documents of the store.

use std::sync::LazyLock;

use ingest_service::cost as edge;
use processor_service::cost as lane;
use serde_json::{Value, json};
use shared::carrier::{CarrierMapping, CarrierSet, shipped};
use shared::event_log::{LogRecord, Position};
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{
    Event, EventBody, Judgement, LogPosition, Policy, Reporter, ServiceType, Shipment, ShipmentCreated, StatusReported,
    Timestamp, TrackingNumber, judge, record,
};
use shared::shipment_store::{EventRow, RowPosition, StateWrite};

/// Whose shipments they are.
pub(crate) const CLIENT: &str = "client_001";
/// What every request carries.
pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NUMBER: &str = "99M-7G2BKBT9";
/// The carrier whose words one of them is sent in.
const CARRIER: &str = "dhl_express";
/// Where their records stand.
pub(crate) const PARTITION: i32 = 3;

/// How a body is read.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    Event,
    Scan,
    Shipment,
}

/// One event on all its way.
pub(crate) struct Sample {
    /// What it is called in the table.
    pub(crate) form: &'static str,
    pub(crate) door: Door,
    /// What the caller sends.
    pub(crate) body: Vec<u8>,
    pub(crate) event: Event,
    pub(crate) record: LogRecord,
    pub(crate) identified: IdentifiedEvent,
    /// The shipment before it.
    pub(crate) before: Option<Shipment>,
    pub(crate) judgement: Judgement,
    pub(crate) row: EventRow,
    pub(crate) write: StateWrite,
}

/// What a driver's telephone says in the fourth minute of its round. Seven in ten events are like it.
pub(crate) fn driver_report(second: i64) -> Value {
    json!({"tracking_number": NUMBER, "status": "in_warehouse", "timestamp": time(second), "source": "driver_app",
        "location": {"lat": 19.432608, "lng": -99.133209}, "notes": "Entregado en andén 4"})
}

/// The three forms.
pub(crate) fn samples() -> Vec<Sample> {
    let strict = [driver("picked_up", 120)];
    let field = [scan("PU", 100), scan("PL", 200), scan("DF", 300), scan("PL", 400), scan("DF", 500), scan("PL", 600)];
    vec![
        Sample::of("strict", Door::Event, driver_report(240), shipment(Policy::Strict, &strict)),
        Sample::of("field", Door::Scan, sent_scan("DF", 700), shipment(Policy::Field, &field)),
        Sample::of("created", Door::Shipment, registration(Policy::Strict), None),
    ]
}

/// `second` seconds into the samples' day.
pub(crate) fn time(second: i64) -> Timestamp {
    Timestamp::from_millis(1_739_372_645_123 + second * 1000)
}

fn number() -> TrackingNumber {
    NUMBER.parse().expect("well-formed")
}

fn driver(status: &str, second: i64) -> EventBody {
    let mut body = driver_report(second);
    body["status"] = json!(status);
    edge::event(&bytes(&body), time(second)).expect("valid")
}

fn sent_scan(code: &str, second: i64) -> Value {
    json!({"tracking_number": NUMBER, "code": code, "text": "Processed at the facility", "time": time(second),
        "zone": "America/Mexico_City", "place": "Ciudad de México", "scan_id": format!("JD01-{second}")})
}

fn scan(code: &str, second: i64) -> EventBody {
    read(Door::Scan, &bytes(&sent_scan(code, second)))
}

fn registration(policy: Policy) -> Value {
    json!({"origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19.0414, "destination_lng": -98.2063,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20.25, "height_cm": 15, "content_description": "Electrónica",
        "service_type": "standard", "recipient": {"name": "Ana Pérez", "phone": "+52 55 1234 5678"},
        "reference": "order 4711", "transition_policy": policy.as_str()})
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}

/// The event of a body, by way of the edge.
fn read(door: Door, body: &[u8]) -> EventBody {
    match door {
        Door::Event => edge::event(body, time(1_000)),
        Door::Scan => edge::scan(body, mapping(), time(1_000)),
        Door::Shipment => panic!("a registration is no report"),
    }
    .expect("valid")
}

/// The vocabulary of the carrier whose scan is a sample, out of those that are compiled in.
pub(crate) fn mapping() -> &'static CarrierMapping {
    static CARRIERS: LazyLock<CarrierSet> =
        LazyLock::new(|| CarrierSet::parse(&shipped::files()).expect("the shipped mappings are well"));
    CARRIERS.get(CARRIER).expect("a shipped carrier")
}

fn created(policy: Policy) -> ShipmentCreated {
    let mut body = edge::shipment(&bytes(&registration(policy)), CLIENT).expect("valid");
    let service = *body.service_type.get_or_insert(ServiceType::Standard);
    let created_at = time(0);
    let estimated_delivery = created_at.plus(service.delivery_time());
    ShipmentCreated {
        tracking_number: number(),
        body,
        created_at,
        estimated_delivery,
        allow_cancel_in_transit: false,
        park_seconds: None,
    }
}

fn reported(body: EventBody, second: i64) -> Event {
    let reporter = Reporter { sub: "driver_user_001".to_owned(), role: "source".to_owned(), client_id: None };
    Event::Reported(StatusReported { body, recorded_at: time(second), reporter: Some(reporter) })
}

/// The records of a shipment on its whole way under the strict policy: its creation and its four moves.
pub(crate) fn journey() -> Vec<LogRecord> {
    let moves = ["picked_up", "in_warehouse", "in_transit", "delivered"];
    let moved = (1..).zip(moves).map(|(hour, status)| reported(driver(status, hour * 10), hour * 10));
    let events = std::iter::once(Event::Created(Box::new(created(Policy::Strict)))).chain(moved);
    let position = Position { partition: PARTITION, offset: 0 };
    events.map(|event| record::encode(&event, Some(TRACEPARENT)).at(position, time(800).as_millis())).collect()
}

/// A shipment that was created and then had these reports.
fn shipment(policy: Policy, reports: &[EventBody]) -> Option<Shipment> {
    let creation = Event::Created(Box::new(created(policy)));
    let events = std::iter::once(creation).chain(reports.iter().map(|body| reported(body.clone(), 650)));
    events.zip(0..).fold(None, |before, (event, offset)| {
        let judgement = judge(before.as_ref(), None, &event.into(), LogPosition { epoch: 1, offset });
        Some(judgement.shipment.expect("it enters the history"))
    })
}

impl Sample {
    fn of(form: &'static str, door: Door, body: Value, before: Option<Shipment>) -> Self {
        let body = bytes(&body);
        let event = match door {
            Door::Shipment => Event::Created(Box::new(created(Policy::Strict))),
            Door::Event | Door::Scan => reported(read(door, &body), 800),
        };
        let position = Position { partition: PARTITION, offset: 1_234_567 };
        let record = record::encode(&event, Some(TRACEPARENT)).at(position, time(800).as_millis());
        let identified = lane::event(&record).expect("our own record");
        let log = LogPosition { epoch: 1, offset: position.offset };
        let judgement = judge(before.as_ref(), None, &identified, log);
        let after = judgement.shipment.as_ref().expect("it enters the history");
        let write = StateWrite {
            tracking_number: after.tracking_number,
            created: identified.created.clone(),
            state: after.state.clone(),
            parking: None,
        };
        let row_position = RowPosition { log, partition: PARTITION };
        let row = lane::row(&identified, &judgement, row_position, before.as_ref());
        Self { form, door, body, event, record, identified, before, judgement, row, write }
    }
}
