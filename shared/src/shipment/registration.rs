//! The registration of a shipment: the body of `POST /shipments` and the `created` record made of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::{Claim, EventBody};
use super::form::{FieldError, Form, UnknownFields};
use super::identity::{EventId, KeyHash, PayloadHasher};
use super::limits;
use super::location::Location;
use super::state::Terms;
use super::status::{Policy, Status, words};
use super::timestamp::Timestamp;
use super::tracking_number::TrackingNumber;

words! {
    /// How fast a shipment is to arrive.
    ServiceType {
        /// Within half a day.
        SameDay = "same_day",
        /// Within a day and a half.
        NextDay = "next_day",
        /// Within five days.
        Standard = "standard",
    }
}

impl ServiceType {
    /// How long after its creation a shipment should be delivered.
    #[must_use]
    pub fn delivery_time(self) -> Duration {
        const HOUR: u64 = 3600;
        Duration::from_secs(match self {
            Self::SameDay => 12 * HOUR,
            Self::NextDay => 36 * HOUR,
            Self::Standard => 5 * 24 * HOUR,
        })
    }
}

/// A sender or a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Party {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// What a caller sends to register a shipment, flat as in the reference (contract section 4). Lengths in
/// centimetres, weight in kilograms, coordinates in degrees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field says what it is, with its unit")]
pub struct ShipmentBody {
    pub origin_address: String,
    pub origin_lat: f64,
    pub origin_lng: f64,
    pub destination_address: String,
    pub destination_lat: f64,
    pub destination_lng: f64,
    pub weight_kg: f64,
    pub length_cm: f64,
    pub width_cm: f64,
    pub height_cm: f64,
    pub content_description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Party>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Party>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_policy: Option<Policy>,
}

impl ShipmentBody {
    /// Reads a body.
    ///
    /// # Errors
    /// Every bad field.
    pub fn from_json(value: Value, unknown: UnknownFields) -> Result<Self, Vec<FieldError>> {
        let mut form = Form::of(value)?;
        let body = Self::read(&mut form, unknown);
        form.finish(unknown)?;
        Ok(body)
    }

    /// The schema of a body.
    #[must_use]
    pub fn schema() -> Value {
        Form::describe(|form| Self::read(form, UnknownFields::Refuse))
    }

    fn read(form: &mut Form, unknown: UnknownFields) -> Self {
        let weight = (Bound::Excluded(0.0), Bound::Included(limits::WEIGHT_KG));
        let side = (Bound::Excluded(0.0), Bound::Included(limits::SIDE_CM));
        Self {
            origin_address: form.text("origin_address", limits::ADDRESS),
            origin_lat: form.number("origin_lat", limits::LATITUDE),
            origin_lng: form.number("origin_lng", limits::LONGITUDE),
            destination_address: form.text("destination_address", limits::ADDRESS),
            destination_lat: form.number("destination_lat", limits::LATITUDE),
            destination_lng: form.number("destination_lng", limits::LONGITUDE),
            weight_kg: form.number("weight_kg", weight),
            length_cm: form.number("length_cm", side),
            width_cm: form.number("width_cm", side),
            height_cm: form.number("height_cm", side),
            content_description: form.text("content_description", limits::CONTENT_DESCRIPTION),
            client_id: form.optional_text("client_id", limits::CLIENT_ID),
            service_type: form.optional_word("service_type", ServiceType::ALL, ServiceType::as_str),
            sender: form.optional_object("sender", unknown, read_party),
            recipient: form.optional_object("recipient", unknown, read_party),
            reference: form.optional_text("reference", limits::REFERENCE),
            metadata: form.optional_object("metadata", unknown, read_metadata).unwrap_or_default(),
            transition_policy: form.optional_word("transition_policy", Policy::ALL, Policy::as_str),
        }
    }
}

fn read_party(form: &mut Form) -> Party {
    Party {
        name: form.optional_text("name", limits::PERSON_NAME),
        email: form.optional_text("email", limits::EMAIL),
        phone: form.optional_text("phone", limits::PHONE),
    }
}

fn read_metadata(form: &mut Form) -> BTreeMap<String, String> {
    form.tell_pairs(|| {
        let no_nul = r"^[^\u0000]*$";
        json!({
            "maxProperties": limits::METADATA_PAIRS,
            "propertyNames": {"minLength": 1, "maxLength": limits::METADATA_NAME, "pattern": no_nul},
            "additionalProperties": {"type": "string", "maxLength": limits::METADATA_VALUE, "pattern": no_nul},
        })
    });
    let pairs = form.take_rest();
    if pairs.len() > limits::METADATA_PAIRS {
        form.error("", "too_long", format!("must have at most {} pairs", limits::METADATA_PAIRS));
        return BTreeMap::new();
    }
    let mut metadata = BTreeMap::new();
    for (name, value) in pairs {
        if name.is_empty() || name.chars().count() > limits::METADATA_NAME {
            form.error(&name, "too_long", format!("a name has 1 to {} characters", limits::METADATA_NAME));
            continue;
        }
        if name.contains('\0') {
            form.error(&name, "malformed", "a name must not contain a NUL character");
            continue;
        }
        match value {
            Value::String(text) if text.contains('\0') => {
                form.error(&name, "malformed", "must not contain a NUL character");
            }
            Value::String(text) if text.chars().count() <= limits::METADATA_VALUE => {
                metadata.insert(name, text);
            }
            Value::String(_) => {
                form.error(&name, "too_long", format!("must have at most {} characters", limits::METADATA_VALUE));
            }
            _ => form.error(&name, "wrong_type", "expected text"),
        }
    }
    metadata
}

/// The value of a `created` record: the body as accepted, and everything that was decided at the edge, so that a
/// replay needs no configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShipmentCreated {
    /// The new number.
    pub tracking_number: TrackingNumber,
    /// The body as accepted. Its `client_id`, `service_type` and `transition_policy` are set.
    #[serde(flatten)]
    pub body: ShipmentBody,
    /// When the platform accepted it.
    pub created_at: Timestamp,
    /// When it should arrive.
    pub estimated_delivery: Timestamp,
    /// Whether a shipment in transit may be cancelled.
    pub allow_cancel_in_transit: bool,
    /// How long its events are parked behind a dead letter, in seconds; `None` for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub park_seconds: Option<u32>,
}

impl ShipmentCreated {
    /// Reads the value of a `created` record. `broker_time` stands in where an imported record has no `created_at`.
    ///
    /// # Errors
    /// Every bad field.
    pub fn from_json(value: Value, broker_time: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut form = Form::of(value)?;
        let tracking_number = form.parsed("tracking_number", "malformed", str::parse);
        let created_at = form.optional_timestamp("created_at").unwrap_or(broker_time);
        let estimated_delivery = form.optional_timestamp("estimated_delivery");
        let allow_cancel_in_transit = form.optional_flag("allow_cancel_in_transit").unwrap_or(false);
        let park_seconds = form.optional_integer("park_seconds", limits::PARK_SECONDS).filter(|&seconds| seconds > 0);
        if !form.has("client_id") {
            form.error("client_id", "required", "is required");
        }
        let mut body = ShipmentBody::read(&mut form, UnknownFields::Ignore);
        form.finish(UnknownFields::Ignore)?;
        let service_type = *body.service_type.get_or_insert(ServiceType::Standard);
        body.transition_policy.get_or_insert(Policy::Strict);
        Ok(Self {
            tracking_number: tracking_number.expect("a form without an error has a tracking number"),
            body,
            created_at,
            estimated_delivery: estimated_delivery.unwrap_or_else(|| created_at.plus(service_type.delivery_time())),
            allow_cancel_in_transit,
            park_seconds,
        })
    }

    /// What every decision about the shipment needs to know of it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            client_id: self.client_id().to_owned(),
            policy: self.policy(),
            allow_cancel_in_transit: self.allow_cancel_in_transit,
            park_seconds: self.park_seconds.unwrap_or(0),
        }
    }

    /// The client whose shipment it is.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.body.client_id.as_deref().unwrap_or_default()
    }

    /// Its service type.
    #[must_use]
    pub fn service_type(&self) -> ServiceType {
        self.body.service_type.unwrap_or(ServiceType::Standard)
    }

    /// The policy that judges it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.body.transition_policy.unwrap_or(Policy::Strict)
    }

    pub(super) fn dedup_key(&self) -> String {
        creation_key(self.tracking_number)
    }

    pub(super) fn event_id(&self) -> EventId {
        let value = serde_json::to_string(&self.body).expect("a body of texts and finite numbers is JSON");
        EventId {
            tracking_number: self.tracking_number,
            key: KeyHash::of(&self.dedup_key()),
            payload: PayloadHasher::new().text(Some(&value)).finish(),
        }
    }

    /// The creation as an event of the history.
    pub(super) fn report(&self) -> EventBody {
        EventBody {
            tracking_number: self.tracking_number,
            claim: Claim::Status(Status::Created),
            timestamp: self.created_at,
            source: "api".to_owned(),
            location: None,
            place: None,
            code: None,
            reason: None,
            notes: None,
            source_event_id: None,
            carrier: None,
        }
    }

    /// Where it begins.
    #[must_use]
    pub fn origin(&self) -> Location {
        Location { lat: self.body.origin_lat, lng: self.body.origin_lng }
    }

    /// Where it goes.
    #[must_use]
    pub fn destination(&self) -> Location {
        Location { lat: self.body.destination_lat, lng: self.body.destination_lng }
    }
}

/// The dedup key of the creation of a shipment. It is created once, so the key needs neither source nor time; a source
/// cannot be called `created` and have no fourth part, so no event has this key.
#[must_use]
pub fn creation_key(number: TrackingNumber) -> String {
    format!("dedup:{number}:created")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({"origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
            "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 0, "destination_lng": 0,
            "weight_kg": 5.5, "length_cm": 30, "width_cm": 20, "height_cm": 15, "content_description": "Electronics",
            "recipient": {"name": "Ana"}, "metadata": {"order": "7"}})
    }

    // contract: "Weights and sizes > 0"
    #[test]
    fn zero_is_a_coordinate_and_no_weight() {
        let read = ShipmentBody::from_json(body(), UnknownFields::Refuse).expect("valid");
        assert_eq!((read.destination_lat, read.destination_lng), (0.0, 0.0));
        let mut light = body();
        light["weight_kg"] = json!(0);
        light["origin_lat"] = json!(90.1);
        light["metadata"] = json!({"order": 7, "nul": "a\u{0}b"});
        light["recipient"] = json!({"nmae": "Ana"});
        let errors = ShipmentBody::from_json(light, UnknownFields::Refuse).expect_err("refused");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["origin_lat", "weight_kg", "recipient.nmae", "metadata.nul", "metadata.order"]);
    }

    // contract: "A reader ignores members that it does not know"
    #[test]
    fn a_created_record_reads_back_and_ignores_what_it_does_not_know() {
        let mut value = body();
        value["tracking_number"] = json!("99M-ABC12345");
        value["client_id"] = json!("client_001");
        value["added_in_2030"] = json!(true);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let created = ShipmentCreated::from_json(value, now).expect("valid");
        assert_eq!((created.client_id(), created.policy(), created.created_at), ("client_001", Policy::Strict, now));
        let again = serde_json::to_value(&created).expect("serialises");
        assert_eq!(again["origin_lat"], 19.4326);
        assert_eq!(ShipmentCreated::from_json(again, Timestamp::default()), Ok(created));
    }
}
