//! A door for the instruction table (`deploy/cost`), behind a feature of its own: what goes to the server, written and not sent.

use std::ffi::CStr;

use super::{encode, write};
use crate::mongo::BsonWriter;
use crate::shipment_store::{EventRow, StateWrite};

/// Bytes of the rows in the command that inserts them.
#[must_use]
pub fn rows(rows: &[EventRow]) -> Vec<u8> {
    let put = |row: &EventRow, document: &mut BsonWriter| {
        encode::row(document, row);
        Ok(())
    };
    command(c"documents", rows, put).unwrap_or_default()
}

/// Bytes of the states in the command that writes them; `None` when one of them cannot be written.
#[must_use]
pub fn states(writes: &[StateWrite]) -> Option<Vec<u8>> {
    command(c"updates", writes, |write, statement| write::newest(statement, write)).ok()
}

fn command<T>(
    name: &CStr,
    items: &[T],
    put: impl Fn(&T, &mut BsonWriter) -> Result<(), String>,
) -> Result<Vec<u8>, String> {
    let mut command = BsonWriter::default();
    let whole = command.open();
    let documents = command.open_array(name);
    let mut written = Ok(());
    for (index, item) in items.iter().enumerate() {
        command.item(index, |document| written = put(item, document));
        written.clone()?;
    }
    command.close(documents);
    command.close(whole);
    Ok(command.into_bytes())
}
