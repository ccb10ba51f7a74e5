//! What the edge promises (contract sections 1, 3, 4, 7 and 8), over the router on the memory adapters.

mod accounts;
mod batches;
mod carriers;
mod conditional;
mod cut_off;
mod durability;
mod errors;
mod events;
mod heads;
mod idempotency;
mod keys;
mod limits;
mod malformed;
mod negotiation;
mod operations;
mod queries;
mod secrets;
mod shipment_events;
mod shutdown;
mod tenants;
mod throttling;
mod traces;
mod tracking_position;
mod waiting;
mod withdrawal;
mod world;
