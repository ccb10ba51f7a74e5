//! What the platform must answer to a history under the strict policy: a second reading of sections 2 and 3 of the
//! contract, sequential and as simple as they are, which shares nothing with the platform.

use std::collections::HashMap;

use crate::history::{History, Scan, Status};
use crate::outcome::Outcome;
use crate::player::Played;

/// What must become of `history`.
#[must_use]
pub fn play(history: &History) -> Played {
    let mut judge = Judge::default();
    let results = history.scans.iter().map(|scan| Ok(judge.judge(scan))).collect();
    Played { results, final_status: Some(judge.status), wrong: Vec::new() }
}

/// A shipment that has just been registered, and what came in since. The number and the source of a history are always
/// the same, so the second is all that tells two keys apart.
struct Judge<'a> {
    status: Status,
    payloads: HashMap<i64, Vec<&'a Scan>>,
}

impl Default for Judge<'_> {
    fn default() -> Self {
        Self { status: Status::Created, payloads: HashMap::new() }
    }
}

impl<'a> Judge<'a> {
    fn judge(&mut self, scan: &'a Scan) -> Outcome {
        let known = self.payloads.entry(scan.unix_seconds()).or_default();
        if known.iter().any(|earlier| same_payload(earlier, scan)) {
            return Outcome::Duplicate;
        }
        let first = known.is_empty();
        known.push(scan);
        if !first {
            return Outcome::Conflict;
        }
        if !is_allowed(self.status, scan.status) {
            return Outcome::Rejected("INVALID_TRANSITION".to_owned());
        }
        self.status = scan.status;
        Outcome::Applied
    }
}

/// Of what is posted; the spelling of the time does not count.
fn same_payload(one: &Scan, other: &Scan) -> bool {
    one.status == other.status && one.place == other.place && one.code == other.code && one.location == other.location
}

fn is_allowed(from: Status, to: Status) -> bool {
    use Status::{Cancelled, Created, Delivered, InTransit, InWarehouse, PickedUp};
    matches!(
        (from, to),
        (Created, PickedUp | Cancelled)
            | (PickedUp, InWarehouse | Cancelled)
            | (InWarehouse, InTransit | Cancelled)
            | (InTransit, Delivered)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::shipment::transition::IdentifiedEvent;
    use shared::shipment::{self, EventBody, LogPosition, ShipmentCreated, StatusReported, Timestamp, UnknownFields};

    use super::*;
    use crate::api::{event_body, shipment_body};
    use crate::history::read;

    const NUMBER: &str = "99M-ABC12345";

    /// The platform's own judgement of the very bodies that would be posted.
    fn judged_by_the_platform(history: &History) -> Vec<String> {
        let mut created = shipment_body(history);
        created["tracking_number"] = NUMBER.into();
        let created = ShipmentCreated::from_json(created, Timestamp::default()).expect("a valid registration");
        let position = |offset| LogPosition { epoch: 0, offset };
        let event = IdentifiedEvent::from(shipment::Event::Created(Box::new(created)));
        let mut current = shipment::judge(None, None, &event, position(0)).shipment;
        let (mut first, mut conflicts) = (HashMap::new(), Vec::new());
        let mut outcomes = Vec::new();
        for (offset, scan) in (1..).zip(&history.scans) {
            let body = event_body(NUMBER, &history.carrier, scan);
            let body = EventBody::from_json(body, UnknownFields::Refuse).expect("a valid event");
            let reported = StatusReported { body, recorded_at: Timestamp::default(), reporter: None };
            let event = IdentifiedEvent::from(shipment::Event::Reported(reported));
            let id = event.id;
            let known = if conflicts.contains(&id.conflict_row()) {
                Some(id.payload)
            } else {
                first.get(&id.first_row()).copied()
            };
            let judgement = shipment::judge(current.as_ref(), known, &event, position(offset));
            match judgement.outcome {
                shipment::Outcome::Conflict => conflicts.push(id.conflict_row()),
                _ => _ = first.entry(id.first_row()).or_insert(id.payload),
            }
            let reason = judgement.reason.filter(|_| judgement.outcome == shipment::Outcome::Rejected);
            outcomes.push(match reason {
                Some(reason) => format!("{} {reason}", judgement.outcome),
                None => judgement.outcome.to_string(),
            });
            current = judgement.shipment.or(current);
        }
        outcomes.push(current.expect("was created").state.current_status.to_string());
        outcomes
    }

    fn modelled(history: &History) -> Vec<String> {
        let played = play(history);
        let outcomes =
            played.results.iter().map(|result| result.as_ref().map_or_else(ToString::to_string, ToString::to_string));
        outcomes.chain(played.final_status.map(|status| status.to_string())).collect()
    }

    fn a_history(scans: &[(u8, u8, u8)]) -> History {
        let scan = |&(second, status, place): &(u8, u8, u8)| {
            let status = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"][usize::from(status)];
            let place = ["null", r#""Bogotá""#, r#""Lima""#][usize::from(place)];
            format!(r#"{{"occurred":"2024-05-01T10:00:0{second}Z","status":"{status}","place":{place}}}"#)
        };
        let events: Vec<_> = scans.iter().map(scan).collect();
        let line = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
        read(line.as_bytes()).expect("a history").remove(0)
    }

    #[test]
    fn one_of_each_outcome() {
        let history = a_history(&[(0, 0, 1), (0, 0, 1), (0, 1, 1), (0, 1, 1), (1, 2, 0), (2, 1, 0), (3, 4, 0)]);
        let expected = [
            "applied",
            "duplicate",
            "conflict",
            "duplicate", // of the conflict
            "rejected INVALID_TRANSITION",
            "applied",
            "applied",
            "cancelled",
        ];
        assert_eq!(modelled(&history), expected);
    }

    proptest! {
        #[test]
        fn the_model_and_the_platform_read_the_contract_alike(
            scans in proptest::collection::vec((0..8_u8, 0..5_u8, 0..3_u8), 0..20)
        ) {
            let history = a_history(&scans);
            prop_assert_eq!(modelled(&history), judged_by_the_platform(&history));
        }
    }
}
