//! A walk through a list by cursors, while shipments are created and changed.

use std::collections::BTreeSet;

use super::samples::{at, creation, entry, fresh, number, registration, report, update};
use crate::shipment::{Claim, ShipmentCreated, Status, TrackingNumber};
use crate::shipment_store::{ListFilter, PageStart, ShipmentReader, ShipmentWriter};

/// Shipments at the beginning, three to an instant.
const SHIPMENTS: u64 = 24;
const CLIENT: &str = "client_of_walks";

pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let of_client = ListFilter { client_id: Some(CLIENT.to_owned()), ..ListFilter::default() };
    let created = ListFilter { status: Some(Status::Created), ..of_client.clone() };
    let begun: Vec<_> = (0..SHIPMENTS).map(|index| shipment(index, i64::try_from(index / 3).expect("small"))).collect();
    let writes: Vec<_> = begun.iter().map(|created| creation(created, &fresh(created, at(1, 0)))).collect();
    writer.write_states(&writes).await.expect("written");
    let all: BTreeSet<_> = begun.iter().map(|created| created.tracking_number).collect();

    let met = walk(writer, reader, &begun, &of_client, 1).await;
    assert!(all.is_subset(&met), "everything that was there at the beginning is met");
    let met = walk(writer, reader, &begun, &created, 2).await;
    let unmoved = begun.iter().rev().skip(2).step_by(3);
    let still_created: BTreeSet<_> = unmoved.map(|created| created.tracking_number).collect();
    assert!(still_created.is_subset(&met), "and whatever had the status all the time");
}

fn shipment(index: u64, seconds: i64) -> ShipmentCreated {
    let mut created = registration(number(600_000 + index * 7919 % 1_000), seconds);
    created.body.client_id = Some(CLIENT.to_owned());
    created
}

/// The walk `turn`, with short pages. Between two of them a shipment is created, newer than all, and two that were there are picked up: in the
/// first walk of every first of three, in the second one of every second of three.
async fn walk(
    writer: &dyn ShipmentWriter,
    reader: &dyn ShipmentReader,
    begun: &[ShipmentCreated],
    filter: &ListFilter,
    turn: u64,
) -> BTreeSet<TrackingNumber> {
    let (mut met, mut start, mut page_number) = (BTreeSet::new(), PageStart::Offset(0), 0);
    loop {
        let page = reader.list(filter, start, 5).await.expect("readable");
        for shipment in page.shipments {
            let number = shipment.created.tracking_number;
            assert!(met.insert(number), "{number} is met twice");
        }
        let Some((time, number)) = page.next else { return met };
        start = PageStart::After(time, number);
        page_number += 1;
        let newer = shipment(100 * turn + page_number, 1_000);
        let mut writes = vec![creation(&newer, &fresh(&newer, at(1, 0)))];
        let [turn, done] = [turn - 1, 2 * (page_number - 1)].map(|number| usize::try_from(number).expect("small"));
        for created in begun.iter().rev().skip(turn).step_by(3).skip(done).take(2) {
            let number = created.tracking_number;
            let scan = report(number, Claim::Status(Status::PickedUp), 9);
            writes.push(update(&fresh(created, at(1, 0)).after(entry(&scan, true), at(1, 5)), number));
        }
        writer.write_states(&writes).await.expect("written");
    }
}
