//! `GET /changes`: what a stream tells, to be asked for a page at a time, with the same ids.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::change_feed::{Bounds, Change, FeedError};
use shared::shipment::FieldError;
use tokio::time::{Duration, Instant};

use super::page;
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::request::{self, Parameters};
use crate::router::Edge;
use crate::stream::{Filter, Gone, Match, Place};

/// Changes on a page when the caller does not say.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// Most changes on a page: half a megabyte.
pub(crate) const MOST: usize = 1_000;
/// Most changes that are looked at for one page: a client whose changes are rare gets a page with few of them, or none, and a cursor behind what
/// was looked at.
const LOOKED_AT: usize = 10_000;
/// How many of them are read at once, when not all of them pass.
const PIECE: usize = 2_000;
/// After so long no further piece is read for a page.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// What `cursor` says to begin behind everything that is there.
const NOW: &str = "now";

/// A page of changes.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedChanges<'a> {
    data: Vec<ListedChange<'a>>,
    pagination: ChangesPagination,
}

/// A change, and the place behind it.
#[derive(Serialize, JsonSchema)]
struct ListedChange<'a> {
    /// The place behind the change, for `cursor` and for `Last-Event-ID`.
    id: &'a str,
    #[serde(flatten)]
    change: &'a Change,
}

/// Where the page stands.
#[derive(Serialize, JsonSchema)]
struct ChangesPagination {
    /// Most changes on the page.
    limit: usize,
    /// Whether there is more at present.
    has_next: bool,
    /// Goes on behind this page, now or when there is more. Always there.
    next_cursor: String,
}

/// What a page is asked for.
struct Asked {
    filter: Filter,
    start: Start,
    limit: usize,
}

#[derive(Debug, PartialEq)]
enum Start {
    Oldest,
    Now,
    At(Place),
}

/// `GET /changes`.
pub(crate) async fn list_changes(
    State(edge): State<Edge>,
    caller: Caller,
    uri: Uri,
    Parameters(parameters): Parameters,
) -> Result<Response, Problem> {
    caller.require(Action::ReadShipments)?;
    let Asked { filter, start, limit } = Asked::read(parameters.clone(), &caller)?;
    let hub = &edge.streams.hub;
    let bounds = hub.bounds().await?;
    let mut place = match start {
        Start::Oldest => Place::at_begin(&bounds),
        Start::Now => hub.at_ends(&bounds, None),
        Start::At(place) => {
            let _turn = hub.turn().await?;
            hub.judge(place, &bounds).await?.map_err(|gone| expired(&edge, gone, &bounds))?
        }
    };
    let found = look(&edge, &mut place, &bounds, &filter, limit).await?;
    let pagination =
        ChangesPagination { limit, has_next: !place.stretches(&bounds).is_empty(), next_cursor: place.id() };
    let data = found.iter().map(|Match { place, entry }| ListedChange { id: place, change: &entry.change }).collect();
    let next = pagination.has_next.then(|| pagination.next_cursor.clone());
    let mut response = request::answer(StatusCode::OK, &ListedChanges { data, pagination });
    page::link_next(&mut response, &uri, &parameters, next.as_deref());
    Ok(response)
}

/// Looks for changes from `place` on, and moves it behind what was looked at.
async fn look(
    edge: &Edge,
    place: &mut Place,
    bounds: &[Bounds],
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Match>, Problem> {
    let (hub, begun) = (&edge.streams.hub, Instant::now());
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while found.len() < limit && looked_at < LOOKED_AT && !place.stretches(bounds).is_empty() {
        let left = limit - found.len();
        let piece = if filter.is_open() { left } else { PIECE };
        let turn = hub.turn().await?;
        let more = hub.page(place, bounds, filter, piece, left).await;
        drop(turn);
        match more {
            Ok(more) => found.extend(more),
            // They went while we looked; the next page says so.
            Err(FeedError::OutOfRange) if !found.is_empty() => break,
            Err(FeedError::OutOfRange) => return Err(gone(edge, place).await),
            Err(error) => return Err(error.into()),
        }
        looked_at += piece;
        if begun.elapsed() >= PAGE_TIME {
            break;
        }
    }
    Ok(found)
}

/// The place was there when the question came, and is not any more.
async fn gone(edge: &Edge, place: &Place) -> Problem {
    match edge.streams.hub.bounds().await {
        Ok(bounds) => match place.clone().within(&bounds) {
            Err(gone) => expired(edge, gone, &bounds),
            Ok(_) => FeedError::OutOfRange.into(),
        },
        Err(error) => error.into(),
    }
}

/// The feed cannot go on from a cursor; it can from now.
fn expired(edge: &Edge, gone: Gone, bounds: &[Bounds]) -> Problem {
    Problem::cursor_expired(gone.text(), edge.streams.hub.at_ends(bounds, None).id())
}

impl Asked {
    /// Reads `cursor` and `limit`, and leaves the rest to the filter.
    fn read(parameters: Vec<(String, String)>, caller: &Caller) -> Result<Self, Problem> {
        let (mut start, mut limit, mut errors) = (None, None, Vec::new());
        let mut rest = Vec::new();
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            let twice = (name == "cursor" && start.is_some()) || (name == "limit" && limit.is_some());
            match name.as_str() {
                _ if twice => errors.push(FieldError::new(name, "not_allowed", "stands there twice")),
                "cursor" => {
                    start = Some(Start::read(&value).unwrap_or_else(|| {
                        let message = "is not a cursor of the changes; take it from next_cursor, or an id of a stream";
                        errors.push(FieldError::new("cursor", "malformed", message));
                        Start::Oldest
                    }));
                }
                "limit" => {
                    limit = Some(read_limit(&value).unwrap_or_else(|| {
                        let message = format!("must be a whole number from 1; above {MOST} it becomes {MOST}");
                        errors.push(FieldError::new("limit", "malformed", message));
                        DEFAULT_LIMIT
                    }));
                }
                _ => rest.push((name, value)),
            }
        }
        let filter = Filter::read_with(rest, caller, errors)?;
        Ok(Self { filter, start: start.unwrap_or(Start::Oldest), limit: limit.unwrap_or(DEFAULT_LIMIT) })
    }
}

impl Start {
    fn read(cursor: &str) -> Option<Self> {
        if cursor == NOW { Some(Self::Now) } else { Place::read(cursor).map(Self::At) }
    }
}

fn read_limit(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // Only digits, so what does not fit is larger than any bound.
    let limit = digits.then(|| text.parse().unwrap_or(MOST).min(MOST));
    limit.filter(|&limit| limit > 0)
}

#[cfg(test)]
mod tests {
    use shared::user_store::Role;

    use super::*;

    fn read(parameters: &[(&str, &str)]) -> Result<Asked, Vec<(String, &'static str)>> {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let caller = Caller { sub: "someone".to_owned(), role: Role::Admin, client_id: None };
        Asked::read(parameters.iter().map(own).collect(), &caller)
            .map_err(|problem| problem.errors().iter().map(|error| (error.field.clone(), error.code)).collect())
    }

    #[test]
    fn a_page_begins_at_the_oldest_change_now_or_at_a_cursor() {
        let start = |text: &str| read(&[("cursor", text)]).map(|asked| asked.start);
        assert_eq!(read(&[]).map(|asked| (asked.start, asked.limit)), Ok((Start::Oldest, DEFAULT_LIMIT)));
        assert_eq!(start(""), Ok(Start::Oldest));
        assert_eq!(start("now"), Ok(Start::Now));
        let place = Place::whole(&[4, 7], 1);
        assert_eq!(start(&place.id()), Ok(Start::At(place)));
        assert_eq!(start("3:77:1"), Err(vec![("cursor".to_owned(), "malformed")]));
    }

    // contract: "`limit` default 100, above 1000 becomes 1000"
    #[test]
    fn a_limit_above_the_bound_becomes_the_bound_and_a_bad_one_is_refused() {
        let limit = |text| read(&[("limit", text)]).map(|asked| asked.limit);
        assert_eq!((limit("7"), limit("1000"), limit("99999999999999999999999")), (Ok(7), Ok(MOST), Ok(MOST)));
        for bad in ["0", "-1", "ten", "1.5", " 1"] {
            assert_eq!(limit(bad), Err(vec![("limit".to_owned(), "malformed")]), "{bad}");
        }
    }

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let asked = [("cursor", "x"), ("limit", "x"), ("limit", "5"), ("status", "lost"), ("stauts", "created")];
        let expected = [
            ("cursor", "malformed"),
            ("limit", "malformed"),
            ("limit", "not_allowed"),
            ("status", "unknown_value"),
            ("stauts", "unknown_field"),
        ];
        let expected = expected.map(|(field, code)| (field.to_owned(), code)).to_vec();
        assert_eq!(read(&asked).err(), Some(expected));
    }
}
