//! `GET /admin/unmapped-codes`: what an operator should map.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::carrier::CarrierSet;
use shared::shipment::{FieldError, Timestamp, TrackingNumber, limits};
use shared::unmapped_codes::{Seen, UnmappedCode};

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request::{self, Parameters};
use crate::router::Edge;

/// Codes in a list when the caller does not say.
pub(crate) const DEFAULT_LIMIT: u32 = 100;
/// Most codes in a list: as many as one carrier can have.
pub(crate) const MOST: u32 = 1_000;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UnmappedCodes")]
pub(crate) struct UnmappedList<'a> {
    data: Vec<Entry<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UnmappedCode")]
struct Entry<'a> {
    carrier: &'a str,
    /// `None` for scans without a code, and for the rest.
    code: Option<&'a str>,
    text: Option<&'a str>,
    count: u64,
    first_seen: Timestamp,
    last_seen: Timestamp,
    tracking_number: TrackingNumber,
    /// Everything that found no room in the list of its carrier.
    rest: bool,
    /// A mapping that was loaded since knows it; a rebuild judges the events anew.
    mapped_now: bool,
}

impl<'a> Entry<'a> {
    fn of(entry: &'a UnmappedCode, carriers: &CarrierSet) -> Self {
        let (code, text) = match &entry.seen {
            Seen::Code(code) => (Some(code.as_str()), entry.text.as_deref()),
            Seen::Text(text) => (None, Some(text.as_str())),
            Seen::Rest => (None, None),
        };
        let mapping = carriers.get(&entry.carrier);
        Self {
            carrier: &entry.carrier,
            code,
            text,
            count: entry.count,
            first_seen: entry.first_seen,
            last_seen: entry.last_seen,
            tracking_number: entry.tracking_number,
            rest: entry.seen == Seen::Rest,
            mapped_now: mapping.is_some_and(|mapping| mapping.read(code, text).is_mapped()),
        }
    }
}

/// `GET /admin/unmapped-codes`.
pub(crate) async fn list_unmapped(
    State(edge): State<Edge>,
    caller: Caller,
    Parameters(parameters): Parameters,
) -> Result<Response, Problem> {
    caller.require(Action::OperateCarriers)?;
    let (carrier, limit) = asked(parameters).map_err(Problem::invalid)?;
    let codes = edge.ports.unmapped.list(carrier.as_deref(), limit).await?;
    let carriers = edge.config.carriers.current();
    let data = codes.iter().map(|code| Entry::of(code, &carriers)).collect();
    Ok(request::answer(StatusCode::OK, &UnmappedList { data }))
}

/// Carrier and limit.
fn asked(parameters: Vec<(String, String)>) -> Result<(Option<String>, u32), Vec<FieldError>> {
    let (mut carrier, mut limit, mut errors, mut seen) = (None, DEFAULT_LIMIT, Vec::new(), Vec::new());
    for (name, value) in parameters {
        if value.is_empty() {
            continue;
        }
        let mut refuse = |code, message: String| errors.push(FieldError::new(name.clone(), code, message));
        match name.as_str() {
            _ if seen.contains(&name) => refuse("not_allowed", "stands there twice".to_owned()),
            "carrier" if value.chars().count() > limits::SLUG => {
                refuse("too_long", format!("must have at most {} characters", limits::SLUG));
            }
            "carrier" => carrier = Some(value),
            "limit" => match value.parse::<u32>() {
                Ok(number @ 1..) => limit = number.min(MOST),
                _ => refuse("malformed", format!("must be a whole number from 1; above {MOST} it is {MOST}")),
            },
            _ => refuse("unknown_field", "is not a parameter of this list".to_owned()),
        }
        seen.push(name);
    }
    if errors.is_empty() { Ok((carrier, limit)) } else { Err(errors) }
}
