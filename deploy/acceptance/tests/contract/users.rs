//! Users and log-ins.

use acceptance::platform::Platform;
use acceptance::sample::parcel;
use serde_json::{Value, json};

pub(crate) async fn an_admin_adds_users_who_can_log_in_and_whose_hashes_never_leave(platform: &Platform) {
    let admin = platform.admin().await;
    let user =
        json!({"username": "zoe@example.com", "password": "correct horse", "role": "client", "client_id": "zoes"});
    let answer = admin.post("/auth/users", &user).await;
    assert!(!answer.text.contains("hash") && !answer.text.contains("correct horse"), "{}", answer.text);
    let added = answer.with_status(201);
    assert_eq!(
        (&added["username"], &added["role"], &added["client_id"]),
        (&json!("zoe@example.com"), &json!("client"), &json!("zoes"))
    );
    admin.post("/auth/users", &user).await.problem(409, "USERNAME_TAKEN");

    let granted = platform
        .nobody()
        .post("/auth/login", &json!({"username": "zoe@example.com", "password": "correct horse"}))
        .await;
    let granted = granted.with_status(200);
    assert_eq!((&granted["expires_in"], &granted["token_type"]), (&json!(86_400), &json!("Bearer")));
    let zoe = platform.nobody().with_token(granted["token"].as_str().expect("a token"));
    let number = zoe.register(&parcel()).await;
    assert_eq!(zoe.shipment(&number).await["client_id"], "zoes");

    let answer = admin.get("/auth/users").await;
    assert!(!answer.text.contains("hash") && !answer.text.contains("$2"), "{}", answer.text);
    let listed = answer.with_status(200);
    let names: Vec<_> = listed["data"].as_array().expect("users").iter().map(|user| user["username"].clone()).collect();
    for name in ["admin_user", "client_user_001", "driver_user_001", "zoe@example.com"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

pub(crate) async fn only_an_admin_manages_users(platform: &Platform) {
    let user = json!({"username": "mallory", "password": "correct horse", "role": "admin"});
    for caller in [platform.client_001().await, platform.driver().await] {
        caller.get("/auth/users").await.problem(403, "FORBIDDEN");
        caller.post("/auth/users", &user).await.problem(403, "FORBIDDEN");
    }
    platform.nobody().post("/auth/users", &user).await.problem(401, "UNAUTHORIZED");
    let login = json!({"username": "mallory", "password": "correct horse"});
    platform.nobody().post("/auth/login", &login).await.problem(401, "UNAUTHORIZED");
}

pub(crate) async fn a_failed_log_in_does_not_tell_what_was_wrong(platform: &Platform) {
    let nobody = platform.nobody();
    let wrong = nobody.post("/auth/login", &json!({"username": "driver_user_001", "password": "password124"})).await;
    let unknown = nobody.post("/auth/login", &json!({"username": "nobody_at_all", "password": "password123"})).await;
    let text = |problem: &Value| (problem["message"].clone(), problem["detail"].clone(), problem["title"].clone());
    assert_eq!(text(wrong.problem(401, "UNAUTHORIZED")), text(unknown.problem(401, "UNAUTHORIZED")));
    let answer = nobody.post("/auth/login", &json!({"username": "", "user": "x"})).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["password", "user", "username"]);
    let long = json!({"username": "driver_user_001", "password": "x".repeat(5_000)});
    assert!(matches!(nobody.post("/auth/login", &long).await.status, 400 | 413), "a hash of a book costs time");
}

pub(crate) async fn a_bad_user_is_refused_with_every_field_named(platform: &Platform) {
    let admin = platform.admin().await;
    let answer = admin
        .post("/auth/users", &json!({"username": "a b", "password": "kurz", "role": "root", "api_key": "k"}))
        .await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["api_key", "password", "role", "username"]);
    assert!(!answer.text.contains("kurz"), "a password is never repeated: {}", answer.text);
    let homeless = json!({"username": "homeless", "password": "correct horse", "role": "client"});
    let answer = admin.post("/auth/users", &homeless).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["client_id"]);
}
