//! What is said while a run lasts: lines on standard error.

use std::time::Instant;

/// Says lines with the time since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Progress(Instant);

impl Progress {
    /// A run begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        eprintln!("[{:7.1} s] {line}", self.seconds());
    }

    /// Since the run began.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
