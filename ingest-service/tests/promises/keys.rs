//! Keys of machines.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::api_key_store::{ApiKeyStore, KeyId};

use crate::world::{ADMIN, Answer, CLIENT, DRIVER, World, now, pass, registration, report};

/// How long an instance goes by what it knows about a key, and how long that there is none (`api_key.rs`).
const KNOWN: Duration = Duration::from_secs(30);
const UNKNOWN: Duration = Duration::from_secs(5);

/// A key and its id.
pub(crate) async fn make(world: &World, body: &Value) -> (String, String) {
    let answer = world.post(ADMIN, "/auth/api-keys", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let text = |member: &str| answer.json()[member].as_str().expect("a text").to_owned();
    (text("key"), text("id"))
}

async fn scanner(world: &World) -> (String, String) {
    make(world, &json!({"name": "Gate 4, Puebla", "role": "source"})).await
}

async fn posts(world: &World, key: &str) -> Answer {
    world.call(key, "POST", "/events", &report("99M-ABC12345", "picked_up", 0)).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_by_its_prefix() {
    let world = World::new().await;
    let body =
        json!({"name": "Gate 4", "role": "client", "client_id": "client_001", "expires_at": "2026-01-01T00:00:00Z"});
    let made = world.post(ADMIN, "/auth/api-keys", &body).await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, Some("no-store")));
    let made = made.json();
    let key = made["key"].as_str().expect("a key");
    let (prefix, id) = (made["prefix"].as_str().expect("a prefix"), made["id"].as_str().expect("an id"));
    assert_eq!((prefix, key.len()), (&key[..11], 44));
    assert_eq!(prefix, format!("rk_{id}"));

    let listed = world.get(ADMIN, "/auth/api-keys").await;
    let expected = json!({"id": id, "prefix": prefix, "name": "Gate 4", "role": "client", "client_id": "client_001",
        "created_at": "2025-06-15T15:06:40Z", "created_by": ADMIN, "expires_at": "2026-01-01T00:00:00Z", "last_used_at": null});
    assert_eq!(listed.json(), json!({"data": [expected]}));
    assert!(!listed.text.contains(&key[12..]), "the key itself is not shown again: {}", listed.text);
    assert_eq!(world.get(ADMIN, &format!("/auth/api-keys/{id}")).await.json(), expected);

    let stored = world.api_keys.find(&KeyId::parse(id).expect("an id")).await.expect("in memory").expect("there");
    assert!(!format!("{stored:?}").contains(&key[12..]) && stored.hash.bytes() != key.as_bytes());
}

#[tokio::test]
async fn a_machine_with_a_key_may_do_what_its_role_may_and_its_events_say_so() {
    let world = World::new().await;
    let (key, id) = scanner(&world).await;
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED);
    let record = world.records().pop().expect("a record");
    let value: Value = serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
    assert_eq!(value["reporter"], json!({"sub": format!("key:{id}"), "role": "source"}));
    for (method, path) in
        [("GET", "/shipments"), ("POST", "/shipments"), ("GET", "/auth/users"), ("GET", "/auth/api-keys")]
    {
        assert_eq!(
            world.call(&key, method, path, &registration()).await.failure(),
            (403, "FORBIDDEN".to_owned()),
            "{path}"
        );
    }

    let (key, _) = make(&world, &json!({"name": "their system", "role": "client", "client_id": "client_001"})).await;
    let (theirs, foreign) = (world.shipment("client_001").await, world.shipment("client_002").await);
    let seen = async |number: &str| world.call(&key, "GET", &format!("/shipments/{number}"), &Value::Null).await.status;
    assert_eq!((seen(&theirs).await, seen(&foreign).await), (StatusCode::OK, StatusCode::FORBIDDEN));
    assert_eq!(world.metric("shipping_credentials_total{credential=\"api_key\",result=\"accepted\"}").await, 7);
}

#[tokio::test]
async fn what_is_no_key_of_ours_is_refused_like_a_bad_token() {
    let world = World::new().await;
    let (key, id) = scanner(&world).await;
    let last = if key.ends_with('0') { '1' } else { '0' };
    let almost = format!("{}{last}", &key[..key.len() - 1]);
    let foreign = format!("rk_00000000_{}", &key[12..]);
    let bad_token = posts(&world, "no.token.this").await;
    for wrong in [almost, foreign, format!("rk_{id}"), key.to_lowercase(), format!("{key}0")] {
        let refused = posts(&world, &wrong).await;
        assert_eq!(refused.failure(), (401, "UNAUTHORIZED".to_owned()), "{wrong}");
        assert_eq!(refused.json()["detail"], bad_token.json()["detail"]);
        assert_eq!(refused.header("www-authenticate"), bad_token.header("www-authenticate"));
    }
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED, "the right one still works");
}

#[tokio::test]
async fn a_bad_request_for_a_key_is_refused_by_field_and_only_admins_make_them() {
    let world = World::new().await;
    let body = json!({"name": " ", "role": "admin", "expires_at": "2020-01-01T00:00:00Z", "key": "rk_mine"});
    let answer = world.post(ADMIN, "/auth/api-keys", &body).await;
    assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()));
    let fields: Vec<_> = answer.fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["name", "role", "expires_at", "key"]);
    let homeless = world.post(ADMIN, "/auth/api-keys", &json!({"name": "x", "role": "client"})).await;
    assert_eq!(homeless.fields(), [("client_id".to_owned(), "required".to_owned())]);

    let (_, id) = scanner(&world).await;
    for caller in [CLIENT, DRIVER] {
        let body = json!({"name": "x", "role": "source"});
        assert_eq!(world.post(caller, "/auth/api-keys", &body).await.failure().0, 403);
        for (method, path) in [("GET", "/auth/api-keys".to_owned()), ("DELETE", format!("/auth/api-keys/{id}"))] {
            assert_eq!(world.change(caller, method, &path, &Value::Null).await.failure().0, 403, "{method} {path}");
        }
    }
    for path in ["/auth/api-keys/00000000", "/auth/api-keys/x"] {
        for method in ["GET", "DELETE"] {
            assert_eq!(world.change(ADMIN, method, path, &Value::Null).await.failure(), (404, "NOT_FOUND".to_owned()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_stops_at_once_where_it_was_removed_and_elsewhere_within_thirty_seconds() {
    let world = World::new().await;
    let ((here, here_id), (there, there_id)) = (scanner(&world).await, scanner(&world).await);
    for key in [&here, &there] {
        assert_eq!(posts(&world, key).await.status, StatusCode::ACCEPTED);
    }
    let removed = world.change(ADMIN, "DELETE", &format!("/auth/api-keys/{here_id}"), &Value::Null).await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(posts(&world, &here).await.failure().0, 401);

    let there_id = KeyId::parse(&there_id).expect("an id");
    assert!(world.api_keys.remove(&there_id).await.expect("in memory"), "on another instance");
    pass(KNOWN).await;
    assert_eq!(posts(&world, &there).await.failure().0, 401);
    assert_eq!(world.get(ADMIN, "/auth/api-keys").await.json(), json!({"data": []}));
}

#[tokio::test(start_paused = true)]
async fn a_key_expires_to_the_second() {
    let world = World::new().await;
    let expires_at = now().plus(Duration::from_secs(10)).to_string();
    let (key, _) = make(&world, &json!({"name": "for a day", "role": "source", "expires_at": expires_at})).await;
    pass(Duration::from_secs(9)).await;
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED);
    pass(Duration::from_secs(1)).await;
    assert_eq!(posts(&world, &key).await.failure().0, 401);
    assert_eq!(world.metric("shipping_credentials_total{credential=\"api_key\",result=\"withdrawn\"}").await, 1);
}

#[tokio::test(start_paused = true)]
async fn while_keys_cannot_be_reached_known_ones_go_on_and_others_are_put_off() {
    let world = World::new().await;
    let ((known, _), (new, _)) = (scanner(&world).await, scanner(&world).await);
    assert_eq!(posts(&world, &known).await.status, StatusCode::ACCEPTED);
    world.api_keys.set_away(true);
    for passed in [Duration::ZERO, KNOWN, Duration::from_secs(3_600)] {
        pass(passed).await;
        assert_eq!(posts(&world, &known).await.status, StatusCode::ACCEPTED, "scanners go on");
        let refused = posts(&world, &new).await;
        assert_eq!(
            (refused.failure().0, refused.header("retry-after")),
            (503, Some("2")),
            "nobody knows that it is bad"
        );
    }
    pass(Duration::from_secs(86_400)).await;
    assert_eq!(posts(&world, &known).await.failure().0, 503, "no longer than a token would");
    world.api_keys.set_away(false);
    pass(Duration::from_secs(1)).await;
    for key in [&known, &new] {
        assert_eq!(posts(&world, key).await.status, StatusCode::ACCEPTED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_tried_before_it_was_made_works_soon_on_every_instance() {
    let (maker, other) = (World::new().await, World::new().await);
    let (key, id) = scanner(&maker).await;
    assert_eq!(posts(&other, &key).await.failure().0, 401);
    let made = maker.api_keys.find(&KeyId::parse(&id).expect("an id")).await.expect("in memory").expect("there");
    other.api_keys.add(made).await.expect("in memory");
    pass(UNKNOWN).await;
    assert_eq!(posts(&other, &key).await.status, StatusCode::ACCEPTED);
}

#[tokio::test(start_paused = true)]
async fn the_last_use_of_a_key_is_noted_now_and_then() {
    let world = World::new().await;
    let (key, id) = scanner(&world).await;
    let path = format!("/auth/api-keys/{id}");
    let last_use = async || world.get(ADMIN, &path).await.json()["last_used_at"].clone();
    let noted = async |expected: Value| {
        while last_use().await != expected {
            tokio::task::yield_now().await;
        }
    };
    let first = json!(now());
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED);
    noted(first.clone()).await;
    pass(Duration::from_secs(599)).await;
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED);
    tokio::time::sleep(Duration::from_millis(1)).await; // whatever was begun has ended
    assert_eq!(last_use().await, first);
    pass(Duration::from_secs(1)).await;
    let second = json!(now());
    assert_eq!(posts(&world, &key).await.status, StatusCode::ACCEPTED);
    noted(second).await;
}
