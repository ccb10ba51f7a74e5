//! The domain: what a shipment is, what may be reported about it, and what a report does to it.
//!
//! Everything in here is a pure function of its arguments: no I/O, no clock, no configuration, no log line. That
//! is what makes a replay give the same documents as the first run (design invariant 6).

pub(crate) mod base32;
pub mod carrier_scan;
pub mod event;
pub mod form;
pub mod identity;
pub mod limits;
pub mod location;
pub mod record;
pub mod registration;
pub mod state;
pub mod status;
pub mod timestamp;
pub mod tracking_number;
pub mod transition;

pub use carrier_scan::CarrierScan;
pub use event::{Claim, Event, EventBody, Reporter, StatusReported};
pub use form::{FieldError, UnknownFields};
pub use identity::{EventId, KeyHash, PayloadHash, RowId};
pub use location::Location;
pub use registration::{ServiceType, ShipmentBody, ShipmentCreated};
pub use state::{HistoryEntry, LogPosition, OlderScan, ParkedEvent, Place, Shipment, ShipmentState, Terms};
pub use status::{Kind, Policy, Status};
pub use timestamp::Timestamp;
pub use tracking_number::TrackingNumber;
pub use transition::{Judgement, Outcome, RejectReason, judge};
