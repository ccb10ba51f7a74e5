//! What callers read: out of the store, which is a projection of the log, for an event that it does not know out of how far
//! the processor has come, and the changes out of their topic.

mod changes;
mod conditional;
mod cursor;
mod event;
mod list;
pub(crate) mod page;
mod shipment;
mod shipment_events;
mod view;

pub(crate) use changes::{DEFAULT_LIMIT as DEFAULT_CHANGES, ListedChanges, MOST as MOST_CHANGES, list_changes};
pub(crate) use conditional::has_tag;
pub(crate) use cursor::LONGEST as LONGEST_CURSOR;
pub(crate) use event::{Found, get_event};
pub(crate) use list::{FARTHEST_OFFSET, Listed, list_shipments, prefix_pattern};
pub(crate) use page::{DEFAULT_LIMIT, MOST};
pub(crate) use shipment::get_shipment;
pub(crate) use shipment_events::{Listed as ListedEvents, list_shipment_events};
pub(crate) use view::Whole;
