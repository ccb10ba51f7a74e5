//! What is measured: the pair on real servers, and `rastro`; new, with shipments that are stored already, and watched.

pub mod embedded;
pub mod pair;

use acceptance::platform::Served;

/// Asks a program to end, and waits until it has.
pub async fn end(served: &mut Served) {
    served.program.ask_to_end();
    served.program.end().await;
}

/// Programs say little while they are measured, as they do in production.
const LOG_LEVEL: (&str, &str) = ("LOG_LEVEL", "warn");
/// Connections of every load: enough that a platform which works in batches has some to make.
pub const CONNECTIONS: usize = 16;
