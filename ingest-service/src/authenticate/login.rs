//! `POST /auth/login`: a token for a name and a password.
//!
//! An unknown name, a wrong password and a user who is kept out get the same answer after the same work: one look-up and one comparison
//! of hashes.

use std::net::IpAddr;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::Serialize;
use shared::user_store::User;

use super::password;
use super::throttle::{Attempt, Limit, Throttle, Throttled};
use super::token;
use crate::error::{Code, Problem};
use crate::metrics::LogIn;
use crate::request::{self, LOGIN_BODY_BYTES};
use crate::router::Edge;
use crate::{seed, validate};

/// What holds a secret is kept by nobody on the way.
pub(super) const NO_STORE: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// How a token is to be presented (RFC 6750).
const TOKEN_TYPE: &str = "Bearer";

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct Granted {
    token: String,
    expires_in: i64,
    #[schemars(extend("enum" = [TOKEN_TYPE]))]
    token_type: &'static str,
}

type Answer = ([(HeaderName, HeaderValue); 1], Json<Granted>);

/// `POST /auth/login`.
pub(crate) async fn log_in(State(edge): State<Edge>, request: Request) -> Result<Answer, Problem> {
    let address = edge.config.trusted_proxies.client_of(&request);
    let body = request::json(request, LOGIN_BODY_BYTES).await?;
    let (username, password) = validate::credentials(body).map_err(Problem::invalid)?;
    let result = authenticate(&edge, &username, password, address).await;
    edge.metrics.log_in(match &result {
        Ok(_) => LogIn::Granted,
        Err(Refusal::Wrong) => LogIn::Refused,
        Err(Refusal::Throttled(Throttled { limit: Limit::Account, .. })) => LogIn::AccountThrottled,
        Err(Refusal::Throttled(Throttled { limit: Limit::Address | Limit::Waiting, .. })) => LogIn::AddressThrottled,
        Err(Refusal::PutOff(_)) => LogIn::PutOff,
    });
    let token = edge.tokens.issue(&result?, edge.now())?;
    Ok((NO_STORE, Json(Granted { token, expires_in: token::LIFE_SECONDS, token_type: TOKEN_TYPE })))
}

enum Refusal {
    Wrong,
    Throttled(Throttled),
    PutOff(Problem),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong => {
                let problem = Problem::new(Code::Unauthorized, "The user name or the password is wrong");
                problem.with_challenge("Bearer realm=\"rastro\"")
            }
            Refusal::Throttled(Throttled { limit, retry_after }) => {
                let detail = match limit {
                    Limit::Account => "Logging in to this account has failed too often; try again later",
                    Limit::Address => "Logging in from this address has failed too often; try again later",
                    Limit::Waiting => "Too many log-ins from this address at once; try again",
                };
                Problem::new(Code::TooManyRequests, detail).with_retry_after(retry_after)
            }
            Refusal::PutOff(problem) => problem,
        }
    }
}

async fn authenticate(edge: &Edge, username: &str, password: String, address: IpAddr) -> Result<User, Refusal> {
    let attempt = edge.throttle.attempt(username, address);
    let allow = || edge.throttle.allow(attempt, tokio::time::Instant::now()).map_err(Refusal::Throttled);
    allow()?;
    let place = edge.throttle.wait(attempt).map_err(Refusal::Throttled)?;
    let user = edge.ports.users.find(username).await.map_err(|error| Refusal::PutOff(error.into()))?;
    let started = Instant::now();
    let turn = edge.turns.next(edge.throttle.standing(attempt)).await.map_err(Refusal::PutOff)?;
    // Again: those whose turn came first may have used up the budget.
    allow()?;
    let may_enter = user.as_ref().is_some_and(|user| !user.disabled);
    // In production the passwords of development open nothing, also in a database that was used for development before.
    let is_public = !edge.config.development && seed::is_public(username, &password);
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let checking = {
        let edge = edge.clone();
        // To its end also when the caller hangs up: an attempt that nobody waits for is counted too.
        tokio::task::spawn_blocking(move || {
            let matches = password::matches(&password, hash.as_deref()) && may_enter && !is_public;
            edge.metrics.password_checked(started.elapsed());
            let settled = settle(&edge.throttle, attempt, matches);
            drop((turn, place));
            (matches, settled)
        })
    };
    let (matches, settled) = checking.await.map_err(|panic| Refusal::PutOff(Problem::internal(panic)))?;
    if let Err(Throttled { limit, retry_after }) = settled {
        // Without the name: now and then somebody types a password into its place.
        let seconds = retry_after.as_secs();
        tracing::warn!(%address, ?limit, seconds, "log-ins have failed so often that the next one has to wait");
    }
    user.filter(|_| matches).ok_or(Refusal::Wrong)
}

fn settle(throttle: &Throttle, attempt: Attempt, matches: bool) -> Result<(), Throttled> {
    if matches {
        throttle.succeeded(attempt);
        return Ok(());
    }
    throttle.failed(attempt, tokio::time::Instant::now())
}
