//! What sources report: the body that a caller sends, the record that the edge writes, and the event that the
//! processor judges.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::carrier_scan::CarrierScan;
use super::form::{FieldError, Form, UnknownFields};
use super::identity::{EventId, KeyHash, PayloadHash, PayloadHasher};
use super::limits;
use super::location::Location;
use super::registration::ShipmentCreated;
use super::status::{Kind, Status};
use super::timestamp::Timestamp;
use super::tracking_number::TrackingNumber;

/// What an event claims: a status, or a kind of scan that claims none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// "It is now …".
    Status(Status),
    /// "I saw …".
    Kind(Kind),
}

impl Claim {
    /// The claimed status.
    #[must_use]
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(status),
            Self::Kind(_) => None,
        }
    }

    /// The kind of a scan without a status.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Status(_) => None,
            Self::Kind(kind) => Some(kind),
        }
    }

    /// The word of either.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Kind(kind) => kind.as_str(),
        }
    }
}

/// Who sent an event over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reporter {
    /// The user.
    pub sub: String,
    /// The user's role: `admin`, `client` or `source`.
    pub role: String,
    /// The client that the user belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// The body of `POST /events` (contract section 4): one report by one source about one shipment at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventBody {
    /// The shipment.
    pub tracking_number: TrackingNumber,
    /// What is claimed: member `status` or `kind`.
    #[serde(flatten)]
    pub claim: Claim,
    /// When it happened, by the source.
    pub timestamp: Timestamp,
    /// Who reports: a slug.
    pub source: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Where, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The source's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why: a slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The source's own id of this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_event_id: Option<String>,
    /// What the carrier said, when the event came in a carrier's words. No caller can send it; a record can hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<Box<CarrierScan>>,
}

impl EventBody {
    /// Reads a body.
    ///
    /// # Errors
    /// Every bad field.
    pub fn from_json(value: Value, unknown: UnknownFields) -> Result<Self, Vec<FieldError>> {
        let mut form = Form::of(value)?;
        let body = Self::read(&mut form, unknown);
        form.finish(unknown)?;
        Ok(body.expect("a form without an error has a tracking number and a claim"))
    }

    /// The schema of a body.
    #[must_use]
    pub fn schema() -> Value {
        Form::describe(|form| Self::read(form, UnknownFields::Refuse))
    }

    /// Reads the members of a body out of `form`; `None` only when an error has been remembered there.
    pub(super) fn read(form: &mut Form, unknown: UnknownFields) -> Option<Self> {
        let tracking_number = form.parsed("tracking_number", "malformed", str::parse);
        let claim = read_claim(form);
        let timestamp = form.timestamp("timestamp");
        let source = form.slug("source", limits::SLUG);
        let location = Location::read(form, unknown);
        let place = form.optional_text("place", limits::PLACE);
        let code = form.optional_text("code", limits::CODE);
        let reason = form.optional_slug("reason", limits::SLUG);
        let notes = form.optional_text("notes", limits::NOTES);
        let source_event_id = form.optional_text("source_event_id", limits::SOURCE_EVENT_ID);
        Some(Self {
            tracking_number: tracking_number?,
            claim: claim?,
            timestamp,
            source,
            location,
            place,
            code,
            reason,
            notes,
            source_event_id,
            carrier: None,
        })
    }

    /// The key that tells one event of a source from another (contract section 3).
    #[must_use]
    pub fn dedup_key(&self) -> String {
        let (number, source) = (&self.tracking_number, &self.source);
        match &self.source_event_id {
            Some(id) => format!("dedup:{number}:{source}:id:{id}"),
            None => format!("dedup:{number}:{source}:{}", self.timestamp.unix_seconds()),
        }
    }

    fn payload_hash(&self) -> PayloadHash {
        if let Some(scan) = &self.carrier {
            return scan.payload_hash(self);
        }
        // With an id of the source's own the key says nothing about the time, so the second belongs to the payload.
        let seconds = self.source_event_id.as_ref().map(|_| self.timestamp.unix_seconds());
        PayloadHasher::new()
            .text(self.claim.status().map(Status::as_str))
            .text(self.claim.kind().map(Kind::as_str))
            .text(self.reason.as_deref())
            .number(self.location.map(|location| location.lat))
            .number(self.location.map(|location| location.lng))
            .text(self.place.as_deref())
            .text(self.code.as_deref())
            .text(self.notes.as_deref())
            .seconds(seconds)
            .finish()
    }

    /// The id of the event, derived from its key and its payload.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        EventId {
            tracking_number: self.tracking_number,
            key: KeyHash::of(&self.dedup_key()),
            payload: self.payload_hash(),
        }
    }
}

/// The status that no event can claim.
const NOT_REPORTED: Status = Status::Created;

fn read_claim(form: &mut Form) -> Option<Claim> {
    let one = form.one_of(["status", "kind"], "an event has a status or a kind, not both");
    let status = form.optional_word("status", Status::ALL, Status::as_str);
    form.also(
        "status",
        || json!({"enum": Status::ALL.iter().filter(|&&status| status != NOT_REPORTED).collect::<Vec<_>>()}),
    );
    let kind = form.optional_word("kind", Kind::ALL, Kind::as_str);
    match (status, kind) {
        _ if !one => None,
        (Some(NOT_REPORTED), _) => {
            form.error("status", "not_allowed", "a shipment is created with POST /shipments, not by an event");
            None
        }
        (status, kind) => status.map(Claim::Status).or_else(|| kind.map(Claim::Kind)),
    }
}

/// A status event as it stands in the log: the body as accepted, and what the edge knew of its sender.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReported {
    /// What was reported.
    pub body: EventBody,
    /// When the platform accepted it.
    pub recorded_at: Timestamp,
    /// Who sent it; `None` for a record that was imported.
    pub reporter: Option<Reporter>,
}

/// What a record of the log says.
#[expect(clippy::large_enum_variant, reason = "all but one event in a thousand are the large one")]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A shipment was registered.
    Created(Box<ShipmentCreated>),
    /// A source reported something about one.
    Reported(StatusReported),
}

impl Event {
    /// The shipment that it is about.
    #[must_use]
    pub fn tracking_number(&self) -> TrackingNumber {
        match self {
            Self::Created(created) => created.tracking_number,
            Self::Reported(reported) => reported.body.tracking_number,
        }
    }

    /// Its dedup key.
    #[must_use]
    pub fn dedup_key(&self) -> String {
        match self {
            Self::Created(created) => created.dedup_key(),
            Self::Reported(reported) => reported.body.dedup_key(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        match self {
            Self::Created(created) => created.event_id(),
            Self::Reported(reported) => reported.body.event_id(),
        }
    }

    /// What it reports; a creation reports the status `created` by source `api`.
    #[must_use]
    pub fn report(&self) -> EventBody {
        match self {
            Self::Created(created) => created.report(),
            Self::Reported(reported) => reported.body.clone(),
        }
    }

    /// When the platform accepted it.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        match self {
            Self::Created(created) => created.created_at,
            Self::Reported(reported) => reported.recorded_at,
        }
    }

    /// Who sent it, where that is known.
    #[must_use]
    pub fn reporter(&self) -> Option<&Reporter> {
        match self {
            Self::Created(_) => None,
            Self::Reported(reported) => reported.reporter.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(change: impl FnOnce(&mut Value)) -> Result<EventBody, Vec<FieldError>> {
        let mut value = json!({"tracking_number": "99M-ABC12345", "status": "picked_up",
            "timestamp": "2025-02-12T15:04:05Z", "source": "driver_app", "location": {"lat": 0, "lng": -99.1}});
        change(&mut value);
        EventBody::from_json(value, UnknownFields::Refuse)
    }

    // contract: "fractions of the second and spelling of the time zone"
    // contract: "is derived from the key and the payload"
    #[test]
    fn fractions_and_zones_do_not_change_the_id_but_the_payload_does() {
        let id = body(|_| ()).expect("valid").event_id();
        let same = body(|body| body["timestamp"] = json!("2025-02-12T09:04:05.9-06:00")).expect("valid").event_id();
        assert_eq!(same, id);
        let other = body(|body| body["status"] = json!("cancelled")).expect("valid").event_id();
        assert_eq!((other.key, other.payload == id.payload), (id.key, false));
    }

    // contract: "The payload, for that comparison"
    #[test]
    fn each_member_of_the_payload_tells_two_reports_under_one_key_apart() {
        let plain = body(|_| ()).expect("valid").event_id();
        let mut payloads = vec![plain.payload];
        for (member, value) in [
            ("location", json!({"lat": 0, "lng": -99.2})),
            ("place", json!("Puebla")),
            ("code", json!("Puebla")),
            ("reason", json!("puebla")),
            ("notes", json!("puebla")),
        ] {
            let changed = body(|body| body[member] = value).expect("valid").event_id();
            assert_eq!(changed.key, plain.key, "{member}");
            assert!(!payloads.contains(&changed.payload), "{member}");
            payloads.push(changed.payload);
        }
    }

    // contract: "is derived from the key and the payload"
    #[test]
    fn the_id_of_an_event_is_the_one_that_it_always_had() {
        let full = |body: &mut Value| {
            body["place"] = json!("Bodega Ñuñoa");
            body["code"] = json!("OK-17");
            body["reason"] = json!("nobody_there");
            body["notes"] = json!("left gate");
            body["source_event_id"] = json!("A-1");
        };
        let ids = [body(|_| ()), body(full)].map(|body| body.expect("valid").event_id().to_string());
        assert_eq!(ids, ["evt_ABC12345_RGWB5ZQ0PQ9B3XGVXME5SV", "evt_ABC12345_PCYYDZ3F1YA2YSBFYY2QC7"]);
    }

    // contract: "Key: `dedup:<tracking_number>"
    // contract: "The payload, for that comparison"
    #[test]
    fn a_source_event_id_replaces_the_second_in_the_key() {
        let with_id = |second: &str| {
            body(|body| {
                body["source_event_id"] = json!("A-1");
                body["timestamp"] = json!(format!("2025-02-12T15:04:{second}Z"));
            })
            .expect("valid")
        };
        assert_eq!(with_id("05").dedup_key(), "dedup:99M-ABC12345:driver_app:id:A-1");
        assert_eq!(with_id("05").event_id().key, with_id("06").event_id().key);
        assert_ne!(with_id("05").event_id().payload, with_id("06").event_id().payload);
    }

    // contract: "Event body: `tracking_number"
    #[test]
    fn an_event_claims_a_status_or_a_kind_and_never_created() {
        let fields = |result: Result<EventBody, Vec<FieldError>>| {
            result.expect_err("refused").into_iter().map(|error| (error.field, error.code)).collect::<Vec<_>>()
        };
        assert_eq!(fields(body(|body| body["kind"] = json!("other"))), [("kind".to_owned(), "not_allowed")]);
        assert_eq!(fields(body(|body| body["status"] = json!(null))), [("status".to_owned(), "required")]);
        assert_eq!(fields(body(|body| body["status"] = json!("created"))), [("status".to_owned(), "not_allowed")]);
        assert_eq!(fields(body(|body| body["status"] = json!("lost"))), [("status".to_owned(), "unknown_value")]);
        let scan = body(|body| {
            body["status"] = json!(null);
            body["kind"] = json!("out_for_delivery");
        });
        assert_eq!(scan.expect("valid").claim, Claim::Kind(Kind::OutForDelivery));
    }

    #[test]
    fn a_body_reads_back_from_its_own_json() {
        let body = body(|_| ()).expect("valid");
        let json = serde_json::to_value(&body).expect("serialises");
        assert_eq!(json["status"], "picked_up");
        assert_eq!(EventBody::from_json(json, UnknownFields::Refuse), Ok(body));
    }
}
