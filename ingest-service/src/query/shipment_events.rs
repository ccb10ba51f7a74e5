//! `GET /shipments/{tracking_number}/events`: every event about a shipment with its outcome, in log order, also those that
//! never got into its history.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use shared::shipment::Location;
use shared::shipment::{
    CarrierScan, EventBody, EventId, FieldError, Kind, Outcome, RejectReason, Reporter, Status, Timestamp,
    TrackingNumber,
};
use shared::shipment_store::{EventRow, RowPosition};

use super::{cursor, page, shipment};
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::Problem;
use crate::outcome;
use crate::request::{self, Parameters, PathPart};
use crate::router::Edge;
use crate::tracking_position::{Awaited, Shows};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventPage")]
pub(crate) struct Listed<'a> {
    data: Vec<Entry<'a>>,
    pagination: Pagination,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventPagination")]
struct Pagination {
    limit: u32,
    has_next: bool,
    next_cursor: Option<String>,
}

/// One event and what became of it. What another client reported and did not get into the history is left out: the shipment's
/// client learns that it was refused, and nothing of the other one's.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventEntry")]
struct Entry<'a> {
    event_id: EventId,
    #[schemars(with = "Outcome")]
    outcome: &'static str,
    /// The outcome's; the reported one is `reported_reason`.
    reason: Option<RejectReason>,
    from: Option<Status>,
    to: Option<Status>,
    /// It was put into the history before a scan that had arrived earlier.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    status: Option<Status>,
    kind: Option<Kind>,
    timestamp: Option<Timestamp>,
    recorded_at: Timestamp,
    source: Option<&'a str>,
    location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_event_id: Option<&'a str>,
    /// What the carrier said, when it came in a carrier's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'a CarrierScan>,
    /// For admins and the sender's own client.
    #[serde(skip_serializing_if = "Option::is_none")]
    reporter: Option<&'a Reporter>,
    partition: i32,
    offset: i64,
}

/// `GET /shipments/{tracking_number}/events`.
pub(crate) async fn list_shipment_events(
    State(edge): State<Edge>,
    caller: Caller,
    awaited: Awaited,
    uri: Uri,
    PathPart(number): PathPart,
    Parameters(parameters): Parameters,
) -> Result<Response, Problem> {
    caller.require(Action::ReadEvents)?;
    let number = shipment::number(&number)?;
    let asked = Asked::read(&parameters, number).map_err(Problem::invalid)?;
    let seen = awaited.wait(&edge, Shows::Shipment(number)).await;
    let listed = list(&edge, &caller, number, asked).await;
    let answer = listed.map(|(mut response, next)| {
        page::link_next(&mut response, &uri, &parameters, next.as_deref());
        response
    });
    Ok(seen.mark(answer))
}

/// The page, and the cursor of the next one.
async fn list(
    edge: &Edge,
    caller: &Caller,
    number: TrackingNumber,
    Asked { after, limit }: Asked,
) -> Result<(Response, Option<String>), Problem> {
    shipment::readable(edge, number, caller).await?;
    // One more than wanted tells whether there is a next page.
    let mut rows = edge.ports.store.events_of(number, after, limit + 1).await?;
    let has_next = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_next).map(|last| cursor::after_event(number, last.position));
    let data = rows.iter().map(|row| Entry::of(row, caller)).collect();
    let pagination = Pagination { limit, has_next, next_cursor: next_cursor.clone() };
    Ok((request::answer(StatusCode::OK, &Listed { data, pagination }), next_cursor))
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    after: Option<RowPosition>,
    limit: u32,
}

impl Asked {
    /// Reads the query string; a parameter that nobody knows is refused.
    fn read(parameters: &page::Parameters, number: TrackingNumber) -> Result<Self, Vec<FieldError>> {
        let (mut asked, mut errors, mut seen) =
            (Self { after: None, limit: page::DEFAULT_LIMIT }, Vec::new(), Vec::new());
        for (name, value) in parameters {
            if value.is_empty() {
                continue;
            }
            let read = match name.as_str() {
                _ if seen.contains(&name) => Err(("not_allowed", "stands there twice".to_owned())),
                "limit" => page::limit(value).map(|limit| asked.limit = limit),
                "cursor" => match cursor::read_event(value, number) {
                    Some(position) => {
                        asked.after = Some(position);
                        Ok(())
                    }
                    None => {
                        let message =
                            "is not a cursor of this shipment's events; take it from next_cursor of the page before";
                        Err(("malformed", message.to_owned()))
                    }
                },
                _ => Err(("unknown_field", "is not a parameter of this list".to_owned())),
            };
            if let Err((code, message)) = read {
                errors.push(FieldError::new(name.clone(), code, message));
            }
            seen.push(name);
        }
        if errors.is_empty() { Ok(asked) } else { Err(errors) }
    }
}

impl<'a> Entry<'a> {
    fn of(row: &'a EventRow, caller: &Caller) -> Self {
        let report: Option<&'a EventBody> = Some(&row.report).filter(|_| outcome::may_know_report(row, caller));
        Self {
            event_id: row.event_id,
            outcome: row.outcome.as_str(),
            reason: row.outcome_reason,
            from: row.from,
            to: row.to.filter(|_| report.is_some()),
            late: row.late,
            status: report.and_then(|report| report.claim.status()),
            kind: report.and_then(|report| report.claim.kind()),
            timestamp: report.map(|report| report.timestamp),
            recorded_at: row.recorded_at,
            source: report.map(|report| report.source.as_str()),
            location: report.and_then(|report| report.location),
            place: report.and_then(|report| report.place.as_deref()),
            code: report.and_then(|report| report.code.as_deref()),
            reported_reason: report.and_then(|report| report.reason.as_deref()),
            notes: report.and_then(|report| report.notes.as_deref()),
            source_event_id: report.and_then(|report| report.source_event_id.as_deref()),
            carrier: report.and_then(|report| report.carrier.as_deref()),
            reporter: row.reporter.as_ref().filter(|reporter| caller.may_see(reporter.client_id.as_deref())),
            partition: row.position.partition,
            offset: row.position.log.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_parameter_is_named_at_once() {
        let number: TrackingNumber = "99M-ABC12345".parse().expect("well-formed");
        let read = |parameters: &[(&str, &str)]| {
            let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            Asked::read(&parameters.iter().map(own).collect::<Vec<_>>(), number)
                .map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect::<Vec<_>>())
        };
        assert_eq!(read(&[("cursor", ""), ("limit", "")]), Ok(Asked { after: None, limit: page::DEFAULT_LIMIT }));
        let errors = read(&[("limit", "0"), ("cursor", "nonsense"), ("offset", "3"), ("limit", "3")]);
        let expected =
            [("limit", "out_of_range"), ("cursor", "malformed"), ("offset", "unknown_field"), ("limit", "not_allowed")];
        assert_eq!(errors, Err(expected.map(|(field, code)| (field.to_owned(), code)).to_vec()));
    }
}
