//! A door for the instruction table (`deploy/cost`), behind a feature of its own: what goes to the writer's thread, made and not sent.

use std::hint::black_box;

use super::write;
use crate::shipment_store::{EventRow, StateWrite};

/// Encodes the rows and states of a batch as for the writer's thread.
pub fn encode(rows: &[EventRow], writes: &[StateWrite]) {
    drop(black_box((write::encode_rows(rows), write::encode_states(writes))));
}
