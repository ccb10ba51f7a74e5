//! The names of sections, rows and columns that more than one place needs.
#![expect(missing_docs, reason = "each is its own text")]

pub const CEILINGS: &str = "ceilings";
pub const PAIR: &str = "pair";
pub const PROCESSORS: &str = "processors";
pub const STORED: &str = "stored";
pub const HOT: &str = "hot";
pub const DUPLICATES: &str = "duplicates";
pub const OPEN: &str = "open";
pub const READS: &str = "reads";
pub const CATCH_UP: &str = "catch-up";
pub const EMBEDDED: &str = "embedded";
pub const ALLOCATIONS: &str = "allocations";
pub const SOAK: &str = "soak";
/// What processes took: not a section that is measured by itself.
pub const COST: &str = "cost";

pub const BEST_WRITER: &str = "MongoDB writer, its best";
pub const AXUM_PRODUCER: &str = "axum and producer, single events";
pub const SQLITE: &str = "bare SQLite writer";
pub const SINGLE: &str = "single events";
pub const JSON_100: &str = "JSON, batches of 100";
pub const FEW: &str = "few";
pub const MANY: &str = "many";
pub const ONE: &str = "1 processor";
pub const TWO: &str = "2 processors";
pub const TEN: &str = "10 shipments";
pub const SPREAD: &str = "spread";
pub const BACKLOG: &str = "backlog";

pub const RATE: &str = "a second";
pub const ACCEPTED: &str = "accepted/s";
pub const VISIBLE: &str = "visible/s";
pub const ACCEPT_P50: &str = "accept p50";
pub const ACCEPT_P99: &str = "accept p99";
pub const ACCEPT_P99_9: &str = "accept p99.9";
pub const VISIBLE_P50: &str = "visible p50";
pub const VISIBLE_P99: &str = "visible p99";
pub const VISIBLE_P99_9: &str = "visible p99.9";
pub const GENERATOR: &str = "generator's share of the CPU";
pub const CPU: &str = "CPU per 1,000 events";
pub const PER_THOUSAND: &str = "per 1,000 events";
pub const END: &str = "RSS at the end";
pub const PEAK: &str = "RSS at most";
/// The same of the process's whole life: the system did not forget it when the measurement began.
pub const PEAK_OF_LIFE: &str = "RSS at most in its life (not reset)";
pub const GROWTH: &str = "growth";

pub const INGEST: &str = "ingest";
pub const PROCESSOR: &str = "processor";

/// The row of a system at a rate.
#[must_use]
pub fn open_row(system: &str, rate: u64) -> String {
    format!("{system} at {rate}/s")
}

/// The row of a process in a measurement.
#[must_use]
pub fn cost_row(measurement: &str, process: &str) -> String {
    format!("{measurement}: {process}")
}
