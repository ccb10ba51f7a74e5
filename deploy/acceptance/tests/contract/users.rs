//! Users and log-ins.

use std::time::Duration;

use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::wait;
use serde_json::{Value, json};

/// Longest time until a change that one instance made counts on all: what is promised, and what a busy machine needs besides.
const STOPS: Duration = Duration::from_secs(60);

// contract: "`POST /auth/login` | `{username,password}`"
// contract: "`POST /auth/login` | 200"
// contract: "`GET /auth/users` | 200, users without hashes"
// contract: "`POST /auth/users` | 201"
// contract: "409 when the name is taken"
// contract: "Two users are seeded when"
// contract: "a third one `driver_user_001`"
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

// contract: "`GET /auth/users` | admin"
// contract: "`POST /auth/users` | admin"
// contract: "There is no public registration"
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

// contract: "401 with the same text and time"
// contract: "`POST /auth/login` | public"
// contract: "`POST /auth/login` | `{username,password}`"
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

// contract: "All bad fields are reported at once"
// contract: "Unknown fields are refused by name"
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

/// A user whom an admin has added, and the path of it.
async fn added(platform: &Platform, username: &str, role: &str) -> String {
    let user = json!({"username": username, "password": "correct horse", "role": role});
    platform.admin().await.post("/auth/users", &user).await.with_status(201);
    format!("/auth/users/{username}")
}

pub(crate) async fn an_admin_looks_at_a_user_changes_it_and_removes_it(platform: &Platform) {
    let (admin, nobody) = (platform.admin().await, platform.nobody());
    let path = added(platform, "max", "source").await;
    let max = admin.get(&path).await.with_status(200);
    assert_eq!((&max["role"], &max["client_id"], &max["disabled"]), (&json!("source"), &Value::Null, &json!(false)));
    let change = json!({"role": "client", "client_id": "maxes", "password": "another horse"});
    let changed = admin.call("PATCH", &path).json(&change).send().await;
    assert!(!changed.text.contains("another horse") && !changed.text.contains("$2"), "{}", changed.text);
    let changed = changed.with_status(200);
    assert_eq!((&changed["role"], &changed["client_id"]), (&json!("client"), &json!("maxes")));
    assert_eq!(admin.get(&path).await.with_status(200), changed);
    nobody
        .post("/auth/login", &json!({"username": "max", "password": "correct horse"}))
        .await
        .problem(401, "UNAUTHORIZED");
    let max = nobody.log_in("max", "another horse").await;
    let number = max.register(&parcel()).await;
    assert_eq!(max.shipment(&number).await["client_id"], "maxes");

    let wrong = json!({"password": "kurz", "role": "root", "disabled": "yes", "username": "moritz"});
    let answer = admin.call("PATCH", &path).json(&wrong).send().await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["disabled", "password", "role", "username"]);

    admin.call("DELETE", &path).send().await.with_status(204);
    for method in ["GET", "DELETE"] {
        admin.call(method, &path).send().await.problem(404, "NOT_FOUND");
    }
    nobody
        .post("/auth/login", &json!({"username": "max", "password": "another horse"}))
        .await
        .problem(401, "UNAUTHORIZED");
}

pub(crate) async fn a_user_who_is_kept_out_is_out_on_every_instance(platform: &Platform) {
    let admin = platform.admin().await;
    let path = added(platform, "mallory_2", "source").await;
    let mut callers = Vec::new();
    for edge in &platform.edges {
        callers.push(edge.nobody().log_in("mallory_2", "correct horse").await);
    }
    let event = report("99M-ABC12345", "picked_up", 1);
    for caller in &callers {
        caller.post("/events", &event).await.with_status(202);
    }
    admin.call("PATCH", &path).json(&json!({"disabled": true})).send().await.with_status(200);
    for caller in &callers {
        let stopped = async || (caller.post("/events", &event).await.status == 401).then_some(());
        wait::until("a token stops", STOPS, stopped).await;
    }
    let login = json!({"username": "mallory_2", "password": "correct horse"});
    platform.nobody().post("/auth/login", &login).await.problem(401, "UNAUTHORIZED");
    // In again: with a new token at once, whatever an instance remembers.
    admin.call("PATCH", &path).json(&json!({"disabled": false})).send().await.with_status(200);
    for (edge, old) in platform.edges.iter().zip(&callers) {
        let new = platform.nobody().log_in("mallory_2", "correct horse").await;
        let token = new.token().expect("it has logged in");
        let back = async || (edge.nobody().with_token(token).post("/events", &event).await.status == 202).then_some(());
        wait::until("a new token works", STOPS, back).await;
        old.post("/events", &event).await.problem(401, "UNAUTHORIZED");
    }
}

pub(crate) async fn one_admin_remains(platform: &Platform) {
    let admin = platform.admin().await;
    let path = added(platform, "deputy", "admin").await;
    let deputy = platform.nobody().log_in("deputy", "correct horse").await;
    let own = "/auth/users/admin_user";
    // While there are two, one may go; nobody does, because other tests call as admin.
    admin.call("PATCH", &path).json(&json!({"role": "source"})).send().await.with_status(200);
    for change in [json!({"role": "source"}), json!({"disabled": true})] {
        admin.call("PATCH", own).json(&change).send().await.problem(409, "LAST_ADMIN");
    }
    admin.call("DELETE", own).send().await.problem(409, "LAST_ADMIN");
    assert_eq!(admin.get(own).await.with_status(200)["disabled"], false);
    let stopped = async || (deputy.get("/auth/users").await.status == 401).then_some(());
    wait::until("the token of somebody who is no admin any more stops", STOPS, stopped).await;
}

// contract: "throttled (429)"
// contract: "400 malformed or invalid, 401"
pub(crate) async fn guessing_at_an_account_has_to_wait_and_nobody_else_does(platform: &Platform) {
    added(platform, "guessed_at", "source").await;
    // Each instance counts for itself.
    let nobody = platform.nobody();
    let login = |password: &str| json!({"username": "guessed_at", "password": password});
    let throttled = async || {
        let answer = nobody.post("/auth/login", &login("a guess")).await;
        (answer.status != 401).then_some(answer)
    };
    let (answer, _) = wait::until("guessing is throttled", STOPS, throttled).await;
    answer.problem(429, "TOO_MANY_REQUESTS");
    let wait: u64 = answer.header("retry-after").expect("when to come back").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    nobody.post("/auth/login", &login("correct horse")).await.problem(429, "TOO_MANY_REQUESTS");
    nobody.log_in("driver_user_001", "password123").await;
}
