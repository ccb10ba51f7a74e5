//! `verify`: live documents compared with the log. Nothing is written: what the log says is worked out in memory, a slice of the tracking
//! numbers at a time.

use std::sync::Arc;

use async_trait::async_trait;
use shared::event_log::replay::{Held, Offsets, Stretch};
use shared::projection::Generation;
use shared::shipment_store::ShipmentScan;
use shared::shipment_store::memory::MemoryStore;

use crate::ahead::{ReadOn, compare_again};
use crate::command::{Verify, Which};
use crate::compare::Comparison;
use crate::difference::{self, Report};
use crate::rebuild::where_it_stands;
use crate::replayed::{Select, apply};
use crate::tools::{Finished, ToolError, Tools};

/// Shipments that are worked out at a time: with their rows some 20 KB each, so 200 MB. All of a million shipments are a hundred readings of
/// the log; a rebuild reads it once.
const SLICE: usize = 10_000;
/// Shipments that are looked at at once to find the end of a slice.
const PAGE: u32 = 500;

/// Compares what `options` name.
///
/// # Errors
/// It could not be done.
pub async fn verify(options: &Verify, tools: &Tools) -> Result<Finished, ToolError> {
    let live = tools.generations.control().read().await?.live;
    let held = tools.replay.held().await?;
    let scan = tools.generations.scan(live);
    let mut total = Report::default();
    let mut read = Offsets::new();
    let mut next = Some(None);
    while let Some(after) = next.take() {
        let select = match options.which {
            Which::Shipment(number) => Select::One(number),
            Which::Sample(count) => Select::OneIn((scan.estimated_shipments().await? / count).max(1)),
            Which::All => {
                let to = end_of_slice(&*scan, after.clone()).await?;
                next = to.clone().map(Some);
                Select::Between(after, to)
            }
        };
        let keep = options.shown.saturating_sub(total.shown.len());
        let slice = Slice { tools, live, held: &held, scan: &*scan, select: &select, keep };
        let (report, until) = slice.verify().await?;
        add(&mut total, report);
        read = until;
    }
    if total.moved_on > 0 && total.differences() == 0 {
        return Err(ToolError::Refused(difference::text(&total, &read)));
    }
    Ok(Finished { text: difference::text(&total, &read), differs: total.differences() > 0 })
}

/// The last number of a slice that begins behind `after`; `None` when nothing comes behind it.
async fn end_of_slice(scan: &dyn ShipmentScan, after: Option<String>) -> Result<Option<String>, ToolError> {
    let (mut from, mut count) = (after, 0);
    while count < SLICE {
        let page = scan.walk_shipments(from.as_deref(), PAGE).await?;
        if page.len() < PAGE as usize {
            return Ok(None);
        }
        count += page.len();
        from = page.into_iter().next_back().map(|(id, _)| id);
    }
    Ok(from)
}

struct Slice<'a> {
    tools: &'a Tools,
    live: Generation,
    held: &'a Held,
    scan: &'a dyn ShipmentScan,
    select: &'a Select,
    keep: usize,
}

impl Slice<'_> {
    async fn verify(&self) -> Result<(Report, Offsets), ToolError> {
        let store = Arc::new(MemoryStore::default());
        let mut read = where_it_stands(self.tools, self.live, self.held).await?;
        self.read(&store, self.held.begin.clone(), &read).await?;
        let mut comparison = Comparison::new(self.scan, &*store, self.keep);
        match self.select {
            Select::One(number) => comparison.each(Some(*number), &read).await?,
            Select::OneIn(_) => comparison.each(None, &read).await?,
            range => comparison.range(range, &read).await?,
        }
        let log = SliceLog { slice: self, store: store.clone() };
        compare_again(&mut comparison, &mut read, &log, &self.tools.stop).await?;
        Ok((comparison.report, read))
    }

    async fn read(&self, store: &Arc<MemoryStore>, from: Offsets, to: &Offsets) -> Result<(), ToolError> {
        let stretch = Stretch { from, to: to.clone(), commit: None };
        apply(self.tools, store.clone(), stretch, self.select.clone(), &self.tools.stop, "verifying").await.map(drop)
    }
}

struct SliceLog<'a> {
    slice: &'a Slice<'a>,
    store: Arc<MemoryStore>,
}

#[async_trait]
impl ReadOn for SliceLog<'_> {
    async fn stands(&self) -> Result<Offsets, ToolError> {
        where_it_stands(self.slice.tools, self.slice.live, self.slice.held).await
    }

    async fn read(&self, from: Offsets, to: &Offsets) -> Result<(), ToolError> {
        self.slice.read(&self.store, from, to).await
    }
}

fn add(total: &mut Report, part: Report) {
    total.shipments += part.shipments;
    total.rows += part.rows;
    total.shipments_differ += part.shipments_differ;
    total.rows_differ += part.rows_differ;
    total.only_live += part.only_live;
    total.missing += part.missing;
    total.unreadable += part.unreadable;
    total.moved_on += part.moved_on;
    total.shown.extend(part.shown);
}
