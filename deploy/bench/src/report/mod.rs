//! The report: what was measured in one run, as JSON for programs, as Markdown for people and as a picture for everybody.

pub mod figures;
pub mod machine;
pub mod markdown;
pub mod names;
pub mod plan;
pub mod plot;
pub mod progress;
pub mod run;
pub mod targets;

use std::io;
use std::path::Path;

use serde::Serialize;

pub use figures::{Figures, Unit, at};
pub use machine::Machine;
pub use targets::Target;

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When it was begun, RFC 3339.
    pub begun: String,
    /// How long the run took.
    pub took_seconds: f64,
    /// Which code was measured.
    pub revision: String,
    /// Whether it was shortened.
    pub quick: bool,
    /// How often each figure was measured.
    pub rounds: usize,
    /// Where.
    pub machine: Machine,
    /// What is wanted, and whether it was met.
    pub targets: Vec<Target>,
    /// Everything that was measured.
    pub figures: Figures,
    /// What went wrong: sections that failed, and accepted events that could not be read.
    pub wrong: Vec<String>,
}

impl Report {
    /// Writes `report.json`, `report.md` and `report.svg` into `directory`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("report.json"), serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::write(directory.join("report.md"), markdown::markdown(self))?;
        std::fs::write(directory.join("report.svg"), plot::svg(self))
    }
}
