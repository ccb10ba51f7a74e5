//! The adapter on a real MongoDB.

use std::sync::Arc;
use std::time::Instant;

use mongodb::bson::{Document, doc};

use super::*;
use crate::mongo::{MongoConnection, on_real_database};
use crate::shipment::{
    Claim, Event, EventBody, LogPosition, Outcome, ShipmentCreated, ShipmentState, Status, Timestamp,
};
use crate::shipment_store::{RowPosition, ShipmentReader, conformance};

fn created(number: &str) -> Arc<ShipmentCreated> {
    let body = serde_json::json!({"tracking_number": number, "client_id": "client_001", "origin_address": "a",
        "origin_lat": 1, "origin_lng": 1, "destination_address": "b", "destination_lat": 1, "destination_lng": 1,
        "weight_kg": 1, "length_cm": 1, "width_cm": 1, "height_cm": 1, "content_description": "c"});
    Arc::new(ShipmentCreated::from_json(body, Timestamp::from_millis(1_739_372_645_123)).expect("valid"))
}

fn creation(created: &Arc<ShipmentCreated>) -> StateWrite {
    let id = Event::Created(Box::new((**created).clone())).event_id();
    let state = ShipmentState::created(created, id, LogPosition { epoch: 1, offset: 7 });
    StateWrite { tracking_number: created.tracking_number, created: Some(created.clone()), state, parking: None }
}

pub(super) fn row(number: &str, second: i64) -> EventRow {
    let report = EventBody {
        tracking_number: number.parse().expect("well-formed"),
        claim: Claim::Status(Status::PickedUp),
        timestamp: Timestamp::from_millis(second * 1000),
        source: "driver_app".to_owned(),
        location: None,
        place: None,
        code: None,
        reason: None,
        notes: None,
        source_event_id: None,
        carrier: None,
    };
    EventRow {
        event_id: report.event_id(),
        position: RowPosition { log: LogPosition { epoch: 1, offset: second }, partition: 3 },
        released_at: None,
        refused_at: None,
        outcome: Outcome::Applied,
        outcome_reason: None,
        from: None,
        to: report.claim.status(),
        late: false,
        recorded_at: report.timestamp,
        report,
        reporter: None,
        shipment_client_id: None,
        version: None,
    }
}

async fn find_one(connection: &MongoConnection, collection: &str) -> Document {
    let found = connection.collection(collection).find_one(doc! {}).await.expect("readable").expect("a document");
    Document::try_from(&*found).expect("a valid document")
}

fn keys(document: &Document) -> Vec<&str> {
    document.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mongo_store_keeps_the_contract() {
    on_real_database("the_mongo_store_keeps_the_contract", async |connection| {
        let store = MongoStore::new(&connection);
        store.ensure_schema().await.expect("made");
        conformance::run_pair(Arc::new(store), Arc::new(MongoReader::new(&connection))).await;
    })
    .await;
}

#[tokio::test]
async fn a_mongo_store_with_tight_bounds_lists_everything() {
    on_real_database("a_mongo_store_with_tight_bounds_lists_everything", async |connection| {
        let store = MongoStore::new(&connection);
        store.ensure_schema().await.expect("made");
        let reader = MongoReader::new(&connection).within(conformance::TIGHT);
        conformance::run_within_tight_bounds(&store, &reader).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_may_make_the_schema_at_once_and_again() {
    on_real_database("several_processes_may_make_the_schema_at_once_and_again", async |connection| {
        let makers: Vec<_> = (0..6)
            .map(|_| {
                let store = MongoStore::new(&connection);
                tokio::spawn(async move { store.ensure_schema().await })
            })
            .collect();
        for maker in makers {
            maker.await.expect("no panic").expect("made");
        }
        let reply = connection.run(mongodb::bson::rawdoc! { "listIndexes": SHIPMENTS }).await.expect("readable");
        let cursor = reply.get_document("cursor").expect("a cursor");
        assert_eq!(cursor.get_array("firstBatch").expect("indexes").len(), 6, "_id and five more");
    })
    .await;
}

/// What a shipment with 100,000 scans has behind it is what one with 2,000 has: the history holds no more.
#[test]
fn a_shipment_with_a_long_history_stays_below_100_kb() {
    let created = created("99M-ABC12345");
    let mut state = creation(&created).state;
    for second in 1..=2_000 {
        let report = EventBody {
            place: Some("Centro de distribución Vallejo, Ciudad de México".to_owned()),
            code: Some("AR-17/204".to_owned()),
            reason: Some("recipient_absent".to_owned()),
            location: Some(crate::shipment::Location { lat: 19.43, lng: -99.13 }),
            claim: Claim::Kind(crate::shipment::Kind::Exception),
            ..row("99M-ABC12345", 1_750_000_000 + second).report
        };
        let entry = crate::shipment::HistoryEntry::of(&report, report.event_id(), report.timestamp, false);
        state = state.after(entry, LogPosition { epoch: 1, offset: second });
    }
    assert_eq!(state.version, 2_001);
    let bytes = crate::mongo::BsonWriter::whole(|document| encode::state(document, &state)).len();
    assert!((40_000..100_000).contains(&bytes), "{bytes} bytes");
}

// contract: "MongoDB database `MONGO_DB`"
// contract: "Fields as in the reference"
// contract: "Key: `dedup:<tracking_number>"
#[tokio::test]
async fn documents_have_the_members_of_the_reference() {
    on_real_database("documents_have_the_members_of_the_reference", async |connection| {
        let store = MongoStore::new(&connection);
        store.ensure_schema().await.expect("made");
        store.write_states(&[creation(&created("99M-ABC12345"))]).await.expect("written");
        let inserted = store.insert_events(&[row("99M-ABC12345", 1_739_372_645)]).await;
        assert_eq!(inserted.expect("written"), Inserted::All);

        let shipment = find_one(&connection, SHIPMENTS).await;
        assert_eq!(shipment.get_str("_id").ok(), Some("99M-ABC12345"));
        assert!(shipment.get_datetime("created_at").is_ok() && shipment.get_datetime("estimated_delivery").is_ok());
        assert_eq!(keys(shipment.get_document("state").expect("a state"))[..2], ["e", "o"], "the position leads");

        let flat = find_one(&connection, SHIPMENTS_FLAT).await;
        assert_eq!(flat.get_str("tracking_number").ok(), Some("99M-ABC12345"));
        assert_eq!(flat.get_str("current_status").ok(), Some("created"));
        assert!(flat.get_datetime("updated_at").is_ok());
        assert!(flat.get_document("origin").expect("origin").get_document("coordinates").is_ok());
        let package = flat.get_document("package").expect("package");
        assert_eq!(keys(package), ["weight_kg", "dimensions", "content_description"]);
        assert_eq!(flat.get_array("status_history").expect("history").len(), 1);
        assert_eq!(flat.get_document("last_scan").expect("a scan").get_str("status").ok(), Some("created"));
        assert!(!flat.contains_key("state") && !flat.contains_key("o"));

        let event = find_one(&connection, STATUS_EVENTS).await;
        assert_eq!(keys(&event)[0], "_id");
        assert_eq!(event.get_str("idempotency_key").ok(), Some("dedup:99M-ABC12345:driver_app:1739372645"));
        for (key, value) in [
            ("tracking_number", "99M-ABC12345"),
            ("status", "picked_up"),
            ("source", "driver_app"),
            ("outcome", "applied"),
        ] {
            assert_eq!(event.get_str(key).ok(), Some(value));
        }
        assert!(event.get_datetime("timestamp").is_ok() && event.get_datetime("created_at").is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_the_server_refuses_is_named_by_its_index() {
    on_real_database("what_the_server_refuses_is_named_by_its_index", async |connection| {
        let store = MongoStore::new(&connection);
        for (collection, member) in [(STATUS_EVENTS, "tracking_number"), (SHIPMENTS, "_id")] {
            let validator = doc! { "create": collection, "validator": { member: { "$ne": "99M-REF00000" } } };
            assert!(connection.administer(validator, CALL_DEADLINE).await.is_ok());
        }
        let rows = [row("99M-ABC12345", 1), row("99M-REF00000", 2), row("99M-ABC12345", 3)];
        for inserted in [&rows[..], &rows[1..]] {
            match store.insert_events(inserted).await {
                Err(StoreError::Refused(refused)) => {
                    let index = inserted.len() - 2;
                    assert_eq!(refused.iter().map(|one| one.0).collect::<Vec<_>>(), [index]);
                }
                other => panic!("{other:?}"),
            }
            let there = store.rows(&rows.clone().map(|row| row.row_id())).await.expect("readable");
            assert_eq!(there, rows[..1], "those before it, and none behind it");
        }
        match store.replace_events(&rows).await {
            Err(StoreError::Refused(refused)) => assert_eq!(refused[0].0, 1),
            other => panic!("{other:?}"),
        }
        let writes = ["99M-ABC12345", "99M-REF00000", "99M-ABC12346"].map(|number| creation(&created(number)));
        match store.write_states(&writes).await {
            Err(StoreError::Refused(refused)) => assert_eq!(refused[0].0, 1),
            other => panic!("{other:?}"),
        }
        let numbers = writes.map(|write| write.tracking_number);
        assert_eq!(store.states(&numbers).await.expect("readable").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_before_it_is_sent() {
    on_real_database("a_document_that_is_too_large_is_refused_before_it_is_sent", async |connection| {
        let store = MongoStore::new(&connection);
        let mut large = row("99M-ABC12345", 1);
        large.report.notes = Some("x".repeat(16 * 1024 * 1024));
        // Three of 7 MB do not fit into one command together.
        let mut rows: Vec<_> = (2..5).map(|second| row("99M-ABC12345", second)).collect();
        rows.iter_mut().for_each(|row| row.report.notes = Some("y".repeat(7 * 1024 * 1024)));
        rows.push(large);
        match store.insert_events(&rows).await {
            Err(StoreError::Refused(refused)) => assert_eq!(refused.iter().map(|one| one.0).collect::<Vec<_>>(), [3]),
            other => panic!("{other:?}"),
        }
        let reader = MongoReader::new(&connection);
        let there = async || reader.events_of(rows[0].report.tracking_number, None, 10).await.expect("readable").len();
        let before = there().await;
        assert!(before <= 3, "{before}");
        assert_eq!(store.insert_events(&rows[before..3]).await.expect("written"), Inserted::All);
        assert_eq!(there().await, 3);
    })
    .await;
}

#[tokio::test]
async fn what_we_did_not_write_is_corrupt_and_says_where() {
    on_real_database("what_we_did_not_write_is_corrupt_and_says_where", async |connection| {
        let store = MongoStore::new(&connection);
        store.write_states(&[creation(&created("99M-ABC12345"))]).await.expect("written");
        let edit =
            doc! { "update": SHIPMENTS, "updates": [{ "q": {}, "u": { "$set": { "state.version": "seven" } } }] };
        assert!(connection.administer(edit, CALL_DEADLINE).await.is_ok());
        let number: TrackingNumber = "99M-ABC12345".parse().expect("well-formed");
        match store.states(&[number]).await {
            Err(StoreError::Corrupt(why)) => assert!(why.contains("version"), "{why}"),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn while_mongodb_is_away_every_call_is_unavailable_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let uri = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0");
    let store = MongoStore::connect(&uri, "rastro").await.expect("opens without a server");
    let reader = MongoReader::connect(&uri, "rastro").await.expect("opens without a server");
    let start = Instant::now();
    let (row, write) = (row("99M-ABC12345", 1), creation(&created("99M-ABC12345")));
    let (ids, numbers) = ([row.row_id()], [write.tracking_number]);
    let calls = tokio::join!(
        store.insert_events(std::slice::from_ref(&row)),
        store.write_states(std::slice::from_ref(&write)),
        store.states(&numbers),
        store.known_keys(&ids),
        store.ensure_schema(),
        reader.shipment(write.tracking_number),
        reader.events_of(write.tracking_number, None, 10),
    );
    let took = start.elapsed();
    assert!(took < CALL_DEADLINE, "{took:?}");
    assert!(matches!(calls.0, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.1, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.2, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.3, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.4, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.5, Err(StoreError::Unavailable(_))));
    assert!(matches!(calls.6, Err(StoreError::Unavailable(_))));
}
