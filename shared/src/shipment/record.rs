//! Events to log records and back: CloudEvents 1.0 in Kafka's binary mode (contract section 5).
//!
//! Encoding and decoding stand side by side, because a record that any Kafka client writes in this form is processed
//! like one that came over HTTP. The decoder trusts nothing but the form; what it cannot read is poison.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::carrier_scan::CarrierScan;
use super::event::{Event, EventBody, Reporter, StatusReported};
use super::form::{FieldError, Form, UnknownFields};
use super::identity::EventId;
use super::limits;
use super::registration::ShipmentCreated;
use super::timestamp::Timestamp;
use super::tracking_number::TrackingNumber;
use crate::event_log::{Header, LogRecord, NewRecord};

/// `ce_type` of a registration.
pub const CREATED_TYPE: &str = "com.rastro.shipment.created.v1";
/// `ce_type` of a status event.
pub const REPORTED_TYPE: &str = "com.rastro.shipment.status_reported.v1";
/// `ce_type` of the word that dead letters of a shipment have been waited for long enough.
pub const RELEASED_TYPE: &str = "com.rastro.shipment.parking_released.v1";
/// `ce_type` of an applied change.
pub const CHANGED_TYPE: &str = "com.rastro.shipment.changed.v1";
/// `ce_source` of what the edge writes.
pub const EDGE_SOURCE: &str = "/rastro/ingest-service";
/// `ce_source` of what the processor writes.
pub const PROCESSOR_SOURCE: &str = "/rastro/processor-service";

/// Why a record cannot be decoded. Decoding it again gives the same error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// No value: a tombstone, which means nothing in this topic.
    #[error("the record has no value")]
    NoValue,
    /// Larger than [`limits::RECORD_BYTES`].
    #[error("the value has {0} bytes, more than {limit}", limit = limits::RECORD_BYTES)]
    TooLarge(usize),
    /// The header `ce_type` is missing or says something else.
    #[error("the header ce_type is {0:?}")]
    UnknownType(Option<String>),
    /// The value is no JSON.
    #[error("the value is no JSON: {0}")]
    NoJson(String),
    /// The value is JSON of another form.
    #[error("{}", list(.0))]
    BadFields(Vec<FieldError>),
    /// The key is not the tracking number, so the record may stand on the wrong partition.
    #[error("the key is not the tracking number of the value")]
    KeyMismatch,
    /// The store refused what would have been written for it.
    #[error("the store refused it: {0}")]
    Refused(String),
}

impl Poison {
    /// Everything that [`Poison::class`] says.
    pub const CLASSES: &[&str] =
        &["NO_VALUE", "TOO_LARGE", "UNKNOWN_TYPE", "NO_JSON", "BAD_FIELDS", "KEY_MISMATCH", "STORE_REFUSED"];

    /// The class, for the header `dlq.error.class` and the label `reason`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoValue => "NO_VALUE",
            Self::TooLarge(_) => "TOO_LARGE",
            Self::UnknownType(_) => "UNKNOWN_TYPE",
            Self::NoJson(_) => "NO_JSON",
            Self::BadFields(_) => "BAD_FIELDS",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::Refused(_) => "STORE_REFUSED",
        }
    }
}

fn list(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| format!("{} {}", error.field, error.message);
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The record of `event`, keyed by its tracking number. `traceparent` is the W3C header of the request that sent it.
#[must_use]
pub fn encode(event: &Event, traceparent: Option<&str>) -> NewRecord {
    encode_as(event, event.event_id(), traceparent)
}

/// The same for a caller who has the event's `id` already: two hashes that need not be taken again.
#[must_use]
pub fn encode_as(event: &Event, id: EventId, traceparent: Option<&str>) -> NewRecord {
    let (ce_type, value) = match event {
        Event::Created(created) => (CREATED_TYPE, to_json(created)),
        Event::Reported(reported) => (REPORTED_TYPE, to_json(&ReportedValue::of(reported, id))),
    };
    let headers = cloud_event_headers(id, ce_type, EDGE_SOURCE, event.recorded_at(), traceparent);
    NewRecord::keyed(event.tracking_number(), value, headers)
}

/// The record of a registration whose `value` ([`to_json`]) was made before: when it is appended again, it is the same to the byte.
#[must_use]
pub fn encode_created(created: &ShipmentCreated, value: Bytes, traceparent: Option<&str>) -> NewRecord {
    let (id, time) = (created.event_id(), created.created_at);
    let headers = cloud_event_headers(id, CREATED_TYPE, EDGE_SOURCE, time, traceparent);
    NewRecord::keyed(created.tracking_number, value, headers)
}

/// The headers of a CloudEvent in binary mode about the shipment of `id`.
#[must_use]
pub fn cloud_event_headers(
    id: EventId,
    ce_type: &'static str,
    source: &'static str,
    time: Timestamp,
    traceparent: Option<&str>,
) -> Vec<Header> {
    headers_about(id.tracking_number, Bytes::copy_from_slice(id.text().as_bytes()), ce_type, source, time, traceparent)
}

fn headers_about(
    number: TrackingNumber,
    id: Bytes,
    ce_type: &'static str,
    source: &'static str,
    time: Timestamp,
    traceparent: Option<&str>,
) -> Vec<Header> {
    let mut headers = vec![
        Header::text("ce_specversion", "1.0"),
        Header::text("ce_id", id),
        Header::text("ce_type", ce_type),
        Header::text("ce_source", source),
        Header::text("ce_time", time.to_string()),
        Header::text("ce_subject", Bytes::copy_from_slice(number.as_str().as_bytes())),
        Header::text("content-type", "application/json"),
    ];
    headers.extend(traceparent.map(|traceparent| Header::text("traceparent", traceparent.to_owned())));
    headers
}

/// JSON bytes of a value that cannot fail to serialise.
pub fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our own values are JSON").into()
}

#[derive(Serialize)]
struct ReportedValue<'a> {
    event_id: EventId,
    #[serde(flatten)]
    body: &'a EventBody,
    recorded_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporter: Option<&'a Reporter>,
}

impl<'a> ReportedValue<'a> {
    fn of(reported: &'a StatusReported, event_id: EventId) -> Self {
        Self { event_id, body: &reported.body, recorded_at: reported.recorded_at, reporter: reported.reporter.as_ref() }
    }
}

/// The word that the dead letters of a shipment that were waited for until then are given up (see
/// [`parking`](super::transition::parking)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// The shipment.
    pub tracking_number: TrackingNumber,
    /// The time that has come.
    pub until: Timestamp,
}

impl Release {
    /// Its record.
    #[must_use]
    pub fn record(&self) -> NewRecord {
        let Self { tracking_number: number, until } = *self;
        let id = format!("rel_{number}_{}", until.as_millis());
        let headers = headers_about(number, id.into(), RELEASED_TYPE, PROCESSOR_SOURCE, until, None);
        NewRecord::keyed(number, to_json(self), headers)
    }
}

/// What a record of `shipments.events` says.
#[expect(clippy::large_enum_variant, reason = "all but one record in a million are the large one")]
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// An event.
    Event(Event),
    /// That dead letters are not waited for any more.
    Release(Release),
}

/// Reads a record of `shipments.events`.
///
/// # Errors
/// What makes it poison.
pub fn decode(record: &LogRecord) -> Result<Said, Poison> {
    let value = record.value.as_ref().ok_or(Poison::NoValue)?;
    if value.len() > limits::RECORD_BYTES {
        return Err(Poison::TooLarge(value.len()));
    }
    let ce_type = record.header("ce_type");
    let broker_time = Timestamp::from_millis(record.timestamp);
    let read: fn(Value, Timestamp) -> Result<Said, Vec<FieldError>> = match ce_type {
        Some(CREATED_TYPE) => {
            |value, time| Ok(Said::Event(Event::Created(Box::new(ShipmentCreated::from_json(value, time)?))))
        }
        Some(REPORTED_TYPE) => |value, time| Ok(Said::Event(Event::Reported(read_reported(value, time)?))),
        Some(RELEASED_TYPE) => |value, _| Ok(Said::Release(read_release(value)?)),
        other => return Err(Poison::UnknownType(other.map(str::to_owned))),
    };
    let json = serde_json::from_slice(value).map_err(|error| Poison::NoJson(error.to_string()))?;
    let said = read(json, broker_time).map_err(Poison::BadFields)?;
    let key = record.key.as_deref().unwrap_or_default();
    if key != said.tracking_number().as_str().as_bytes() {
        return Err(Poison::KeyMismatch);
    }
    Ok(said)
}

impl Said {
    /// The shipment that it is about.
    #[must_use]
    pub fn tracking_number(&self) -> TrackingNumber {
        match self {
            Self::Event(event) => event.tracking_number(),
            Self::Release(release) => release.tracking_number,
        }
    }

    /// The event, where it is one.
    #[must_use]
    pub fn event(self) -> Option<Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Release(_) => None,
        }
    }
}

fn read_release(value: Value) -> Result<Release, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let tracking_number = form.parsed("tracking_number", "malformed", str::parse);
    let until = form.timestamp("until");
    form.finish(UnknownFields::Ignore)?;
    let tracking_number = tracking_number.expect("a form without an error has a tracking number");
    Ok(Release { tracking_number, until })
}

fn read_reported(value: Value, broker_time: Timestamp) -> Result<StatusReported, Vec<FieldError>> {
    let mut form = Form::of(value)?;
    let recorded_at = form.optional_timestamp("recorded_at").unwrap_or(broker_time);
    let reporter = form.optional_object("reporter", UnknownFields::Ignore, |reporter| Reporter {
        sub: reporter.text("sub", limits::PERSON_NAME),
        role: reporter.slug("role", limits::SLUG),
        client_id: reporter.optional_text("client_id", limits::CLIENT_ID),
    });
    let carrier = form.optional_object("carrier", UnknownFields::Ignore, CarrierScan::read);
    let body = EventBody::read(&mut form, UnknownFields::Ignore);
    form.finish(UnknownFields::Ignore)?;
    let mut body = body.expect("a form without an error has a body");
    body.carrier = carrier.map(Box::new);
    Ok(StatusReported { body, recorded_at, reporter })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reported() -> Event {
        let body = json!({"tracking_number": "99M-ABC12345", "status": "picked_up", "source": "driver_app",
            "timestamp": "2025-02-12T15:04:05Z", "notes": "left gate"});
        Event::Reported(StatusReported {
            body: EventBody::from_json(body, UnknownFields::Refuse).expect("valid"),
            recorded_at: Timestamp::from_millis(1_739_372_646_123),
            reporter: Some(Reporter { sub: "driver".to_owned(), role: "source".to_owned(), client_id: None }),
        })
    }

    fn stored(record: NewRecord) -> LogRecord {
        record.at(crate::event_log::Position { partition: 3, offset: 9 }, 1_739_372_646_200)
    }

    // contract: "`status_reported` is the event body as accepted"
    #[test]
    fn what_is_encoded_is_decoded() {
        let record = stored(encode(&reported(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
        assert_eq!(record.key.as_deref(), Some(b"99M-ABC12345".as_slice()));
        assert_eq!(record.header("ce_type"), Some(REPORTED_TYPE));
        assert_eq!(record.header("ce_id"), Some(reported().event_id().to_string().as_str()));
        assert_eq!(decode(&record), Ok(Said::Event(reported())));
    }

    #[test]
    fn what_a_carrier_said_stands_in_the_record_and_is_checked_when_it_is_read() {
        let Event::Reported(mut said) = reported() else { panic!("a report") };
        said.body.carrier = Some(Box::new(CarrierScan {
            carrier: "dhl_express".to_owned(),
            code: Some("PL".to_owned()),
            text: Some("Processed".to_owned()),
            time: "2025-02-12 09:04".to_owned(),
            zone: Some("America/Mexico_City".to_owned()),
            scan_id: None,
        }));
        let said = Event::Reported(said);
        let record = stored(encode(&said, None));
        assert_eq!(decode(&record), Ok(Said::Event(said)));

        let mut value: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        value["carrier"] = serde_json::json!({"carrier": "DHL Express", "zone": 7});
        let poison = decode(&LogRecord { value: Some(to_json(&value)), ..record }).expect_err("poison");
        let Poison::BadFields(errors) = poison else { panic!("{poison}") };
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["carrier.code", "carrier.carrier", "carrier.time", "carrier.zone"]);
    }

    /// The edge names an event by the coordinates as it read them, the processor by those that it reads in the record.
    // contract: "is derived from the key and the payload"
    #[test]
    fn coordinates_come_back_to_the_last_bit() {
        for lat in [8.223242202137703e-08, 19.432608, -1.7976931348623156e-9] {
            let Event::Reported(mut reported) = reported() else { panic!("a report") };
            reported.body.location = Some(super::super::location::Location { lat, lng: -lat });
            let event = Event::Reported(reported);
            let read = decode(&stored(encode(&event, None))).ok().and_then(Said::event).expect("our own record");
            assert_eq!(read.event_id(), event.event_id(), "{lat:e}");
        }
    }

    // contract: "`parking_released` is `tracking_number` and `until`"
    // contract: "The processor writes it"
    #[test]
    fn a_release_is_read_as_it_was_written_and_checked() {
        let until = Timestamp::from_millis(1_739_372_646_123);
        let release = Release { tracking_number: "99M-ABC12345".parse().expect("well-formed"), until };
        let record = stored(release.record());
        assert_eq!(record.header("ce_type"), Some(RELEASED_TYPE));
        assert_eq!(record.header("ce_source"), Some(PROCESSOR_SOURCE));
        assert_eq!(record.header("ce_id"), Some("rel_99M-ABC12345_1739372646123"));
        assert_eq!(decode(&record), Ok(Said::Release(release)));
        let bad = LogRecord { value: Some(Bytes::from_static(b"{\"until\":\"soon\"}")), ..record };
        assert_eq!(decode(&bad).expect_err("poison").class(), "BAD_FIELDS");
    }

    // contract: "the processor validates every record itself"
    #[test]
    fn poison_is_named() {
        let good = stored(encode(&reported(), None));
        let class = |change: fn(&mut LogRecord)| {
            let mut record = good.clone();
            change(&mut record);
            let class = decode(&record).expect_err("poison").class();
            assert!(Poison::CLASSES.contains(&class), "{class}");
            class
        };
        assert_eq!(class(|record| record.value = None), "NO_VALUE");
        assert_eq!(class(|record| record.value = Some(vec![b' '; limits::RECORD_BYTES + 1].into())), "TOO_LARGE");
        assert_eq!(class(|record| record.headers.clear()), "UNKNOWN_TYPE");
        assert_eq!(class(|record| record.value = Some(Bytes::from_static(b"{\"a\":"))), "NO_JSON");
        assert_eq!(class(|record| record.value = Some(Bytes::from_static(b"{}"))), "BAD_FIELDS");
        assert_eq!(class(|record| record.key = None), "KEY_MISMATCH");
        assert_eq!(class(|record| record.key = Some(Bytes::from_static(b"99M-OTHER123"))), "KEY_MISMATCH");
    }
}
