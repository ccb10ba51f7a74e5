//! Whether what was accepted can be read: the last events of the load, and then a sample of the shipments.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use crate::api::{self, ApiError};
use crate::connection::{Connection, Target};
use crate::load::Group;

/// Events of each connection's last batch that are waited for: enough that every partition is among them.
const LAST_EVENTS: usize = 16;
/// How long they may take: far longer than any backlog that a run of a minute leaves.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at a shipment that does not show its event yet. Sixteen connections look: every 5 ms, that was a quarter of the machine.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Shipments of the sample.
const SAMPLE: usize = 1_000;
/// Shipments that are read at a time.
const AT_A_TIME: usize = 16;

/// Waits until the shipments show their last events: those at the end of each connection's last batch. Returns when that was
/// so, and how many events did not become visible.
pub async fn wait(target: &Target, last: &[Vec<(String, String)>]) -> (Instant, usize) {
    let deadline = Instant::now() + DEADLINE;
    let waits = last.iter().map(|batch| wait_for_batch(Connection::new(target), batch, deadline));
    let unseen = join_all(waits).await.into_iter().sum();
    (Instant::now(), unseen)
}

async fn wait_for_batch(mut connection: Connection, batch: &[(String, String)], deadline: Instant) -> usize {
    let every = batch.len().div_ceil(LAST_EVENTS).max(1);
    let mut unseen = 0;
    for (number, event_id) in batch.iter().rev().step_by(every) {
        unseen += usize::from(!is_shown(&mut connection, number, event_id, deadline).await);
    }
    unseen
}

async fn is_shown(connection: &mut Connection, number: &str, event_id: &str, deadline: Instant) -> bool {
    while Instant::now() < deadline {
        // A failed look is repeated like one that came too early; the deadline ends both.
        if api::shipment(connection, number).await.is_ok_and(|shipment| contains(&shipment, event_id)) {
            return true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    false
}

fn contains(body: &Bytes, text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What became of the accepted events of the shipments that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Shipments looked at.
    pub shipments: usize,
    /// Their accepted events.
    pub accepted: usize,
    /// Of these: in the history, and moved the status.
    pub applied: usize,
    /// Of these: in the history, and moved nothing.
    pub recorded: usize,
    /// Of these: not in the history.
    pub missing: usize,
}

#[derive(Deserialize)]
struct Shipment {
    status_history: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    moved: bool,
}

/// Reads a sample of the shipments, spread evenly, and counts what became of their accepted events.
///
/// # Errors
/// The first look that failed.
pub async fn sample(target: &Target, groups: &[Group]) -> Result<Sample, ApiError> {
    let groups = groups.iter().filter(|group| group.accepted > 0 && !group.uncertain);
    let all: Vec<_> =
        groups.flat_map(|group| group.numbers.iter().map(|number| (number.as_str(), group.accepted))).collect();
    let every = all.len().div_ceil(SAMPLE).max(1);
    let chosen: Vec<_> = all.into_iter().step_by(every).collect();
    let share = chosen.len().div_ceil(AT_A_TIME).max(1);
    let parts = chosen.chunks(share).map(|chosen| sample_some(Connection::new(target), chosen));
    let parts = try_join_all(parts).await?;
    Ok(parts.into_iter().fold(Sample::default(), |sum, part| Sample {
        shipments: sum.shipments + part.shipments,
        accepted: sum.accepted + part.accepted,
        applied: sum.applied + part.applied,
        recorded: sum.recorded + part.recorded,
        missing: sum.missing + part.missing,
    }))
}

async fn sample_some(mut connection: Connection, chosen: &[(&str, usize)]) -> Result<Sample, ApiError> {
    let mut sample = Sample::default();
    for &(number, accepted) in chosen {
        let body = api::shipment(&mut connection, number).await?;
        let history = serde_json::from_slice::<Shipment>(&body).map_or_else(|_| Vec::new(), |read| read.status_history);
        let moved = history.iter().filter(|entry| entry.moved).count().saturating_sub(1); // the creation
        let recorded = history.iter().filter(|entry| !entry.moved).count();
        sample.shipments += 1;
        sample.accepted += accepted;
        sample.applied += moved;
        sample.recorded += recorded;
        sample.missing += accepted.saturating_sub(moved + recorded);
    }
    Ok(sample)
}
