//! `rastro` on a directory of its own.

use acceptance::binary;
use acceptance::platform::Served;
use tempfile::TempDir;

use super::{LOG_LEVEL, end};
use crate::ceilings::sqlite::BareFile;
use crate::connection::Target;
use crate::failure::Failure;
use crate::numbers::{Suffix, number};
use crate::process::Watched;
use crate::specimen;
use crate::specimen::embedded::{EmbeddedSpecimen, FILE};

/// What it is called in the report.
pub const RASTRO: &str = "rastro";

/// A `rastro`.
pub struct Embedded {
    /// Where it listens, with the token of the seeded admin.
    pub target: Target,
    /// Shipments that nobody has reported about.
    pub fresh: Vec<String>,
    served: Served,
    /// Removed with it.
    _directory: TempDir,
}

impl Embedded {
    /// Starts it with a shipment stored for each of `suffixes`.
    ///
    /// # Errors
    /// The file does not take them, or it does not let us in.
    pub async fn start(specimen: &EmbeddedSpecimen, suffixes: &[Suffix]) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let data = directory.path().join("data");
        let text = data.display().to_string();
        let environment = [("ENV", "development"), ("DATA_DIR", text.as_str()), LOG_LEVEL];
        let mut served = Served::start(RASTRO, binary::rastro(), &environment, directory.path());
        // It makes its file; the file is ours while it does not run.
        served.ready().await;
        end(&mut served).await;
        BareFile::open(&data.join(FILE))?.store(specimen, suffixes)?;
        served.program.start_again();
        served.ready().await;
        let target = specimen::log_in(&served.url).await?;
        let fresh = suffixes.iter().map(|&suffix| number(suffix)).collect();
        Ok(Self { target, fresh, served, _directory: directory })
    }

    /// The next `count` shipments that nobody has reported about; fewer when there are no more.
    pub fn take(&mut self, count: usize) -> Vec<String> {
        let rest = self.fresh.split_off(count.min(self.fresh.len()));
        std::mem::replace(&mut self.fresh, rest)
    }

    /// Its process and the generator.
    #[must_use]
    pub fn watched(&self) -> Vec<Watched> {
        vec![Watched { name: RASTRO.to_owned(), pid: self.served.program.process() }, Watched::generator()]
    }
}
