//! What must have become of all that was accepted, worked out anew from the contract: every accepted event has one outcome, and each
//! shipment is the fold of its events in the order of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use crate::client::{Client, is_utc, text};
use crate::platform::Pair;
use crate::poster::Accepted;
use crate::topic::{self, Record};
use crate::wait;

/// Longest time until a change is published whose row can be read.
const PUBLISHED: Duration = Duration::from_secs(30);
/// How many shipments are read at a time.
const AT_A_TIME: usize = 32;

/// The events that moved each shipment, its creation first, in order of the log.
pub type Moves = BTreeMap<String, Vec<String>>;

struct Judged {
    accepted: Accepted,
    position: (i64, i64),
    outcome: String,
    reason: Value,
}

/// The strict table of contract section 2.
fn may_follow(from: &str, to: &str) -> bool {
    match from {
        "created" => matches!(to, "picked_up" | "cancelled"),
        "picked_up" => matches!(to, "in_warehouse" | "cancelled"),
        "in_warehouse" => matches!(to, "in_transit" | "cancelled"),
        "in_transit" => to == "delivered",
        _ => false,
    }
}

/// Holds the platform to account for everything that it accepted: each event has its one outcome, the one that the fold gives, and each
/// shipment shows what the fold gives. `lists` holds what each source was answered, in the order of the answers.
///
/// # Panics
/// Something was lost, doubled, reordered or judged wrongly.
pub async fn hold_to_account(admin: &Client, lists: &[&[Accepted]]) -> Moves {
    let all: BTreeMap<&str, &Accepted> =
        lists.iter().copied().flatten().map(|accepted| (accepted.event_id.as_str(), accepted)).collect();
    let ids: Vec<String> = all.keys().map(|&id| id.to_owned()).collect();
    let found = admin.outcomes(ids).await;
    let judged: BTreeMap<String, Judged> =
        found.iter().map(|found| (text(found, "event_id"), Judged::read(found, &all))).collect();
    let positions: BTreeSet<_> = judged.values().map(|judged| judged.position).collect();
    assert_eq!(positions.len(), all.len(), "each event has a position of its own");
    for list in lists {
        nothing_was_reordered(list, &judged);
    }

    let mut shipments: BTreeMap<String, Vec<Judged>> = BTreeMap::new();
    for judged in judged.into_values() {
        shipments.entry(judged.accepted.number.clone()).or_default().push(judged);
    }
    let accounts = shipments.into_iter().map(async |(number, events)| {
        let moves = account(&admin.shipment(&number).await, events);
        (number, moves)
    });
    futures::stream::iter(accounts).buffer_unordered(AT_A_TIME).collect().await
}

impl Judged {
    fn read(found: &Value, all: &BTreeMap<&str, &Accepted>) -> Self {
        let accepted = all[text(found, "event_id").as_str()].clone();
        assert_eq!(found["tracking_number"], *accepted.number, "{found}");
        assert!(is_utc(&found["timestamp"]) && is_utc(&found["recorded_at"]), "{found}");
        let number = |member: &str| found[member].as_i64().unwrap_or_else(|| panic!("{member} in {found}"));
        Self {
            accepted,
            position: (number("partition"), number("offset")),
            outcome: text(found, "outcome"),
            reason: found["reason"].clone(),
        }
    }
}

/// One source's events about one shipment stand in the log in the order in which they were accepted.
fn nothing_was_reordered(list: &[Accepted], judged: &BTreeMap<String, Judged>) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for accepted in list.iter().filter(|accepted| seen.insert(&accepted.event_id)) {
        let position = judged[&accepted.event_id].position;
        if let Some(before) = last.insert(&accepted.number, position) {
            assert_eq!(before.0, position.0, "{} stands on one partition", accepted.number);
            assert!(before.1 < position.1, "{} overtook the event before it", accepted.event_id);
        }
    }
}

/// Compares what a shipment shows with the fold of its events, and returns those that moved it.
fn account(shipment: &Value, mut events: Vec<Judged>) -> Vec<String> {
    events.sort_by_key(|judged| judged.position);
    let history = shipment["status_history"].as_array().expect("a shipment has a history");
    let creation = history.iter().find(|entry| entry["status"] == "created").expect("the history keeps the creation");
    let (mut status, mut keys) = ("created".to_owned(), BTreeSet::new());
    let (mut moves, mut entered) = (vec![text(creation, "event_id")], BTreeSet::from([text(creation, "event_id")]));
    for Judged { accepted, outcome, reason, position } in &events {
        let expected = match &accepted.status {
            _ if !keys.insert(&accepted.key) => ("conflict", "KEY_CONFLICT"),
            None => ("recorded", ""),
            Some(claimed) if may_follow(&status, claimed) => ("applied", ""),
            Some(_) => ("rejected", "INVALID_TRANSITION"),
        };
        let judged = (outcome.as_str(), reason.as_str().unwrap_or_default());
        assert_eq!(judged, expected, "{accepted:?} at {position:?} in status {status}: {shipment}");
        if let ("applied", Some(claimed)) = (outcome.as_str(), &accepted.status) {
            status.clone_from(claimed);
            moves.push(accepted.event_id.clone());
        }
        if matches!(outcome.as_str(), "applied" | "recorded") {
            entered.insert(accepted.event_id.clone());
        }
    }
    assert_eq!(shipment["current_status"], *status, "{shipment}");
    assert_eq!(shipment["version"], entered.len(), "each entry is one version: {shipment}");
    assert_eq!(shipment["history_truncated"], 0, "tests keep histories short: {shipment}");
    let shown: Vec<String> = history.iter().map(|entry| text(entry, "event_id")).collect();
    assert_eq!(shown.len(), entered.len(), "nothing stands there twice: {shipment}");
    assert_eq!(BTreeSet::from_iter(shown), entered, "{shipment}");
    let moved = history.iter().filter(|entry| entry["moved"] == true).map(|entry| text(entry, "event_id"));
    assert_eq!(moved.collect::<BTreeSet<_>>(), moves.iter().cloned().collect(), "{shipment}");
    assert!(history.is_sorted_by_key(|entry| text(entry, "timestamp")), "in order of time: {shipment}");
    moves
}

/// Waits until the changes of all `moves` are published, and holds them to account.
///
/// # Panics
/// One is missing, or they stand in another order.
pub async fn hold_published_to_account(pair: &Pair, moves: &Moves) {
    let topic = format!("{}.changes", pair.database);
    let expected: BTreeSet<&str> = moves.values().flatten().map(String::as_str).collect();
    // A row can be read before its change is published.
    let published = async || {
        let changes = topic::read(&pair.servers.kafka_brokers, &topic).await;
        let there: BTreeSet<&str> = changes.iter().filter_map(|change| change.header("ce_id")).collect();
        expected.is_subset(&there).then_some(changes)
    };
    let (changes, _) = wait::until("all changes are published", PUBLISHED, published).await;
    hold_changes_to_account(&changes, moves);
}

/// Compares `changes`, all records of that topic, with the moves: each is there at least once, and in order; nothing else is there about
/// these shipments.
fn hold_changes_to_account(changes: &[Record], moves: &Moves) {
    let mut published: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for change in changes {
        let events = published.entry(change.key_text()).or_default();
        let event = change.header("ce_id").expect("a change names its event");
        if !events.contains(&event) {
            events.push(event); // whoever reads them knows one that came before by its event_id
        }
    }
    for (number, moves) in moves {
        let published = published.get(number.as_str()).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(published, moves, "the changes of {number}");
    }
}
