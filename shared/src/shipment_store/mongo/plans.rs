//! What MongoDB does for a list: the commands that the reader sends are recorded by MongoDB's own profiler, and MongoDB explains each.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::tests::row;
use super::*;
use crate::mongo::on_real_database;
use crate::shipment::{
    Claim, Event, HistoryEntry, LogPosition, ServiceType, ShipmentCreated, ShipmentState, Status, Timestamp,
};
use crate::shipment_store::{ListBounds, ListFilter, PageStart, ShipmentReader};

/// Far more than any bound, so that a scan of everything is seen.
const COUNT: usize = 600;
const BOUNDS: ListBounds = ListBounds { page: 150, total: 50, counted: 100, sorted: 20 };
/// A scan looks at one entry behind its end, and at one for each part of a bound.
const SEEKS: i64 = 4;
const PAGE: u32 = 10;

fn shipment(index: usize) -> StateWrite {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let scattered = index * 7919 % 1024; // a third of them begins with 99M-0 to 99M-A
    let (first, second) = (char::from(DIGITS[scattered / 32]), char::from(DIGITS[scattered % 32]));
    let service = ServiceType::ALL[index % 3];
    let body = serde_json::json!({"tracking_number": format!("99M-{first}{second}{index:06}"), "service_type": service,
        "client_id": format!("client_{}", index % 2), "origin_address": "a", "origin_lat": 1, "origin_lng": 1,
        "destination_address": "b", "destination_lat": 1, "destination_lng": 1, "weight_kg": 1, "length_cm": 1,
        "width_cm": 1, "height_cm": 1, "content_description": "c"});
    let millis = i64::try_from(index / 3).expect("small");
    let created = ShipmentCreated::from_json(body, Timestamp::from_millis(millis)).expect("valid");
    let event = Event::Created(Box::new(created.clone()));
    let id = event.event_id();
    let mut state = ShipmentState::created(&created, id, LogPosition { epoch: 1, offset: 0 });
    // The rare ones are the oldest.
    if index > 5 {
        let mut report = event.report();
        report.claim = Claim::Status(Status::Delivered);
        state =
            state.after(HistoryEntry::of(&report, id, created.created_at, true), LogPosition { epoch: 1, offset: 1 });
    }
    StateWrite { tracking_number: created.tracking_number, created: Some(Arc::new(created)), state, parking: None }
}

/// What MongoDB says of a command.
#[derive(Debug)]
struct Plan {
    text: String,
    keys: i64,
    documents: i64,
}

impl Plan {
    async fn of(connection: &MongoConnection, command: Document) -> Self {
        let explain = doc! { "explain": command.clone(), "verbosity": "executionStats" };
        let command_text = command.to_string();
        let explain = RawDocumentBuf::try_from(&explain).expect("valid");
        let reply = connection.run(explain).await.unwrap_or_else(|error| panic!("{error}: {command_text}"));
        let examined = |member| find_number(&Bson::Document(reply.clone()), member);
        let (keys, documents) = (examined("totalKeysExamined"), examined("totalDocsExamined"));
        let text = find_document(&Bson::Document(reply.clone()), "winningPlan").map(|plan| plan.to_string());
        let text = text.unwrap_or_else(|| panic!("no plan: {reply}"));
        Self { text, keys: keys.unwrap_or(0), documents: documents.unwrap_or(0) }
    }

    /// Whether it reads no more than `most` entries of `index`, and nothing else.
    fn walks(&self, index: &str, most: u64) -> bool {
        let most = i64::try_from(most).expect("small");
        let is_indexed = self.text.contains(&format!("\"indexName\": \"{index}\"")) && !self.text.contains("COLLSCAN");
        is_indexed && self.keys <= most + SEEKS && self.documents <= most
    }

    fn sorts(&self) -> bool {
        self.text.contains("\"SORT\"")
    }
}

fn find_number(within: &Bson, member: &str) -> Option<i64> {
    find(within, member).and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)))
}

fn find_document<'a>(within: &'a Bson, member: &str) -> Option<&'a Document> {
    find(within, member).and_then(Bson::as_document)
}

/// The first member of this name, however deep.
fn find<'a>(within: &'a Bson, member: &str) -> Option<&'a Bson> {
    match within {
        Bson::Document(document) => {
            document.get(member).or_else(|| document.values().find_map(|value| find(value, member)))
        }
        Bson::Array(array) => array.iter().find_map(|value| find(value, member)),
        _ => None,
    }
}

/// The commands about `collection` that MongoDB has recorded, without what a driver adds to each; and forgets them.
async fn recorded(connection: &MongoConnection, collection: &str) -> Vec<Document> {
    const OURS: [&str; 10] =
        ["find", "filter", "sort", "projection", "skip", "limit", "hint", "aggregate", "pipeline", "cursor"];
    profile(connection, 0).await;
    let mut commands = Vec::new();
    let records = connection.collection("system.profile");
    let entries = records.find(doc! {}).sort(doc! { "ts": 1 }).await.expect("readable");
    read_all(entries, &mut |entry| {
        let entry = Document::try_from(entry).expect("a document");
        let command = entry.get_document("command").expect("a command");
        let of_ours =
            ["find", "aggregate"].iter().any(|verb| command.get_str(verb).is_ok_and(|name| name == collection));
        if of_ours {
            let ours = command.iter().filter(|(name, _)| OURS.contains(&name.as_str()));
            commands.push(ours.map(|(name, value)| (name.clone(), value.clone())).collect());
        }
        Ok(())
    })
    .await
    .expect("readable");
    let forget = connection.administer(doc! { "drop": "system.profile" }, CALL_DEADLINE).await;
    assert!(forget.is_ok(), "the records can be dropped");
    profile(connection, 2).await;
    commands
}

async fn profile(connection: &MongoConnection, level: i32) {
    assert!(
        connection.administer(doc! { "profile": level }, CALL_DEADLINE).await.is_ok(),
        "a database can be profiled"
    );
}

/// Every combination of filters with the index that spans it.
fn filters() -> Vec<(ListFilter, &'static str)> {
    let mut filters = Vec::new();
    let spans = [
        (None, None, "newest_first"),
        (Some("client_1"), None, "client_newest_first"),
        (None, Some(ServiceType::SameDay), "service_newest_first"),
        (Some("client_1"), Some(ServiceType::SameDay), "client_service_newest_first"),
    ];
    for (client, service_type, index) in spans {
        for status in [None, Some(Status::Created), Some(Status::Delivered)] {
            // Many begin with the first, few with the second.
            for prefix in [None, Some("99M-"), Some("99M-A")] {
                for (from, to) in [(None, None), (Some(10), None), (None, Some(190)), (Some(10), Some(190))] {
                    let [created_from, created_to] = [from, to].map(|time| time.map(Timestamp::from_millis));
                    let (client_id, prefix) = (client.map(str::to_owned), prefix.map(str::to_owned));
                    filters.push((
                        ListFilter { status, client_id, service_type, prefix, created_from, created_to },
                        index,
                    ));
                }
            }
        }
    }
    filters
}

#[tokio::test]
async fn every_list_reads_an_index_in_its_order_and_no_farther_than_it_may() {
    on_real_database("every_list_reads_an_index_in_its_order_and_no_farther_than_it_may", async |connection| {
        let store = MongoStore::new(&connection);
        store.ensure_schema().await.expect("made");
        store.write_states(&(0..COUNT).map(shipment).collect::<Vec<_>>()).await.expect("written");
        let reader = MongoReader::new(&connection).within(BOUNDS);
        let half = shipment(COUNT / 2);
        let behind = PageStart::After(half.created.expect("a creation").created_at, half.tracking_number);
        profile(&connection, 2).await;
        let mut explained = 0;
        for (filter, index) in filters() {
            let few = filter.prefix.as_deref() == Some("99M-A");
            for start in [PageStart::Offset(0), behind] {
                reader.list(&filter, start, PAGE).await.expect("readable");
                for command in recorded(&connection, SHIPMENTS).await {
                    let plan = Plan::of(&connection, command.clone()).await;
                    // A count of what begins with a prefix, and what is fetched of few, go by number.
                    let by_number = command.to_string().contains("\"_id\": { \"$gte\"") || command.contains_key("hint");
                    let walks = plan.walks(index, BOUNDS.page) || (by_number && plan.walks("_id_", BOUNDS.counted));
                    // For a total it does not matter which index begins with the client.
                    let counts =
                        command.contains_key("aggregate") && plan.walks("client_service_newest_first", BOUNDS.counted);
                    assert!(walks || counts, "{filter:?} {start:?} {command}: {plan:?}");
                    assert!(!plan.sorts() || few, "{filter:?} {start:?} {command}: {plan:?}");
                    let only_index =
                        command.get_document("projection").is_ok_and(|members| members.contains_key("created_at"));
                    assert!(!only_index || plan.documents == 0, "{filter:?} {start:?} {command}: {plan:?}");
                    let is_page = command.contains_key("find") && !filter.looks();
                    assert!(
                        !is_page || plan.documents <= i64::from(PAGE) + 1,
                        "{filter:?} {start:?} {command}: {plan:?}"
                    );
                    explained += 1;
                }
            }
        }
        assert!(explained > 2 * filters().len(), "each list is a page and mostly a total: {explained}");
    })
    .await;
}

#[tokio::test]
async fn a_list_that_read_everything_would_be_seen() {
    on_real_database("a_list_that_read_everything_would_be_seen", async |connection| {
        let store = MongoStore::new(&connection);
        store.ensure_schema().await.expect("made");
        store.write_states(&(0..COUNT).map(shipment).collect::<Vec<_>>()).await.expect("written");
        let explain = async |filter: Document, sort: Document| {
            let find = doc! { "find": SHIPMENTS, "filter": filter, "sort": sort, "limit": 10 };
            Plan::of(&connection, find).await
        };
        let newest_first = doc! { "created_at": -1, "_id": -1 };
        let scan = explain(doc! { "package.weight_kg": 7 }, doc! {}).await;
        assert!(!scan.walks("newest_first", BOUNDS.page), "no index: {scan:?}");
        let unbounded = explain(doc! { "state.current_status": "picked_up" }, newest_first.clone()).await;
        assert!(!unbounded.walks("newest_first", BOUNDS.page), "an index to its end: {unbounded:?}");
        let sorted = explain(doc! { "client_id": "client_1" }, doc! { "state.updated_at": 1 }).await;
        assert!(sorted.sorts(), "{sorted:?}");
        let bounded = explain(doc! { "client_id": "client_1" }, newest_first).await;
        assert!(bounded.walks("client_newest_first", BOUNDS.page) && !bounded.sorts(), "{bounded:?}");
    })
    .await;
}

#[tokio::test]
async fn the_events_of_a_shipment_are_found_by_the_beginning_of_their_ids() {
    on_real_database("the_events_of_a_shipment_are_found_by_the_beginning_of_their_ids", async |connection| {
        let store = MongoStore::new(&connection);
        let numbers = ["99M-ABC12344", "99M-ABC12345", "99M-ABC123456", "99M-ABC12346"];
        let rows: Vec<_> = numbers.iter().flat_map(|number| (0..30).map(|second| row(number, second))).collect();
        assert_eq!(store.insert_events(&rows).await.expect("written"), Inserted::All);
        profile(&connection, 2).await;
        let reader = MongoReader::new(&connection);
        let first = reader.events_of(rows[30].report.tracking_number, None, 10).await.expect("readable");
        reader.events_of(first[0].report.tracking_number, Some(first[9].position), 10).await.expect("readable");
        let commands = recorded(&connection, STATUS_EVENTS).await;
        assert_eq!(commands.len(), 2);
        for command in commands {
            let plan = Plan::of(&connection, command).await;
            assert!(plan.walks("_id_", 30), "no other shipment's row is looked at: {plan:?}");
        }
    })
    .await;
}
