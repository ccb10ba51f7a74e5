//! Several writers at once: whatever the interleaving, the greatest position stays.

use std::sync::Arc;

use super::samples::{Seeded, at, creation, fresh, number, registration, report, row, row_position, state_at, update};
use crate::shipment::{Claim, Status};
use crate::shipment_store::{EventRow, Inserted, ShipmentReader, ShipmentWriter, StateWrite};

const WRITERS: usize = 4;

pub(super) async fn run(writer: Arc<dyn ShipmentWriter>, reader: &dyn ShipmentReader) {
    for seed in 0..3 {
        any_interleaving_ends_at_the_greatest_position(&writer, reader, seed).await;
    }
    two_creators_make_one_shipment(&writer, reader).await;
    two_inserters_make_one_row(&writer, reader).await;
}

async fn write_all(writer: &Arc<dyn ShipmentWriter>, parts: Vec<Vec<Vec<StateWrite>>>) {
    let tasks: Vec<_> = parts
        .into_iter()
        .map(|batches| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for batch in batches {
                    writer.write_states(&batch).await.expect("written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Zombies and owners write states of the same shipments at random positions, in batches of random size.
async fn any_interleaving_ends_at_the_greatest_position(
    writer: &Arc<dyn ShipmentWriter>,
    reader: &dyn ShipmentReader,
    seed: u64,
) {
    let mut seeded = Seeded(seed);
    let created: Vec<_> = (0..25).map(|index| registration(number(300_000 + seed * 1_000 + index), 0)).collect();
    let creations: Vec<_> = created.iter().map(|one| creation(one, &fresh(one, at(0, 0)))).collect();
    writer.write_states(&creations).await.expect("written");
    let mut writes = Vec::new();
    let mut greatest = Vec::new();
    for one in &created {
        let positions: Vec<_> = (0..12).map(|_| at(seeded.below(2) as i64, seeded.below(1_000) as i64)).collect();
        greatest.extend(positions.iter().max().copied());
        writes.extend(positions.iter().map(|&position| update(&state_at(one, position), one.tracking_number)));
    }
    seeded.shuffle(&mut writes);
    let mut parts = vec![Vec::new(); WRITERS];
    let mut rest = writes.as_slice();
    while !rest.is_empty() {
        let size = 1 + seeded.below(40) as usize;
        let (batch, others) = rest.split_at(size.min(rest.len()));
        parts[seeded.below(WRITERS as u64) as usize].push(batch.to_vec());
        rest = others;
    }
    write_all(writer, parts).await;
    for (one, position) in created.iter().zip(greatest) {
        let found = reader.shipment(one.tracking_number).await.expect("readable").expect("there");
        assert_eq!(found.created, *one);
        assert_eq!(found.state, state_at(one, position), "seed {seed}");
    }
}

async fn two_creators_make_one_shipment(writer: &Arc<dyn ShipmentWriter>, reader: &dyn ShipmentReader) {
    let created: Vec<_> = (0..200).map(|index| registration(number(310_000 + index), 0)).collect();
    let parts = (0..WRITERS as i64)
        .map(|offset| vec![created.iter().map(|one| creation(one, &state_at(one, at(1, offset)))).collect()])
        .collect();
    write_all(writer, parts).await;
    for one in &created {
        let found = reader.shipment(one.tracking_number).await.expect("readable").expect("there");
        assert_eq!(found.state, state_at(one, at(1, WRITERS as i64 - 1)));
    }
}

async fn two_inserters_make_one_row(writer: &Arc<dyn ShipmentWriter>, reader: &dyn ShipmentReader) {
    let id = number(320_000);
    let rows: Vec<_> = (0..200)
        .map(|offset| row(report(id, Claim::Status(Status::PickedUp), offset), row_position(1, offset, 0)))
        .collect();
    let tasks: Vec<_> = (0..WRITERS as i64)
        .map(|version| {
            let (writer, mut rows) = (writer.clone(), rows.clone());
            rows.iter_mut().for_each(|row| row.version = Some(version));
            tokio::spawn(async move {
                // As a processor does that finds some of its rows there.
                let mut left = &rows[..];
                while let Inserted::UpTo(taken) =
                    writer.insert_events(left).await.expect("a row that is there is no error")
                {
                    let ids: Vec<_> = left[..=taken].iter().map(EventRow::row_id).collect();
                    let there = writer.known_keys(&ids).await.expect("readable");
                    let first = left.iter().position(|row| !there.contains_key(&row.row_id()));
                    left = &left[first.unwrap_or(left.len())..];
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let found = reader.events_of(id, None, 1_000).await.expect("readable");
    assert_eq!(found.len(), rows.len());
    for (found, row) in found.into_iter().zip(rows) {
        assert_eq!(EventRow { version: None, ..found }, row);
    }
}
