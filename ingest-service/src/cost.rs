//! A door for the instruction table (`deploy/cost`), behind a feature of its own: it measures steps that are private to the edge one by one,
//! and nobody else has a use for them.

use shared::carrier::CarrierMapping;
use shared::shipment::{EventBody, ShipmentBody, Timestamp};
use shared::user_store::Role;

use crate::authenticate::Caller;
use crate::request::{self, Media};
use crate::validate;

/// The event that the `body` of `POST /events` holds; `None` when it is refused.
#[must_use]
pub fn event(body: &[u8], now: Timestamp) -> Option<EventBody> {
    let value = request::parse_json(body).ok()?;
    Some(validate::event(value, now).ok()?.body)
}

/// The events that the `body` of `POST /events/batch` holds; `None` when any of them is refused.
#[must_use]
pub fn batch(body: &[u8], most: usize, now: Timestamp) -> Option<Vec<EventBody>> {
    let items = validate::items(Media::Json, body, most).ok()?;
    items.into_iter().map(|item| Some(validate::event(item.ok()?, now).ok()?.body)).collect()
}

/// The event that the `body` of `POST /carriers/{carrier}/events` holds; `None` when it is refused.
#[must_use]
pub fn scan(body: &[u8], mapping: &CarrierMapping, now: Timestamp) -> Option<EventBody> {
    let value = request::parse_json(body).ok()?;
    Some(validate::scan(value, mapping, now).ok()?.body)
}

/// The registration that the `body` of `POST /shipments` holds, sent by a client; `None` when it is refused.
#[must_use]
pub fn shipment(body: &[u8], client_id: &str) -> Option<ShipmentBody> {
    let caller = Caller { sub: "client".to_owned(), role: Role::Client, client_id: Some(client_id.to_owned()) };
    let value = request::parse_json(body).ok()?;
    validate::shipment(value, &caller).ok()
}
