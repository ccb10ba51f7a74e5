//! Order and exactly-once, under concurrency.

use acceptance::platform::Platform;
use acceptance::poster::Poster;
use acceptance::sample::{parcel, report};
use acceptance::verdict;
use futures::future::join_all;
use serde_json::json;

/// Shipments that are reported about at once.
const SHIPMENTS: usize = 50;
/// Sources that report about each of them at once.
const SOURCES: u64 = 8;
/// Reports of each source about each shipment.
const ROUNDS: usize = 6;

// contract: "has exactly one final outcome"
// contract: "judged in log order"
// contract: "a duplicate is never applied twice"
pub(crate) async fn whatever_is_sent_at_once_the_history_is_the_fold_of_the_log(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let shipments = ana.register_many(&parcel(), SHIPMENTS).await;
    let mut posters: Vec<_> =
        (0..SOURCES).map(|seed| Poster::new(driver.clone(), &format!("source_{seed}"), &shipments, seed)).collect();
    join_all(posters.iter_mut().map(async |poster| {
        for _ in 0..ROUNDS {
            poster.round().await;
        }
    }))
    .await;
    let troubles: usize = posters.iter().map(|poster| poster.refused + poster.unanswered).sum();
    assert_eq!(troubles, 0, "nothing is in the way");
    let accepted: Vec<_> = posters.iter().map(|poster| poster.accepted.as_slice()).collect();
    let moves = verdict::hold_to_account(&platform.admin().await, &accepted).await;
    assert_eq!(moves.len(), SHIPMENTS);
}

// contract: "`created` | `picked_up`, `cancelled`"
// contract: "`picked_up` | `in_warehouse`, `cancelled`"
// contract: "`in_warehouse` | `in_transit`, `cancelled`"
// contract: "`in_transit` | `delivered`"
// contract: "`delivered`, `cancelled` | terminal"
// contract: "whatever else is rejected with `INVALID_TRANSITION`"
pub(crate) async fn every_step_of_the_table_is_judged_as_the_table_says(platform: &Platform) {
    // How to get there; then whereto it may go.
    let table: [(&[&str], &[&str]); 6] = [
        (&[], &["picked_up", "cancelled"]),
        (&["picked_up"], &["in_warehouse", "cancelled"]),
        (&["picked_up", "in_warehouse"], &["in_transit", "cancelled"]),
        (&["picked_up", "in_warehouse", "in_transit"], &["delivered"]),
        (&["picked_up", "in_warehouse", "in_transit", "delivered"], &[]),
        (&["cancelled"], &[]),
    ];
    let ana = platform.a_client().await;
    let all = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"];
    let mut shipments = ana.register_many(&parcel(), table.len() * all.len()).await.into_iter();
    let (mut events, mut expected) = (Vec::new(), Vec::new());
    for (way, allowed) in table {
        for to in all {
            let number = shipments.next().expect("one for each step");
            let way = way.iter().chain([&to]);
            events.extend(way.zip(1..).map(|(status, second)| report(&number, status, second)));
            expected.push((events.len() - 1, if allowed.contains(&to) { "applied" } else { "rejected" }));
        }
    }
    let body = ana.post("/events/batch", &json!(events)).await.with_status(202);
    for (index, expected) in expected {
        let id = body["items"][index]["event_id"].as_str().expect("an id");
        let outcome = ana.outcome(id).await;
        assert_eq!(outcome["outcome"], expected, "{outcome}");
        let reason = if expected == "rejected" { json!("INVALID_TRANSITION") } else { json!(null) };
        assert_eq!(outcome["reason"], reason, "{outcome}");
    }
}
