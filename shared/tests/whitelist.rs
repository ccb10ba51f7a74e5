//! The strict whitelist, whole: every status after every other, and after nothing. The table is contract section 2.

use std::sync::Arc;

use serde_json::json;
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{
    Event, EventBody, LogPosition, Outcome, Policy, RejectReason, Shipment, ShipmentCreated, ShipmentState, Status,
    StatusReported, Terms, Timestamp, UnknownFields, judge,
};

/// Rows: from nothing, then from each status. Columns: to created, picked_up, in_warehouse, in_transit, delivered, cancelled.
/// `c`: only where cancelling in transit is allowed.
const TABLE: [(Option<Status>, &str); 7] = [
    (None, "x....."),
    (Some(Status::Created), ".x...x"),
    (Some(Status::PickedUp), "..x..x"),
    (Some(Status::InWarehouse), "...x.x"),
    (Some(Status::InTransit), "....xc"),
    (Some(Status::Delivered), "......"),
    (Some(Status::Cancelled), "......"),
];

fn at(offset: i64) -> LogPosition {
    LogPosition { epoch: 1, offset }
}

fn creation() -> ShipmentCreated {
    let body = json!({"tracking_number": "99M-ABC12345", "client_id": "client_001", "origin_address": "a",
        "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
        "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c"});
    ShipmentCreated::from_json(body, Timestamp::default()).expect("valid")
}

fn shipment_in(status: Status, allow_cancel_in_transit: bool) -> Shipment {
    let created = creation();
    let id = Event::Created(Box::new(created.clone())).event_id();
    let state = ShipmentState { current_status: status, ..ShipmentState::created(&created, id, at(0)) };
    let (client_id, policy) = ("client_001".to_owned(), Policy::Strict);
    let terms = Terms { client_id, policy, allow_cancel_in_transit, park_seconds: 0 };
    Shipment { tracking_number: created.tracking_number, terms: Arc::new(terms), state }
}

fn event_to(status: Status) -> IdentifiedEvent {
    let event = match status {
        Status::Created => Event::Created(Box::new(creation())),
        status => {
            let body = json!({"tracking_number": "99M-ABC12345", "status": status, "source": "driver_app",
                "timestamp": "2025-02-12T15:04:05Z"});
            let body = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
            Event::Reported(StatusReported { body, recorded_at: Timestamp::default(), reporter: None })
        }
    };
    IdentifiedEvent::from(event)
}

// contract: "(nothing) | `created`"
// contract: "`created` | `picked_up`, `cancelled`"
// contract: "`picked_up` | `in_warehouse`, `cancelled`"
// contract: "`in_warehouse` | `in_transit`, `cancelled`"
// contract: "`in_transit` | `delivered`"
// contract: "`delivered`, `cancelled` | terminal"
// contract: "whatever else is rejected with `INVALID_TRANSITION`"
#[test]
fn every_step_of_the_table_is_judged_as_the_contract_says() {
    for allow in [false, true] {
        for (from, row) in TABLE {
            for (&to, cell) in Status::ALL.iter().zip(row.chars()) {
                let allowed = cell == 'x' || (cell == 'c' && allow);
                assert_eq!(to.may_follow(from, allow), allowed, "{from:?} to {to}");

                let shipment = from.map(|status| shipment_in(status, allow));
                let judgement = judge(shipment.as_ref(), None, &event_to(to), at(7));
                let case = format!("{from:?} to {to}: {judgement:?}");
                assert_eq!((judgement.from, judgement.to), (from, Some(to)), "{case}");
                if allowed {
                    let after = judgement.shipment.as_ref().expect(&case);
                    assert_eq!((judgement.outcome, after.state.current_status), (Outcome::Applied, to), "{case}");
                    assert_eq!(after.state.position, at(7), "{case}");
                } else {
                    let reason = match from {
                        None => RejectReason::ShipmentNotFound,
                        Some(_) => RejectReason::InvalidTransition,
                    };
                    assert_eq!((judgement.outcome, judgement.reason), (Outcome::Rejected, Some(reason)), "{case}");
                    assert_eq!(judgement.shipment, None, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_terminal_status_is_one_that_nothing_may_follow() {
    for &from in Status::ALL {
        let followed = Status::ALL.iter().any(|to| to.may_follow(Some(from), true));
        assert_eq!(from.is_terminal(), !followed, "{from}");
    }
}
