//! What every store of keys must do. It must be empty at the beginning.

use std::sync::Arc;

use super::{ApiKey, ApiKeyError, ApiKeyStore, KeyText};
use crate::shipment::Timestamp;
use crate::user_store::Role;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

/// A key whose id is made of `seed`.
fn key(seed: u8, created: i64) -> ApiKey {
    let text = KeyText::of([seed; 25]);
    ApiKey {
        id: text.id().clone(),
        name: format!("scanner {seed}"),
        hash: text.hash(),
        role: Role::Source,
        client_id: None,
        created_at: at(created),
        created_by: "ana".to_owned(),
        expires_at: None,
        last_used_at: None,
    }
}

/// Runs the suite.
///
/// # Panics
/// The store breaks its contract.
pub async fn run(store: Arc<dyn ApiKeyStore>) {
    let old = key(9, 1);
    let young = ApiKey {
        role: Role::Client,
        client_id: Some("client_001".to_owned()),
        expires_at: Some(at(86_400_000)),
        last_used_at: Some(at(7)),
        ..key(3, 2)
    };
    assert_eq!(store.find(&old.id).await.expect("reachable"), None);
    assert_eq!(store.all().await.expect("reachable"), []);
    store.add(young.clone()).await.expect("added");
    store.add(old.clone()).await.expect("added");
    assert_eq!(store.find(&old.id).await.expect("reachable"), Some(old.clone()));
    assert_eq!(store.find(&young.id).await.expect("reachable"), Some(young.clone()));
    assert_eq!(store.all().await.expect("reachable"), [old.clone(), young.clone()], "the oldest first");

    let impostor = ApiKey { name: "another".to_owned(), ..old.clone() };
    assert!(matches!(store.add(impostor).await, Err(ApiKeyError::Taken)));
    assert_eq!(store.find(&old.id).await.expect("reachable"), Some(old.clone()), "unchanged");

    let last_use = async || store.find(&old.id).await.expect("reachable").expect("there").last_used_at;
    for (noted, last) in [(50, 50), (20, 50), (51, 51)] {
        store.used(&old.id, at(noted)).await.expect("noted");
        assert_eq!(last_use().await, Some(at(last)), "after a use at {noted}");
    }

    assert!(store.remove(&old.id).await.expect("reachable"));
    assert!(!store.remove(&old.id).await.expect("reachable"), "it is gone");
    assert_eq!(store.find(&old.id).await.expect("reachable"), None);
    store.used(&old.id, at(60)).await.expect("a use that is noted late is no failure");
    assert_eq!(store.all().await.expect("reachable"), [young], "and adds no key");

    an_id_is_given_out_once(&store).await;
}

async fn an_id_is_given_out_once(store: &Arc<dyn ApiKeyStore>) {
    let racers = (0..8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.add(ApiKey { created_at: at(number), ..key(5, 0) }).await.is_ok() })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += u32::from(racer.await.expect("no panic"));
    }
    assert_eq!(winners, 1);
}
