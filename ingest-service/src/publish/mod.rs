//! What callers write goes into the log, and is accepted when the log says that it holds it.

mod batch;
mod event;
mod scan;
mod shipment;

pub(crate) use batch::{Batch, Results};
pub(crate) use event::{Accepted, post_event};
pub(crate) use scan::post_scans;
pub(crate) use shipment::{Registered, Registration};

use axum::http::HeaderValue;
use shared::shipment::{EventId, Outcome};

use crate::metrics::WindowResult;
use crate::router::Edge;

/// What the topic of events is called in traces, whatever it is called in this installation.
const EVENTS: &str = "events";

/// Which of the events were decided before, as far as the window knows. A window that cannot be asked knows nothing.
async fn decided_before(edge: &Edge, keys: &[String], ids: &[EventId]) -> Vec<bool> {
    let known = match edge.ports.window.look_up(keys).await {
        Ok(known) => known,
        Err(error) => {
            tracing::debug!(%error, "went on without the dedup window");
            edge.metrics.window(WindowResult::Unavailable, ids.len());
            return vec![false; ids.len()];
        }
    };
    if known.len() != ids.len() {
        // Never pair answers with events that they may not belong to.
        tracing::error!(asked = ids.len(), answered = known.len(), "the dedup window breaks its contract");
        edge.metrics.window(WindowResult::Unavailable, ids.len());
        return vec![false; ids.len()];
    }
    let is_decided =
        |(known, id): (&Option<(EventId, Outcome)>, &EventId)| known.is_some_and(|(known, _)| known == *id);
    let decided: Vec<bool> = known.iter().zip(ids).map(is_decided).collect();
    let count = decided.iter().filter(|&&decided| decided).count();
    edge.metrics.window(WindowResult::Duplicate, count);
    edge.metrics.window(WindowResult::Unknown, decided.len() - count);
    decided
}

/// The value of `Location` for `path`, which consists of our own words.
fn location(path: String) -> HeaderValue {
    HeaderValue::try_from(path).expect("tracking numbers and event ids are ASCII")
}
