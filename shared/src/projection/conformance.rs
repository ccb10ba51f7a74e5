//! What every adapter must do. Nothing must have been written before.

use std::sync::Arc;

use super::{Generation, Generations, Projection, WorkError, Working};
use crate::event_log::replay::Offsets;
use crate::shipment_store::conformance::a_shipment_and_a_row;
use crate::shipment_store::{Found, Inserted, ShipmentScan};

/// Runs the suite.
///
/// # Panics
/// The adapter breaks the contract.
pub async fn run(generations: Arc<dyn Generations>) {
    the_first_generation_is_live_where_nothing_was_written(&*generations).await;
    one_of_two_changes_succeeds(&*generations).await;
    one_tool_works_at_a_time(&*generations).await;
    generations_are_apart(&*generations).await;
}

async fn the_first_generation_is_live_where_nothing_was_written(generations: &dyn Generations) {
    let found = generations.control().read().await.expect("reachable");
    assert_eq!((found.clone(), found.live), (Projection::default(), Generation::FIRST));
}

async fn one_of_two_changes_succeeds(generations: &dyn Generations) {
    let control = generations.control();
    for _ in 0..3 {
        let known = control.read().await.expect("reachable");
        let changes = (0..8).map(|number| {
            let (control, next) = (generations.control(), known.taken_by(&number.to_string()));
            tokio::spawn(async move { (control.replace(&next).await.expect("reachable"), next) })
        });
        let mut won = Vec::new();
        for change in changes.collect::<Vec<_>>() {
            let (succeeded, next) = change.await.expect("no panic");
            won.extend(succeeded.then_some(next));
        }
        assert_eq!(won, [control.read().await.expect("reachable")], "one, and it is what is read");
    }
    let known = control.read().await.expect("reachable");
    assert!(control.replace(&known.released()).await.expect("reachable"));
    assert!(!control.replace(&known.beat()).await.expect("reachable"), "the revision has moved");
}

async fn one_tool_works_at_a_time(generations: &dyn Generations) {
    let working = Working::begin(generations.control()).await.expect("nobody is at work");
    let second = Working::begin(generations.control()).await;
    assert!(matches!(second, Err(WorkError::Busy)), "the first one lives");
    let begun = working.change(Projection::building).await.expect("it has the right");
    let building = begun.building.expect("one is being built");
    working.change(|known| known.quiescing(building)).await.expect("it has the right");
    // A processor that takes the tool for dead.
    let control = generations.control();
    loop {
        let known = control.read().await.expect("reachable");
        if control.replace(&known.resumed()).await.expect("reachable") {
            break;
        }
    }
    let switch = working.change(|known| known.switched(building, &Offsets::from([(0, 5)]))).await;
    assert!(matches!(switch, Err(WorkError::Lost)), "the processors have gone on");
    assert_eq!(control.read().await.expect("reachable").live, Generation::FIRST);
    working.end().await.expect("reachable");
}

async fn generations_are_apart(generations: &dyn Generations) {
    let (first, second) = (Generation::FIRST, Generation::new(2).expect("a number"));
    for generation in [first, second] {
        generations.make(generation).await.expect("made");
    }
    let (write, row) = a_shipment_and_a_row();
    let id = write.tracking_number.to_string();
    let writer = generations.writer(second);
    assert_eq!(writer.insert_events(std::slice::from_ref(&row)).await.expect("written"), Inserted::All);
    writer.write_states(std::slice::from_ref(&write)).await.expect("written");
    for _ in 0..2 {
        generations.complete(second).await.expect("completed, and again");
    }
    generations.show(second).await.expect("shown");
    let (of_first, of_second) = (generations.scan(first), generations.scan(second));
    assert_eq!(of_first.walk_shipments(None, 10).await.expect("reachable"), []);
    assert_eq!(of_first.walk_rows(None, 10).await.expect("reachable"), []);
    assert_eq!(of_second.rows_by_id(&[row.row_id().to_string()]).await.expect("reachable").len(), 1);
    walks_find_everything(&*of_second, &id).await;
    for _ in 0..2 {
        generations.remove(second).await.expect("dropped, and again");
    }
    generations.make(second).await.expect("made again");
    assert_eq!(generations.scan(second).walk_shipments(None, 10).await.expect("reachable"), []);
}

async fn walks_find_everything(scan: &dyn ShipmentScan, id: &str) {
    let walked = scan.walk_shipments(None, 10).await.expect("reachable");
    let [(found, Found::Readable(stored))] = walked.as_slice() else { panic!("{walked:?}") };
    assert_eq!((found.as_str(), stored.created.tracking_number.as_str()), (id, id));
    assert_eq!(scan.walk_shipments(Some(id), 10).await.expect("reachable"), [], "the walk is at its end");
    let asked = ["99M-NOBODY".to_owned(), id.to_owned()];
    assert_eq!(scan.shipments_by_id(&asked).await.expect("reachable").len(), 1);
    assert_eq!(scan.estimated_shipments().await.expect("reachable"), 1);
}
