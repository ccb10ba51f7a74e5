//! What is said while a run lasts: lines on standard error.

use std::time::Instant;

/// Says lines with the time since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    begun: Instant,
    quiet: bool,
}

impl Progress {
    /// A run begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), quiet: false }
    }

    /// One that says nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::begin() }
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            eprintln!("[{:7.1} s] {line}", self.begun.elapsed().as_secs_f64());
        }
    }
}
