//! The bare MongoDB: the documents that the processor writes, through the same adapter, without a log, a decision or a
//! request. No platform on this store can be faster.

use futures::future::try_join_all;
use shared::mongo::MongoConnection;
use shared::shipment_store::StoreError;
use shared::shipment_store::conformance::{CeilingPlan, ceiling};
use shared::shipment_store::mongo::MongoStore;

use crate::result::CeilingResult;

/// Databases that this program may drop: its own, and those that the scripts beside it make.
const OWN_DATABASES: &str = "rastro_measured_";

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// Events in all.
    pub events: u32,
    /// Events in a write.
    pub batch: u32,
    /// Writers at a time: as many as the processor has lanes.
    pub writers: u32,
    /// Shipments that the events are about.
    pub shipments: u32,
}

/// Writes the events to a new database on the servers of `uri`, and drops it.
///
/// # Errors
/// The store failed.
pub async fn measure(uri: &str, plan: Ceiling) -> Result<CeilingResult, StoreError> {
    let name = format!("{OWN_DATABASES}{}_{}", time::OffsetDateTime::now_utc().unix_timestamp(), std::process::id());
    let connection = MongoConnection::open(uri, &name).await?;
    let result = write(&connection, plan).await;
    connection.drop_database().await?;
    result
}

async fn write(connection: &MongoConnection, plan: Ceiling) -> Result<CeilingResult, StoreError> {
    let store = MongoStore::new(connection);
    store.ensure_schema().await?;
    let writers = (0..plan.writers).map(|writer| {
        let shipments = plan.shipments / plan.writers;
        let first_number = u64::from(writer) * u64::from(shipments);
        let plan = CeilingPlan { shipments, events: plan.events / plan.writers, batch: plan.batch, first_number };
        ceiling(&store, plan)
    });
    let taken = try_join_all(writers).await?;
    let each = f64::from(plan.events / plan.writers);
    let events_per_second = taken.iter().map(|taken| each / taken.as_secs_f64()).sum::<f64>().round();
    let Ceiling { events, batch, writers, .. } = plan;
    Ok(CeilingResult { label: "bare MongoDB".to_owned(), events: events.into(), batch, writers, events_per_second })
}

/// Drops a database that the scripts beside this program made.
///
/// # Errors
/// It is none of these, or it is still there.
pub async fn drop_database(uri: &str, name: &str) -> Result<(), StoreError> {
    if !name.starts_with(OWN_DATABASES) {
        return Err(StoreError::Corrupt(format!("{name} does not begin with {OWN_DATABASES}: not dropped")));
    }
    MongoConnection::open(uri, name).await?.drop_database().await
}
