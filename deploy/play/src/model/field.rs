//! The field policy: the status is the fold of all scans in order of their time, whatever order they arrived in.

use super::Keys;
use crate::claim::{Claim, Kind, Status};
use crate::document::Document;
use crate::outcome::Outcome;
use crate::plan::{Event, Plan};
use crate::player::Played;

pub(super) fn play(plan: &Plan<'_>) -> Played {
    let (mut keys, mut arrived) = (Keys::default(), Vec::new());
    let mut results = Vec::with_capacity(plan.events.len());
    for (index, event) in plan.events.iter().enumerate() {
        let outcome = keys.taken_before(event).unwrap_or_else(|| {
            arrived.push(index);
            let moved = fold(&plan.events, &arrived).1.moves.contains(&index);
            if moved { Outcome::Applied } else { Outcome::Recorded }
        });
        results.push(Ok(outcome));
    }
    let (status, document) = fold(&plan.events, &arrived);
    Played { results, final_status: Some(status), document: Some(document), wrong: Vec::new() }
}

/// The status and the document after the events `arrived`, which are in the order of their arrival.
fn fold(events: &[Event<'_>], arrived: &[usize]) -> (Status, Document) {
    let mut in_time = arrived.to_vec();
    in_time.sort_by_key(|&index| events[index].millis); // stable: a tie is broken by the order of arrival
    // The creation stands before all of them, although its time does not: most scans are older than the registration.
    let (mut status, mut document) = (Status::Created, Document::default());
    for index in in_time {
        document.last_scan = Some(index);
        match events[index].scan.claim {
            Claim::Status(next) if moves(status, next) => {
                status = next;
                document.moves.push(index);
                document.exception = None;
            }
            Claim::Kind(Kind::DeliveryAttemptFailed) => document.attempts += 1,
            Claim::Kind(Kind::Exception | Kind::Returned) => document.exception = Some(index),
            Claim::Status(_) | Claim::Kind(_) => {}
        }
    }
    (status, document)
}

fn moves(from: Status, to: Status) -> bool {
    let rank = |status| match status {
        Status::Created => 0,
        Status::PickedUp => 1,
        Status::InWarehouse | Status::InTransit => 2,
        Status::Delivered | Status::Cancelled => 3,
    };
    let between_hubs = rank(from) == 2 && rank(to) == 2 && from != to;
    rank(to) > rank(from) || between_hubs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{History, read};
    use crate::plan::{Options, Policy};

    fn a_history(claims: &str) -> History {
        let scan = |(hour, claim): (usize, &str)| {
            let kind = Kind::ALL.into_iter().any(|kind| kind.as_str() == claim);
            let status = if kind { "null".to_owned() } else { format!("{claim:?}") };
            format!(r#"{{"occurred":"2024-05-01T{hour:02}:00:00Z","status":{status},"kind":"{claim}"}}"#)
        };
        let events: Vec<_> = claims.split_whitespace().enumerate().map(scan).collect();
        let text = format!(r#"{{"carrier":"andes","number":"A1","events":[{}]}}"#, events.join(","));
        read(text.as_bytes()).expect("a history").remove(0)
    }

    fn played(claims: &str) -> Played {
        play(&Plan::of(&a_history(claims), &Options::of(Policy::Field)))
    }

    fn moves(claims: &str) -> (&'static str, Vec<usize>) {
        let played = played(claims);
        (played.final_status.map_or("none", Status::as_str), played.document.expect("a document").moves)
    }

    #[test]
    fn a_higher_rank_moves_and_hubs_alternate() {
        assert_eq!(moves("picked_up in_warehouse in_transit delivered"), ("delivered", vec![0, 1, 2, 3]));
        assert_eq!(moves("in_transit in_warehouse in_warehouse in_transit"), ("in_transit", vec![0, 1, 3]));
        assert_eq!(moves("in_warehouse picked_up"), ("in_warehouse", vec![0]));
        assert_eq!(moves("picked_up picked_up delivered in_transit cancelled"), ("delivered", vec![0, 2]));
        assert_eq!(moves("cancelled in_warehouse"), ("cancelled", vec![0]));
        assert_eq!(moves("info_received other"), ("created", vec![]));
    }

    #[test]
    fn attempts_are_counted_and_an_exception_stands_until_the_next_move() {
        let document = |claims| played(claims).document.expect("a document");
        let expected = Document { moves: vec![0], attempts: 2, last_scan: Some(4), exception: Some(3) };
        let claims = "in_transit exception delivery_attempt_failed returned delivery_attempt_failed";
        assert_eq!(document(claims), expected);
        assert_eq!(document("picked_up exception in_transit").exception, None);
        assert_eq!(document("picked_up exception picked_up").exception, Some(1), "a repeat is no move");
        assert_eq!(document("exception").exception, Some(0), "the creation is no move");
    }

    #[test]
    fn a_scan_is_judged_among_those_that_arrived_before_it() {
        let history = a_history("picked_up in_warehouse in_transit");
        let mut plan = Plan::of(&history, &Options::of(Policy::Field));
        plan.events.reverse();
        let outcomes: Vec<_> = play(&plan).results.into_iter().map(|result| result.expect("an outcome")).collect();
        // The late ones move the status in their places, although what is shown stays in transit.
        assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, Outcome::Applied]);
        let history = a_history("in_warehouse picked_up delivered");
        let mut plan = Plan::of(&history, &Options::of(Policy::Field));
        plan.events.reverse();
        let played = play(&plan);
        assert_eq!(played.results, [Ok(Outcome::Applied), Ok(Outcome::Applied), Ok(Outcome::Applied)]);
        assert_eq!(played.document.expect("a document").moves, [2, 0], "the pick-up moved nothing in the end");
    }
}
