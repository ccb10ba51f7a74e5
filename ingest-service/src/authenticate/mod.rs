//! Who is calling: `POST /auth/login` gives out tokens, [`Caller`] is read from them and from API keys, `/auth/users` and
//! `/auth/api-keys` manage who may call.

mod api_key;
mod api_keys;
mod login;
mod pass;
mod password;
mod remembered;
mod standing;
mod throttle;
mod token;
mod users;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use shared::api_key_store::key;
use shared::shipment::Reporter;
use shared::user_store::Role;

pub(crate) use api_key::KeyChecks;
pub(crate) use api_keys::{Keys, NewKey, ShownKey, add_key, get_key, list_keys, remove_key};
pub(crate) use login::{Granted, log_in};
pub(crate) use pass::Pass;
pub(crate) use password::Turns;
pub use password::{HashError, PasswordFault, hash_password};
pub(crate) use password::{LONGEST as LONGEST_PASSWORD, SHORTEST as SHORTEST_PASSWORD, check as check_password};
pub(crate) use standing::Standings;
pub(crate) use throttle::Throttle;
pub(crate) use token::Tokens;
pub(crate) use users::{ShownUser, Users, add_user, change_user, get_user, list_users, remove_user};

use crate::error::{Code, Problem};
use crate::metrics::{Credential, Presented};
use crate::rate_limit::Meter;
use crate::router::Edge;
use api_key::KeyJudgement;
use standing::Judgement;

/// Whoever holds a valid token or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The user's name, or `key:` and the id of a key.
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
            let detail = "The request needs one header Authorization: Bearer <token or API key>";
            return Err(Problem::new(Code::Unauthorized, detail).with_challenge("Bearer realm=\"rastro\""));
        };
        let caller = match presented(header) {
            Some(presented) => judge(edge, presented).await?,
            None => None,
        };
        Meter::of(parts).identify(caller.as_ref())?;
        caller.ok_or_else(|| {
            // One text for all reasons: a forger learns nothing.
            let challenge = "Bearer realm=\"rastro\", error=\"invalid_token\"";
            Problem::new(Code::Unauthorized, "The token or key is invalid or has expired").with_challenge(challenge)
        })
    }
}

/// What a header `Authorization: Bearer …` presents.
fn presented(header: &HeaderValue) -> Option<&str> {
    let (scheme, presented) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| presented.trim_matches(' '))
}

/// Who holds what was presented; `None` when nobody may call with it.
async fn judge(edge: &Edge, presented: &str) -> Result<Option<Caller>, Problem> {
    if presented.starts_with(key::PREFIX) { by_key(edge, presented).await } else { by_token(edge, presented).await }
}

async fn by_token(edge: &Edge, presented: &str) -> Result<Option<Caller>, Problem> {
    let Some(token) = edge.tokens.verify(presented, edge.now()) else {
        edge.metrics.presented(Credential::Token, Presented::Invalid);
        return Ok(None);
    };
    let (caller, result) = match edge.standings.judge(&token).await? {
        Judgement::Stands => (Some(token.caller), Presented::Accepted),
        Judgement::Unconfirmed => (Some(token.caller), Presented::Unconfirmed),
        Judgement::Withdrawn => (None, Presented::Withdrawn),
    };
    edge.metrics.presented(Credential::Token, result);
    Ok(caller)
}

async fn by_key(edge: &Edge, presented: &str) -> Result<Option<Caller>, Problem> {
    let judged = edge.keys.judge(presented, edge.now()).await;
    let (caller, result) = match judged {
        Ok(KeyJudgement::Stands(caller)) => (Ok(Some(caller)), Presented::Accepted),
        Ok(KeyJudgement::Unconfirmed(caller)) => (Ok(Some(caller)), Presented::Unconfirmed),
        Ok(KeyJudgement::Invalid) => (Ok(None), Presented::Invalid),
        Ok(KeyJudgement::Expired) => (Ok(None), Presented::Withdrawn),
        Err(problem) => (Err(problem), Presented::PutOff),
    };
    edge.metrics.presented(Credential::ApiKey, result);
    caller
}
