//! Shipments with parked events, and the rows of those that were released.

use std::collections::BTreeMap;

use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::{decode, prefix_range, read_all};
use crate::mongo::{CALL_DEADLINE, Members, SERVER_DEADLINE, within};
use crate::shipment::{LogPosition, TrackingNumber};
use crate::shipment_store::{EventRow, ParkedShipment, StoreError};

/// Most shipments whose rows are looked through in one call: at some ten rows each it reads a few thousand.
const LOOKED_THROUGH: usize = 500;

pub(super) async fn released_at(
    status_events: &Collection<RawDocumentBuf>,
    records: &[(TrackingNumber, LogPosition)],
) -> Result<Vec<EventRow>, StoreError> {
    let mut of_shipments = BTreeMap::<TrackingNumber, Vec<Bson>>::new();
    for (number, LogPosition { epoch, offset }) in records {
        of_shipments.entry(*number).or_default().push(doc! { "e": epoch, "o": offset }.into());
    }
    let conditions: Vec<Document> = of_shipments
        .into_iter()
        .map(|(number, positions)| {
            doc! { "_id": prefix_range(&format!("{number}:")), "released_at": { "$in": positions } }
        })
        .collect();
    let mut rows = Vec::new();
    for chunk in conditions.chunks(LOOKED_THROUGH) {
        let find = status_events.find(doc! { "$or": chunk.to_vec() }).max_time(SERVER_DEADLINE);
        let cursor = within(CALL_DEADLINE, find).await?;
        read_all(cursor, &mut |document| {
            rows.push(decode::row(document)?);
            Ok(())
        })
        .await?;
    }
    Ok(rows)
}

pub(super) async fn parked(
    shipments: &Collection<RawDocumentBuf>,
    partitions: &[i32],
    limit: u32,
) -> Result<Vec<ParkedShipment>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new()); // MongoDB takes 0 for "no limit"
    }
    let find = shipments
        .find(doc! { "parking.until": { "$exists": true }, "parking.p": { "$in": partitions.to_vec() } })
        .sort(doc! { "parking.until": 1 })
        .projection(doc! { "parking.until": 1 })
        .limit(i64::from(limit))
        .batch_size(limit.saturating_add(1))
        .max_time(SERVER_DEADLINE);
    let cursor = within(CALL_DEADLINE, find).await?;
    let mut found = Vec::new();
    read_all(cursor, &mut |document| {
        let until = Members(document).document("parking")?.date("until")?;
        found.push(ParkedShipment { tracking_number: decode::number(document)?, until });
        Ok(())
    })
    .await?;
    Ok(found)
}
