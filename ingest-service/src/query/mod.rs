//! What callers read: out of the store, which is a projection of the log, and for an event that it does not know out of how far
//! the processor has come.

mod conditional;
mod cursor;
mod event;
mod list;
mod page;
mod shipment;
mod shipment_events;
mod view;

pub(crate) use conditional::has_tag;
pub(crate) use cursor::LONGEST as LONGEST_CURSOR;
pub(crate) use event::{Found, get_event};
pub(crate) use list::{FARTHEST_OFFSET, Listed, list_shipments, prefix_pattern};
pub(crate) use page::{DEFAULT_LIMIT, MOST};
pub(crate) use shipment::get_shipment;
pub(crate) use shipment_events::{Listed as ListedEvents, list_shipment_events};
pub(crate) use view::Whole;
