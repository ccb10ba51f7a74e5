//! `GET /admin/dead-letters/{id}`.

use axum::Json;
use axum::extract::State;
use shared::dead_letters::Shown;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::PathPart;
use crate::router::Edge;

/// `GET /admin/dead-letters/{id}`: headers, value, error, and the records around the original.
pub(crate) async fn get_letter(
    State(edge): State<Edge>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<Shown>, Problem> {
    caller.require(Action::OperateDeadLetters)?;
    let missing = || Problem::new(Code::NotFound, "There is no such dead letter");
    let id = id.parse().map_err(|_| missing())?;
    edge.ports.dead_letters.show(id).await?.map(Json).ok_or_else(missing)
}
