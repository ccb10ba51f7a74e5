//! `/admin/log-level`: what this instance logs, seen and changed while it runs.

use axum::Json;
use axum::extract::{Request, State};
use shared::log_level::{BODY_BYTES, Changed, Held, NotChanged};

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request;
use crate::router::Edge;

/// `GET /admin/log-level`.
pub(crate) async fn get_log_level(State(edge): State<Edge>, caller: Caller) -> Result<Json<Held>, Problem> {
    caller.require(Action::OperateLogging)?;
    Ok(Json(edge.ports.log_level.now()))
}

/// `PUT /admin/log-level`: until it is changed again, or the instance ends.
pub(crate) async fn put_log_level(
    State(edge): State<Edge>,
    caller: Caller,
    request: Request,
) -> Result<Json<Changed>, Problem> {
    caller.require(Action::OperateLogging)?;
    let body = request::json(request, BODY_BYTES).await?;
    let changed = edge.ports.log_level.change(body, &caller.sub).await;
    changed.map(Json).map_err(|error| match error {
        NotChanged::Invalid(errors) => Problem::invalid(errors),
        NotChanged::Ended(ended) => Problem::unavailable("The service is shutting down; try again", ended),
    })
}
