//! Parked events: who has some and until when, and the rows of those that were released.

use super::samples::{at, by_id, number, parking, registration, report, row, row_position, state_at, time, update};
use crate::shipment::{Claim, Outcome, Status, Timestamp, TrackingNumber};
use crate::shipment_store::{EventRow, Inserted, ParkedShipment, ShipmentReader, ShipmentWriter};

const PICKED_UP: Claim = Claim::Status(Status::PickedUp);
/// Partitions of this part of the suite.
const OURS: [i32; 2] = [91, 92];

pub(super) async fn run(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    those_with_parked_events_are_found_by_partition_and_in_order_of_time(writer).await;
    the_newest_word_about_what_is_parked_wins(writer, reader).await;
    a_released_row_takes_the_place_of_the_parked_one_and_stays(writer, reader).await;
    what_a_record_released_is_found(writer).await;
}

async fn found(writer: &dyn ShipmentWriter, partitions: &[i32], limit: u32) -> Vec<(TrackingNumber, Timestamp)> {
    let parked = writer.parked(partitions, limit).await.expect("readable");
    parked.into_iter().map(|ParkedShipment { tracking_number, until }| (tracking_number, until)).collect()
}

async fn those_with_parked_events_are_found_by_partition_and_in_order_of_time(writer: &dyn ShipmentWriter) {
    assert_eq!(found(writer, &[], 10).await, []);
    assert_eq!(found(writer, &OURS, 10).await, []);
    let plan = [(0, 91, 50), (1, 92, 20), (2, 93, 10), (3, 91, 30)];
    let writes = plan.map(|(index, partition, until)| {
        parking(&registration(number(210_000 + index), 0), at(1, 5), partition, Some(time(until)))
    });
    writer.write_states(&writes).await.expect("written");
    let expected = [(1, 20), (3, 30), (0, 50)].map(|(index, until)| (number(210_000 + index), time(until)));
    assert_eq!(found(writer, &OURS, 10).await, expected, "not those of another partition, the first first");
    assert_eq!(found(writer, &OURS, 2).await, expected[..2], "at most so many");
    assert_eq!(found(writer, &OURS, 0).await, [], "none, not all");
    assert_eq!(found(writer, &[91], 10).await, expected[1..]);
    let over =
        plan.map(|(index, partition, _)| parking(&registration(number(210_000 + index), 0), at(1, 6), partition, None));
    writer.write_states(&over).await.expect("written");
    assert_eq!(found(writer, &[91, 92, 93], 10).await, []);
}

async fn the_newest_word_about_what_is_parked_wins(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    let created = registration(number(211_000), 0);
    let until = |seconds| [(created.tracking_number, time(seconds))];
    let write = async |offset, seconds: Option<i64>| {
        writer.write_states(&[parking(&created, at(1, offset), 91, seconds.map(time))]).await.expect("written");
    };
    write(5, Some(50)).await;
    write(4, Some(40)).await;
    write(3, None).await;
    assert_eq!(found(writer, &OURS, 10).await, until(50), "an owner that is behind takes nothing back");
    write(7, Some(60)).await;
    assert_eq!(found(writer, &OURS, 10).await, until(60));
    let untouched = update(&state_at(&created, at(1, 8)), created.tracking_number);
    writer.write_states(std::slice::from_ref(&untouched)).await.expect("written");
    write(9, None).await;
    assert_eq!(found(writer, &OURS, 10).await, []);
    write(8, Some(70)).await;
    assert_eq!(found(writer, &OURS, 10).await, [], "it is over");
    let stored = reader.shipment(created.tracking_number).await.expect("readable").expect("there");
    assert_eq!((stored.state.position, stored.state.parked), (at(1, 9), Vec::new()));
}

fn parked_row(id: TrackingNumber, second: i64, offset: i64) -> EventRow {
    EventRow { outcome: Outcome::Parked, ..row(report(id, PICKED_UP, second), row_position(1, offset, 91)) }
}

async fn a_released_row_takes_the_place_of_the_parked_one_and_stays(
    writer: &dyn ShipmentWriter,
    reader: &dyn ShipmentReader,
) {
    let id = number(212_000);
    let parked = parked_row(id, 1, 5);
    assert_eq!(writer.insert_events(std::slice::from_ref(&parked)).await.expect("written"), Inserted::All);
    let released =
        EventRow { outcome: Outcome::Applied, released_at: Some(at(1, 9)), version: Some(4), ..parked.clone() };
    writer.replace_events(std::slice::from_ref(&released)).await.expect("written");
    let stays = async |what: &str| {
        assert_eq!(reader.events_of(id, None, 10).await.expect("readable"), std::slice::from_ref(&released), "{what}");
    };
    stays("in its place in the log").await;
    writer.replace_events(std::slice::from_ref(&released)).await.expect("written");
    stays("again").await;
    writer.replace_events(std::slice::from_ref(&parked)).await.expect("an older one is no error");
    stays("it was judged later than where it stands").await;
    let earlier = EventRow { released_at: Some(at(1, 8)), version: Some(3), ..released.clone() };
    writer.replace_events(&[earlier]).await.expect("an older one is no error");
    stays("of two that were released, the later one").await;
    let again = writer.insert_events(std::slice::from_ref(&parked)).await.expect("reachable");
    assert_eq!(again, Inserted::UpTo(0), "it is there");
    stays("whatever is inserted").await;
    let redriven = EventRow { position: row_position(2, 0, 91), ..parked };
    writer.replace_events(std::slice::from_ref(&redriven)).await.expect("written");
    assert_eq!(reader.events_of(id, None, 10).await.expect("readable"), [redriven], "what is judged later wins");
}

async fn what_a_record_released_is_found(writer: &dyn ShipmentWriter) {
    let (one, other) = (number(213_000), number(213_001));
    let of = |id, second, released_at| EventRow { released_at, ..parked_row(id, second, second) };
    let rows = [
        of(one, 1, None),
        of(one, 2, Some(at(1, 20))),
        of(one, 3, Some(at(1, 20))),
        of(one, 4, Some(at(1, 21))),
        of(one, 5, Some(at(2, 20))),
        of(other, 1, Some(at(1, 20))),
        of(other, 2, Some(at(1, 30))),
    ];
    assert_eq!(writer.insert_events(&rows).await.expect("written"), Inserted::All);
    let released = async |records: &[_]| by_id(writer.released_at(records).await.expect("readable"));
    let expected = |indexes: &[usize]| by_id(indexes.iter().map(|&index| rows[index].clone()).collect());
    assert_eq!(released(&[]).await, expected(&[]));
    assert_eq!(released(&[(one, at(1, 20))]).await, expected(&[1, 2]));
    assert_eq!(released(&[(one, at(1, 2)), (one, at(2, 21)), (other, at(1, 21))]).await, expected(&[]));
    let several = [(one, at(1, 21)), (one, at(2, 20)), (other, at(1, 30)), (number(213_002), at(1, 20))];
    assert_eq!(released(&several).await, expected(&[3, 4, 6]));
}
