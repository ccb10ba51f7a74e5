//! What every user store must do. It must be empty at the beginning.

use std::sync::Arc;
use std::time::Duration;

use super::{Role, User, UserError, UserStore};
use crate::shipment::Timestamp;

/// How often two admins try to put each other out at the same moment.
const DUELS: usize = 16;

fn user(username: &str, role: Role, client_id: Option<&str>) -> User {
    User {
        username: username.to_owned(),
        password_hash: format!("hash of {username}"),
        role,
        client_id: client_id.map(str::to_owned),
        disabled: false,
        created_at: Timestamp::from_millis(1_700_000_000_123),
        updated_at: Timestamp::from_millis(1_700_000_000_456),
    }
}

/// `user` after a change.
fn changed(user: &User, change: impl FnOnce(&mut User)) -> User {
    let mut changed = User { updated_at: user.updated_at.plus(Duration::from_millis(1)), ..user.clone() };
    change(&mut changed);
    changed
}

/// Runs the suite.
///
/// # Panics
/// The store breaks its contract.
// contract: "409 when the name is taken"
pub async fn run(store: Arc<dyn UserStore>) {
    names_are_unique(&store).await;
    a_change_is_made_to_what_was_seen(&*store).await;
    one_of_many_who_change_a_user_at_once_is_first(&store).await;
    a_removed_user_is_gone(&*store).await;
    one_admin_remains(&*store).await;
    one_admin_remains_of_two_who_put_each_other_out(&store).await;
}

async fn names_are_unique(store: &Arc<dyn UserStore>) {
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

async fn a_change_is_made_to_what_was_seen(store: &dyn UserStore) {
    let zoe = store.find("zoe").await.expect("reachable").expect("there");
    let moved = changed(&zoe, |zoe| {
        zoe.password_hash = "another hash".to_owned();
        zoe.role = Role::Source;
        zoe.client_id = None;
        zoe.disabled = true;
    });
    store.replace(&zoe, moved.clone()).await.expect("replaced");
    assert_eq!(store.find("zoe").await.expect("reachable"), Some(moved.clone()));

    let too_late = changed(&zoe, |zoe| zoe.client_id = Some("client_002".to_owned()));
    assert!(matches!(store.replace(&zoe, too_late).await, Err(UserError::Changed)));
    assert_eq!(store.find("zoe").await.expect("reachable"), Some(moved.clone()), "unchanged");

    let back = changed(&moved, |zoe| {
        zoe.role = Role::Client;
        zoe.client_id = Some("client_002".to_owned());
        zoe.disabled = false;
    });
    store.replace(&moved, back.clone()).await.expect("replaced");
    assert_eq!(store.find("zoe").await.expect("reachable"), Some(back));

    let nobody = user("nobody", Role::Source, None);
    assert!(matches!(store.replace(&nobody, changed(&nobody, |_| ())).await, Err(UserError::Missing)));
    assert_eq!(store.find("nobody").await.expect("reachable"), None, "a change adds nobody");
}

async fn one_of_many_who_change_a_user_at_once_is_first(store: &Arc<dyn UserStore>) {
    let racer = store.find("racer").await.expect("reachable").expect("there");
    let attempts = (0..8).map(|number| {
        let (store, racer) = (store.clone(), racer.clone());
        tokio::spawn(async move {
            let attempt = changed(&racer, |racer| racer.password_hash = format!("hash {number}"));
            let done = store.replace(&racer, attempt.clone()).await;
            assert!(matches!(done, Ok(()) | Err(UserError::Changed)), "{done:?}");
            done.is_ok().then_some(attempt)
        })
    });
    let mut first = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        first.extend(attempt.await.expect("no panic"));
    }
    assert_eq!(first.len(), 1, "one of them saw what was there");
    assert_eq!(store.find("racer").await.expect("reachable"), first.pop());
}

async fn a_removed_user_is_gone(store: &dyn UserStore) {
    store.remove("racer").await.expect("removed");
    assert_eq!(store.find("racer").await.expect("reachable"), None);
    assert!(matches!(store.remove("racer").await, Err(UserError::Missing)));
    store.add(user("racer", Role::Client, Some("client_003"))).await.expect("the name is free again");
    store.remove("racer").await.expect("removed");
}

async fn one_admin_remains(store: &dyn UserStore) {
    let ana = store.find("ana").await.expect("reachable").expect("there");
    let demoted = || changed(&ana, |ana| ana.role = Role::Source);
    let disabled = || changed(&ana, |ana| ana.disabled = true);
    // Another admin who is kept out administers nothing.
    let bob = changed(&user("bob", Role::Admin, None), |bob| bob.disabled = true);
    store.add(bob.clone()).await.expect("added");
    for attempt in [demoted(), disabled()] {
        assert!(matches!(store.replace(&ana, attempt).await, Err(UserError::LastAdmin)));
    }
    assert!(matches!(store.remove("ana").await, Err(UserError::LastAdmin)));
    assert_eq!(store.find("ana").await.expect("reachable"), Some(ana.clone()), "unchanged");
    let renewed = changed(&ana, |ana| ana.password_hash = "a new hash".to_owned());
    store.replace(&ana, renewed.clone()).await.expect("the last admin may have a new password");

    let back = changed(&bob, |bob| bob.disabled = false);
    store.replace(&bob, back).await.expect("replaced");
    store.remove("ana").await.expect("there is another admin now");
    assert!(matches!(store.remove("bob").await, Err(UserError::LastAdmin)));
}

async fn one_admin_remains_of_two_who_put_each_other_out(store: &Arc<dyn UserStore>) {
    let mut survivor = "bob".to_owned();
    for duel in 0..DUELS {
        let [first, second] = ["a", "b"].map(|side| user(&format!("{side}{duel}"), Role::Admin, None));
        store.add(first.clone()).await.expect("added");
        store.add(second.clone()).await.expect("added");
        store.remove(&survivor).await.expect("there are other admins");

        let demotion = {
            let store = store.clone();
            tokio::spawn(async move {
                let demoted = changed(&first, |first| first.role = Role::Source);
                store.replace(&first, demoted).await
            })
        };
        let removal = {
            let store = store.clone();
            tokio::spawn(async move { store.remove(&second.username).await })
        };
        let done = [demotion.await.expect("no panic"), removal.await.expect("no panic")];
        let refused = done.iter().filter(|done| matches!(done, Err(UserError::LastAdmin))).count();
        let mut admins = store.all().await.expect("reachable");
        admins.retain(User::is_enabled_admin);
        assert_eq!((refused, admins.len()), (1, 1), "{done:?} leaves {admins:?}");
        survivor.clone_from(&admins[0].username);
    }
}
