//! Everything that the platform holds after a run: what stands in the log, and what it made of it.

pub mod embedded;
pub mod pair;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use acceptance::topic::Record;
use serde_json::Value;

use crate::model;

/// Longest time until nothing is parked any more, besides that for which it is: a processor looks each second.
const RELEASED: Duration = Duration::from_secs(120);
/// Between two looks at the whole topic.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a record stands: partition and offset.
pub type Position = (i32, i64);

/// A row of `status_events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The shipment.
    pub number: String,
    /// The record that was judged.
    pub position: Position,
    /// What became of it.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// The status afterwards, or the claimed one.
    pub to: Option<String>,
    /// The offset of the record that released it, when it was parked.
    pub released_at: Option<i64>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The topic of events: by partition, then by offset.
    pub events: Vec<Record>,
    /// The dead letters.
    pub dead_letters: Vec<Record>,
    /// The changes.
    pub changes: Vec<Record>,
    /// All rows of `status_events`.
    pub rows: Vec<Row>,
    /// The numbers of all shipments in the store.
    pub numbers: BTreeSet<String>,
    /// Each of them as a GET shows it.
    pub shipments: BTreeMap<String, Value>,
}

/// Where `record` stands.
#[must_use]
pub fn position(record: &Record) -> Position {
    (record.partition.unwrap_or_default(), record.offset)
}

/// Waits until nothing waits for a dead letter, by what `events` reads of the topic. When that does not come about, it is found afterwards.
pub async fn released(mut events: impl AsyncFnMut() -> Vec<Record>) {
    let begun = Instant::now();
    while begun.elapsed() < RELEASED && !model::fold(&events().await).waiting.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
