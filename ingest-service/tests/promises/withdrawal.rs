//! What was given out stops when its user is changed.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::user_store::{User, UserStore};

use crate::world::{ADMIN, CLIENT, DRIVER, OTHER_CLIENT, World, pass, report};

/// How long an instance goes by what it knows about a user (`standing.rs`).
const KNOWN: Duration = Duration::from_secs(30);

fn event() -> Value {
    report("99M-ABC12345", "picked_up", 0)
}

async fn posts(world: &World, token: &str) -> u16 {
    world.call(token, "POST", "/events", &event()).await.status.as_u16()
}

/// Another instance changes a user.
async fn change_elsewhere(world: &World, username: &str, change: impl FnOnce(&mut User)) {
    let was = world.users.find(username).await.expect("in memory").expect("there");
    let mut user = User { updated_at: was.updated_at.plus(Duration::from_millis(1)), ..was.clone() };
    change(&mut user);
    world.users.replace(&was, user).await.expect("in memory");
}

#[tokio::test(start_paused = true)]
async fn a_token_stops_at_once_where_its_user_was_changed() {
    for change in [
        json!({"disabled": true}),
        json!({"password": "another one"}),
        json!({"role": "client", "client_id": "client_009"}),
        json!({"client_id": "client_009"}),
    ] {
        let world = World::new().await;
        let token = world.token(DRIVER, "password123").await;
        assert_eq!(posts(&world, &token).await, 202);
        let path = format!("/auth/users/{DRIVER}");
        assert_eq!(world.change(ADMIN, "PATCH", &path, &json!({"disabled": false})).await.status, StatusCode::OK);
        assert_eq!(posts(&world, &token).await, 202, "a change that changes nothing logs nobody out");
        assert_eq!(world.change(ADMIN, "PATCH", &path, &change).await.status, StatusCode::OK);
        let refused = world.call(&token, "POST", "/events", &event()).await;
        assert_eq!(refused.failure(), (401, "UNAUTHORIZED".to_owned()), "{change}");
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.contains("invalid_token")));
    }
    let world = World::new().await;
    let token = world.token(DRIVER, "password123").await;
    let removed = world.change(ADMIN, "DELETE", &format!("/auth/users/{DRIVER}"), &Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(posts(&world, &token).await, 401);
    assert_eq!(world.metric("shipping_credentials_total{credential=\"token\",result=\"withdrawn\"}").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_stops_within_thirty_seconds_on_every_other_instance() {
    let world = World::new().await;
    let (driver, client) = (world.token(DRIVER, "password123").await, world.token(OTHER_CLIENT, "password123").await);
    for token in [&driver, &client] {
        assert_eq!(posts(&world, token).await, 202);
    }
    change_elsewhere(&world, DRIVER, |driver| driver.disabled = true).await;
    world.users.remove(OTHER_CLIENT).await.expect("in memory");
    pass(KNOWN).await;
    for token in [&driver, &client] {
        assert_eq!(posts(&world, token).await, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn who_logs_in_anew_after_a_change_is_held_up_by_no_instance_that_remembers_the_old() {
    let world = World::new().await;
    let old = world.token(DRIVER, "password123").await;
    assert_eq!(posts(&world, &old).await, 202, "what is known about the user is remembered");
    change_elsewhere(&world, DRIVER, |driver| driver.role = shared::user_store::Role::Admin).await;
    pass(Duration::from_secs(1)).await;
    let new = world.token(DRIVER, "password123").await;
    assert_eq!(posts(&world, &new).await, 202);
    assert_eq!(posts(&world, &old).await, 401, "and what is newer is remembered from then on");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_was_removed_and_added_again_is_somebody_else() {
    let world = World::new().await;
    let old = world.token(DRIVER, "password123").await;
    let path = format!("/auth/users/{DRIVER}");
    assert_eq!(world.change(ADMIN, "DELETE", &path, &Value::Null).await.status, StatusCode::NO_CONTENT);
    pass(Duration::from_secs(1)).await;
    let again = json!({"username": DRIVER, "password": "password123", "role": "admin"});
    assert_eq!(world.post(ADMIN, "/auth/users", &again).await.status, StatusCode::CREATED);
    assert_eq!(posts(&world, &old).await, 401);
    let new = world.token(DRIVER, "password123").await;
    assert_eq!(posts(&world, &new).await, 202);
}

#[tokio::test(start_paused = true)]
async fn while_users_cannot_be_reached_tokens_go_on_and_what_is_known_counts() {
    let world = World::new().await;
    let (known, new) = (world.token(DRIVER, "password123").await, world.token(CLIENT, "password123").await);
    let out = world.token(OTHER_CLIENT, "password123").await;
    let path = format!("/auth/users/{OTHER_CLIENT}");
    assert_eq!(world.change(ADMIN, "PATCH", &path, &json!({"disabled": true})).await.status, StatusCode::OK);
    assert_eq!((posts(&world, &known).await, posts(&world, &out).await), (202, 401));
    world.users.set_away(true);
    pass(KNOWN).await;
    for _ in 0..10 {
        assert_eq!((posts(&world, &known).await, posts(&world, &new).await), (202, 202));
        assert_eq!(posts(&world, &out).await, 401, "it was out before");
    }
    let log_in = world.log_in(DRIVER, "password123").await;
    assert_eq!((log_in.failure().0, log_in.header("retry-after")), (503, Some("2")));
    assert!(world.metric("shipping_credentials_total{credential=\"token\",result=\"unconfirmed\"}").await >= 20);
    world.users.set_away(false);
    pass(Duration::from_secs(1)).await;
    change_elsewhere(&world, DRIVER, |driver| driver.disabled = true).await;
    assert_eq!((posts(&world, &known).await, posts(&world, &new).await), (401, 202));
}
