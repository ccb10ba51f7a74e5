//! `GET /shipments`: filters, and pages by offset or by cursor.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::shipment::{FieldError, ServiceType, Status, limits};
use shared::shipment_store::{ListFilter, PageStart};
use shared::user_store::Role;

use super::cursor;
use super::page::{self, Read};
use super::view::Summary;
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request::{self, Parameters};
use crate::router::Edge;
use crate::tracking_position::{Awaited, Shows};

/// Farthest offset: the store walks over what it skips. A cursor costs the same on every page.
pub(crate) const FARTHEST_OFFSET: u64 = 100_000;
/// Longest prefix of a tracking number, in characters.
const PREFIX: usize = 16;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShipmentPage")]
pub(crate) struct Listed<'a> {
    data: Vec<Summary<'a>>,
    pagination: Pagination,
}

#[derive(Serialize, JsonSchema)]
struct Pagination {
    total: u64,
    /// Else there are at least so many.
    total_is_exact: bool,
    limit: u32,
    /// `None` on a page that a cursor led to.
    offset: Option<u64>,
    /// A page may be short, or empty, and have a next one.
    has_next: bool,
    next_cursor: Option<String>,
}

/// What a list is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    filter: ListFilter,
    start: PageStart,
    limit: u32,
}

/// `GET /shipments`.
pub(crate) async fn list_shipments(
    State(edge): State<Edge>,
    caller: Caller,
    awaited: Awaited,
    uri: Uri,
    Parameters(parameters): Parameters,
) -> Result<Response, Problem> {
    caller.require(Action::ReadShipments)?;
    let asked = Asked::read(&parameters, &caller).map_err(Problem::invalid)?;
    let seen = awaited.wait(&edge, Shows::Anything).await;
    let answer = list(&edge, asked).await.map(|(mut response, next)| {
        page::link_next(&mut response, &uri, &parameters, next.as_deref());
        response
    });
    Ok(seen.mark(answer))
}

/// The page, and the cursor of the next one.
async fn list(edge: &Edge, Asked { filter, start, limit }: Asked) -> Result<(Response, Option<String>), Problem> {
    let page = edge.ports.store.list(&filter, start, limit).await?;
    let next_cursor = page.next.map(|(created_at, number)| cursor::after(&filter, created_at, number));
    let pagination = Pagination {
        total: page.total.count,
        total_is_exact: page.total.is_exact,
        limit,
        offset: if let PageStart::Offset(offset) = start { Some(offset) } else { None },
        has_next: next_cursor.is_some(),
        next_cursor: next_cursor.clone(),
    };
    let data = page.shipments.iter().map(Summary::of).collect();
    Ok((request::answer(StatusCode::OK, &Listed { data, pagination }), next_cursor))
}

impl Asked {
    /// Reads the query string; a parameter that nobody knows is refused, because a misspelled filter would list too much.
    fn read(parameters: &page::Parameters, caller: &Caller) -> Result<Self, Vec<FieldError>> {
        let (mut filter, mut errors, mut seen) = (ListFilter::default(), Vec::new(), Vec::new());
        let (mut limit, mut offset, mut after) = (page::DEFAULT_LIMIT, None, None);
        for (name, value) in parameters {
            if value.is_empty() {
                continue;
            }
            let read = match name.as_str() {
                _ if seen.contains(&name) => Err(("not_allowed", "stands there twice".to_owned())),
                "status" => word(value, Status::from_word, Status::ALL, Status::as_str)
                    .map(|status| filter.status = Some(status)),
                "service_type" => word(value, ServiceType::from_word, ServiceType::ALL, ServiceType::as_str)
                    .map(|service| filter.service_type = Some(service)),
                "client_id" => client(value).map(|client| filter.client_id = Some(client)),
                "search" => prefix(value).map(|prefix| filter.prefix = Some(prefix)),
                "created_from" => page::time(value).map(|time| filter.created_from = Some(time)),
                "created_to" => page::time(value).map(|time| filter.created_to = Some(time)),
                "limit" => page::limit(value).map(|number| limit = number),
                "offset" => page::number(value, 0..=FARTHEST_OFFSET).map(|number| offset = Some(number)),
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
        if caller.role == Role::Client {
            filter.client_id.clone_from(&caller.client_id); // whatever was asked for
        }
        if offset.is_some() && after.is_some() {
            errors.push(FieldError::new("offset", "not_allowed", "a page begins at an offset or at a cursor"));
        }
        let start = match after {
            None => Some(PageStart::Offset(offset.unwrap_or(0))),
            Some(text) => cursor::read(text, &filter),
        };
        if start.is_none() && errors.is_empty() {
            let message =
                "is not a cursor of this list; take it from next_cursor of the page before, with the same filters";
            errors.push(FieldError::new("cursor", "malformed", message));
        }
        match start {
            Some(start) if errors.is_empty() => Ok(Self { filter, start, limit }),
            _ => Err(errors),
        }
    }
}

fn word<T: Copy>(text: &str, known: fn(&str) -> Option<T>, all: &[T], name: fn(T) -> &'static str) -> Read<T> {
    known(text).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|&word| name(word)).collect();
        ("unknown_value", format!("must be one of {}", words.join(", ")))
    })
}

fn client(text: &str) -> Read<String> {
    if text.chars().count() > limits::CLIENT_ID {
        return Err(("too_long", format!("must have at most {} characters", limits::CLIENT_ID)));
    }
    Ok(text.to_owned())
}

/// What [`prefix`] accepts.
pub(crate) fn prefix_pattern() -> String {
    format!("^[A-Za-z0-9-]{{0,{PREFIX}}}$")
}

fn prefix(text: &str) -> Read<String> {
    let upper = text.to_ascii_uppercase();
    if upper.len() > PREFIX || !upper.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(("malformed", "must be the beginning of a tracking number, such as 99M-AB".to_owned()));
    }
    Ok(upper)
}

#[cfg(test)]
mod tests {
    use shared::shipment::Timestamp;

    use super::*;

    fn read(role: Role, parameters: &[(&str, &str)]) -> Result<Asked, Vec<(String, &'static str)>> {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let caller = Caller { sub: "someone".to_owned(), role, client_id: Some("c1".to_owned()) };
        Asked::read(&parameters.iter().map(own).collect::<Vec<_>>(), &caller)
            .map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect())
    }

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let errors = read(
            Role::Admin,
            &[
                ("status", "lost"),
                ("service_type", "soon"),
                ("search", "99M_%"),
                ("created_from", "yesterday"),
                ("offset", "100001"),
                ("stauts", "created"),
                ("limit", "x"),
                ("limit", "5"),
            ],
        );
        let expected = [
            ("status", "unknown_value"),
            ("service_type", "unknown_value"),
            ("search", "malformed"),
            ("created_from", "malformed"),
            ("offset", "out_of_range"),
            ("stauts", "unknown_field"),
            ("limit", "malformed"),
            ("limit", "not_allowed"),
        ];
        assert_eq!(errors, Err(expected.map(|(field, code)| (field.to_owned(), code)).to_vec()));
        let both = read(Role::Admin, &[("offset", "1"), ("cursor", "x")]);
        assert_eq!(both, Err(vec![("offset".to_owned(), "not_allowed")]));
    }

    #[test]
    fn a_client_is_held_to_its_own_shipments() {
        let asked = |role| read(role, &[("client_id", "c2")]).expect("valid").filter.client_id;
        assert_eq!(asked(Role::Client).as_deref(), Some("c1"));
        assert_eq!(asked(Role::Admin).as_deref(), Some("c2"));
        assert_eq!(read(Role::Admin, &[]).expect("valid").filter.client_id, None);
    }

    #[test]
    fn an_offset_whose_plus_was_not_escaped_is_understood() {
        let filter = read(Role::Admin, &[("created_from", "2025-01-01T01:00:00 01:00")]).expect("valid").filter;
        assert_eq!(filter.created_from, Timestamp::parse("2025-01-01T00:00:00Z").ok());
    }
}
