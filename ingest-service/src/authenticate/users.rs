//! `/auth/users`: who may log in. For admins; hashes never leave.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use shared::shipment::{FieldError, Timestamp};
use shared::user_store::{Role, User, UserError};

use super::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::{self, LOGIN_BODY_BYTES, PathPart};
use crate::router::Edge;
use crate::validate::{self, UserChange};

/// How often a change is made anew when somebody else was first. Two admins at one user are rare, five are a loop somewhere.
const ATTEMPTS: u32 = 5;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(crate) struct ShownUser {
    username: String,
    role: Role,
    client_id: Option<String>,
    disabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<User> for ShownUser {
    fn from(user: User) -> Self {
        let User { username, role, client_id, disabled, created_at, updated_at, password_hash: _ } = user;
        Self { username, role, client_id, disabled, created_at, updated_at }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Users {
    data: Vec<ShownUser>,
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Taken => Self::new(Code::UsernameTaken, "The user name is taken"),
            UserError::Missing => Self::new(Code::NotFound, "There is no such user"),
            UserError::Changed => Self::new(Code::UserChanged, "The user was changed by somebody else; try again"),
            UserError::LastAdmin => {
                let detail = "This is the last admin who can log in; make another one first";
                Self::new(Code::LastAdmin, detail)
            }
            UserError::Store(error) => error.into(),
        }
    }
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
    let password_hash = edge.turns.hash(new.password).await?;
    let user = User::new(new.username, password_hash, new.role, new.client_id, edge.now());
    edge.ports.users.add(user.clone()).await?;
    edge.standings.changed(&user.username);
    tracing::info!(by = caller.sub, username = user.username, role = user.role.as_str(), "a user was added");
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// `GET /auth/users/{username}`.
pub(crate) async fn get_user(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(username): PathPart,
) -> Result<Json<ShownUser>, Problem> {
    caller.require(Action::ManageUsers)?;
    let user = edge.ports.users.find(&username).await?.ok_or(UserError::Missing)?;
    Ok(Json(user.into()))
}

/// `PATCH /auth/users/{username}`: password, role, client and whether the user is kept out. Tokens from before stop (see `standing`).
pub(crate) async fn change_user(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(username): PathPart,
    request: Request,
) -> Result<Json<ShownUser>, Problem> {
    caller.require(Action::ManageUsers)?;
    let body = request::json(request, LOGIN_BODY_BYTES).await?;
    let mut change = validate::user_change(body).map_err(Problem::invalid)?;
    let password_hash = match change.password.take() {
        Some(password) => Some(edge.turns.hash(password).await?),
        None => None,
    };
    let user = change_found(&edge, &username, &change, password_hash.as_deref()).await?;
    edge.standings.changed(&username);
    let (role, disabled) = (user.role.as_str(), user.disabled);
    tracing::info!(by = caller.sub, username, role, disabled, password = password_hash.is_some(), "a user was changed");
    Ok(Json(user.into()))
}

/// Makes the change to what is there, and again to what somebody else has made of it.
async fn change_found(
    edge: &Edge,
    username: &str,
    change: &UserChange,
    password_hash: Option<&str>,
) -> Result<User, Problem> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let was = edge.ports.users.find(username).await?.ok_or(UserError::Missing)?;
        let user = changed(&was, change, password_hash, edge.now())?;
        if user == (User { updated_at: user.updated_at, ..was.clone() }) {
            return Ok(was); // it is so already: nobody is logged out
        }
        match edge.ports.users.replace(&was, user.clone()).await {
            Ok(()) => return Ok(user),
            Err(UserError::Changed) if attempts < ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn changed(was: &User, change: &UserChange, password_hash: Option<&str>, now: Timestamp) -> Result<User, Problem> {
    let user = User {
        password_hash: password_hash.unwrap_or(&was.password_hash).to_owned(),
        role: change.role.unwrap_or(was.role),
        client_id: change.client_id.clone().unwrap_or_else(|| was.client_id.clone()),
        disabled: change.disabled.unwrap_or(was.disabled),
        // Later than before whatever the clock says: it is the version of the credentials.
        updated_at: now.max(was.updated_at.plus(Duration::from_millis(1))),
        ..was.clone()
    };
    if user.role == Role::Client && user.client_id.is_none() {
        let error = FieldError::new("client_id", "required", "is required for the role client");
        return Err(Problem::invalid(vec![error]));
    }
    Ok(user)
}

/// `DELETE /auth/users/{username}`.
pub(crate) async fn remove_user(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(username): PathPart,
) -> Result<StatusCode, Problem> {
    caller.require(Action::ManageUsers)?;
    edge.ports.users.remove(&username).await?;
    edge.standings.changed(&username);
    tracing::info!(by = caller.sub, username, "a user was removed");
    Ok(StatusCode::NO_CONTENT)
}
