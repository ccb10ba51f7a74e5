//! `POST /admin/dead-letters/redrive`.

use axum::Json;
use axum::extract::{Request, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use shared::dead_letters::{Cursor, Filter, LetterId, MOST_REDRIVEN, REASON, RedriveReport, RedriveRequest, Selection};
use shared::shipment::form::Form;
use shared::shipment::{FieldError, TrackingNumber, UnknownFields};

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request;
use crate::router::Edge;

/// Letters that a redrive takes when the caller does not say.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// Largest body: a thousand ids have thirty thousand characters.
pub(crate) const BODY_BYTES: usize = 64 * 1024;
/// Longest cursor, in characters.
const CURSOR: usize = 8_192;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Redrive")]
pub(crate) struct Report {
    #[serde(flatten)]
    report: RedriveReport,
    /// More may match: the same request with this `cursor` goes on.
    next_cursor: Option<String>,
}

/// `POST /admin/dead-letters/redrive`.
pub(crate) async fn post_redrive(
    State(edge): State<Edge>,
    caller: Caller,
    request: Request,
) -> Result<Json<Report>, Problem> {
    caller.require(Action::OperateDeadLetters)?;
    let body = request::json(request, BODY_BYTES).await?;
    let request = read(body, caller.sub).map_err(Problem::invalid)?;
    // A caller who goes away does not cut a redrive in two.
    let letters = edge.ports.dead_letters.clone();
    let done = tokio::spawn(async move { letters.redrive(&request).await }).await.map_err(Problem::internal)?;
    let mut report = done?;
    let next_cursor = report.next.take().map(|cursor| cursor.encode());
    Ok(Json(Report { report, next_cursor }))
}

/// What stands in a body besides the ids and the limit.
struct Members {
    is_filtered: bool,
    filter: Filter,
    cursor: Option<String>,
    dry_run: bool,
}

fn read_members(form: &mut Form) -> Members {
    let is_filtered = ["reason", "tracking_number", "from", "to"].iter().any(|field| form.has(field));
    let filter = Filter {
        reason: form.optional_text("reason", REASON),
        tracking_number: form.optional_parsed("tracking_number", "malformed", str::parse::<TrackingNumber>),
        from: form.optional_timestamp("from"),
        to: form.optional_timestamp("to"),
    };
    let cursor = form.optional_text("cursor", CURSOR);
    let dry_run = form.optional_flag("dry_run").unwrap_or(false);
    Members { is_filtered, filter, cursor, dry_run }
}

/// The schema of the body.
pub(crate) fn schema() -> Value {
    let mut schema = Form::describe(read_members);
    let id = json!({"type": "string", "pattern": "^[0-9]+:[0-9]+$"});
    schema["properties"]["ids"] =
        json!({"type": ["array", "null"], "items": id, "minItems": 1, "maxItems": MOST_REDRIVEN});
    schema["properties"]["limit"] =
        json!({"type": ["integer", "null"], "minimum": 1, "maximum": MOST_REDRIVEN, "default": DEFAULT_LIMIT});
    // Ids go with nothing else that selects.
    let alone = ["reason", "tracking_number", "from", "to", "cursor"];
    let nothing: serde_json::Map<String, Value> =
        alone.iter().map(|member| ((*member).to_owned(), json!({"type": "null"}))).collect();
    schema["if"] = json!({"required": ["ids"], "properties": {"ids": {"type": "array"}}});
    schema["then"] = json!({"properties": nothing});
    let any =
        alone[..4].iter().map(|member| json!({"required": [member], "properties": {*member: {"type": "string"}}}));
    schema["else"] = json!({"anyOf": any.collect::<Vec<_>>()});
    schema
}

/// The body; `by` is who sends it.
fn read(mut body: Value, by: String) -> Result<RedriveRequest, Vec<FieldError>> {
    let mut take = |member| body.as_object_mut()?.remove(member).filter(|value: &Value| !value.is_null());
    let (ids, limit) = (take("ids"), take("limit"));
    let mut form = Form::of(body)?;
    let Members { is_filtered, filter, cursor, dry_run } = read_members(&mut form);
    let limit = limit.map_or(DEFAULT_LIMIT, |limit| read_limit(&limit, &mut form));
    let selection = match ids {
        Some(ids) => {
            for (field, given) in [
                ("reason", filter.reason.is_some()),
                ("tracking_number", filter.tracking_number.is_some()),
                ("from", filter.from.is_some()),
                ("to", filter.to.is_some()),
                ("cursor", cursor.is_some()),
            ] {
                if given {
                    form.error(field, "not_allowed", "does not go together with ids");
                }
            }
            Selection::Ids(read_ids(ids, &mut form))
        }
        None => {
            if !is_filtered {
                form.error("", "required", "names nothing to redrive: ids, reason, tracking_number, from or to");
            }
            let start = cursor.as_deref().and_then(|text| Cursor::of_redrive(text, &filter));
            if cursor.is_some() && start.is_none() {
                form.error("cursor", "malformed", "is not a cursor of this redrive; leave it out to begin anew");
            }
            Selection::Matching(filter, start)
        }
    };
    form.finish(UnknownFields::Refuse)?;
    let limit = if let Selection::Ids(ids) = &selection { ids.len() } else { limit };
    Ok(RedriveRequest { selection, limit, dry_run, by })
}

fn read_limit(value: &Value, form: &mut Form) -> usize {
    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && (1.0..=MOST_REDRIVEN as f64).contains(number));
    let Some(number) = whole else {
        form.error("limit", "out_of_range", format!("must be a whole number from 1 to {MOST_REDRIVEN}"));
        return DEFAULT_LIMIT;
    };
    number as usize
}

fn read_ids(ids: Value, form: &mut Form) -> Vec<LetterId> {
    let Value::Array(ids) = ids else {
        form.error("ids", "wrong_type", "expected an array");
        return Vec::new();
    };
    if ids.is_empty() || ids.len() > MOST_REDRIVEN {
        form.error("ids", "out_of_range", format!("must be 1 to {MOST_REDRIVEN} ids"));
        return Vec::new();
    }
    let mut read = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        match id.as_str().map(str::parse) {
            Some(Ok(id)) => read.push(id),
            Some(Err(error)) => form.error(&format!("ids.{index}"), "malformed", format!("{error}")),
            None => form.error(&format!("ids.{index}"), "wrong_type", "expected text"),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(body: Value) -> Vec<(String, &'static str)> {
        let errors = read(body, "ana".to_owned()).expect_err("invalid");
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn a_redrive_takes_ids_or_a_filter_and_never_everything_by_mistake() {
        let request = read(json!({"ids": ["3:7", "0:1"], "dry_run": true}), "ana".to_owned()).expect("valid");
        let ids = ["3:7", "0:1"].map(|id| id.parse().expect("an id")).to_vec();
        assert_eq!((request.selection, request.limit, request.dry_run), (Selection::Ids(ids), 2, true));
        let request = read(json!({"reason": "NO_JSON", "limit": 7}), "ana".to_owned()).expect("valid");
        let filter = Filter { reason: Some("NO_JSON".to_owned()), ..Filter::default() };
        assert_eq!((request.selection, request.limit, request.dry_run), (Selection::Matching(filter, None), 7, false));

        assert_eq!(errors(json!({})), [(String::new(), "required")]);
        assert_eq!(errors(json!({"dry_run": true, "limit": 3})), [(String::new(), "required")]);
    }

    #[test]
    fn every_bad_member_is_named() {
        let named = |body: Value| errors(body).into_iter().map(|(field, _)| field).collect::<Vec<_>>();
        assert_eq!(named(json!({"ids": ["3:7", "x", 4], "reason": "NO_JSON"})), ["reason", "ids.1", "ids.2"]);
        assert_eq!(named(json!({"ids": []})), ["ids"]);
        assert_eq!(named(json!({"ids": vec!["0:1"; 1001]})), ["ids"]);
        assert_eq!(named(json!({"ids": "0:1"})), ["ids"]);
        assert_eq!(named(json!({"from": "now", "limit": 1001, "all": true})), ["from", "limit", "all"]);
        assert_eq!(named(json!({"reason": "NO_JSON", "limit": 1.5})), ["limit"]);
        assert_eq!(named(json!({"reason": "NO_JSON", "cursor": "x"})), ["cursor"]);
    }
}
