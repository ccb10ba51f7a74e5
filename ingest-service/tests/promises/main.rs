//! What the edge promises (contract sections 1, 3, 4, 7 and 8), over the router on the memory adapters.

mod accounts;
mod batches;
mod durability;
mod errors;
mod events;
mod keys;
mod operations;
mod queries;
mod secrets;
mod shutdown;
mod tenants;
mod throttling;
mod waiting;
mod withdrawal;
mod world;
