//! A carrier's vocabulary: from the code, the text and the local time that a carrier sends to a status or a kind, a reason and an instant.
//!
//! A mapping is a TOML file, one for each carrier ([`CarrierSet::parse`] reads them all and names everything that is wrong with any of
//! them); `docs/carriers.md` tells how to write one, and [`CarrierMapping::read`] which of its rules decides.
//!
//! Pure: no I/O, no clock, and the time zones are compiled in. The same mapping reads the same scan alike on every machine and at any time,
//! so that a rebuild can read anew what the record of an event keeps of the carrier's words ([`crate::shipment::CarrierScan`]).

mod file;
mod reader;
mod rule;
pub mod shipped;
#[cfg(test)]
mod tests;
mod time;
mod zone;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

pub use rule::{DecidedBy, Reading};
pub use time::{ReadTime, TimeError};
pub use zone::{UnknownZone, Zone};

use rule::Rules;
use time::TimeFormat;

/// Largest mapping file, in bytes: some two thousand rules with a comment each.
pub const FILE_BYTES: usize = 256 * 1024;
/// Most mapping files: five times as many as there are carriers in all published histories that we know.
pub const FILES: usize = 250;

/// A mapping file: what it is called in messages, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierFile {
    /// The path; its last part is `<carrier>.toml`.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// One thing that is wrong with a mapping file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingProblem {
    /// The file.
    pub file: String,
    /// The line, from 1; `None` when the whole file cannot be read.
    pub line: Option<usize>,
    /// What is wrong, for whoever wrote it.
    pub what: String,
}

impl MappingProblem {
    /// `file:line`, or the file alone.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

impl fmt::Display for MappingProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place(), self.what)
    }
}

/// The vocabulary of one carrier.
#[derive(Clone, Debug)]
pub struct CarrierMapping {
    carrier: String,
    file: String,
    zone: Option<Zone>,
    formats: Vec<TimeFormat>,
    rules: Rules,
}

impl CarrierMapping {
    /// The carrier: a slug.
    #[must_use]
    pub fn carrier(&self) -> &str {
        &self.carrier
    }

    /// The file that it was read from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The zone of times without an offset.
    #[must_use]
    pub fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// What a scan with this code and this text is: of kind `other`, when no rule fits. Rules for this very code come before all others, and
    /// among them those that ask for a text, too; otherwise the order of the file counts.
    #[must_use]
    pub fn read(&self, code: Option<&str>, text: Option<&str>) -> Reading {
        self.rules.read(code, text)
    }

    /// When a scan happened, by the carrier's own writing. A time without an offset is read in `zone`, else in the zone of the mapping. Of a
    /// local time that came twice, because clocks were set back, the earlier counts; one that never was, because they were set forward, is
    /// moved forward by as much.
    ///
    /// # Errors
    /// The time cannot be read, or nobody says in which zone it is.
    pub fn read_time(&self, time: &str, zone: Option<&Zone>) -> Result<ReadTime, TimeError> {
        time::read(time, &self.formats, zone.or(self.zone.as_ref()))
    }
}

/// All carriers.
#[derive(Clone, Debug, Default)]
pub struct CarrierSet(BTreeMap<String, CarrierMapping>);

impl CarrierSet {
    /// The carriers of `files`: all of them, or none.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, by file and line.
    pub fn parse(files: &[CarrierFile]) -> Result<Self, Vec<MappingProblem>> {
        let (mut carriers, mut problems) = (BTreeMap::<String, CarrierMapping>::new(), Vec::new());
        for file in files {
            match file::parse(file, stem(&file.name)) {
                Err(mut wrong) => problems.append(&mut wrong),
                Ok(mapping) => {
                    if let Some(first) = carriers.get(mapping.carrier()) {
                        let what = format!("the carrier {:?} has a file already: {}", mapping.carrier, first.file);
                        problems.push(MappingProblem { file: file.name.clone(), line: Some(1), what });
                    } else {
                        carriers.insert(mapping.carrier.clone(), mapping);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(Self(carriers)) } else { Err(problems) }
    }

    /// The vocabulary of `carrier`.
    #[must_use]
    pub fn get(&self, carrier: &str) -> Option<&CarrierMapping> {
        self.0.get(carrier)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &CarrierMapping> {
        self.0.values()
    }
}

fn stem(name: &str) -> &str {
    Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}
