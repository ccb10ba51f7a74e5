//! `GET /admin/dead-letters`.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::dead_letters::{Cursor, Filter, Letter, MOST_LISTED, REASON};
use shared::shipment::{FieldError, TrackingNumber};

use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::query::page::{self, Read};
use crate::request::{self, Parameters};
use crate::router::Edge;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LetterList")]
pub(crate) struct Listed {
    data: Vec<Letter>,
    pagination: Pagination,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LetterPagination")]
struct Pagination {
    limit: usize,
    /// A page may be short, or empty, and have a next one.
    has_next: bool,
    next_cursor: Option<String>,
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    filter: Filter,
    cursor: Option<Cursor>,
    limit: usize,
}

/// `GET /admin/dead-letters`: the newest first.
pub(crate) async fn list_letters(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    Parameters(parameters): Parameters,
) -> Result<Response, Problem> {
    caller.require(Action::OperateDeadLetters)?;
    let Asked { filter, cursor, limit } = Asked::read(&parameters).map_err(Problem::invalid)?;
    let listed = edge.ports.dead_letters.list(&filter, cursor.as_ref(), limit).await?;
    let next_cursor = listed.next.map(|cursor| cursor.encode());
    let pagination = Pagination { limit, has_next: next_cursor.is_some(), next_cursor: next_cursor.clone() };
    let mut response = request::answer(StatusCode::OK, &Listed { data: listed.data, pagination });
    page::link_next(&mut response, &uri, &parameters, next_cursor.as_deref());
    Ok(response)
}

impl Asked {
    /// Reads the query string; a parameter that nobody knows is refused.
    fn read(parameters: &page::Parameters) -> Result<Self, Vec<FieldError>> {
        let (mut filter, mut errors, mut seen) = (Filter::default(), Vec::new(), Vec::new());
        let (mut limit, mut after) = (page::DEFAULT_LIMIT, None);
        for (name, value) in parameters {
            if value.is_empty() {
                continue;
            }
            let read = match name.as_str() {
                _ if seen.contains(&name) => Err(("not_allowed", "stands there twice".to_owned())),
                "reason" => reason(value).map(|reason| filter.reason = Some(reason)),
                "tracking_number" => number(value).map(|number| filter.tracking_number = Some(number)),
                "from" => page::time(value).map(|time| filter.from = Some(time)),
                "to" => page::time(value).map(|time| filter.to = Some(time)),
                "limit" => page::limit(value).map(|number| limit = number),
                "cursor" => {
                    after = Some(value);
                    Ok(())
                }
                _ => Err(("unknown_field", "is not a parameter of this list".to_owned())),
            };
            if let Err((code, message)) = read {
                errors.push(FieldError::new(name.clone(), code, message));
            }
            seen.push(name);
        }
        let cursor = after.and_then(|text| Cursor::of_list(text, &filter));
        if after.is_some() && cursor.is_none() && errors.is_empty() {
            errors.push(FieldError::new(
                "cursor",
                "malformed",
                "is not a cursor of this list; leave it out to begin anew",
            ));
        }
        let limit = usize::try_from(limit).unwrap_or(MOST_LISTED).min(MOST_LISTED);
        if errors.is_empty() { Ok(Self { filter, cursor, limit }) } else { Err(errors) }
    }
}

fn reason(text: &str) -> Read<String> {
    if text.chars().count() > REASON {
        return Err(("too_long", format!("must have at most {REASON} characters")));
    }
    Ok(text.to_owned())
}

fn number(text: &str) -> Read<TrackingNumber> {
    text.parse::<TrackingNumber>().map_err(|error| ("malformed", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let read = |parameters: &[(&str, &str)]| {
            let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            Asked::read(&parameters.iter().map(own).collect::<Vec<_>>())
                .map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect::<Vec<_>>())
        };
        let long = "X".repeat(65);
        let errors = read(&[
            ("reason", &long),
            ("tracking_number", "12"),
            ("from", "yesterday"),
            ("to", "2025-06-15T12:00:00"),
            ("limit", "0"),
            ("reson", "NO_JSON"),
            ("limit", "3"),
        ]);
        let expected = [
            ("reason", "too_long"),
            ("tracking_number", "malformed"),
            ("from", "malformed"),
            ("to", "malformed"),
            ("limit", "out_of_range"),
            ("reson", "unknown_field"),
            ("limit", "not_allowed"),
        ];
        assert_eq!(errors, Err(expected.map(|(field, code)| (field.to_owned(), code)).to_vec()));
        assert_eq!(read(&[("cursor", "nonsense")]), Err(vec![("cursor".to_owned(), "malformed")]));
    }
}
