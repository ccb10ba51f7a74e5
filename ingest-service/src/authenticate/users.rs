//! `/auth/users`: who may log in. For admins; hashes never leave.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use shared::shipment::Timestamp;
use shared::user_store::{Role, User, UserError};

use super::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::{self, LOGIN_BODY_BYTES};
use crate::router::Edge;
use crate::validate;

#[derive(Serialize)]
pub(crate) struct ShownUser {
    username: String,
    role: Role,
    client_id: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<User> for ShownUser {
    fn from(user: User) -> Self {
        let User { username, role, client_id, created_at, updated_at, password_hash: _ } = user;
        Self { username, role, client_id, created_at, updated_at }
    }
}

#[derive(Serialize)]
pub(crate) struct Users {
    data: Vec<ShownUser>,
}

/// `GET /auth/users`.
pub(crate) async fn list_users(State(edge): State<Edge>, caller: Caller) -> Result<Json<Users>, Problem> {
    caller.require(Action::ManageUsers)?;
    let users = edge.ports.users.all().await?;
    Ok(Json(Users { data: users.into_iter().map(ShownUser::from).collect() }))
}

/// `POST /auth/users`.
pub(crate) async fn add_user(
    State(edge): State<Edge>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<ShownUser>), Problem> {
    caller.require(Action::ManageUsers)?;
    let body = request::json(request, LOGIN_BODY_BYTES).await?;
    let new = validate::new_user(body).map_err(Problem::invalid)?;
    let now = edge.now();
    let user = User {
        username: new.username,
        password_hash: edge.passwords.hash(new.password).await?,
        role: new.role,
        client_id: new.client_id,
        created_at: now,
        updated_at: now,
    };
    match edge.ports.users.add(user.clone()).await {
        Ok(()) => Ok((StatusCode::CREATED, Json(user.into()))),
        Err(UserError::Taken) => Err(Problem::new(Code::UsernameTaken, "The user name is taken")),
        Err(UserError::Store(error)) => Err(error.into()),
    }
}
