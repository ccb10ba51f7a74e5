//! The fold against a naive reading of the contract, which keeps everything and begins anew with every question.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::shipment::event::EventBody;
use crate::shipment::registration::ShipmentCreated;
use crate::shipment::timestamp::Timestamp;

/// A small window, so that histories of a few scans leave it.
const WINDOW: usize = 5;

const CLAIMS: [Claim; 9] = [
    Claim::Status(Status::PickedUp),
    Claim::Status(Status::InWarehouse),
    Claim::Status(Status::InTransit),
    Claim::Status(Status::InWarehouse),
    Claim::Status(Status::InTransit),
    Claim::Status(Status::Delivered),
    Claim::Status(Status::Cancelled),
    Claim::Kind(Kind::Exception),
    Claim::Kind(Kind::DeliveryAttemptFailed),
];

/// When the shipment was registered, in seconds: some scans happened before.
const CREATED: i64 = 20;

fn at(offset: usize) -> LogPosition {
    LogPosition { epoch: 1, offset: i64::try_from(offset).expect("small") }
}

fn fresh() -> ShipmentState {
    let body = serde_json::json!({"tracking_number": "99M-ABC12345", "client_id": "c", "origin_address": "a",
        "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
        "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c"});
    let created = ShipmentCreated::from_json(body, Timestamp::from_millis(CREATED * 1000)).expect("valid");
    ShipmentState::created(&created, created.event_id(), at(0))
}

fn scan(second: usize, claim: Claim) -> HistoryEntry {
    let report = EventBody {
        tracking_number: "99M-ABC12345".parse().expect("well-formed"),
        claim,
        timestamp: Timestamp::from_millis(i64::try_from(second).expect("small") * 1000 + 1),
        source: "hub".to_owned(),
        location: None,
        place: None,
        code: None,
        reason: None,
        notes: None,
        source_event_id: None,
        carrier: None,
    };
    HistoryEntry::of(&report, report.event_id(), Timestamp::default(), false)
}

fn arrived(scans: &[HistoryEntry], window: usize) -> ShipmentState {
    let arrivals = scans.iter().enumerate();
    let state = arrivals.fold(fresh(), |state, (index, scan)| enter(&state, scan.clone(), at(index + 1), window).state);
    // The position is that of the last arrival, which is another scan in another order.
    ShipmentState { position: at(0), ..state }
}

/// Contract section 2, word by word, over all scans.
fn naive(scans: &[HistoryEntry], window: usize) -> ShipmentState {
    let mut state = fresh();
    let mut all: Vec<HistoryEntry> = scans.to_vec();
    all.sort_by_key(|scan| scan.timestamp); // stable: ties stay in the order of the log
    let last_scan = all.len().checked_sub(1);
    let mut raised = Vec::new();
    for scan in &mut all {
        let Claim::Status(status) = scan.claim else {
            raised.push(false);
            continue;
        };
        let (rank, now) = (status.rank(), state.current_status.rank());
        raised.push(rank > now);
        scan.moved = rank > now || (rank == 2 && now == 2 && status != state.current_status);
        if scan.moved {
            state.current_status = status;
        }
    }
    state.last_scan = last_scan.map(|last| Arc::new(all[last].clone())).or(state.last_scan);
    state.attempts = all.iter().filter(|scan| scan.claim == Claim::Kind(Kind::DeliveryAttemptFailed)).count() as u32;
    let creation = state.status_history.remove(0);
    let place = all.partition_point(|scan| scan.timestamp < creation.timestamp);
    all.insert(place, (*creation).clone());
    raised.insert(place, true);
    let begin = all.len().saturating_sub(window);
    let last_move = all.iter().rposition(|scan| scan.moved && !scan.is_creation()).unwrap_or(0);
    let exception = all.iter().rposition(|scan| scan.claim == Claim::Kind(Kind::Exception));
    let shown = exception.filter(|&exception| exception >= begin && exception >= last_move);
    state.exception = shown.map(|exception| Arc::new(all[exception].clone()));
    let hubs = all[..begin].iter().rev();
    state.older_scan = hubs
        .filter_map(|scan| Some((scan.claim.status()?, scan.timestamp)))
        .find_map(|(status, timestamp)| (status.rank() == HUB_RANK).then_some(OlderScan { status, timestamp }));
    state.version = all.len() as i64;
    let stays = (0..all.len()).filter(|&index| index >= begin || raised[index]);
    state.status_history = stays.map(|index| Arc::new(all[index].clone())).collect();
    state.history_truncated = (all.len() - state.status_history.len()) as u64;
    state
}

/// The closed form of the fold.
fn closed_form(scans: &[HistoryEntry]) -> Status {
    let statuses = || scans.iter().filter_map(|scan| Some((scan.timestamp, scan.claim.status()?)));
    let of_rank = |rank| statuses().filter(move |(_, status)| status.rank() == rank);
    let first_terminal = of_rank(3).min_by_key(|&(time, _)| time);
    let newest_hub = of_rank(2).max_by_key(|&(time, _)| time);
    let found = first_terminal.or(newest_hub).or_else(|| of_rank(1).next());
    found.map_or(Status::Created, |(_, status)| status)
}

/// Scans at times of their own, in any order of arrival.
fn histories() -> impl Strategy<Value = Vec<HistoryEntry>> {
    vec(0..CLAIMS.len(), 0..40).prop_flat_map(|claims| {
        let scans = claims.into_iter().enumerate().map(|(second, claim)| scan(second, CLAIMS[claim]));
        Just(scans.collect::<Vec<_>>()).prop_shuffle()
    })
}

proptest! {
    // contract: "Here the status is the fold of all"
    // contract: "rank `created` 0, `picked_up` 1"
    // contract: "A scan moves the status when its rank is higher"
    #[test]
    fn whatever_order_scans_arrive_in_the_state_is_the_naive_fold(scans in histories(), window in 2..12_usize) {
        prop_assert_eq!(arrived(&scans, window), naive(&scans, window));
    }

    // contract: "rank `created` 0, `picked_up` 1"
    #[test]
    fn the_status_is_the_closed_form(scans in histories()) {
        prop_assert_eq!(arrived(&scans, WINDOW).current_status, closed_form(&scans));
    }

    // contract: "Here the status is the fold of all"
    #[test]
    fn scans_of_one_time_are_folded_in_log_order(claims in vec((0..4_usize, 0..CLAIMS.len()), 0..30)) {
        let scans: Vec<_> = claims.iter().map(|&(second, claim)| scan(second, CLAIMS[claim])).collect();
        prop_assert_eq!(arrived(&scans, WINDOW), naive(&scans, WINDOW));
    }

    #[test]
    fn what_is_embedded_stays_bounded(scans in histories()) {
        // The window, and at most the creation, a pick-up, the first hub and the first terminal.
        prop_assert!(arrived(&scans, WINDOW).status_history.len() <= WINDOW + 4);
    }
}

// contract: "the change says `late: true`"
// contract: "Every other scan (a repeat"
#[test]
fn a_late_scan_that_changes_what_was_shown_says_so() {
    let state = fresh();
    let first = enter(&state, scan(30, Claim::Status(Status::InTransit)), at(1), WINDOW);
    assert_eq!((first.moved, first.late, first.state.current_status), (true, false, Status::InTransit));
    let late = enter(&first.state, scan(25, Claim::Status(Status::Delivered)), at(2), WINDOW);
    assert_eq!((late.moved, late.late, late.state.current_status), (true, true, Status::Delivered));
    let flags: Vec<_> = late.state.status_history.iter().map(|entry| entry.moved).collect();
    assert_eq!(flags, [true, true, false], "the creation, the delivery, and a scan after the end");
}

#[test]
fn a_scan_from_before_the_registration_is_not_late() {
    let entered = enter(&fresh(), scan(3, Claim::Status(Status::PickedUp)), at(1), WINDOW);
    assert_eq!((entered.moved, entered.late), (true, false));
    assert_eq!(entered.state.last_scan, entered.state.status_history.first().cloned());
}
