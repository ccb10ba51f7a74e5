use std::path::Path;

use serde_json::json;

use super::*;
use crate::shipment::{
    Event, EventBody, LogPosition, Outcome, ShipmentCreated, ShipmentState, Status, Timestamp, UnknownFields,
};
use crate::shipment_store::conformance;

const NUMBERS: [&str; 4] = ["99M-ABC12345", "99M-ABD12345", "99M-XYZ12345", "99M-ABC99999"];

fn open(path: &Path) -> SqliteStore {
    SqliteStore::new(Arc::new(Database::open(path).expect("opens")))
}

fn number(index: usize) -> TrackingNumber {
    NUMBERS[index].parse().expect("well-formed")
}

fn created(index: usize) -> Arc<ShipmentCreated> {
    let body = json!({"tracking_number": NUMBERS[index], "client_id": format!("client_{}", index % 2),
        "origin_address": "a", "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1,
        "destination_lng": 1, "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1,
        "content_description": "c", "metadata": {"order": "7"}});
    ShipmentCreated::from_json(body, Timestamp::from_millis(1_000 * index as i64)).expect("valid").into()
}

fn write(index: usize, offset: i64) -> StateWrite {
    let created = created(index);
    let state = ShipmentState::created(
        &created,
        Event::Created(Box::new((*created).clone())).event_id(),
        LogPosition { epoch: 1, offset },
    );
    StateWrite { tracking_number: number(index), created: Some(created), state }
}

fn row(index: usize, second: u32, offset: i64) -> EventRow {
    let body = json!({"tracking_number": NUMBERS[index], "status": "picked_up", "source": "driver_app",
        "timestamp": format!("2025-02-12T15:04:{second:02}Z")});
    let report = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
    EventRow {
        event_id: report.event_id(),
        position: RowPosition { log: LogPosition { epoch: 1, offset }, partition: 0 },
        outcome: Outcome::Applied,
        outcome_reason: None,
        from: Some(Status::Created),
        to: Some(Status::PickedUp),
        late: false,
        recorded_at: report.timestamp,
        report,
        reporter: None,
        shipment_client_id: Some("client_0".to_owned()),
        version: Some(2),
    }
}

async fn numbers(store: &SqliteStore, filter: &ListFilter, start: PageStart, limit: u32) -> (Vec<String>, u64, bool) {
    let page = store.list(filter, start, limit).await.expect("reads");
    let names = page.shipments.iter().map(|stored| stored.created.tracking_number.to_string());
    (names.collect(), page.total, page.has_next)
}

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    conformance::run(Arc::new(open(&directory.path().join("rastro.sqlite")))).await;
}

#[tokio::test]
async fn the_newest_position_wins_and_a_state_without_a_shipment_is_corrupt() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rastro.sqlite");
    let store = open(&path);
    let mut newer = write(0, 9);
    newer.created = None;
    newer.state.current_status = Status::Delivered;
    let error = store.write_states(&[write(1, 5), newer.clone()]).await.expect_err("nothing to update");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(store.shipment(number(1)).await.expect("reads"), None, "a write happens whole or not at all");

    store.write_states(&[write(0, 5), newer.clone()]).await.expect("written");
    store.write_states(&[write(0, 9)]).await.expect("an equal position is no error");
    store.write_states(&[write(0, 8)]).await.expect("an older position is no error");
    let mut next_life = write(0, 0);
    next_life.state.position.epoch = 2;
    assert_eq!(store.shipment(number(0)).await.expect("reads").map(|stored| stored.state), Some(newer.state));
    store.write_states(&[next_life.clone()]).await.expect("written");
    drop(store);

    let stored = open(&path).shipment(number(0)).await.expect("reads").expect("there");
    assert_eq!((stored.created, stored.state), ((*created(0)).clone(), next_life.state));
}

#[tokio::test]
async fn rows_are_written_once_and_listed_in_order_of_their_position() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    let rows = [row(0, 1, 30), row(0, 2, 10), row(0, 3, 20), row(3, 1, 11), row(1, 1, 12)];
    store.insert_events(&rows).await.expect("written");
    let again = EventRow { outcome: Outcome::Rejected, ..row(0, 1, 99) };
    store.insert_events(std::slice::from_ref(&again)).await.expect("no error");
    assert_eq!(store.rows(&[again.row_id()]).await.expect("reads"), [rows[0].clone()]);
    let known = store.known_keys(&[rows[1].row_id(), row(2, 9, 0).row_id()]).await.expect("reads");
    assert_eq!(known, HashMap::from([(rows[1].row_id(), rows[1].known())]));

    let first = store.events_of(number(0), None, 2).await.expect("reads");
    assert_eq!(first, [rows[1].clone(), rows[2].clone()]);
    let rest = store.events_of(number(0), Some(first[1].position), 2).await.expect("reads");
    assert_eq!(rest, [rows[0].clone()]);

    store.replace_events(std::slice::from_ref(&again)).await.expect("written");
    assert_eq!(store.events(&[again.row_id()]).await.expect("reads"), [again]);
}

#[tokio::test]
async fn lists_are_filtered_paged_and_newest_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    let mut writes: Vec<_> = (0..4).map(|index| write(index, 1)).collect();
    writes[2].state.current_status = Status::Delivered;
    store.write_states(&writes).await.expect("written");
    let everything = ListFilter::default();
    let (all, total, has_next) = numbers(&store, &everything, PageStart::Offset(0), 10).await;
    assert_eq!(
        (all.clone(), total, has_next),
        ([3, 2, 1, 0].map(|index| NUMBERS[index].to_owned()).to_vec(), 4, false)
    );
    assert_eq!(numbers(&store, &everything, PageStart::Offset(1), 2).await, (all[1..3].to_vec(), 4, true));
    let behind = PageStart::After(Timestamp::from_millis(2_000), number(2));
    assert_eq!(numbers(&store, &everything, behind, 2).await, (all[2..].to_vec(), 4, false));

    let found = async |filter: ListFilter| numbers(&store, &filter, PageStart::Offset(0), 10).await.0;
    let prefix = |text: &str| ListFilter { prefix: Some(text.to_owned()), ..ListFilter::default() };
    assert_eq!(found(prefix("99M-ABC")).await, [NUMBERS[3], NUMBERS[0]]);
    assert_eq!(found(prefix("99M-A_C")).await, Vec::<String>::new(), "no wildcards");
    assert_eq!(
        found(ListFilter { client_id: Some("client_1".to_owned()), ..prefix("99M-AB") }).await,
        [NUMBERS[3], NUMBERS[1]]
    );
    assert_eq!(found(ListFilter { status: Some(Status::Delivered), ..everything.clone() }).await, [NUMBERS[2]]);
    let (from, to) = (Some(Timestamp::from_millis(1_000)), Some(Timestamp::from_millis(3_000)));
    assert_eq!(found(ListFilter { created_from: from, created_to: to, ..everything }).await, [NUMBERS[2], NUMBERS[1]]);
    let page = store.list(&ListFilter::default(), PageStart::Offset(0), 1).await.expect("reads");
    assert_eq!(page.shipments[0].state.status_history, []);
}

#[tokio::test]
async fn lists_read_in_the_order_of_an_index() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    let plan = |sql: &'static str| {
        let database = store.database.clone();
        async move {
            let explain = move |connection: &rusqlite::Connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let steps = statement.query_map([], |row| row.get::<_, String>(3))?;
                Ok::<_, StoreError>(steps.collect::<rusqlite::Result<Vec<_>>>()?.join("; "))
            };
            database.read(Reader::Query, explain).await.expect("explains")
        }
    };
    let page = plan(
        "SELECT created, state FROM shipments JOIN registrations USING (id) JOIN states USING (id) WHERE client_id = 'c' AND current_status = 'delivered'
         AND (created_at, tracking_number) < (9, 'x') ORDER BY created_at DESC, tracking_number DESC LIMIT 10 OFFSET 0",
    );
    let page = page.await;
    assert!(page.contains("shipments_by_client (client_id=? AND (created_at,tracking_number)<(?,?))"), "{page}");
    assert!(!page.contains("B-TREE"), "{page}");
    let count = plan("SELECT count(*) FROM shipments WHERE client_id = 'c' AND created_at >= 5").await;
    assert!(count.contains("COVERING INDEX"), "{count}");
    let events = plan("SELECT row FROM status_events WHERE row_id > 'a' AND row_id < 'b'").await;
    assert!(events.contains("SEARCH"), "{events}");
}
