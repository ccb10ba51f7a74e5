//! What every shipment store must do: one suite that each of them passes.
//!
//! [`run`] wants an empty store. It writes through [`ShipmentWriter`] and reads through [`ShipmentReader`], which may be two
//! connections of one database. [`ceiling`] is no check: it measures how fast a store takes what the processor writes.

mod bounds;
mod ceiling;
mod concurrent;
mod lists;
mod parking;
mod rows;
mod samples;
mod states;
mod walks;

use std::sync::Arc;

use super::{EventRow, ListBounds, ShipmentReader, ShipmentWriter, StateWrite};
use crate::shipment::{Claim, Status};

pub use ceiling::{CeilingPlan, CeilingTaken, ceiling, ceiling_in_parts};

/// Bounds that the lists of the suite reach, each at another place.
pub const TIGHT: ListBounds = ListBounds { page: 13, total: 8, counted: 11, sorted: 3 };

/// Runs what the suite has about bounds on an empty store whose lists are held to [`TIGHT`].
///
/// # Panics
/// The store breaks its contract.
pub async fn run_within_tight_bounds(writer: &dyn ShipmentWriter, reader: &dyn ShipmentReader) {
    bounds::run(writer, reader).await;
}

/// Runs the suite on an empty store.
///
/// # Panics
/// The store breaks its contract.
pub async fn run<S: ShipmentWriter + ShipmentReader + 'static>(store: Arc<S>) {
    run_pair(store.clone(), store).await;
}

/// Runs the suite on the writing and the reading side of one empty database.
///
/// # Panics
/// The store breaks its contract.
pub async fn run_pair(writer: Arc<dyn ShipmentWriter>, reader: Arc<dyn ShipmentReader>) {
    writer.check().await.expect("the writer is reachable");
    reader.check().await.expect("the reader is reachable");
    // First, because a list without a filter shows everything that is there.
    lists::run(&*writer, &*reader).await;
    walks::run(&*writer, &*reader).await;
    states::run(&*writer, &*reader).await;
    rows::run(&*writer, &*reader).await;
    parking::run(&*writer, &*reader).await;
    concurrent::run(writer, &*reader).await;
}

/// A shipment that was just created, and the row of an event about it.
pub(crate) fn a_shipment_and_a_row() -> (StateWrite, EventRow) {
    let number = samples::number(1);
    let created = samples::registration(number, 0);
    let write = samples::creation(&created, &samples::fresh(&created, samples::at(1, 4)));
    let report = samples::report(number, Claim::Status(Status::PickedUp), 60);
    (write, samples::row(report, samples::row_position(1, 5, 0)))
}
