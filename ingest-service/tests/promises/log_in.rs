//! The users of a world, and how they log in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use ingest_service::{SEEDED_USERS, hash_password};
use serde_json::json;
use shared::user_store::memory::MemoryUsers;
use shared::user_store::{Role, User, UserStore};

use crate::world::{Answer, OTHER_CLIENT, World, now};

impl World {
    /// `POST /auth/login`.
    pub(crate) async fn log_in(&self, username: &str, password: &str) -> Answer {
        self.log_in_from("203.0.113.7", &[], username, password).await
    }

    /// `POST /auth/login` from an address, with some headers.
    pub(crate) async fn log_in_from(
        &self,
        address: &str,
        headers: &[(&str, &str)],
        username: &str,
        password: &str,
    ) -> Answer {
        self.send(login(address, headers, username, password)).await
    }

    /// The token of a user who logs in.
    pub(crate) async fn token(&self, username: &str, password: &str) -> String {
        let answer = self.log_in(username, password).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// The header of a logged-in user. The tokens of all worlds are the same, so each user logs in once, or a few times: nobody waits for
    /// another test's log-in, because the time of a test that is paused passes while it waits.
    pub(crate) async fn bearer(&self, user: &str) -> String {
        static TOKENS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
        let known = TOKENS.lock().expect("nobody panics with it").get(user).cloned();
        if let Some(bearer) = known {
            return bearer;
        }
        let bearer = format!("Bearer {}", self.token(user, "password123").await);
        TOKENS.lock().expect("nobody panics with it").insert(user.to_owned(), bearer.clone());
        bearer
    }
}

/// Adds the seeded users and one more client.
pub(crate) async fn add_users(users: &MemoryUsers) {
    static HASH: Mutex<Option<String>> = Mutex::new(None);
    let hash = {
        let mut hash = HASH.lock().expect("nobody panics while hashing");
        hash.get_or_insert_with(|| hash_password("password123").expect("short enough")).clone()
    };
    let seeded = SEEDED_USERS.map(|user| (user.username, user.role, user.client_id));
    let other = (OTHER_CLIENT, Role::Client, Some("client_002"));
    for (username, role, client_id) in seeded.into_iter().chain([other]) {
        let client_id = client_id.map(str::to_owned);
        let user = User::new(username.to_owned(), hash.clone(), role, client_id, now());
        users.add(user).await.expect("a new name");
    }
}

/// A request of `POST /auth/login`.
pub(crate) fn login(address: &str, headers: &[(&str, &str)], username: &str, password: &str) -> Request<Body> {
    let mut request = Request::post("/auth/login").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = SocketAddr::new(address.parse().expect("an address"), 4711);
    let body = json!({"username": username, "password": password}).to_string();
    request.extension(ConnectInfo(peer)).body(Body::from(body)).expect("well-formed")
}
