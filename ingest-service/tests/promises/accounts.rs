//! Logging in, and who may.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use shared::shipment::Timestamp;

use crate::world::{ADMIN, Answer, CLIENT, DRIVER, OTHER_CLIENT, World};

async fn log_in(world: &World, body: &Value) -> Answer {
    let request = Request::post("/auth/login").header("content-type", "application/json");
    world.send(request.body(Body::from(body.to_string())).expect("well-formed")).await
}

// contract: "`POST /auth/login` | 200"
#[tokio::test]
async fn a_user_logs_in_and_is_given_a_bearer_token_for_a_day() {
    let world = World::new().await;
    let answer = log_in(&world, &json!({"username": CLIENT, "password": "password123"})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!((body["expires_in"].as_i64(), body["token_type"].as_str()), (Some(86_400), Some("Bearer")));
    let parts: Vec<_> = body["token"].as_str().expect("a token").split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn bad_credentials_are_named_and_never_repeated() {
    let world = World::new().await;
    let long = "long-secret".repeat(7);
    let answer = log_in(&world, &json!({"username": 7, "password": long, "remember": true})).await;
    assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()));
    let fields: Vec<_> = answer.fields().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["username", "password", "remember"]);
    assert!(!answer.text.contains("long-secret"));
    let huge = log_in(&world, &json!({"username": "x".repeat(5_000), "password": "y"})).await;
    assert_eq!(huge.failure(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
}

// contract: "`GET /auth/users` | 200, users without hashes"
// contract: "`POST /auth/users` | 201"
// contract: "409 when the name is taken"
#[tokio::test]
async fn an_admin_adds_a_user_who_then_logs_in_and_no_hash_is_shown() {
    let world = World::new().await;
    let user = json!({"username": "ana", "password": "correct horse", "role": "client", "client_id": "client_009"});
    let answer = world.post(ADMIN, "/auth/users", &user).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(answer.json()["client_id"], "client_009");
    assert!(!answer.text.contains("correct horse"));
    assert_eq!(world.post(ADMIN, "/auth/users", &user).await.failure(), (409, "USERNAME_TAKEN".to_owned()));
    let logged_in = log_in(&world, &json!({"username": "ana", "password": "correct horse"})).await;
    assert_eq!(logged_in.status, StatusCode::OK);

    let list = world.get(ADMIN, "/auth/users").await;
    let names: Vec<_> =
        list.json()["data"].as_array().expect("a list").iter().map(|user| user["username"].clone()).collect();
    assert_eq!(names, ["admin_user", "ana", "client_user_001", "client_user_002", "driver_user_001"]);
    assert!(!list.text.contains("hash") && !list.text.contains("$2"), "{}", list.text);
}

// contract: "`GET /auth/users` | admin"
// contract: "`POST /auth/users` | admin"
#[tokio::test]
async fn only_an_admin_manages_users() {
    let world = World::new().await;
    let user = json!({"username": "eve", "password": "correct horse", "role": "admin"});
    for caller in [CLIENT, DRIVER] {
        let own = format!("/auth/users/{caller}");
        for (method, body) in [("GET", Value::Null), ("PATCH", json!({"role": "admin"})), ("DELETE", Value::Null)] {
            let answer = world.change(caller, method, &own, &body).await;
            assert_eq!(answer.failure(), (403, "FORBIDDEN".to_owned()), "{method}");
        }
        assert_eq!(world.get(caller, "/auth/users").await.failure(), (403, "FORBIDDEN".to_owned()));
        assert_eq!(world.post(caller, "/auth/users", &user).await.failure(), (403, "FORBIDDEN".to_owned()));
    }
}

#[tokio::test]
async fn an_admin_looks_at_a_user_changes_it_and_removes_it() {
    let world = World::new().await;
    let path = format!("/auth/users/{OTHER_CLIENT}");
    let shown = world.get(ADMIN, &path).await.json();
    assert_eq!(
        (&shown["role"], &shown["client_id"], &shown["disabled"]),
        (&json!("client"), &json!("client_002"), &json!(false))
    );

    let change = json!({"role": "source", "client_id": null, "disabled": true, "password": "another one"});
    let changed = world.change(ADMIN, "PATCH", &path, &change).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let user = changed.json();
    assert_eq!((&user["role"], &user["client_id"], &user["disabled"]), (&json!("source"), &Value::Null, &json!(true)));
    assert_eq!(user["created_at"], shown["created_at"]);
    let updated_at = |user: &Value| Timestamp::parse(user["updated_at"].as_str().expect("a text")).expect("a time");
    assert!(updated_at(&user) > updated_at(&shown), "{user}");
    assert!(!changed.text.contains("another one") && !changed.text.contains("hash"), "{}", changed.text);
    assert_eq!(world.get(ADMIN, &path).await.json(), user);

    assert_eq!(world.change(ADMIN, "PATCH", &path, &json!({"disabled": false})).await.json()["disabled"], false);
    assert_eq!(world.log_in(OTHER_CLIENT, "password123").await.status, StatusCode::UNAUTHORIZED, "the old password");
    assert_eq!(world.log_in(OTHER_CLIENT, "another one").await.status, StatusCode::OK);

    let removed = world.change(ADMIN, "DELETE", &path, &Value::Null).await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(world.log_in(OTHER_CLIENT, "another one").await.status, StatusCode::UNAUTHORIZED);
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({"disabled": true})), ("DELETE", Value::Null)] {
        assert_eq!(
            world.change(ADMIN, method, &path, &body).await.failure(),
            (404, "NOT_FOUND".to_owned()),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_change_that_makes_no_sense_is_refused_by_field() {
    let world = World::new().await;
    let refused = async |user: &str, change: Value| {
        let answer = world.change(ADMIN, "PATCH", &format!("/auth/users/{user}"), &change).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()), "{change}");
        answer.fields().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(
        refused(DRIVER, json!({"password": "kurz", "role": "root", "username": "x"})).await,
        ["password", "role", "username"]
    );
    assert_eq!(refused(DRIVER, json!({"password": "x".repeat(73)})).await, ["password"]);
    assert_eq!(refused(DRIVER, json!({"role": "client"})).await, ["client_id"], "a client of whom?");
    assert_eq!(refused(CLIENT, json!({"client_id": null})).await, ["client_id"]);
    assert_eq!(refused(CLIENT, json!({})).await, [""]);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let world = World::new().await;
    let admin = format!("/auth/users/{ADMIN}");
    for (method, body) in
        [("PATCH", json!({"role": "source"})), ("PATCH", json!({"disabled": true})), ("DELETE", Value::Null)]
    {
        let answer = world.change(ADMIN, method, &admin, &body).await;
        assert_eq!(answer.failure(), (409, "LAST_ADMIN".to_owned()), "{method} {body}");
    }
    assert_eq!(world.get(ADMIN, &admin).await.json()["role"], "admin", "and still administers");
    let second = json!({"username": "second", "password": "correct horse", "role": "admin"});
    assert_eq!(world.post(ADMIN, "/auth/users", &second).await.status, StatusCode::CREATED);
    let token = world.token("second", "correct horse").await;
    assert_eq!(world.change(ADMIN, "DELETE", &admin, &Value::Null).await.status, StatusCode::NO_CONTENT);
    let answer = world.call(&token, "DELETE", "/auth/users/second", &Value::Null).await;
    assert_eq!(answer.failure(), (409, "LAST_ADMIN".to_owned()));
}

// contract: "401 with the same text and time"
#[tokio::test]
async fn whatever_was_wrong_with_a_log_in_it_gets_the_same_answer_for_the_same_work() {
    let world = World::new().await;
    let disable = world.change(ADMIN, "PATCH", &format!("/auth/users/{DRIVER}"), &json!({"disabled": true})).await;
    assert_eq!(disable.status, StatusCode::OK, "{}", disable.text);
    let mut answers = Vec::new();
    for (username, password) in
        [(CLIENT, "wrong password"), ("nobody", "password123"), (DRIVER, "password123"), (CLIENT, "short")]
    {
        let checks = world.metric("shipping_password_check_duration_seconds_count").await;
        let answer = world.log_in(username, password).await;
        assert_eq!(answer.failure(), (401, "UNAUTHORIZED".to_owned()), "{username}");
        let after = world.metric("shipping_password_check_duration_seconds_count").await;
        assert_eq!(after, checks + 1, "{username}: one comparison of hashes, as slow as any");
        let trace = answer.json()["trace_id"].as_str().expect("a trace").to_owned();
        answers.push((answer.text.replace(&trace, ""), answer.header("www-authenticate").map(str::to_owned)));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.metric("shipping_logins_total{result=\"refused\"}").await, 4);
}

// contract: "Two users are seeded when"
#[tokio::test]
async fn in_production_the_public_passwords_of_development_open_nothing() {
    let secret = "9c1f0f6d2b7a4e58b3d6a1c07e94f2d85b6e3a70c4d1f928";
    let world = World::set(&[("ENV", "production"), ("JWT_SECRET", secret)]).await;
    assert_eq!(world.log_in(ADMIN, "password123").await.failure(), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(world.log_in(OTHER_CLIENT, "password123").await.status, StatusCode::OK, "not one of those");
}

#[tokio::test]
async fn settings_never_show_the_secret() {
    use shared::user_store::UserStore;
    let world = World::new().await;
    let shown = format!("{:?}", world.users.all().await.expect("in memory"));
    assert!(!shown.contains("$2b$") && shown.contains("admin_user"), "{shown}");
}
