//! `/auth/api-keys`: keys for machines. For admins; a key is shown once, to whoever makes it, and known by its prefix from then on.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use shared::api_key_store::{ApiKey, ApiKeyError, KeyId, KeyText};
use shared::shipment::Timestamp;
use shared::user_store::Role;

use super::Caller;
use super::login::NO_STORE;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::{self, LOGIN_BODY_BYTES, PathPart};
use crate::router::Edge;
use crate::validate;

/// How often a new id is drawn when one is taken: of 10¹² ids even the second one never is.
const DRAWS: u32 = 3;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub(crate) struct ShownKey {
    id: String,
    /// What the key begins with.
    prefix: String,
    name: String,
    role: Role,
    client_id: Option<String>,
    created_at: Timestamp,
    created_by: String,
    expires_at: Option<Timestamp>,
    /// To ten minutes; null when it was never used.
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for ShownKey {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, hash: _, role, client_id, created_at, created_by, expires_at, last_used_at } = key;
        let (id, prefix) = (id.to_string(), id.prefix());
        Self { id, prefix, name, role, client_id, created_at, created_by, expires_at, last_used_at }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKeys")]
pub(crate) struct Keys {
    data: Vec<ShownKey>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeApiKey")]
pub(crate) struct NewKey {
    #[serde(flatten)]
    shown: ShownKey,
    /// The key itself, now and never again.
    key: String,
}

/// `GET /auth/api-keys`: the oldest first.
pub(crate) async fn list_keys(State(edge): State<Edge>, caller: Caller) -> Result<Json<Keys>, Problem> {
    caller.require(Action::ManageApiKeys)?;
    let keys = edge.ports.api_keys.all().await?;
    Ok(Json(Keys { data: keys.into_iter().map(ShownKey::from).collect() }))
}

/// `GET /auth/api-keys/{id}`.
pub(crate) async fn get_key(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<ShownKey>, Problem> {
    caller.require(Action::ManageApiKeys)?;
    let id = KeyId::parse(&id).ok_or_else(missing)?;
    let key = edge.ports.api_keys.find(&id).await?.ok_or_else(missing)?;
    Ok(Json(key.into()))
}

/// `POST /auth/api-keys`.
pub(crate) async fn add_key(
    State(edge): State<Edge>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<NewKey>), Problem> {
    caller.require(Action::ManageApiKeys)?;
    let body = request::json(request, LOGIN_BODY_BYTES).await?;
    let now = edge.now();
    let new = validate::new_key(body, now).map_err(Problem::invalid)?;
    for _ in 0..DRAWS {
        let text = KeyText::random()?;
        let key = ApiKey {
            id: text.id().clone(),
            name: new.name.clone(),
            hash: text.hash(),
            role: new.role,
            client_id: new.client_id.clone(),
            created_at: now,
            created_by: caller.sub.clone(),
            expires_at: new.expires_at,
            last_used_at: None,
        };
        match edge.ports.api_keys.add(key.clone()).await {
            Ok(()) => {
                edge.keys.changed(&key.id);
                tracing::info!(by = caller.sub, key = %key.id, name = key.name, role = key.role.as_str(), "a key was made");
                let body = NewKey { shown: key.into(), key: text.reveal().to_owned() };
                return Ok((StatusCode::CREATED, NO_STORE, Json(body)));
            }
            Err(ApiKeyError::Taken) => {}
            Err(ApiKeyError::Store(error)) => return Err(error.into()),
        }
    }
    Err(Problem::internal("every id that was drawn for a key is taken"))
}

/// `DELETE /auth/api-keys/{id}`: the key is worth nothing any more (see `api_key`).
pub(crate) async fn remove_key(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<StatusCode, Problem> {
    caller.require(Action::ManageApiKeys)?;
    let id = KeyId::parse(&id).ok_or_else(missing)?;
    if !edge.ports.api_keys.remove(&id).await? {
        return Err(missing());
    }
    edge.keys.changed(&id);
    tracing::info!(by = caller.sub, key = %id, "a key was removed");
    Ok(StatusCode::NO_CONTENT)
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "There is no such key")
}
