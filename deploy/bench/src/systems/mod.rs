//! What is measured: the pair on real servers, and `rastro`; new, with shipments that are stored already, and watched.

pub mod embedded;
pub mod pair;

/// Programs say little while they are measured, as they do in production.
const LOG_LEVEL: (&str, &str) = ("LOG_LEVEL", "warn");
/// Connections of every load: enough that a platform which works in batches has some to make.
pub const CONNECTIONS: usize = 16;
