//! Rows of `status_events`: written once, found by key and by shipment.

use super::samples::{at, by_id, conflict, full_report, full_row, number, report, row, row_position};
use crate::shipment::{Claim, Kind, Outcome, RejectReason, RowId, Status};
use crate::shipment_store::{EventRow, Inserted, ShipmentReader, ShipmentWriter};

/// As in the suite of the states.
const MANY: i64 = 2_500;

const PICKED_UP: Claim = Claim::Status(Status::PickedUp);

pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    nothing_is_asked_for_nothing(writer, reader).await;
    everything_survives_the_round_trip(writer, reader).await;
    the_first_row_of_an_id_stays(writer, reader).await;
    a_replacement_overwrites(writer, reader).await;
    a_shipments_rows_are_read_in_order(writer, reader).await;
    a_shipment_has_no_rows_of_one_whose_number_begins_alike(writer, reader).await;
    many_rows_go_into_one_call(writer, reader).await;
}

fn ids(rows: &[EventRow]) -> Vec<RowId> {
    rows.iter().map(EventRow::row_id).collect()
}

async fn insert(writer: &dyn ShipmentWriter, rows: &[EventRow]) {
    assert_eq!(writer.insert_events(rows).await.expect("written"), Inserted::All);
}

async fn nothing_is_asked_for_nothing(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    insert(writer, &[]).await;
    writer.replace_events(&[]).await.expect("nothing to write is no error");
    assert!(writer.known_keys(&[]).await.expect("readable").is_empty());
    assert!(writer.rows(&[]).await.expect("readable").is_empty());
    assert!(reader.events(&[]).await.expect("readable").is_empty());
    assert!(reader.events_of(number(200_000), None, 10).await.expect("readable").is_empty());
}

async fn everything_survives_the_round_trip(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let id = number(201_000);
    let mut imported = full_row(full_report(id, Claim::Kind(Kind::Customs), 3), row_position(2, 1 << 40, 11));
    imported.reporter = imported.reporter.map(|reporter| crate::shipment::Reporter { client_id: None, ..reporter });
    let scan =
        EventRow { outcome: Outcome::Recorded, ..row(report(id, Claim::Kind(Kind::Other), 1), row_position(1, 1, 0)) };
    let dead = EventRow {
        outcome: Outcome::DeadLettered,
        outcome_reason: Some(RejectReason::StoreRefused),
        ..row(report(id, PICKED_UP, -9_000_000_000), row_position(1, 9, 0))
    };
    let created = row(report(id, Claim::Status(Status::Created), 0), row_position(1, 0, 0));
    let full = full_row(full_report(id, PICKED_UP, 2), row_position(1, 2, 0));
    let full = EventRow { released_at: Some(at(7, 1 << 34)), refused_at: Some(at(6, 1 << 33)), ..full };
    let other_payload = conflict(report(id, Claim::Status(Status::Cancelled), 1), row_position(1, 3, 0));
    let rows = vec![created, scan.clone(), full, imported, other_payload.clone(), dead];
    insert(writer, &rows).await;

    let absent = full_row(report(id, PICKED_UP, 999), row_position(1, 99, 0));
    let not_a_conflict = conflict(report(id, PICKED_UP, 1), row_position(1, 99, 0));
    let asked: Vec<_> = [absent.row_id(), not_a_conflict.row_id()].into_iter().chain(ids(&rows)).collect();
    let expected = by_id(rows.clone());
    assert_eq!(by_id(writer.rows(&asked).await.expect("readable")), expected, "as the processor reads them");
    assert_eq!(by_id(reader.events(&asked).await.expect("readable")), expected, "as the edge reads them");
    let known = writer.known_keys(&asked).await.expect("readable");
    assert_eq!(known, rows.iter().map(|row| (row.row_id(), row.known())).collect());

    assert_eq!(scan.event_id.key, other_payload.event_id.key, "one key, two payloads, two rows");
    let of_key = reader.events(&[scan.event_id.first_row(), other_payload.event_id.conflict_row()]).await;
    assert_eq!(of_key.expect("readable").len(), 2);
}

// contract: "MongoDB database `MONGO_DB`"
async fn the_first_row_of_an_id_stays(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let id = number(202_000);
    let first = row(report(id, PICKED_UP, 1), row_position(1, 5, 0));
    insert(writer, std::slice::from_ref(&first)).await;
    let again = full_row(report(id, PICKED_UP, 1), row_position(1, 6, 0));
    let (new, newer) =
        (row(report(id, PICKED_UP, 2), row_position(1, 7, 0)), row(report(id, PICKED_UP, 3), row_position(1, 8, 0)));
    let twice = full_row(report(id, PICKED_UP, 3), row_position(1, 9, 0));
    assert_eq!((first.row_id(), newer.row_id()), (again.row_id(), twice.row_id()));
    let up_to = async |batch: &[EventRow]| writer.insert_events(batch).await.expect("a row that is there is no error");
    let there = async || reader.events_of(id, None, 100).await.expect("readable");
    for _ in 0..2 {
        assert_eq!(up_to(&[again.clone(), new.clone(), newer.clone()]).await, Inserted::UpTo(0));
        assert_eq!(there().await, std::slice::from_ref(&first), "nothing behind one that is there");
    }
    assert_eq!(up_to(&[new.clone(), again.clone(), newer.clone()]).await, Inserted::UpTo(1));
    // Whoever is told that the first ones may be there asks, and goes on.
    let rest: &[EventRow] = if there().await.contains(&new) { &[] } else { std::slice::from_ref(&new) };
    assert_eq!(up_to(rest).await, Inserted::All);
    assert_eq!(there().await, [first.clone(), new.clone()]);
    assert_eq!(up_to(&[newer.clone(), twice]).await, Inserted::UpTo(1), "in one call, too");
    let known = writer.known_keys(&[first.row_id()]).await.expect("readable");
    assert_eq!(known.get(&first.row_id()), Some(&first.known()));
}

async fn a_replacement_overwrites(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let id = number(203_000);
    let full = full_row(full_report(id, PICKED_UP, 1), row_position(1, 5, 0));
    let beside = row(report(id, PICKED_UP, 2), row_position(1, 6, 0));
    insert(writer, &[full.clone(), beside.clone()]).await;
    let bare = EventRow {
        outcome: Outcome::DeadLettered,
        outcome_reason: Some(RejectReason::StoreRefused),
        ..row(full.report.clone(), row_position(1, 5, 0))
    };
    let new = row(report(id, PICKED_UP, 3), row_position(1, 7, 0));
    for _ in 0..2 {
        writer.replace_events(&[bare.clone(), new.clone()]).await.expect("written");
        let found = reader.events_of(id, None, 100).await.expect("readable");
        assert_eq!(found, [bare.clone(), beside.clone(), new.clone()], "no member of the old row is left");
    }
    let later = EventRow { position: row_position(2, 1, 0), ..full };
    writer.replace_events(std::slice::from_ref(&later)).await.expect("written");
    for position in [row_position(1, 5, 0), row_position(1, 9, 0), row_position(2, 0, 0)] {
        writer.replace_events(&[EventRow { position, ..bare.clone() }]).await.expect("an older one is no error");
        let found = reader.events_of(id, None, 100).await.expect("readable");
        assert_eq!(found, [beside.clone(), new.clone(), later.clone()], "the later one stays: {position:?}");
    }
}

async fn a_shipments_rows_are_read_in_order(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let id = number(204_000);
    let positions = [(1, 2, 0), (1, 10, 0), (1, 9, 0), (0, 500, 0), (2, 1, 0), (2, 0, 3), (1, 10, 1), (2, 1 << 33, 0)];
    let mut rows: Vec<_> = positions
        .iter()
        .enumerate()
        .map(|(second, &(epoch, offset, partition))| {
            row(report(id, PICKED_UP, second as i64), row_position(epoch, offset, partition))
        })
        .collect();
    rows.push(conflict(full_report(id, Claim::Kind(Kind::Other), 0), row_position(1, 11, 0)));
    insert(writer, &rows).await;
    rows.sort_by_key(|row| row.position);
    let read = async |after, limit| reader.events_of(id, after, limit).await.expect("readable");
    assert_eq!(read(None, 100).await, rows, "epoch, then offset, then partition");
    assert_eq!(read(None, 4).await, rows[..4], "at most so many");
    assert_eq!(read(None, 0).await, [], "none, not all");
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(read(Some(row.position), 100).await, rows[index + 1..], "behind {:?}", row.position);
        assert_eq!(read(Some(row.position), 1).await, rows[index + 1..].iter().take(1).cloned().collect::<Vec<_>>());
    }
    assert_eq!(read(Some(row_position(1, 5, 0)), 2).await, rows[2..4], "behind a position that has no row");
}

async fn a_shipment_has_no_rows_of_one_whose_number_begins_alike(
    writer: &dyn ShipmentWriter,
    reader: &dyn ShipmentReader,
) {
    let alike = ["99M-200000", "99M-2000000", "99M-200001", "99M-1ZZZZZ", "99M-200000000000"];
    let numbers = alike.map(|text| text.parse().expect("well-formed"));
    let rows = numbers.map(|number| row(report(number, PICKED_UP, 1), row_position(1, 1, 0)));
    insert(writer, &rows).await;
    for (number, row) in numbers.into_iter().zip(rows) {
        assert_eq!(reader.events_of(number, None, 100).await.expect("readable"), [row]);
    }
}

async fn many_rows_go_into_one_call(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let of_one = |index: i64| row(report(number(205_000), PICKED_UP, index), row_position(1, index, 0));
    let of_many = |index: i64| {
        let id = number(206_000 + u64::try_from(index).expect("not negative"));
        full_row(full_report(id, PICKED_UP, index), row_position(1, index, 0))
    };
    let rows: Vec<_> = (0..MANY / 2).map(of_one).chain((0..MANY / 2).map(of_many)).collect();
    insert(writer, &rows).await;
    let absent = (0..300).map(|index| of_one(MANY + index).row_id());
    let asked: Vec<_> = absent.chain(ids(&rows)).collect();
    let known = writer.known_keys(&asked).await.expect("readable");
    assert!(known == rows.iter().map(|row| (row.row_id(), row.known())).collect(), "every key with its own position");
    let expected = by_id(rows.clone());
    assert!(by_id(writer.rows(&asked).await.expect("readable")) == expected, "every row");
    assert!(by_id(reader.events(&asked).await.expect("readable")) == expected, "every row");
    let of_one = reader.events_of(number(205_000), None, 2_000).await.expect("readable");
    assert!(of_one == rows[..rows.len() / 2], "all rows of one shipment, in order");
    let second: Vec<_> = rows.iter().map(|row| EventRow { version: Some(2), ..row.clone() }).collect();
    writer.replace_events(&second).await.expect("written");
    assert!(by_id(writer.rows(&asked).await.expect("readable")) == by_id(second), "every row replaced");
}
