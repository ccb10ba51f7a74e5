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
/// What the image tells the allocators (`deploy/docker/Dockerfile`).
const ALLOCATORS: [(&str, &str); 3] =
    [("MIMALLOC_PURGE_DELAY", "50"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MALLOC_ARENA_MAX", "1")];
/// Connections of every load: enough that a platform which works in batches has some to make.
pub const CONNECTIONS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_measured_as_the_image_runs_them() {
        let image = include_str!("../../../docker/Dockerfile");
        for (name, value) in ALLOCATORS {
            assert!(image.contains(&format!("    {name}={value}")), "{name}");
        }
    }
}
