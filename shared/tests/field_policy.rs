//! The field policy as the pipeline sees it: through the one decision, with duplicates, conflicts and foreign reports (contract
//! section 2).

use std::collections::HashMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::shipment::transition::IdentifiedEvent;
use shared::shipment::{
    Event, EventBody, HistoryEntry, LogPosition, Outcome, PayloadHash, RejectReason, Reporter, RowId, Shipment,
    ShipmentCreated, ShipmentState, Status, StatusReported, Timestamp, UnknownFields, judge,
};

const CLAIMS: [(&str, &str); 8] = [
    ("status", "picked_up"),
    ("status", "in_warehouse"),
    ("status", "in_transit"),
    ("status", "delivered"),
    ("status", "cancelled"),
    ("kind", "exception"),
    ("kind", "returned"),
    ("kind", "delivery_attempt_failed"),
];

fn creation() -> IdentifiedEvent {
    let body = json!({"tracking_number": "99M-ABC12345", "client_id": "client_001", "origin_address": "a",
        "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
        "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c",
        "transition_policy": "field"});
    let created = ShipmentCreated::from_json(body, Timestamp::from_millis(8_000)).expect("valid");
    IdentifiedEvent::from(Event::Created(Box::new(created)))
}

fn scan(second: usize, (member, word): (&str, &str)) -> Value {
    let time = Timestamp::from_millis(i64::try_from(second).expect("small") * 1000).to_string();
    json!({"tracking_number": "99M-ABC12345", member: word, "source": "hub", "timestamp": time})
}

/// A shipment and what its log has said, one record after the other.
struct Log {
    shipment: Shipment,
    first: HashMap<RowId, PayloadHash>,
    offset: i64,
    outcomes: Vec<Outcome>,
}

impl Log {
    fn new() -> Self {
        let position = LogPosition { epoch: 1, offset: 0 };
        let shipment = judge(None, None, &creation(), position).shipment.expect("created");
        Self { shipment, first: HashMap::new(), offset: 0, outcomes: Vec::new() }
    }

    fn take(&mut self, body: Value, reporter: Option<Reporter>) -> Option<RejectReason> {
        self.offset += 1;
        let body = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
        // Every record is stored at another time, and the document may tell.
        let recorded_at = Timestamp::from_millis(1_000_000 + self.offset);
        let event = IdentifiedEvent::from(Event::Reported(StatusReported { body, recorded_at, reporter }));
        let first = self.first.get(&event.id.first_row()).copied();
        let position = LogPosition { epoch: 1, offset: self.offset };
        let judgement = judge(Some(&self.shipment), first, &event, position);
        self.first.entry(event.id.first_row()).or_insert(event.id.payload);
        self.outcomes.push(judgement.outcome);
        self.shipment = judgement.shipment.unwrap_or_else(|| self.shipment.clone());
        judgement.reason
    }

    /// The document but for what tells when its scans arrived.
    fn document(&self) -> ShipmentState {
        let unrecorded = |entry: &Arc<HistoryEntry>| {
            Arc::new(HistoryEntry { recorded_at: Timestamp::default(), ..HistoryEntry::clone(entry) })
        };
        let state = &self.shipment.state;
        ShipmentState {
            position: LogPosition { epoch: 1, offset: 0 },
            updated_at: Timestamp::default(),
            status_history: state.status_history.iter().map(unrecorded).collect(),
            last_scan: state.last_scan.as_ref().map(unrecorded),
            exception: state.exception.as_ref().map(unrecorded),
            ..state.clone()
        }
    }
}

proptest! {
    // contract: "Here the status is the fold of all"
    // contract: "In both policies an event may carry a `kind`"
    #[test]
    fn every_order_of_arrival_with_duplicates_mixed_in_gives_the_same_document(
        (scans, arrivals) in vec(0..CLAIMS.len(), 1..14).prop_flat_map(|claims| {
            let scans: Vec<_> = claims.into_iter().enumerate().map(|(second, claim)| scan(second, CLAIMS[claim])).collect();
            let again = vec(0..scans.len(), 0..8);
            let all = Just(scans.clone());
            (Just(scans), (all, again).prop_flat_map(|(all, again)| {
                let twice: Vec<_> = again.iter().map(|&index| all[index].clone()).collect();
                Just([all, twice].concat()).prop_shuffle()
            }))
        })
    ) {
        let (mut in_order, mut as_they_came) = (Log::new(), Log::new());
        for scan in &scans {
            in_order.take(scan.clone(), None);
        }
        for scan in &arrivals {
            as_they_came.take(scan.clone(), None);
        }
        prop_assert_eq!(in_order.document(), as_they_came.document());
        let duplicates = as_they_came.outcomes.iter().filter(|&&outcome| outcome == Outcome::Duplicate).count();
        prop_assert_eq!(duplicates, arrivals.len() - scans.len());
        prop_assert!(as_they_came.outcomes.iter().all(|&outcome| outcome != Outcome::Rejected));
    }
}

// contract: "Nothing about a known shipment is rejected but"
// contract: "forward skips are allowed"
#[test]
fn nothing_about_a_known_shipment_is_rejected_but_a_foreign_report() {
    let mut log = Log::new();
    let client = |client: &str| {
        Some(Reporter { sub: "ana".to_owned(), role: "client".to_owned(), client_id: Some(client.to_owned()) })
    };
    assert_eq!(log.take(scan(30, ("status", "delivered")), client("client_001")), None, "three statuses are skipped");
    assert_eq!(log.take(scan(31, ("status", "picked_up")), None), None, "after the end");
    assert_eq!(log.take(scan(32, ("status", "cancelled")), client("client_002")), Some(RejectReason::Forbidden));
    assert_eq!(log.take(scan(30, ("status", "cancelled")), None), Some(RejectReason::KeyConflict));
    use Outcome::{Applied, Conflict, Recorded, Rejected};
    assert_eq!(log.outcomes, [Applied, Recorded, Rejected, Conflict]);
    assert_eq!((log.shipment.state.current_status, log.shipment.state.version), (Status::Delivered, 3));
}

// contract: "A shipment shows `last_scan`"
#[test]
fn an_exception_is_over_with_the_next_move_and_back_when_that_turns_out_to_be_older() {
    let mut log = Log::new();
    log.take(scan(10, ("status", "in_transit")), None);
    log.take(scan(20, ("kind", "exception")), None);
    assert!(log.shipment.state.exception.is_some());
    log.take(scan(30, ("status", "in_warehouse")), None);
    assert!(log.shipment.state.exception.is_none());
    // The delivery happened before both: neither of the later scans moved anything.
    log.take(scan(15, ("status", "delivered")), None);
    let state = &log.shipment.state;
    assert_eq!((state.current_status, state.exception.is_some()), (Status::Delivered, true));
    let moved: Vec<_> = state.status_history.iter().map(|entry| entry.moved).collect();
    assert_eq!(moved, [true, true, true, false, false], "created, in transit, delivered, and what came after");
}
