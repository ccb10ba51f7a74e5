//! What every dedup window must do. `scope` keeps the keys of one test apart from those of others.

use super::{Decided, DedupWindow};
use crate::shipment::{EventBody, EventId, Outcome, UnknownFields};

fn event(scope: &str, second: u32, status: &str) -> Decided {
    let body = serde_json::json!({"tracking_number": "99M-ABC12345", "status": status, "source": scope,
        "timestamp": format!("2025-02-12T15:04:{second:02}Z")});
    let body = EventBody::from_json(body, UnknownFields::Refuse).expect("a valid event");
    Decided { dedup_key: body.dedup_key(), event_id: body.event_id(), outcome: Outcome::Applied }
}

/// Runs the suite.
///
/// # Panics
/// The window breaks its contract.
// contract: "Redis keeps what was decided for"
pub async fn run(window: &dyn DedupWindow, scope: &str) {
    let (first, second) = (event(scope, 1, "picked_up"), event(scope, 2, "in_warehouse"));
    let keys = [first.dedup_key.clone(), second.dedup_key.clone()];
    let look_up = async || window.look_up(&keys).await.expect("reachable");
    assert_eq!(look_up().await, [None, None], "an empty window knows nothing");

    window.remember(std::slice::from_ref(&second)).await.expect("reachable");
    assert_eq!(look_up().await, [None, entry(&second)], "answers stand in the order of the keys");

    window.remember(&[first.clone(), second.clone()]).await.expect("reachable");
    assert_eq!(look_up().await, [entry(&first), entry(&second)]);

    let conflict = Decided { outcome: Outcome::Conflict, ..event(scope, 1, "cancelled") };
    assert_eq!(conflict.dedup_key, first.dedup_key);
    window.remember(&[conflict]).await.expect("reachable");
    assert_eq!(look_up().await, [entry(&first), entry(&second)], "a conflict does not take the key");

    assert_eq!(window.look_up(&[]).await.expect("reachable"), [], "nothing is asked, nothing is answered");
    window.remember(&[]).await.expect("nothing to remember is no error");
    window.check().await.expect("reachable");
}

/// Runs the check of a window whose entries have no time to live.
///
/// # Panics
/// An entry outlived its time.
pub async fn run_expired(window: &dyn DedupWindow, scope: &str) {
    let decided = event(scope, 3, "picked_up");
    window.remember(std::slice::from_ref(&decided)).await.expect("reachable");
    assert_eq!(window.look_up(&[decided.dedup_key]).await.expect("reachable"), [None]);
}

fn entry(decided: &Decided) -> Option<(EventId, Outcome)> {
    Some((decided.event_id, decided.outcome))
}
