//! `GET /admin/operator-log`: who did what.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use shared::operator_log::Entry;
use shared::shipment::FieldError;

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::query::page;
use crate::request::Parameters;
use crate::router::Edge;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "OperatorLog")]
pub(crate) struct Listed {
    data: Vec<Entry>,
}

/// `GET /admin/operator-log?limit`: the newest entries.
pub(crate) async fn list_operator_log(
    State(edge): State<Edge>,
    caller: Caller,
    Parameters(parameters): Parameters,
) -> Result<Json<Listed>, Problem> {
    caller.require(Action::OperateDeadLetters)?;
    let limit = limit(&parameters).map_err(Problem::invalid)?;
    Ok(Json(Listed { data: edge.ports.dead_letters.operator_log(limit).await? }))
}

fn limit(parameters: &page::Parameters) -> Result<u32, Vec<FieldError>> {
    let (mut limit, mut errors, mut seen) = (page::MOST, Vec::new(), Vec::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        let read = match name.as_str() {
            _ if seen.contains(&name) => Err(("not_allowed", "stands there twice".to_owned())),
            "limit" => page::limit(value).map(|number| limit = number),
            _ => Err(("unknown_field", "is not a parameter of this list".to_owned())),
        };
        if let Err((code, message)) = read {
            errors.push(FieldError::new(name.clone(), code, message));
        }
        seen.push(name);
    }
    if errors.is_empty() { Ok(limit) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let read = |parameters: &[(&str, &str)]| {
            limit(&parameters.iter().map(own).collect::<Vec<_>>())
                .map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect::<Vec<_>>())
        };
        assert_eq!((read(&[]), read(&[("limit", "7")])), (Ok(100), Ok(7)));
        let expected = [("limit", "out_of_range"), ("who", "unknown_field"), ("limit", "not_allowed")];
        let expected = expected.map(|(field, code)| (field.to_owned(), code)).to_vec();
        assert_eq!(read(&[("limit", "0"), ("who", "ana"), ("limit", "3")]), Err(expected));
    }
}
