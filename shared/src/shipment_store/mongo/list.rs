//! Pages of shipments.
//!
//! What a filter spans is a stretch of an index that [`super::schema`] made: `newest_first`, or the one that begins with the client, the service
//! type or both. What it looks at (the status, which events change, and a prefix) is looked at in each document on the way. So
//! that a rare status does not read everything, the way has an end: the place of the last step that is allowed, which the index alone
//! finds. A prefix that few have is looked up by `_id` instead, and those few are put in order.

use mongodb::Collection;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::Hint;

use super::{decode, read_all};
use crate::mongo::{CALL_DEADLINE, Members, SERVER_DEADLINE, calling, date, within};
use crate::shipment::{Timestamp, TrackingNumber};
use crate::shipment_store::{ListBounds, ListFilter, Page, PageStart, StoreError, StoredShipment, Total};

/// The part of its steps that a page takes at first. Most pages are full long before; only for the others the place of the last step is
/// worth being looked up.
const NEAR: u64 = 50;

type Place = (Timestamp, TrackingNumber);

/// The lists of one collection.
pub(super) struct Lists<'a> {
    pub(super) shipments: Collection<RawDocumentBuf>,
    pub(super) bounds: ListBounds,
    pub(super) filter: &'a ListFilter,
}

impl Lists<'_> {
    pub(super) async fn page(&self, start: PageStart, limit: u32) -> Result<Page, StoreError> {
        if start.offset() > u64::from(u32::MAX) {
            // More than there can be, and more than the server reads as a number together with the limit.
            let total = self.total(false).await?;
            return Ok(Page { shipments: Vec::new(), total, next: None });
        }
        let wanted = limit.saturating_add(1); // one more than the page tells whether there is a next one
        let few = match &self.filter.prefix {
            Some(prefix) => self.count(beginning_with(prefix), self.bounds.sorted, None).await? <= self.bounds.sorted,
            None => false,
        };
        let found = async {
            if few {
                let all = [spanning(self.filter), looking_at(self.filter), any_of(stretches(start, None))];
                Ok((self.find(all_of(all), start.offset(), wanted, Some(by_number())).await?, None))
            } else if self.filter.looks() {
                self.walk(start, wanted).await
            } else {
                Ok((self.find(self.between(start, None), start.offset(), wanted, None).await?, None))
            }
        };
        let ((found, end), total) = tokio::try_join!(found, self.total(few))?;
        Ok(Page::of(found, start, limit, end, total))
    }

    /// Looks for `wanted`; says where it stopped, when there may be more behind.
    async fn walk(&self, start: PageStart, wanted: u32) -> Result<(Vec<StoredShipment>, Option<Place>), StoreError> {
        let (near, far) = ((self.bounds.page / NEAR).max(1), self.bounds.page);
        let (found, end) = self.steps(start, near, wanted).await?;
        if found.len() >= wanted as usize || end.is_none() {
            return Ok((found, end));
        }
        self.steps(start, far, wanted).await
    }

    async fn steps(
        &self,
        start: PageStart,
        most: u64,
        wanted: u32,
    ) -> Result<(Vec<StoredShipment>, Option<Place>), StoreError> {
        let end = self.place_of_step(start, most).await?;
        let way = self.looked_at_between(start, end);
        Ok((self.find(way, start.offset(), wanted, None).await?, end))
    }

    /// What the filter spans behind `start` and not beyond `end`. Each part of it has the whole condition, so that MongoDB scans an
    /// index from one bound to the other for each and merges them in their order: as a condition *beside* the others, the parts would be
    /// looked at in the documents.
    fn between(&self, start: PageStart, end: Option<Place>) -> Document {
        any_of(stretches(start, end).into_iter().map(|part| all_of([spanning(self.filter), part])))
    }

    fn looked_at_between(&self, start: PageStart, end: Option<Place>) -> Document {
        let whole = |part| all_of([spanning(self.filter), part, looking_at(self.filter)]);
        any_of(stretches(start, end).into_iter().map(whole))
    }

    /// Where the step `number` behind `start` leads to, when the list is so long. Out of the index alone.
    async fn place_of_step(&self, start: PageStart, number: u64) -> Result<Option<Place>, StoreError> {
        let find = self
            .shipments
            .find(self.between(start, None))
            .projection(doc! { "created_at": 1, "_id": 1 })
            .sort(newest_first())
            .skip(number.saturating_sub(1))
            .limit(1)
            .max_time(SERVER_DEADLINE);
        let mut place = None;
        let mut read = |document: &RawDocument| {
            place = Some((Members(document).date("created_at")?, decode::number(document)?));
            Ok(())
        };
        let reading = async { read_all(within(CALL_DEADLINE, find).await?, &mut read).await };
        calling("find", &self.shipments, reading).await?;
        Ok(place)
    }

    async fn find(
        &self,
        condition: Document,
        skip: u64,
        wanted: u32,
        hint: Option<Hint>,
    ) -> Result<Vec<StoredShipment>, StoreError> {
        let mut find = self
            .shipments
            .find(condition)
            // The last entry is the last scan.
            .projection(doc! { "state.status_history": { "$slice": -1 }, "state.parked": 0 })
            .sort(newest_first())
            .skip(skip)
            .limit(i64::from(wanted))
            .batch_size(wanted.saturating_add(1))
            .max_time(SERVER_DEADLINE);
        if let Some(hint) = hint {
            find = find.hint(hint);
        }
        let mut shipments = Vec::new();
        let mut read = |document: &RawDocument| {
            let mut shipment = decode::stored(document)?;
            shipment.state.status_history.clear();
            shipments.push(shipment);
            Ok(())
        };
        let reading = async { read_all(within(CALL_DEADLINE, find).await?, &mut read).await };
        calling("find", &self.shipments, reading).await?;
        Ok(shipments)
    }

    /// How many match. Without a filter the collection's own count is exact and costs nothing.
    async fn total(&self, few: bool) -> Result<Total, StoreError> {
        let (filter, bounds) = (self.filter, self.bounds);
        if filter.is_empty() {
            let count = self.shipments.estimated_document_count().max_time(SERVER_DEADLINE);
            let counting = within(CALL_DEADLINE, count);
            return calling("count", &self.shipments, counting).await.map(Total::exactly);
        }
        let counted = bounds.counted;
        if let Some(prefix) = filter.only_prefix() {
            return Ok(Total::up_to(counted, self.count(beginning_with(prefix), counted, None).await?));
        }
        if few {
            let all = all_of([spanning(filter), looking_at(filter)]);
            return Ok(Total::exactly(self.count(all, bounds.sorted, Some(by_number())).await?));
        }
        if !filter.looks() {
            return Ok(Total::up_to(counted, self.count(spanning(filter), counted, None).await?));
        }
        let start = PageStart::Offset(0);
        let end = self.place_of_step(start, bounds.total).await?;
        let count = self.count(self.looked_at_between(start, end), bounds.total, None).await?;
        Ok(Total { count, is_exact: end.is_none() })
    }

    /// How many match, up to one more than `most`.
    async fn count(&self, condition: Document, most: u64, hint: Option<Hint>) -> Result<u64, StoreError> {
        let mut count = self
            .shipments
            .count_documents(condition)
            .limit(most.saturating_add(1).min(u64::from(u32::MAX)))
            .max_time(SERVER_DEADLINE);
        if let Some(hint) = hint {
            count = count.hint(hint);
        }
        calling("count", &self.shipments, within(CALL_DEADLINE, count)).await
    }
}

/// The order of lists.
fn newest_first() -> Document {
    doc! { "created_at": -1, "_id": -1 }
}

fn by_number() -> Hint {
    Hint::Keys(doc! { "_id": 1 })
}

/// All of `parts`, of which some may ask for nothing.
fn all_of(parts: impl IntoIterator<Item = Document>) -> Document {
    joined("$and", parts.into_iter().filter(|part| !part.is_empty()).collect())
}

/// One of `parts`.
fn any_of(parts: impl IntoIterator<Item = Document>) -> Document {
    joined("$or", parts.into_iter().collect())
}

fn joined(how: &str, mut parts: Vec<Document>) -> Document {
    match parts.len() {
        0 | 1 => parts.pop().unwrap_or_default(),
        _ => doc! { how: parts },
    }
}

/// What an index begins and ends with.
fn spanning(filter: &ListFilter) -> Document {
    let mut condition = Document::new();
    if let Some(client) = &filter.client_id {
        // Within `$eq`, so that no text of a caller's is ever taken for an operator.
        condition.insert("client_id", doc! { "$eq": client });
    }
    if let Some(service) = filter.service_type {
        condition.insert("service_type", service.as_str());
    }
    let mut created = Document::new();
    if let Some(from) = filter.created_from {
        created.insert("$gte", date(from));
    }
    if let Some(to) = filter.created_to {
        created.insert("$lt", date(to));
    }
    if !created.is_empty() {
        condition.insert("created_at", created);
    }
    condition
}

fn looking_at(filter: &ListFilter) -> Document {
    let mut condition = filter.prefix.as_deref().map(beginning_with).unwrap_or_default();
    if let Some(status) = filter.status {
        condition.insert("state.current_status", status.as_str());
    }
    condition
}

/// As a range: what a caller wrote is never taken for a pattern.
fn beginning_with(prefix: &str) -> Document {
    doc! { "_id": super::prefix_range(prefix) }
}

/// What stands behind `start` and not beyond `end`, in parts that each have one bound on either side of an index: those of the same instant
/// as `start`, those between, and those of the same instant as `end`.
fn stretches(start: PageStart, end: Option<Place>) -> Vec<Document> {
    let start = match start {
        PageStart::Offset(_) => None,
        PageStart::After(time, number) => Some((date(time), number.to_string())),
    };
    let end = end.map(|(time, number)| (date(time), number.to_string()));
    match (start, end) {
        (None, None) => vec![Document::new()],
        (Some((time, number)), None) => {
            vec![doc! { "created_at": time, "_id": { "$lt": number } }, doc! { "created_at": { "$lt": time } }]
        }
        (None, Some((time, number))) => {
            vec![doc! { "created_at": { "$gt": time } }, doc! { "created_at": time, "_id": { "$gte": number } }]
        }
        (Some((time, first)), Some((end, last))) if time == end => {
            vec![doc! { "created_at": time, "_id": { "$lt": first, "$gte": last } }]
        }
        (Some((time, first)), Some((end, last))) => vec![
            doc! { "created_at": time, "_id": { "$lt": first } },
            doc! { "created_at": { "$lt": time, "$gt": end } },
            doc! { "created_at": end, "_id": { "$gte": last } },
        ],
    }
}
