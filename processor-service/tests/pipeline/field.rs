//! Shipments under the field policy.

use shared::event_log::Topic;
use shared::shipment::{Event, Outcome, Status};

use crate::world::{World, created_with, number, reported};

fn created() -> Event {
    created_with(number(1), |body| body["transition_policy"] = "field".into())
}

// contract: "Here the status is the fold of all"
// contract: "A late scan is put into its place"
#[tokio::test]
async fn scans_in_any_order_of_arrival_end_in_the_status_of_the_newest() {
    let scans = [("picked_up", 1), ("in_warehouse", 2), ("in_transit", 3), ("in_warehouse", 4), ("delivered", 5)];
    let scans = scans.map(|(status, minute)| reported(number(1), status, minute));
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 2, 1]] {
        let world = World::new();
        let mut arrivals = vec![created()];
        arrivals.extend(order.map(|index| scans[index].clone()));
        // One batch each, and then all of them again in one.
        for arrival in &arrivals {
            world.apply(std::slice::from_ref(arrival)).await;
        }
        world.apply(&arrivals).await;
        let state = world.shipment(number(1)).await.state;
        assert_eq!((state.current_status, state.version), (Status::Delivered, 6), "{order:?}");
        let history = world.history(number(1)).await;
        assert_eq!(history, ["created", "picked_up", "in_warehouse", "in_transit", "in_warehouse", "delivered"]);
        assert!(state.status_history.iter().all(|entry| entry.moved), "{order:?}");
    }
}

// contract: "the change says `late: true`"
// contract: "one record for each applied change"
#[tokio::test]
async fn a_late_scan_s_change_says_so_and_what_was_shown_before() {
    let world = World::new();
    let (first, late) = (reported(number(1), "in_transit", 3), reported(number(1), "delivered", 2));
    let nothing = reported(number(1), "in_transit", 1);
    world.apply(&[created(), first, late.clone(), nothing.clone()]).await;

    let row = world.row(&late).await;
    assert_eq!((row.outcome, row.late), (Outcome::Applied, true));
    assert_eq!((row.from, row.to), (Some(Status::InTransit), Some(Status::Delivered)));
    let changes: Vec<serde_json::Value> = world
        .log
        .records(Topic::Changes)
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON"))
        .collect();
    assert_eq!(changes.len(), 4);
    assert_eq!(changes[1].get("late"), None);
    assert_eq!(changes[2]["event_id"], late.event_id().to_string());
    assert_eq!((&changes[2]["late"], &changes[2]["previous_status"]), (&true.into(), &"in_transit".into()));
    assert_eq!((&changes[2]["from"], &changes[2]["to"]), (&"in_transit".into(), &"delivered".into()));
    // It moved the status in its place, and nothing that is shown as the status.
    assert_eq!(
        (&changes[3]["late"], &changes[3]["from"], &changes[3]["to"]),
        (&true.into(), &"delivered".into(), &"delivered".into())
    );
    assert_eq!(world.row(&nothing).await.outcome, Outcome::Applied);
}
