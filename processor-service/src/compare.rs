//! What differs between the live projection and one that was made out of the log, document by document and field by field.
//!
//! The live one moves on meanwhile. A document that holds what the log had not been read for is *ahead*: it is compared again when the log
//! has been read further, and reported only if it differs then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::event_log::murmur2::partition_of;
use shared::event_log::replay::Offsets;
use shared::shipment::TrackingNumber;
use shared::shipment_store::{Documents, EventRow, Found, RowPosition, ShipmentScan, StoreError, StoredShipment};

use crate::difference::{Difference, How, Report, how};
use crate::replayed::Select;

/// Documents that are fetched and compared at once: shipments with long histories have 100 KB and more.
const PAGE: u32 = 500;
/// Rows of one shipment that are fetched at once.
const ROWS: u32 = 1_000;

/// A comparison that is under way.
pub(crate) struct Comparison<'a> {
    pub(crate) live: &'a dyn ShipmentScan,
    pub(crate) rebuilt: &'a dyn ShipmentScan,
    /// How many differences are kept one by one.
    pub(crate) keep: usize,
    pub(crate) report: Report,
    /// Shipments to be compared again.
    pub(crate) ahead: BTreeSet<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(live: &'a dyn ShipmentScan, rebuilt: &'a dyn ShipmentScan, keep: usize) -> Self {
        Self { live, rebuilt, keep, report: Report::default(), ahead: BTreeSet::new() }
    }

    /// Compares everything whose number stands in a range; `read` is how far the log was read.
    pub(crate) async fn range(&mut self, range: &Select, read: &Offsets) -> Result<(), StoreError> {
        let (after, to) = match range {
            Select::Between(after, to) => (after.clone(), to.clone()),
            _ => (None, None),
        };
        self.shipments(range, after.clone(), to.as_deref(), read).await?;
        // Row ids begin with the number, and a number that begins with another one stands before the rows of that one: the walk goes on
        // for as long as the shortest beginning of the last number lasts.
        let to = to.map(|to| format!("{}{}", to.get(..SHORTEST).unwrap_or(&to), char::MAX));
        self.rows(range, after, to.as_deref(), read).await
    }

    async fn shipments(
        &mut self,
        range: &Select,
        after: Option<String>,
        to: Option<&str>,
        read: &Offsets,
    ) -> Result<(), StoreError> {
        let mut from = after.clone();
        while let Some(page) = next_page(self.rebuilt.walk_shipments(from.as_deref(), PAGE).await?, &mut from, to) {
            let ids: Vec<String> = page.iter().map(|(id, _)| id.clone()).collect();
            let mut live: HashMap<_, _> = self.live.shipments_by_id(&ids).await?.into_iter().collect();
            for (id, rebuilt) in page {
                self.shipment(id.clone(), live.remove(&id), Some(rebuilt), read);
            }
        }
        let mut from = after;
        while let Some(page) = next_page(self.live.walk_shipments(from.as_deref(), PAGE).await?, &mut from, to) {
            let page: HashMap<_, _> = page.into_iter().filter(|(id, _)| range.takes(id)).collect();
            let ids: Vec<String> = page.keys().cloned().collect();
            let known: BTreeSet<_> = self.rebuilt.shipments_by_id(&ids).await?.into_iter().map(|(id, _)| id).collect();
            for (id, live) in page.into_iter().filter(|(id, _)| !known.contains(id)) {
                self.shipment(id, Some(live), None, read);
            }
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        range: &Select,
        after: Option<String>,
        to: Option<&str>,
        read: &Offsets,
    ) -> Result<(), StoreError> {
        let mut from = after.clone();
        while let Some(page) = next_page(self.rebuilt.walk_rows(from.as_deref(), PAGE).await?, &mut from, None) {
            let ids: Vec<String> = page.iter().map(|(id, _)| id.clone()).collect();
            let mut live: HashMap<_, _> = self.live.rows_by_id(&ids).await?.into_iter().collect();
            for (id, rebuilt) in page {
                self.row(id.clone(), live.remove(&id), Some(rebuilt), read);
            }
        }
        let mut from = after;
        while let Some(page) = next_page(self.live.walk_rows(from.as_deref(), PAGE).await?, &mut from, to) {
            let wanted = |id: &str| range.takes(id.split(':').next().unwrap_or_default());
            let page: HashMap<_, _> = page.into_iter().filter(|(id, _)| wanted(id)).collect();
            let ids: Vec<String> = page.keys().cloned().collect();
            let known: BTreeSet<_> = self.rebuilt.rows_by_id(&ids).await?.into_iter().map(|(id, _)| id).collect();
            for (id, live) in page.into_iter().filter(|(id, _)| !known.contains(id)) {
                self.row(id, Some(live), None, read);
            }
        }
        Ok(())
    }

    /// Compares the shipments that were made out of the log, and their rows; of the live ones nothing else is looked at, but `also`.
    pub(crate) async fn each(&mut self, also: Option<TrackingNumber>, read: &Offsets) -> Result<(), StoreError> {
        let mut from = None;
        let mut also = also.map(|number| number.to_string());
        while let Some(page) = next_page(self.rebuilt.walk_shipments(from.as_deref(), PAGE).await?, &mut from, None) {
            let ids: Vec<String> = page.into_iter().map(|(id, _)| id).collect();
            also = also.filter(|number| !ids.contains(number));
            self.these(&ids, true, read).await?;
        }
        self.these(also.as_slice(), true, read).await
    }

    /// Compares these shipments again, which were ahead.
    pub(crate) async fn again(&mut self, read: &Offsets) -> Result<(), StoreError> {
        let ahead: Vec<String> = std::mem::take(&mut self.ahead).into_iter().collect();
        for ids in ahead.chunks(PAGE as usize) {
            self.report.shipments -= ids.len() as u64;
            self.these(ids, false, read).await?;
        }
        Ok(())
    }

    /// A shipment as it is now, with its partition and one past its position; `None` when it is not ahead any more and has been compared.
    pub(crate) async fn seen_at(
        &mut self,
        id: &str,
        read: &Offsets,
    ) -> Result<Option<(StoredShipment, i32, i64)>, StoreError> {
        let ids = [id.to_owned()];
        let live = self.live.shipments_by_id(&ids).await?.pop();
        if let Some((_, Found::Readable(live))) = live
            && is_ahead(id, live.state.position.offset, read)
        {
            let to = live.state.position.offset + 1;
            return Ok(Some((live, partition_among(id, read), to)));
        }
        self.ahead.remove(id);
        self.report.shipments -= 1;
        self.these(&ids, false, read).await?;
        Ok(None)
    }

    /// Compares a shipment as it was seen with what was read up to its position.
    pub(crate) async fn exactly(&mut self, id: &str, live: StoredShipment, read: &Offsets) -> Result<(), StoreError> {
        self.ahead.remove(id);
        self.report.shipments -= 1;
        let rebuilt = self.rebuilt.shipments_by_id(&[id.to_owned()]).await?.pop().map(|(_, found)| found);
        self.shipment(id.to_owned(), Some(Found::Readable(live)), rebuilt, read);
        Ok(())
    }

    async fn these(&mut self, ids: &[String], with_rows: bool, read: &Offsets) -> Result<(), StoreError> {
        let mut live: HashMap<_, _> = self.live.shipments_by_id(ids).await?.into_iter().collect();
        let mut rebuilt: HashMap<_, _> = self.rebuilt.shipments_by_id(ids).await?.into_iter().collect();
        for id in ids {
            self.shipment(id.clone(), live.remove(id), rebuilt.remove(id), read);
            if with_rows && let Ok(number) = id.parse() {
                self.rows_of(number, read).await?;
            }
        }
        Ok(())
    }

    async fn rows_of(&mut self, number: TrackingNumber, read: &Offsets) -> Result<(), StoreError> {
        let mut live = match all_rows(self.live, number).await {
            Err(StoreError::Corrupt(why)) => {
                self.differs("event", format!("{number}:…"), How::Unreadable(why));
                return Ok(());
            }
            rows => rows?,
        };
        for (id, rebuilt) in all_rows(self.rebuilt, number).await? {
            let live = live.remove(&id).map(Found::Readable);
            self.row(id, live, Some(Found::Readable(rebuilt)), read);
        }
        for (id, live) in live {
            self.row(id, Some(Found::Readable(live)), None, read);
        }
        Ok(())
    }

    fn shipment(
        &mut self,
        id: String,
        live: Option<Found<StoredShipment>>,
        rebuilt: Option<Found<StoredShipment>>,
        read: &Offsets,
    ) {
        self.report.shipments += 1;
        if let Some(Found::Readable(live)) = &live
            && is_ahead(&id, live.state.position.offset, read)
        {
            self.ahead.insert(id);
            return;
        }
        if let Some(how) = how(live, rebuilt) {
            self.differs("shipment", id, how);
        }
    }

    fn row(&mut self, id: String, live: Option<Found<EventRow>>, rebuilt: Option<Found<EventRow>>, read: &Offsets) {
        if let (Some(Found::Readable(row)), None) = (&live, &rebuilt) {
            let RowPosition { log, partition } = row.position;
            if read.get(&partition).is_none_or(|&read| log.offset >= read) {
                return; // of a record that was not read
            }
        }
        self.report.rows += 1;
        if let Some(how) = how(live, rebuilt) {
            self.differs("event", id, how);
        }
    }

    fn differs(&mut self, kind: &'static str, id: String, how: How) {
        let report = &mut self.report;
        *match (&how, kind) {
            (How::Missing, _) => &mut report.missing,
            (How::OnlyLive, _) => &mut report.only_live,
            (How::Unreadable(_), _) => &mut report.unreadable,
            (How::Fields(_), "shipment") => &mut report.shipments_differ,
            (How::Fields(_), _) => &mut report.rows_differ,
        } += 1;
        if report.shown.len() < self.keep {
            report.shown.push(Difference { kind, id, how });
        }
    }
}

/// Characters of the shortest tracking number.
const SHORTEST: usize = 10;

/// What of a page is not behind `to`; moves on. `None` at the end.
fn next_page<T>(page: Documents<T>, from: &mut Option<String>, to: Option<&str>) -> Option<Documents<T>> {
    let last = page.last()?.0.clone();
    if to.is_some_and(|to| from.as_deref().is_some_and(|from| from > to)) {
        return None;
    }
    *from = Some(last);
    Some(page.into_iter().filter(|(id, _)| to.is_none_or(|to| id.as_str() <= to)).collect())
}

async fn all_rows(store: &dyn ShipmentScan, number: TrackingNumber) -> Result<BTreeMap<String, EventRow>, StoreError> {
    let mut rows = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.events_of(number, after, ROWS).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(last.position);
        rows.extend(page.into_iter().map(|row| (row.row_id().to_string(), row)));
    }
}

/// Whether a live shipment's last record is one that was not read.
fn is_ahead(id: &str, offset: i64, read: &Offsets) -> bool {
    read.get(&partition_among(id, read)).is_some_and(|&read| offset >= read)
}

fn partition_among(id: &str, read: &Offsets) -> i32 {
    let partitions = i32::try_from(read.len()).unwrap_or(i32::MAX);
    if partitions == 0 { 0 } else { partition_of(id.as_bytes(), partitions) }
}
