//! States: the newest position wins, and what was written is read.

use std::collections::HashMap;
use std::sync::Arc;

use super::samples::{
    at, creation, entry, fresh, full_registration, full_state, number, registration, report, state_at, stored, update,
};
use crate::shipment::limits::HISTORY_ENTRIES;
use crate::shipment::{Claim, Kind, LogPosition, Shipment, ShipmentState, TrackingNumber};
use crate::shipment_store::{ShipmentReader, ShipmentWriter, StoreError, StoredShipment};

/// More than the first batch of a MongoDB cursor (101), than 999 (variables of an old SQLite) and than a batch of the lane.
const MANY: u64 = 2_500;

pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    nothing_is_written_for_nothing(writer).await;
    everything_survives_the_round_trip(writer, reader).await;
    the_newest_position_wins(writer, reader).await;
    each_shipment_of_a_batch_is_compared_on_its_own(writer, reader).await;
    a_creation_carries_what_never_changes_once(writer, reader).await;
    a_batch_may_be_written_twice(writer, reader).await;
    a_state_of_no_shipment_is_an_error(writer, reader).await;
    a_long_history_is_kept_in_order(writer, reader).await;
    many_shipments_go_into_one_call(writer).await;
}

async fn read(reader: &dyn ShipmentReader, number: TrackingNumber) -> Option<StoredShipment> {
    reader.shipment(number).await.expect("readable")
}

async fn state_of(reader: &dyn ShipmentReader, number: TrackingNumber) -> ShipmentState {
    read(reader, number).await.expect("the shipment is there").state
}

fn as_decided(shipment: &StoredShipment) -> Shipment {
    let created = &shipment.created;
    let terms = Arc::new(created.terms());
    Shipment { tracking_number: created.tracking_number, terms, state: shipment.state.clone() }
}

async fn nothing_is_written_for_nothing(writer: &dyn ShipmentWriter) {
    writer.write_states(&[]).await.expect("nothing to write is no error");
    assert!(writer.states(&[]).await.expect("readable").is_empty());
    assert!(writer.states(&[number(100_000)]).await.expect("readable").is_empty());
}

async fn everything_survives_the_round_trip(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let (plain, full) = (registration(number(101_000), 5), full_registration(number(101_001), -3_000_000_000));
    let (plain_state, full_state) = (fresh(&plain, at(0, 0)), full_state(&full, at(1, i64::from(u32::MAX) + 7)));
    let without_scan = ShipmentState { last_scan: None, status_history: Vec::new(), ..plain_state.clone() };
    let bare = registration("99M-ABCDEF".parse().expect("well-formed"), 6);
    let all = [stored(plain.clone(), plain_state), stored(full.clone(), full_state), stored(bare, without_scan)];
    let writes: Vec<_> = all.iter().map(|shipment| creation(&shipment.created, &shipment.state)).collect();
    writer.write_states(&writes).await.expect("written");
    let numbers = all.each_ref().map(|shipment| shipment.created.tracking_number);
    let mut states = writer.states(&numbers).await.expect("readable");
    for shipment in all {
        let number = shipment.created.tracking_number;
        assert_eq!(states.remove(&number), Some(as_decided(&shipment)), "as the decision sees it");
        assert_eq!(read(reader, number).await, Some(shipment), "as the edge sees it");
    }
    assert!(states.is_empty());
    assert_eq!(read(reader, number(101_002)).await, None);
}

async fn the_newest_position_wins(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let created = registration(number(102_000), 0);
    let id = created.tracking_number;
    writer.write_states(&[creation(&created, &state_at(&created, at(1, 10)))]).await.expect("written");
    let write = async |position: LogPosition, mark: i64| {
        let state = ShipmentState { version: mark, ..state_at(&created, position) };
        writer.write_states(&[update(&state, id)]).await.expect("older is no error");
        let found = state_of(reader, id).await;
        (found.position, found.version)
    };
    assert_eq!(write(at(1, 20), 5).await, (at(1, 20), 5), "newer");
    assert_eq!(write(at(1, 19), 99).await, (at(1, 20), 5), "older, with a greater version");
    // The same position with another content does not happen: a state is a function of its position.
    assert_eq!(write(at(1, 20), 5).await, (at(1, 20), 5), "equal");
    assert_eq!(write(at(0, 1_000), 99).await, (at(1, 20), 5), "an older epoch with a greater offset");
    assert_eq!(write(at(2, 3), 1).await, (at(2, 3), 1), "a newer epoch with a smaller offset");
    assert_eq!(write(at(2, 100), 1).await, (at(2, 100), 1), "positions are numbers, not texts");
    assert_eq!(write(at(2, 1 << 40), 1).await, (at(2, 1 << 40), 1), "beyond 32 bits");
    assert_eq!(write(at(2, 101), 1).await, (at(2, 1 << 40), 1));
}

async fn each_shipment_of_a_batch_is_compared_on_its_own(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let created: Vec<_> = (0..6).map(|index| registration(number(103_000 + index), 0)).collect();
    let creations: Vec<_> = created.iter().map(|one| creation(one, &state_at(one, at(1, 50)))).collect();
    writer.write_states(&creations).await.expect("written");
    let mut mixed: Vec<_> = created
        .iter()
        .zip([40, 60, 50, 61, 49, 51])
        .map(|(one, offset)| update(&state_at(one, at(1, offset)), one.tracking_number))
        .collect();
    let new = registration(number(103_006), 0);
    mixed.push(creation(&new, &state_at(&new, at(1, 7))));
    // One shipment twice in one call, the newer one first.
    mixed.push(update(&state_at(&created[1], at(1, 55)), created[1].tracking_number));
    writer.write_states(&mixed).await.expect("written");
    let mut offsets = Vec::new();
    for one in created.iter().chain([&new]) {
        let state = state_of(reader, one.tracking_number).await;
        assert_eq!(state, state_at(one, state.position), "a whole state, of one position");
        offsets.push(state.position.offset);
    }
    assert_eq!(offsets, [50, 60, 50, 61, 50, 51, 7]);
}

async fn a_creation_carries_what_never_changes_once(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let first = full_registration(number(104_000), 1);
    let id = first.tracking_number;
    writer.write_states(&[creation(&first, &state_at(&first, at(1, 5)))]).await.expect("written");
    let mut other = registration(id, 2);
    other.body.client_id = Some("impostor".to_owned());
    writer.write_states(&[creation(&other, &state_at(&other, at(1, 4)))]).await.expect("older is no error");
    assert_eq!(read(reader, id).await, Some(stored(first.clone(), state_at(&first, at(1, 5)))));
    let newer = state_at(&other, at(1, 6));
    writer.write_states(&[creation(&other, &newer)]).await.expect("written");
    assert_eq!(read(reader, id).await, Some(stored(first, newer)), "the state is newer, the registration stays");
}

async fn a_batch_may_be_written_twice(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let created: Vec<_> = (0..3).map(|index| registration(number(105_000 + index), 0)).collect();
    let batch: Vec<_> = created.iter().map(|one| creation(one, &full_state(one, at(3, 3)))).collect();
    for _ in 0..3 {
        writer.write_states(&batch).await.expect("written");
        for one in &created {
            assert_eq!(read(reader, one.tracking_number).await, Some(stored(one.clone(), full_state(one, at(3, 3)))));
        }
    }
}

async fn a_state_of_no_shipment_is_an_error(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let (known, unknown) = (registration(number(106_000), 0), registration(number(106_001), 0));
    writer.write_states(&[creation(&known, &state_at(&known, at(1, 1)))]).await.expect("written");
    let batch = [
        update(&state_at(&known, at(1, 2)), known.tracking_number),
        update(&state_at(&unknown, at(1, 2)), unknown.tracking_number),
    ];
    match writer.write_states(&batch).await {
        Err(StoreError::Corrupt(why)) => assert!(why.contains(unknown.tracking_number.as_str()), "{why}"),
        other => panic!("a state without a shipment must not pass in silence: {other:?}"),
    }
    assert_eq!(read(reader, unknown.tracking_number).await, None, "and makes no shipment");
}

async fn a_long_history_is_kept_in_order(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let created = registration(number(107_000), 0);
    let mut state = fresh(&created, at(1, 0));
    for offset in 1..=HISTORY_ENTRIES as i64 + 40 {
        let seconds = offset * 37 % 211;
        let scan = report(created.tracking_number, Claim::Kind(Kind::Other), seconds);
        state = state.after(entry(&scan, false), at(1, offset));
    }
    writer.write_states(&[creation(&created, &state)]).await.expect("written");
    assert_eq!(state_of(reader, created.tracking_number).await, state);
}

async fn many_shipments_go_into_one_call(writer: &dyn ShipmentWriter) {
    let created: Vec<_> = (0..MANY).map(|index| registration(number(110_000 + index), 0)).collect();
    let batch: Vec<_> = created.iter().map(|one| creation(one, &state_at(one, at(1, 1)))).collect();
    writer.write_states(&batch).await.expect("written");
    let absent = (0..300).map(|index| number(190_000 + index));
    let numbers: Vec<_> = absent.chain(created.iter().map(|one| one.tracking_number)).collect();
    let states = writer.states(&numbers).await.expect("readable");
    let expected: HashMap<_, _> = created
        .iter()
        .map(|one| (one.tracking_number, as_decided(&stored(one.clone(), state_at(one, at(1, 1))))))
        .collect();
    assert_eq!(states.len(), expected.len());
    assert!(states == expected, "every shipment with its own state");
}
