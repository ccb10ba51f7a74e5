//! Who is calling: `POST /auth/login` gives out tokens, [`Caller`] is read from them, `/auth/users` manages who may log in.

mod password;
mod token;
mod users;

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use serde::Serialize;
use shared::shipment::Reporter;
use shared::user_store::Role;

pub use password::{HashError, hash_password};
pub(crate) use password::{PASSWORD_BYTES, PASSWORD_CHARACTERS, Passwords};
pub(crate) use token::Tokens;
pub(crate) use users::{add_user, list_users};

use crate::error::{Code, Problem};
use crate::rate_limit::Meter;
use crate::request::{self, LOGIN_BODY_BYTES};
use crate::router::Edge;
use crate::validate;

/// Whoever holds a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user's name.
    pub(crate) sub: String,
    pub(crate) role: Role,
    /// Always there for role `client`.
    pub(crate) client_id: Option<String>,
}

impl Caller {
    /// The caller as records remember it.
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter { sub: self.sub.clone(), role: self.role.as_str().to_owned(), client_id: self.client_id.clone() }
    }
}

impl FromRequestParts<Edge> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (given.next(), given.next()) else {
            let detail = "The request needs one header Authorization: Bearer <token>";
            return Err(Problem::new(Code::Unauthorized, detail).with_challenge("Bearer realm=\"rastro\""));
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_matches(' ')));
        let caller = token.and_then(|token| edge.tokens.verify(token, edge.now()));
        Meter::of(parts).identify(caller.as_ref())?;
        caller.ok_or_else(|| {
            // One text for all reasons: a forger learns nothing.
            let challenge = "Bearer realm=\"rastro\", error=\"invalid_token\"";
            Problem::new(Code::Unauthorized, "The token is invalid or has expired").with_challenge(challenge)
        })
    }
}

#[derive(Serialize)]
pub(crate) struct Granted {
    token: String,
    expires_in: i64,
    token_type: &'static str,
}

/// `POST /auth/login`.
pub(crate) async fn log_in(State(edge): State<Edge>, request: Request) -> Result<Json<Granted>, Problem> {
    let body = request::json(request, LOGIN_BODY_BYTES).await?;
    let (username, password) = validate::credentials(body).map_err(Problem::invalid)?;
    let user = edge.ports.users.find(&username).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = edge.passwords.matches(password, hash).await?;
    let Some(user) = user.filter(|_| matches) else {
        let problem = Problem::new(Code::Unauthorized, "The user name or the password is wrong");
        return Err(problem.with_challenge("Bearer realm=\"rastro\""));
    };
    let token = edge.tokens.issue(&user, edge.now())?;
    Ok(Json(Granted { token, expires_in: token::LIFE_SECONDS, token_type: "Bearer" }))
}
