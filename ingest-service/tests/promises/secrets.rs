//! What must never be written down.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::traces::hear_all_threads;
use crate::world::{ADMIN, SECRET, World, report};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_password_token_key_or_hash_gets_into_a_log_line_at_any_level() {
    hear_all_threads();
    let written = Written::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(written.clone()).finish();
    let listening = tracing::subscriber::set_default(subscriber);

    let world = World::new().await;
    let user = json!({"username": "zoe", "password": "first-password", "role": "source"});
    assert_eq!(world.post(ADMIN, "/auth/users", &user).await.status, StatusCode::CREATED);
    let token = world.token("zoe", "first-password").await;
    for (username, password) in
        [("zoe", "wrong-password"), ("nobody", "wrong-password"), ("zoe", &"long-password".repeat(9))]
    {
        world.log_in(username, password).await;
    }
    while world.log_in("zoes-password", "wrong-password").await.status == StatusCode::UNAUTHORIZED {}
    let event = report("99M-ABC12345", "picked_up", 0);
    assert_eq!(world.call(&token, "POST", "/events", &event).await.status, StatusCode::ACCEPTED);
    let changed = world.change(ADMIN, "PATCH", "/auth/users/zoe", &json!({"password": "second-password"})).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(world.call(&token, "POST", "/events", &event).await.status, StatusCode::UNAUTHORIZED);

    let made = world.post(ADMIN, "/auth/api-keys", &json!({"name": "gate", "role": "source"})).await.json();
    let (key, id) = (made["key"].as_str().expect("a key"), made["id"].as_str().expect("an id"));
    assert_eq!(world.call(key, "POST", "/events", &event).await.status, StatusCode::ACCEPTED);
    let altered = format!("{}0", &key[..43]);
    world.call(&altered, "POST", "/events", &event).await;
    world.api_keys.set_away(true);
    world.users.set_away(true);
    let away = World::with(|ports| (ports.api_keys, ports.users) = (world.api_keys.clone(), world.users.clone())).await;
    assert_eq!(away.call(key, "POST", "/events", &event).await.status, StatusCode::SERVICE_UNAVAILABLE);
    away.call(&token, "POST", "/events", &event).await;
    world.api_keys.set_away(false);
    world.users.set_away(false);
    assert_eq!(
        world.change(ADMIN, "DELETE", &format!("/auth/api-keys/{id}"), &Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.change(ADMIN, "DELETE", "/auth/users/zoe", &Value::Null).await.status, StatusCode::NO_CONTENT);

    drop(listening);
    let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
    for said in [
        "a user was added",
        "a user was changed",
        "a user was removed",
        "a key was made",
        "a key was removed",
        id,
        "203.0.113.7",
    ] {
        assert!(text.contains(said), "{said:?} is not in the log");
    }
    for secret in ["-password", "password123", "$2b$", &token, "eyJ", &key[12..], SECRET] {
        assert!(!text.contains(secret), "{secret:?} is in the log");
    }
}
