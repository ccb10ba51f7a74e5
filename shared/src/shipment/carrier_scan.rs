//! What a carrier said, kept beside our reading of it.
//!
//! An event that came through a carrier's vocabulary ([`crate::carrier`]) carries the carrier's own code, text and time. Its identity rests
//! on these and on no word of ours: carriers send their whole list again and again, and when an operator has mapped a code in the meantime,
//! the same scan is read in another way and must still be a duplicate of itself. So the original is there to be read anew by a rebuild, too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::base32;
use super::event::EventBody;
use super::form::Form;
use super::identity::{PayloadHash, PayloadHasher};
use super::limits;

/// Characters of an id that is made of a scan's content: 128 bits, five a character.
const DERIVED_ID_CHARACTERS: u32 = 26;

/// One scan in the words of its carrier. It has a code, a text or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarrierScan {
    /// The carrier: a slug, and the name of the mapping that read the scan.
    pub carrier: String,
    /// The carrier's code, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The carrier's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The time as the carrier wrote it.
    pub time: String,
    /// The zone in which that was read, when it has no offset of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The carrier's own id of the scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan_id: Option<String>,
}

impl CarrierScan {
    /// Reads the member `carrier` of a record. What is wrong is remembered in `form`.
    pub(super) fn read(form: &mut Form) -> Self {
        form.any_of(["code", "text"]);
        Self {
            carrier: form.slug("carrier", limits::SLUG),
            code: form.optional_text("code", limits::CARRIER_CODE),
            text: form.optional_text("text", limits::CARRIER_TEXT),
            time: form.text("time", limits::CARRIER_TIME),
            zone: form.optional_text("zone", limits::ZONE),
            scan_id: form.optional_text("scan_id", limits::SOURCE_EVENT_ID),
        }
    }

    /// The `source_event_id` of the scan: the carrier's own id, else one that is made of what tells two scans apart, so that two in one
    /// minute stay two: the second of the time (`unix_seconds`), code, text and place.
    #[must_use]
    pub fn source_event_id(&self, unix_seconds: i64, place: Option<&str>) -> String {
        self.scan_id.clone().unwrap_or_else(|| {
            let hash = PayloadHasher::new()
                .seconds(Some(unix_seconds))
                .text(self.code.as_deref())
                .text(self.text.as_deref())
                .text(place)
                .finish_wide();
            let mut id = "h:".to_owned();
            id.push_str(&base32::encode(hash, DERIVED_ID_CHARACTERS));
            id
        })
    }

    /// The code as an event shows it ([`limits::CODE`]): its beginning, when it is longer. The whole stays here.
    #[must_use]
    pub fn event_code(&self) -> Option<String> {
        self.code.as_ref().map(|code| code.chars().take(limits::CODE).collect())
    }

    /// The payload of `event`, which carries this scan: what the carrier said, and nothing of what we made of it.
    pub(super) fn payload_hash(&self, event: &EventBody) -> PayloadHash {
        PayloadHasher::new()
            // Neither a status nor a kind: no event of a vocabulary of ours has this beginning.
            .text(None)
            .text(None)
            .text(Some(&self.carrier))
            .text(self.code.as_deref())
            .text(self.text.as_deref())
            .number(event.location.map(|location| location.lat))
            .number(event.location.map(|location| location.lng))
            .text(event.place.as_deref())
            .text(event.notes.as_deref())
            .seconds(Some(event.timestamp.unix_seconds()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shipment::{Claim, EventId, Kind, Status, UnknownFields};

    fn scan() -> CarrierScan {
        CarrierScan {
            carrier: "fedex".to_owned(),
            code: Some("AR".to_owned()),
            text: Some("Arrived at FedEx location".to_owned()),
            time: "2025-02-12 09:04".to_owned(),
            zone: Some("America/Mexico_City".to_owned()),
            scan_id: None,
        }
    }

    fn event(scan: CarrierScan) -> EventBody {
        let body = json!({"tracking_number": "99M-ABC12345", "kind": "other", "source": "fedex",
            "timestamp": "2025-02-12T15:04:00Z", "place": "Toluca"});
        let mut body = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
        body.code = scan.event_code();
        body.source_event_id = Some(scan.source_event_id(body.timestamp.unix_seconds(), body.place.as_deref()));
        body.carrier = Some(Box::new(scan));
        body
    }

    fn id(change: impl FnOnce(&mut EventBody)) -> EventId {
        let mut event = event(scan());
        change(&mut event);
        event.event_id()
    }

    #[test]
    fn a_code_that_was_mapped_in_the_meantime_leaves_the_event_the_same() {
        let before = id(|_| ());
        let after = id(|event| {
            event.claim = Claim::Status(Status::InWarehouse);
            event.reason = Some("sorted".to_owned());
        });
        assert_eq!(before, after);
        assert_eq!(before, id(|event| event.claim = Claim::Kind(Kind::Customs)));
    }

    #[test]
    fn whatever_the_carrier_said_otherwise_is_another_payload() {
        let first = id(|_| ());
        let said = |change: fn(&mut CarrierScan)| id(|event| change(event.carrier.as_mut().expect("a scan")));
        for other in [
            said(|scan| scan.carrier = "ups".to_owned()),
            said(|scan| scan.code = None),
            said(|scan| scan.text = Some("Arrived".to_owned())),
            id(|event| event.place = None),
            id(|event| event.location = Some(crate::shipment::Location { lat: 1.0, lng: 2.0 })),
            id(|event| event.notes = Some("seen".to_owned())),
            id(|event| event.timestamp = crate::shipment::Timestamp::from_millis(1_739_372_641_000)),
            id(|event| event.carrier = None),
        ] {
            assert_eq!(other.key, first.key, "the key is the source's own id");
            assert_ne!(other.payload, first.payload);
        }
        let spelled = said(|scan| scan.time = "2025-02-12T15:04:00Z".to_owned());
        assert_eq!(spelled, first, "the instant counts and not its spelling");
    }

    #[test]
    fn two_scans_in_one_minute_are_two_unless_nothing_tells_them_apart() {
        let scan = scan();
        let first = scan.source_event_id(1_739_372_640, Some("Toluca"));
        assert!(first.starts_with("h:") && first.len() == 2 + 26, "{first}");
        assert_eq!(first, scan.source_event_id(1_739_372_640, Some("Toluca")));
        let departed = CarrierScan { code: Some("DP".to_owned()), ..scan.clone() };
        let reworded = CarrierScan { text: None, ..scan.clone() };
        let others = [
            departed.source_event_id(1_739_372_640, Some("Toluca")),
            reworded.source_event_id(1_739_372_640, Some("Toluca")),
            scan.source_event_id(1_739_372_640, None),
            scan.source_event_id(1_739_372_641, Some("Toluca")),
        ];
        assert!(!others.contains(&first), "{others:?}");
        let own = CarrierScan { scan_id: Some("A-1".to_owned()), ..scan };
        assert_eq!(own.source_event_id(1_739_372_640, None), "A-1");
    }

    #[test]
    fn a_long_code_is_kept_whole_here_and_shown_by_its_beginning() {
        let long = CarrierScan { code: Some("ñ".repeat(60)), ..scan() };
        assert_eq!(long.event_code(), Some("ñ".repeat(limits::CODE)));
        assert_eq!(scan().event_code().as_deref(), Some("AR"));
    }
}
