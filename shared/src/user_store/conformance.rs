//! What every user store must do. It must be empty at the beginning.

use std::sync::Arc;

use super::{Role, User, UserError, UserStore};
use crate::shipment::Timestamp;

fn user(username: &str, role: Role, client_id: Option<&str>) -> User {
    User {
        username: username.to_owned(),
        password_hash: format!("hash of {username}"),
        role,
        client_id: client_id.map(str::to_owned),
        created_at: Timestamp::from_millis(1_700_000_000_123),
        updated_at: Timestamp::from_millis(1_700_000_000_456),
    }
}

/// Runs the suite.
///
/// # Panics
/// The store breaks its contract.
pub async fn run(store: Arc<dyn UserStore>) {
    assert_eq!(store.find("zoe").await.expect("reachable"), None);
    let (zoe, ana) = (user("zoe", Role::Client, Some("client_001")), user("ana", Role::Admin, None));
    store.add(zoe.clone()).await.expect("added");
    store.add(ana.clone()).await.expect("added");
    assert_eq!(store.find("zoe").await.expect("reachable"), Some(zoe.clone()));
    assert_eq!(store.find("Zoe").await.expect("reachable"), None, "names that differ in case are two users");

    let impostor = User { role: Role::Admin, ..zoe.clone() };
    assert!(matches!(store.add(impostor).await, Err(UserError::Taken)));
    assert_eq!(store.all().await.expect("reachable"), [ana, zoe], "unchanged, and by name");

    let racers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.add(user("racer", Role::Source, None)).await.is_ok() })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += u32::from(racer.await.expect("no panic"));
    }
    assert_eq!(winners, 1, "a name is given out once");
}
