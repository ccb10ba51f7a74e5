//! The part of the public API that a measurement needs (contract section 4), apart from the hot loop.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::connection::{Connection, ConnectionError, Target};

/// The client on whose behalf shipments are registered: the one of the users that are seeded for development.
const CLIENT_ID: &str = "client_001";
/// The seeded admin.
pub const ADMIN: &str = "admin_user";
/// The password of the users that are seeded for development (contract section 6).
pub const DEVELOPMENT_PASSWORD: &str = "password123";

/// Why the API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request did not get through.
    #[error("{call}: {source}")]
    Connection {
        /// Method and path.
        call: &'static str,
        /// What happened to the connection.
        source: ConnectionError,
    },
    /// The answer is not the one that is needed.
    #[error("{call}: {status}: {body}")]
    Answer {
        /// Method and path.
        call: &'static str,
        /// The status code.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
}

/// Longest beginning of a body that an error shows, in characters.
const SHOWN: usize = 300;

impl ApiError {
    pub(crate) fn answer(call: &'static str, status: StatusCode, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
        Self::Answer { call, status, body }
    }
}

/// Logs in and returns the target with the caller's token.
///
/// # Errors
/// See [`ApiError`].
pub async fn login(target: &Target, user: &str, password: &str) -> Result<Target, ApiError> {
    #[derive(Deserialize)]
    struct Login {
        token: String,
    }
    let call = "POST /auth/login";
    let body = json!({"username": user, "password": password}).to_string();
    let answer = Connection::new(target).post("/auth/login", body.into(), None).await;
    let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
    match serde_json::from_slice::<Login>(&body) {
        Ok(login) if status == StatusCode::OK => Ok(target.with_token(&login.token)),
        _ => Err(ApiError::answer(call, status, &body)),
    }
}

/// The body of every registration, under the policy `strict` or `field`.
#[must_use]
pub fn registration(policy: &str) -> Bytes {
    let body = json!({
        "client_id": CLIENT_ID,
        "origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
        "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19.0414, "destination_lng": -98.2063,
        "weight_kg": 5.5, "length_cm": 30, "width_cm": 20, "height_cm": 15,
        "content_description": "Electrónica",
        "transition_policy": policy,
    });
    body.to_string().into()
}

/// Registers a shipment and returns its tracking number.
///
/// # Errors
/// See [`ApiError`].
pub async fn register(connection: &mut Connection, body: Bytes) -> Result<String, ApiError> {
    #[derive(Deserialize)]
    struct Registered {
        tracking_number: String,
    }
    let call = "POST /shipments";
    let answer = connection.post("/shipments", body, None).await;
    let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
    let accepted = status == StatusCode::CREATED || status == StatusCode::ACCEPTED;
    match serde_json::from_slice::<Registered>(&body) {
        Ok(registered) if accepted => Ok(registered.tracking_number),
        _ => Err(ApiError::answer(call, status, &body)),
    }
}

/// The bytes of a shipment.
///
/// # Errors
/// See [`ApiError`].
pub async fn shipment(connection: &mut Connection, number: &str) -> Result<Bytes, ApiError> {
    let call = "GET /shipments/{tracking_number}";
    let answer = connection.get(&format!("/shipments/{number}")).await;
    let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
    if status == StatusCode::OK { Ok(body) } else { Err(ApiError::answer(call, status, &body)) }
}
