//! Logging in, and who may.

use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::world::{ADMIN, Answer, CLIENT, DRIVER, World};

async fn log_in(world: &World, body: &Value) -> Answer {
    let request = Request::post("/auth/login").header("content-type", "application/json");
    world.send(request.body(Body::from(body.to_string())).expect("well-formed")).await
}

#[tokio::test]
async fn a_user_logs_in_and_is_given_a_bearer_token_for_a_day() {
    let world = World::new().await;
    let answer = log_in(&world, &json!({"username": CLIENT, "password": "password123"})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!((body["expires_in"].as_i64(), body["token_type"].as_str()), (Some(86_400), Some("Bearer")));
    let parts: Vec<_> = body["token"].as_str().expect("a token").split('.').collect();
    assert_eq!(parts.len(), 3);
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_answer() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for (username, password) in
        [(CLIENT, "wrong password"), ("nobody", "password123"), ("Client_User_001", "password123")]
    {
        let mut answer = log_in(&world, &json!({"username": username, "password": password})).await;
        assert_eq!(answer.failure(), (401, "UNAUTHORIZED".to_owned()));
        assert!(answer.header("www-authenticate").is_some());
        assert!(!answer.text.contains("password123"));
        let trace = answer.json()["trace_id"].as_str().expect("a trace").to_owned();
        answer.text = answer.text.replace(&trace, "");
        answers.push(answer.text);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
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

#[tokio::test]
async fn only_an_admin_manages_users() {
    let world = World::new().await;
    let user = json!({"username": "eve", "password": "correct horse", "role": "admin"});
    for caller in [CLIENT, DRIVER] {
        assert_eq!(world.get(caller, "/auth/users").await.failure(), (403, "FORBIDDEN".to_owned()));
        assert_eq!(world.post(caller, "/auth/users", &user).await.failure(), (403, "FORBIDDEN".to_owned()));
    }
}

#[tokio::test]
async fn settings_never_show_the_secret() {
    use shared::user_store::UserStore;
    let world = World::new().await;
    let shown = format!("{:?}", world.users.all().await.expect("in memory"));
    assert!(!shown.contains("$2b$") && shown.contains("admin_user"), "{shown}");
}
