//! `POST /events/batch`: many events with one look into the window and one append. Each item has its own result, in the order
//! in which they were sent.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::event_log::{AppendError, Appended, Topic};
use shared::shipment::{Event, EventId, FieldError, StatusReported, Timestamp, record};

use super::decided_before;
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, FIELD_ERRORS, Problem};
use crate::request::{self, BODY_BYTES, Trace};
use crate::router::Edge;
use crate::validate::{self, BatchItem};

#[derive(Serialize)]
struct Results {
    received: usize,
    queued: usize,
    rejected: usize,
    duplicates: usize,
    message: &'static str,
    items: Vec<ItemResult>,
}

#[derive(Serialize)]
struct ItemResult {
    index: usize,
    event_id: Option<EventId>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError>,
}

#[derive(Serialize)]
struct ItemError {
    error: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// The valid events of a batch, column by column: what goes to the window and to the log is one slice each.
#[derive(Default)]
struct Valid {
    indexes: Vec<usize>,
    ids: Vec<EventId>,
    keys: Vec<String>,
    events: Vec<Event>,
}

type Invalid = Vec<(usize, Vec<FieldError>)>;

/// `POST /events/batch`.
pub(crate) async fn post_batch(
    State(edge): State<Edge>,
    caller: Caller,
    Trace(trace): Trace,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Action::PostEvents)?;
    let media = request::media(request.headers());
    let body = request::bytes(request, BODY_BYTES).await?;
    let items = validate::items(media, &body, edge.config.max_batch)?;
    let received = items.len();
    let (valid, invalid) = sort(items, &caller, edge.now());
    if valid.ids.is_empty() {
        return Err(none_valid(invalid));
    }
    let decided = decided_before(&edge, &valid.keys, &valid.ids).await;
    let traceparent = trace.traceparent();
    let fresh = valid.events.iter().zip(&valid.ids).zip(&decided).filter(|(_, decided)| !**decided);
    let encode = |(event, &id): (&Event, &EventId)| record::encode_as(event, id, Some(&traceparent));
    let records: Vec<_> = fresh.map(|(event, _)| encode(event)).collect();
    let appended = if records.is_empty() {
        Appended { positions: Vec::new(), refused: None }
    } else {
        edge.ports.log.append(Topic::Events, records).await
    };
    let Appended { positions, refused } = appended;
    match refused {
        // Nothing was accepted: the whole request can be sent again.
        Some(error) if positions.is_empty() => Err(error.into()),
        refused => {
            let results = Results::new(received, &valid, &decided, positions.len(), refused.as_ref(), invalid);
            Ok(request::answer(StatusCode::ACCEPTED, &results))
        }
    }
}

/// Validates each item once.
fn sort(items: Vec<BatchItem>, caller: &Caller, now: Timestamp) -> (Valid, Invalid) {
    let (mut valid, mut invalid) = (Valid::default(), Vec::new());
    let reporter = caller.reporter();
    for (index, item) in items.into_iter().enumerate() {
        match item.and_then(|value| validate::event(value, now)) {
            Ok(body) => {
                valid.indexes.push(index);
                valid.ids.push(body.event_id());
                valid.keys.push(body.dedup_key());
                let reporter = Some(reporter.clone());
                valid.events.push(Event::Reported(StatusReported { body, recorded_at: now, reporter }));
            }
            Err(errors) => invalid.push((index, errors)),
        }
    }
    (valid, invalid)
}

fn none_valid(invalid: Invalid) -> Problem {
    let paths = invalid.into_iter().flat_map(|(index, errors)| {
        errors.into_iter().map(move |error| {
            let dot = if error.field.is_empty() { "" } else { "." };
            FieldError { field: format!("events[{index}]{dot}{}", error.field), ..error }
        })
    });
    Problem::invalid(paths.take(FIELD_ERRORS).collect())
}

impl Results {
    /// `held` of the events that were not decided before are in the log: the first ones.
    fn new(
        received: usize,
        valid: &Valid,
        decided: &[bool],
        held: usize,
        refused: Option<&AppendError>,
        invalid: Invalid,
    ) -> Self {
        let mut items = Vec::with_capacity(received);
        let (mut queued, mut duplicates, mut rejected) = (0, 0, invalid.len());
        for ((&index, &id), &decided) in valid.indexes.iter().zip(&valid.ids).zip(decided) {
            let (status, error) = if decided {
                duplicates += 1;
                ("duplicate", None)
            } else if queued < held {
                queued += 1;
                ("queued", None)
            } else {
                rejected += 1;
                ("rejected", Some(ItemError::refused(refused)))
            };
            items.push(ItemResult { index, event_id: Some(id), status, error });
        }
        items.extend(invalid.into_iter().map(|(index, errors)| {
            let error = Some(ItemError::invalid(errors));
            ItemResult { index, event_id: None, status: "rejected", error }
        }));
        items.sort_unstable_by_key(|item| item.index);
        let message = match (rejected, duplicates) {
            (0, 0) => "All events accepted for processing",
            (0, _) => "All events accepted for processing, but for those that were there before",
            _ => "Some events were rejected; items says which and why",
        };
        Self { received, queued, rejected, duplicates, message, items }
    }
}

impl ItemError {
    fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(FIELD_ERRORS);
        let message = match errors.as_slice() {
            [only] if only.field.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.field, only.message),
            more => format!("{} fields are invalid", more.len()),
        };
        Self { error: Code::ValidationError.word(), message, errors }
    }

    /// The log did not take it, or did not take one before it: a later event must not overtake an earlier one.
    fn refused(error: Option<&AppendError>) -> Self {
        let code = match error {
            Some(AppendError::Refused(_)) => Code::InternalError,
            _ => Code::ServiceUnavailable,
        };
        let message = "The log did not take it, or one before it; send it again".to_owned();
        Self { error: code.word(), message, errors: Vec::new() }
    }
}
