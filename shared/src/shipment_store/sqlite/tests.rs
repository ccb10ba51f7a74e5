use std::path::Path;

use serde_json::json;

use super::*;
use crate::shipment::{
    Event, EventBody, LogPosition, Outcome, ServiceType, ShipmentCreated, ShipmentState, Status, Timestamp,
    UnknownFields,
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
    StateWrite { tracking_number: number(index), created: Some(created), state, parking: None }
}

fn row(index: usize, second: u32, offset: i64) -> EventRow {
    let body = json!({"tracking_number": NUMBERS[index], "status": "picked_up", "source": "driver_app",
        "timestamp": format!("2025-02-12T15:04:{second:02}Z")});
    let report = EventBody::from_json(body, UnknownFields::Refuse).expect("valid");
    EventRow {
        event_id: report.event_id(),
        position: RowPosition { log: LogPosition { epoch: 1, offset }, partition: 0 },
        released_at: None,
        refused_at: None,
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
    assert!(page.total.is_exact);
    (names.collect(), page.total.count, page.next.is_some())
}

#[tokio::test]
async fn a_later_generation_has_the_tables_and_indexes_of_the_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Arc::new(Database::open(&directory.path().join("rastro.sqlite")).expect("opens"));
    let second = SqliteStore::of(database.clone(), Generation::new(2).expect("a number"));
    for _ in 0..2 {
        second.make_tables().await.expect("made, and again");
        second.make_indexes().await.expect("made, and again");
    }
    let read = |connection: &rusqlite::Connection| {
        let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (tbl_name LIKE 'shipments%'
                   OR tbl_name LIKE 'registrations%' OR tbl_name LIKE 'states%' OR tbl_name LIKE 'status_events%')";
        let mut statement = connection.prepare(sql)?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok::<_, StoreError>(texts.collect::<rusqlite::Result<Vec<_>>>()?)
    };
    let texts = database.read(Reader::Query, read).await.expect("reads");
    let plain = |text: &String| text.replace("_g2", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let (of_second, of_first): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.contains("_g2"));
    let sorted = |texts: Vec<&String>| {
        let mut texts: Vec<_> = texts.into_iter().map(plain).collect();
        texts.sort();
        texts
    };
    assert_eq!((of_first.len(), sorted(of_first)), (8, sorted(of_second)));
    conformance::run(Arc::new(second)).await;
}

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    conformance::run(Arc::new(open(&directory.path().join("rastro.sqlite")))).await;
}

#[tokio::test]
async fn a_sqlite_store_with_tight_bounds_lists_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore { bounds: conformance::TIGHT, ..open(&directory.path().join("rastro.sqlite")) };
    conformance::run_within_tight_bounds(&store, &store).await;
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
    assert_eq!(store.insert_events(&rows).await.expect("written"), Inserted::All);
    let again = EventRow { outcome: Outcome::Rejected, ..row(0, 1, 99) };
    assert_eq!(store.insert_events(std::slice::from_ref(&again)).await.expect("no error"), Inserted::UpTo(0));
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

/// What SQLite would do for a statement, step by step.
async fn plan(store: &SqliteStore, query: list::Query) -> Vec<String> {
    let sql = store.tables.sql(&query.sql);
    let explain = move |connection: &rusqlite::Connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let steps = statement.query_map(rusqlite::params_from_iter(query.values), |row| row.get::<_, String>(3))?;
        Ok::<_, StoreError>(steps.collect::<rusqlite::Result<Vec<_>>>()?)
    };
    store.database.read(Reader::Query, explain).await.expect("explains")
}

/// Whether a plan reads `shipments` in the order of `index` and nothing else; without an index it would say `SCAN shipments` alone.
fn walks(plan: &[String], index: &str) -> bool {
    let [step] = plan else { return false };
    let name = step.strip_prefix("SEARCH shipments USING ").or_else(|| step.strip_prefix("SCAN shipments USING "));
    let name = name.map(|rest| rest.strip_prefix("COVERING ").unwrap_or(rest));
    name.and_then(|rest| rest.strip_prefix("INDEX ")).and_then(|rest| rest.split(' ').next()) == Some(index)
}

/// Every combination of filters with the index that spans it.
fn spans() -> Vec<(ListFilter, &'static str)> {
    let mut spans = Vec::new();
    let clients = [None, Some("client_0".to_owned())];
    for (client_id, service_type) in
        clients.into_iter().flat_map(|client| [(client.clone(), None), (client, Some(ServiceType::SameDay))])
    {
        let index = match (&client_id, service_type) {
            (None, None) => "shipments_by_time",
            (Some(_), None) => "shipments_by_client",
            (None, Some(_)) => "shipments_by_service",
            (Some(_), Some(_)) => "shipments_by_client_and_service",
        };
        for status in [None, Some(Status::InTransit)] {
            for prefix in [None, Some("99M-A".to_owned())] {
                for (from, to) in [(None, None), (Some(1), None), (None, Some(2)), (Some(1), Some(2))] {
                    let [created_from, created_to] = [from, to].map(|time| time.map(Timestamp::from_millis));
                    let (client_id, prefix) = (client_id.clone(), prefix.clone());
                    spans.push((
                        ListFilter { status, client_id, service_type, prefix, created_from, created_to },
                        index,
                    ));
                }
            }
        }
    }
    spans
}

#[tokio::test]
async fn every_list_walks_the_index_that_spans_it_and_no_farther_than_it_may() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    let behind = PageStart::After(Timestamp::from_millis(9), number(0));
    for (filter, index) in spans() {
        for start in [PageStart::Offset(0), behind] {
            let query = if filter.looks() { list::steps(&filter, start, 7) } else { list::page(&filter, start, 7) };
            assert!(query.sql.contains(" LIMIT ?"), "{}", query.sql);
            let plan = plan(&store, query).await;
            assert!(walks(&plan, index), "{filter:?} {start:?}: {plan:?}");
        }
        let spanned = filter.client_id.is_some()
            || filter.service_type.is_some()
            || filter.created_from.or(filter.created_to).is_some();
        if spanned {
            let count = plan(&store, list::count(list::Conditions::spanning(&filter), 7)).await;
            // Any index that begins with what spans the filter will do: the order does not matter.
            let begins =
                count.iter().any(|step| step.starts_with("SEARCH shipments USING COVERING INDEX shipments_by_"));
            assert!(begins, "{filter:?}: {count:?}");
        }
        if filter.prefix.is_some() {
            let few = plan(&store, list::page_of_few(&filter, behind, 7)).await;
            let by_number =
                "SEARCH shipments USING INDEX sqlite_autoindex_shipments_1 (tracking_number>? AND tracking_number<?)";
            assert_eq!(few, [by_number, "USE TEMP B-TREE FOR ORDER BY"], "{filter:?}");
        }
    }
    let count = plan(&store, list::count(list::Conditions::beginning_with("99M-A"), 7)).await.join("; ");
    assert!(
        count.contains("COVERING INDEX sqlite_autoindex_shipments_1 (tracking_number>? AND tracking_number<?)"),
        "{count}"
    );
}

#[tokio::test]
async fn a_full_scan_would_be_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    for sql in [
        "SELECT id FROM shipments WHERE current_status = 'created'",
        "SELECT id FROM shipments WHERE current_status = 'created' ORDER BY tracking_number DESC, created_at LIMIT 3",
        "SELECT id FROM shipments WHERE client_id = 'c' ORDER BY current_status LIMIT 3",
    ] {
        let plan = plan(&store, list::Query { sql: sql.to_owned(), values: Vec::new() }).await;
        for index in ["shipments_by_time", "shipments_by_client", "shipments_by_service"] {
            assert!(!walks(&plan, index), "{sql}: {plan:?}");
        }
    }
}

#[tokio::test]
async fn the_events_of_a_shipment_are_found_by_the_beginning_of_their_ids() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(&directory.path().join("rastro.sqlite"));
    let values = vec!["99M-ABC12345".to_owned().into(), 1.into(), 2.into(), 3.into(), 4.into()];
    let plan = plan(&store, list::Query { sql: read::EVENTS_OF.to_owned(), values }).await;
    let by_id = "SEARCH status_events USING COVERING INDEX sqlite_autoindex_status_events_1 (row_id>? AND row_id<?)";
    let steps = ["SEARCH status_events USING INTEGER PRIMARY KEY (rowid=?)", "LIST SUBQUERY 1", by_id];
    assert_eq!(plan[..3], steps, "and no other shipment's row is looked at");
    assert_eq!(plan[3..], ["USE TEMP B-TREE FOR ORDER BY"]);
}
