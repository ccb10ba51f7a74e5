//! What callers read: out of the store, which is a projection of the log, for an event that it does not know out of how far
//! the processor has come, and the changes out of their topic.

mod changes;
mod conditional;
mod cursor;
mod event;
mod list;
mod page;
mod shipment;
mod shipment_events;
mod view;

pub(crate) use changes::list_changes;
pub(crate) use event::get_event;
pub(crate) use list::list_shipments;
pub(crate) use shipment::get_shipment;
pub(crate) use shipment_events::list_shipment_events;
