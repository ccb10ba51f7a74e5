//! `GET /admin/carriers`: which vocabularies are loaded.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::carrier::{CarrierMapping, Zone};
use shared::shipment::Timestamp;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request;
use crate::router::Edge;

#[derive(Serialize, JsonSchema)]
pub(crate) struct CarrierList<'a> {
    data: Vec<Carrier<'a>>,
    /// The directory, or that they are compiled in.
    source: String,
    read_at: Option<Timestamp>,
    /// Whether the last attempt to read the files again failed.
    last_reload_refused: bool,
}

#[derive(Serialize, JsonSchema)]
struct Carrier<'a> {
    carrier: &'a str,
    zone: Option<&'a str>,
    rules: usize,
    file: &'a str,
}

impl<'a> From<&'a CarrierMapping> for Carrier<'a> {
    fn from(mapping: &'a CarrierMapping) -> Self {
        Self {
            carrier: mapping.carrier(),
            zone: mapping.zone().map(Zone::name),
            rules: mapping.rules(),
            file: mapping.file(),
        }
    }
}

/// `GET /admin/carriers`.
pub(crate) async fn list_carriers(State(edge): State<Edge>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Action::OperateCarriers)?;
    let carriers = &edge.config.carriers;
    let loaded = carriers.loaded();
    let listed = CarrierList {
        data: loaded.set.iter().map(Carrier::from).collect(),
        source: carriers.origin(),
        read_at: loaded.read_at,
        last_reload_refused: loaded.refused,
    };
    Ok(request::answer(StatusCode::OK, &listed))
}
