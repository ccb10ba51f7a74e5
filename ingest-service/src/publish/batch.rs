//! `POST /events/batch`: many events with one look into the window and one append. Each item has its own result, in the order
//! in which they were sent.

use axum::http::StatusCode;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::carrier::Reading;
use shared::event_log::{AppendError, Appended, Topic};
use shared::shipment::{Event, EventId, FieldError, StatusReported, Timestamp, record};
use shared::telemetry::TraceContext;
use shared::telemetry::spans::Publishing;

use super::{EVENTS, decided_before, scan};
use crate::authenticate::Caller;
use crate::authorize::Action;
use crate::error::{Code, FIELD_ERRORS, Problem};
use crate::idempotent::{Answer, Posted, Work};
use crate::request;
use crate::router::Edge;
use crate::tracking_position;
use crate::validate::{self, BatchItem, Understood};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchResults")]
pub(crate) struct Results {
    received: usize,
    queued: usize,
    rejected: usize,
    duplicates: usize,
    message: &'static str,
    items: Vec<ItemResult>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchItem")]
struct ItemResult {
    index: usize,
    event_id: Option<EventId>,
    status: &'static str,
    /// What a carrier's scan was read as.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<Reading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchItemError")]
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
    mapped: Vec<Option<Reading>>,
}

impl Valid {
    /// The places of those that were not decided before: what goes into the log, in this order.
    fn fresh<'a>(&self, decided: &'a [bool]) -> impl Iterator<Item = usize> + use<'a> {
        decided.iter().enumerate().filter(|(_, decided)| !**decided).map(|(place, _)| place)
    }

    /// Counts the event at `place`, which the log has taken, when it is a carrier's scan.
    fn count(&self, edge: &Edge, place: usize, now: Timestamp) {
        if let (Event::Reported(reported), Some(mapped)) = (&self.events[place], &self.mapped[place]) {
            scan::count(edge, &reported.body, mapped, now);
        }
    }
}

type Invalid = Vec<(usize, Vec<FieldError>)>;

/// A batch whose items are sorted: at least one is valid.
pub(crate) struct Batch {
    received: usize,
    valid: Valid,
    invalid: Invalid,
    now: Timestamp,
}

impl Work for Batch {
    const ACTION: Action = Action::PostEvents;

    async fn decide(edge: &Edge, posted: &Posted, _: Option<&Bytes>) -> Result<Self, Problem> {
        let items = validate::items(posted.media, &posted.body, edge.config.max_batch)?;
        posted.meter.charge(items.len())?;
        let now = edge.now();
        Self::of(items, &posted.caller, |value| validate::event(value, now), now)
    }

    /// Nothing: an event is known by its content, whenever and however often it comes.
    fn plan(&self) -> Bytes {
        Bytes::new()
    }

    async fn carry_out(self, edge: &Edge, posted: &Posted) -> Result<Answer, Problem> {
        self.accept(edge, posted.trace).await
    }
}

impl Batch {
    /// Those of `items` that `read` understands, and the others.
    ///
    /// # Errors
    /// None is understood.
    pub(super) fn of(
        items: Vec<BatchItem>,
        caller: &Caller,
        read: impl Fn(Value) -> Result<Understood, Vec<FieldError>>,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let received = items.len();
        let (valid, invalid) = sort(items, caller, read, now);
        if valid.ids.is_empty() { Err(none_valid(invalid)) } else { Ok(Self { received, valid, invalid, now }) }
    }

    /// Puts the valid ones into the log, in their order, and answers for each.
    ///
    /// # Errors
    /// The log took none.
    pub(super) async fn accept(self, edge: &Edge, trace: TraceContext) -> Result<Answer, Problem> {
        let Self { received, valid, invalid, now } = self;
        let decided = decided_before(edge, &valid.keys, &valid.ids).await;
        let publishing = Publishing::begin(trace, EVENTS, decided.iter().filter(|&&decided| !decided).count());
        let traceparent = publishing.traceparent();
        let encode = |index: usize| record::encode_as(&valid.events[index], valid.ids[index], Some(&traceparent));
        let records: Vec<_> = valid.fresh(&decided).map(encode).collect();
        let appended = if records.is_empty() {
            Appended { positions: Vec::new(), refused: None }
        } else {
            publishing.by(edge.ports.log.append(Topic::Events, records)).await
        };
        let Appended { positions, refused } = appended;
        match refused {
            // Nothing was accepted: the whole request can be sent again.
            Some(error) if positions.is_empty() => Err(error.into()),
            refused => {
                valid.fresh(&decided).take(positions.len()).for_each(|index| valid.count(edge, index, now));
                let results = Results::new(received, valid, &decided, positions.len(), refused.as_ref(), invalid);
                let response = tracking_position::tell(request::answer(StatusCode::ACCEPTED, &results), &positions);
                Ok(if refused.is_some() { Answer::Partial(response) } else { Answer::Final(response) })
            }
        }
    }
}

/// Validates each item once.
fn sort(
    items: Vec<BatchItem>,
    caller: &Caller,
    read: impl Fn(Value) -> Result<Understood, Vec<FieldError>>,
    now: Timestamp,
) -> (Valid, Invalid) {
    let (mut valid, mut invalid) = (Valid::default(), Vec::new());
    let reporter = caller.reporter();
    for (index, item) in items.into_iter().enumerate() {
        match item.and_then(&read) {
            Ok(Understood { body, mapped }) => {
                valid.mapped.push(mapped);
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
        valid: Valid,
        decided: &[bool],
        held: usize,
        refused: Option<&AppendError>,
        invalid: Invalid,
    ) -> Self {
        let mut items = Vec::with_capacity(received);
        let (mut queued, mut duplicates, mut rejected) = (0, 0, invalid.len());
        let each = valid.indexes.into_iter().zip(valid.ids).zip(valid.mapped).zip(decided);
        for (((index, id), mapped), &decided) in each {
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
            items.push(ItemResult { index, event_id: Some(id), status, mapped, error });
        }
        items.extend(invalid.into_iter().map(|(index, errors)| {
            let error = Some(ItemError::invalid(errors));
            ItemResult { index, event_id: None, status: "rejected", mapped: None, error }
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
