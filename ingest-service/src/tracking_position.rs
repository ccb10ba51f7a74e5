//! The header `Tracking-Position`: read your writes.
//!
//! What goes into the log is answered with where it stands there. A GET that brings that along is answered once everything up to
//! there is applied, so that it shows what its caller has just written. When that takes too long it is answered with what is there,
//! and `Tracking-Position-Applied` says which of the two it was.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use shared::event_log::{Position, Topic};
use shared::shipment::{EventId, FieldError, TrackingNumber};

use crate::error::Problem;
use crate::outcome::{self, LOOK_EVERY};
use crate::router::Edge;

/// `<partition>:<offset>`, several of them with commas between.
const POSITION: HeaderName = HeaderName::from_static("tracking-position");
/// `true` or `false`: whether the position that the request brought along was applied when it was answered.
const APPLIED: HeaderName = HeaderName::from_static("tracking-position-applied");
/// Longest wait. It also bounds for how long a position that does not exist yet keeps a connection, and what a request that waits holds
/// counts among those in flight as any other's does.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most positions in one header, each on a partition of its own: together 3 KB, less than what proxies allow all headers of an answer.
const MOST: usize = 128;

/// `response` with where its records stand: the last one of each partition. Without, when there are none; or so many partitions that the
/// header would not get through, for half of the positions would be a promise that is not kept.
pub(crate) fn tell(mut response: Response, positions: &[Position]) -> Response {
    let last = last_of_each_partition(positions.iter().copied());
    if last.is_empty() || last.len() > MOST {
        return response;
    }
    let text: Vec<_> = last.iter().map(|Position { partition, offset }| format!("{partition}:{offset}")).collect();
    // Digits, colons and commas.
    response.headers_mut().extend(HeaderValue::try_from(text.join(",")).ok().map(|value| (POSITION, value)));
    response
}

fn last_of_each_partition(positions: impl Iterator<Item = Position>) -> Vec<Position> {
    let mut last = BTreeMap::new();
    for Position { partition, offset } in positions {
        let known = last.entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }
    last.into_iter().map(|(partition, offset)| Position { partition, offset }).collect()
}

/// What is read, as it is written by [`tell`].
pub(crate) fn pattern() -> String {
    format!("^[0-9]{{1,9}}:[0-9]{{1,18}}(,[0-9]{{1,9}}:[0-9]{{1,18}}){{0,{}}}$", MOST - 1)
}

/// What must be applied before the request is answered; mostly nothing.
#[derive(Debug, PartialEq)]
pub(crate) struct Awaited(Vec<Position>);

impl FromRequestParts<Edge> for Awaited {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Problem> {
        Self::read(&parts.headers).map_err(|error| Problem::invalid(vec![error]))
    }
}

/// What the answer will show: it tells that a position is applied when the announcement of that was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shows {
    Shipment(TrackingNumber),
    Event(EventId),
    /// Whatever there is, of which no single thing tells.
    Anything,
}

/// Whether what was awaited was applied; `None` when nothing was.
pub(crate) struct Seen(Option<bool>);

impl Awaited {
    fn read(headers: &HeaderMap) -> Result<Self, FieldError> {
        let refused = |code, message: String| FieldError::new("Tracking-Position", code, message);
        let malformed = || {
            let message = "must be <partition>:<offset>, as an answer said it, or several with commas between";
            refused("malformed", message.to_owned())
        };
        let mut positions = Vec::new();
        for line in headers.get_all(POSITION) {
            // Empty elements of a list count for nothing (RFC 9110, section 5.6.1.2).
            let elements = line.to_str().map_err(|_| malformed())?.split(',').map(str::trim);
            for element in elements.filter(|element| !element.is_empty()) {
                positions.push(read_position(element).ok_or_else(malformed)?);
                if positions.len() > MOST {
                    return Err(refused("too_long", format!("must hold at most {MOST} positions")));
                }
            }
        }
        if positions.is_empty() && headers.contains_key(POSITION) {
            return Err(malformed());
        }
        Ok(Self(last_of_each_partition(positions.into_iter())))
    }

    /// Waits until everything is applied, at most [`PATIENCE`]. Call it when nothing but the store is left to ask: who may not read
    /// does not wait.
    pub(crate) async fn wait(self, edge: &Edge, shows: Shows) -> Seen {
        let Self(mut left) = self;
        if left.is_empty() {
            return Seen(None);
        }
        let applied = async {
            while let Some(&next) = left.last() {
                if edge.ports.applied.wait_for(next, LOOK_EVERY).await {
                    left.pop();
                } else if let Some(shown) = shows.up_to(edge, &left).await {
                    left.retain(|awaited| awaited.partition != shown.partition || awaited.offset > shown.offset);
                }
            }
        };
        Seen(Some(tokio::time::timeout(PATIENCE, applied).await.is_ok()))
    }
}

fn read_position(text: &str) -> Option<Position> {
    let (partition, offset) = text.split_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(partition) || !digits(offset) {
        return None;
    }
    Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
}

impl Shows {
    /// Up to where what is shown has been applied, as far as the store tells something about what is `awaited`.
    async fn up_to(self, edge: &Edge, awaited: &[Position]) -> Option<Position> {
        let looked = match self {
            Self::Shipment(number) => shipment_up_to(edge, number, awaited).await,
            Self::Event(id) => event_up_to(edge, id).await,
            Self::Anything => Ok(None),
        };
        looked.unwrap_or_else(|problem| {
            let error = problem.cause().unwrap_or_default();
            tracing::debug!(error, "whether a position is applied cannot be looked up yet");
            None
        })
    }
}

/// The position of a shipment's state. One from an earlier life of the topic stands, as a rule, beyond its end, and tells nothing. The
/// log is asked for its end, and for the partition, only when the state may be far enough.
async fn shipment_up_to(
    edge: &Edge,
    number: TrackingNumber,
    awaited: &[Position],
) -> Result<Option<Position>, Problem> {
    let Some(shipment) = edge.ports.store.shipment(number).await? else { return Ok(None) };
    let offset = shipment.state.position.offset;
    if awaited.iter().all(|awaited| awaited.offset > offset) {
        return Ok(None);
    }
    let end = edge.ports.log.end_of(Topic::Events, number.as_str().as_bytes()).await?;
    Ok((offset < end.offset).then_some(Position { offset, ..end }))
}

/// The position up to which what an event shows is true: that at which it was decided and is shown. Its outcome is final, so nothing that is applied later
/// changes the answer; of a parked one more may be known by now, up to its own record nothing else.
async fn event_up_to(edge: &Edge, id: EventId) -> Result<Option<Position>, Problem> {
    let Some(row) = outcome::find(edge.ports.store.as_ref(), id).await? else { return Ok(None) };
    let up_to = Position { partition: row.position.partition, offset: row.judged_at().offset };
    Ok(outcome::is_settled(edge, &row).await?.then_some(up_to))
}

impl Seen {
    /// The answer, good or bad, with the header that says what it shows.
    pub(crate) fn mark(self, answer: Result<Response, Problem>) -> Response {
        let mut response = answer.into_response();
        if let Self(Some(applied)) = self {
            let said = HeaderValue::from_static(if applied { "true" } else { "false" });
            response.headers_mut().insert(APPLIED, said);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    fn read(lines: &[&str]) -> Result<Vec<Position>, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(POSITION, HeaderValue::try_from(*line).expect("a header"));
        }
        Awaited::read(&headers).map(|awaited| awaited.0).map_err(|error| error.code)
    }

    fn told(positions: &[Position]) -> Option<String> {
        let response = tell(().into_response(), positions);
        response.headers().get(POSITION).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn the_last_position_of_each_partition_is_told_and_read_back() {
        assert_eq!(told(&[]), None);
        let positions = [at(3, 17), at(0, 5), at(3, 19), at(11, i64::MAX), at(3, 18)];
        let text = told(&positions).expect("a header");
        assert_eq!(text, "0:5,3:19,11:9223372036854775807");
        assert_eq!(read(&[&text]), Ok(vec![at(0, 5), at(3, 19), at(11, i64::MAX)]));
    }

    #[test]
    fn positions_stand_in_lists_and_on_several_lines() {
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&["3:17"]), Ok(vec![at(3, 17)]));
        assert_eq!(read(&["3:17 ,, 0:5,", "3:16"]), Ok(vec![at(0, 5), at(3, 17)]));
        let malformed = [
            "",
            "3",
            "3:",
            ":17",
            "3:17:1",
            "-1:17",
            "3:-17",
            "+3:17",
            "3: 17",
            "x:y",
            "3:17;",
            ",",
            "2147483648:0",
            "0:9223372036854775808",
            "ñ",
        ];
        for text in malformed {
            assert_eq!(read(&[text]), Err("malformed"), "{text}");
        }
    }

    #[test]
    fn a_header_is_bounded_in_both_directions() {
        let positions = |count: i32| (0..count).map(|partition| at(partition, i64::MAX)).collect::<Vec<_>>();
        let most = i32::try_from(MOST).expect("small");
        let text = told(&positions(most)).expect("as many as may be");
        assert!(text.len() <= 3_200, "{}", text.len());
        assert_eq!(read(&[&text]), Ok(positions(most)));
        assert_eq!(told(&positions(most + 1)), None, "none rather than some");
        assert_eq!(read(&[&text, "0:0"]), Err("too_long"));
    }
}
