//! What one has to believe: what stands in a log, what must become of it, and when that is so. All else here only lets it happen, and whatever that gets wrong
//! shows as a difference; what is wrong here shows nowhere. So it stays short enough to be read in one go (`tests/specification.rs`).

pub(crate) mod check;
pub(crate) mod model;
pub(crate) mod workload;
