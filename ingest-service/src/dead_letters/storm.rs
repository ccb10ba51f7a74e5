//! `POST /admin/dead-letters/storm/continue`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request;
use crate::router::Edge;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "StormContinued")]
pub(crate) struct Said {
    message: &'static str,
}

/// `POST /admin/dead-letters/storm/continue`: the operator's word to processors that stopped because nearly everything would have become a
/// dead letter. Each of them hears it within seconds.
pub(crate) async fn post_storm_continue(State(edge): State<Edge>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Action::OperateDeadLetters)?;
    edge.ports.dead_letters.let_storm_through(&caller.sub).await?;
    let message = "Processors that stopped at a storm of dead letters let it through";
    Ok(request::answer(StatusCode::ACCEPTED, &Said { message }))
}
