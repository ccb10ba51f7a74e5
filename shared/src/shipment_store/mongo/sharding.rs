//! Whether the store would be right, and how much of a sharded cluster it would ask, by what it sends: read off the commands of the
//! conformance suite, because no router (`mongos`) can be had where the tests run.
//!
//! Both collections are meant to be sharded by `{ _id: 1 }`. `_id` is the tracking number, or begins with it, and tracking numbers are as
//! good as random, so ranges fill evenly, and the rows of a shipment lie in one of them; by the hash of `_id` they would lie everywhere.

use std::sync::{Arc, Mutex, PoisonError};

use mongodb::bson::{Bson, Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;

use super::{MongoReader, MongoStore, SHIPMENTS, STATUS_EVENTS};
use crate::mongo::{MongoConnection, on_real_database};
use crate::shipment_store::conformance;

/// Which shards a command about one of the two collections asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Those that hold the ids that it names, or the ids between two that it names.
    Few,
    /// All of them, each for no more of a list, or of how long it is, than an index gives in its order.
    AllForAList,
    /// All of them.
    All,
}

/// The commands that a client sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Document>>>);

impl Sent {
    /// A client of the database of `connection` whose commands are kept here.
    async fn watch(&self, connection: &MongoConnection) -> MongoConnection {
        let kept = self.0.clone();
        let keep = move |event| {
            if let CommandEvent::Started(started) = event {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(started.command);
            }
        };
        connection.watched(EventHandler::callback(keep)).await
    }

    /// Those about the two collections, with whom they ask.
    fn asked(&self) -> Vec<(Asked, Document)> {
        let commands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commands.iter().filter_map(|command| Some((asked(command)?, command.clone()))).collect()
    }
}

/// Whom `command` asks; `None` when it is not about documents of the two collections.
fn asked(command: &Document) -> Option<Asked> {
    let (verb, about) = command.iter().next()?;
    if !about.as_str().is_some_and(|name| name == SHIPMENTS || name == STATUS_EVENTS) {
        return None;
    }
    let members = |name: &str| command.get_array(name).ok().into_iter().flatten().filter_map(Bson::as_document);
    let few = |all: bool| if all { Asked::Few } else { Asked::All };
    match verb.as_str() {
        "insert" => Some(few(members("documents").all(|document| document.get_str("_id").is_ok()))),
        // An update by a range of the shard key would reach several shards, and an upsert by one is refused.
        "update" => Some(few(members("updates").all(|update| is_by_id(update, "q")))),
        "delete" => Some(few(members("deletes").all(|delete| is_by_id(delete, "q")))),
        "findAndModify" => Some(few(is_by_id(command, "query"))),
        "find" => Some(asked_by_find(command)),
        "aggregate" => {
            let of = |name: &str| members("pipeline").find_map(|stage| stage.get(name).cloned());
            let by_ids = of("$match").as_ref().and_then(Bson::as_document).is_some_and(names_ids);
            Some(if of("$limit").is_some() && !by_ids { Asked::AllForAList } else { few(by_ids) })
        }
        // The collection's own count: no document is looked at.
        "count" if !command.contains_key("query") => Some(Asked::AllForAList),
        "createIndexes" | "listIndexes" | "drop" | "create" | "collMod" | "explain" => None,
        other => panic!("whom does {other} ask? {command}"),
    }
}

fn is_by_id(statement: &Document, filter: &str) -> bool {
    statement.get_document(filter).is_ok_and(|filter| filter.get_str("_id").is_ok())
}

fn asked_by_find(command: &Document) -> Asked {
    let in_order = [doc! { "created_at": -1, "_id": -1 }, doc! { "_id": 1 }, parked_first()];
    if command.get_document("filter").is_ok_and(names_ids) {
        Asked::Few
    } else if command.get_document("sort").is_ok_and(|sort| in_order.contains(sort)) && command.contains_key("limit") {
        Asked::AllForAList
    } else {
        Asked::All
    }
}

/// The order of the one list that the processor reads: the shipments with parked events, out of an index that holds no others.
fn parked_first() -> Document {
    doc! { "parking.until": 1 }
}

/// Whether `condition` names the ids, or a lower and an upper bound of them.
fn names_ids(condition: &Document) -> bool {
    let all_of = |name: &str| condition.get_array(name).ok().into_iter().flatten().filter_map(Bson::as_document);
    let bounded = |bounds: &Document| {
        let has = |one: &str, other: &str| bounds.contains_key(one) || bounds.contains_key(other);
        bounds.contains_key("$in") || has("$gt", "$gte") && has("$lt", "$lte")
    };
    match condition.get("_id") {
        Some(Bson::String(_)) => true,
        Some(Bson::Document(bounds)) => bounded(bounds),
        _ => all_of("$and").any(names_ids) || (condition.contains_key("$or") && all_of("$or").all(names_ids)),
    }
}

/// The suite, the writing and the reading side each watched.
async fn watched_suite(connection: &MongoConnection) -> (Sent, Sent) {
    let (writing, reading) = (Sent::default(), Sent::default());
    let store = MongoStore::new(&writing.watch(connection).await);
    store.ensure_schema().await.expect("made");
    let reader = MongoReader::new(&reading.watch(connection).await);
    conformance::run_pair(Arc::new(store), Arc::new(reader)).await;
    (writing, reading)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_names_its_shard_and_only_lists_ask_all_of_them() {
    let test = "whatever_is_written_names_its_shard_and_only_lists_ask_all_of_them";
    on_real_database(test, async |connection| {
        let (writing, reading) = watched_suite(&connection).await;
        let written = writing.asked();
        let verbs = ["insert", "update", "find"];
        assert!(verbs.iter().all(|verb| written.iter().any(|(_, command)| command.contains_key(verb))), "it wrote");
        for (asked, command) in written {
            let of_parked = command.get_document("sort").is_ok_and(|sort| *sort == parked_first());
            assert_eq!(asked, if of_parked { Asked::AllForAList } else { Asked::Few }, "{command}");
        }
        let read = reading.asked();
        for wanted in [Asked::Few, Asked::AllForAList] {
            assert!(read.iter().any(|(asked, _)| *asked == wanted), "{wanted:?}");
        }
        for (asked, command) in read {
            let of_shipments = command.iter().next().is_some_and(|(_, about)| about.as_str() == Some(SHIPMENTS));
            assert!(asked == Asked::Few || (asked == Asked::AllForAList && of_shipments), "{asked:?}: {command}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_index_but_that_of_the_shard_key_is_unique() {
    on_real_database("no_index_but_that_of_the_shard_key_is_unique", async |connection| {
        MongoStore::new(&connection).ensure_schema().await.expect("made");
        for collection in [SHIPMENTS, STATUS_EVENTS] {
            let documents = connection.collection(collection);
            documents.insert_one(mongodb::bson::rawdoc! { "_id": "99M-ABC12345" }).await.expect("written");
            let indexes = documents.list_indexes().await.expect("listed");
            let indexes: Vec<_> = futures::TryStreamExt::try_collect(indexes).await.expect("read");
            assert!(!indexes.is_empty());
            for index in indexes {
                let is_unique = index.options.and_then(|options| options.unique).unwrap_or_default();
                assert!(!is_unique, "a router cannot keep {} unique across shards", index.keys);
            }
        }
    })
    .await;
}

#[test]
fn what_does_not_name_its_shard_is_seen() {
    let update = |filter: Document| doc! { "update": SHIPMENTS, "updates": [{ "q": filter, "u": {} }] };
    assert_eq!(asked(&update(doc! { "_id": "99M-ABC12345" })), Some(Asked::Few));
    assert_eq!(asked(&update(doc! { "_id": { "$gt": "99M-A" } })), Some(Asked::All));
    assert_eq!(asked(&update(doc! { "client_id": "c" })), Some(Asked::All));
    assert_eq!(asked(&doc! { "insert": STATUS_EVENTS, "documents": [{ "_id": "a" }, { "e": 1 }] }), Some(Asked::All));
    let find = |filter: Document| asked(&doc! { "find": STATUS_EVENTS, "filter": filter });
    assert_eq!(find(doc! { "_id": { "$in": ["a"] } }), Some(Asked::Few));
    assert_eq!(find(doc! { "_id": { "$gte": "a", "$lte": "b" }, "e": 1 }), Some(Asked::Few));
    assert_eq!(find(doc! { "_id": { "$gt": "a" } }), Some(Asked::All));
    assert_eq!(find(doc! { "$or": [{ "_id": "a" }, { "e": 1 }] }), Some(Asked::All));
    assert_eq!(find(doc! {}), Some(Asked::All));
    assert_eq!(asked(&doc! { "find": "users", "filter": {} }), None);
}
