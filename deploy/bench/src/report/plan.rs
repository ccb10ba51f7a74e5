//! What a report is made of: which sections, how long, how often.

use std::path::PathBuf;
use std::time::Duration;

use super::names as n;

/// The rates of the open loop, in events a second.
pub const RATES: [u64; 4] = [500, 2_000, 5_000, 10_000];

/// A section that can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the headings of the report tell")]
pub enum Section {
    Ceilings,
    Pair,
    Processors,
    Stored,
    Hot,
    Duplicates,
    Open,
    Reads,
    CatchUp,
    Embedded,
    Allocations,
    Soak,
}

impl Section {
    /// All of them, in the order in which a round measures them: each is near what it is held against.
    pub const ALL: [Self; 12] = [
        Self::Ceilings,
        Self::Pair,
        Self::Open,
        Self::Processors,
        Self::Hot,
        Self::Duplicates,
        Self::Reads,
        Self::CatchUp,
        // It leaves a store behind that is larger than what MongoDB keeps in memory.
        Self::Stored,
        Self::Embedded,
        Self::Allocations,
        Self::Soak,
    ];

    /// What it is called on the command line and in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceilings => n::CEILINGS,
            Self::Pair => n::PAIR,
            Self::Processors => n::PROCESSORS,
            Self::Stored => n::STORED,
            Self::Hot => n::HOT,
            Self::Duplicates => n::DUPLICATES,
            Self::Open => n::OPEN,
            Self::Reads => n::READS,
            Self::CatchUp => n::CATCH_UP,
            Self::Embedded => n::EMBEDDED,
            Self::Allocations => n::ALLOCATIONS,
            Self::Soak => n::SOAK,
        }
    }

    /// The section of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// Whether it needs Kafka, MongoDB and Redis.
    #[must_use]
    pub fn needs_servers(self) -> bool {
        self != Self::Embedded
    }
}

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which sections.
    pub sections: Vec<Section>,
    /// How often.
    pub rounds: usize,
    /// How long each measurement loads at most.
    pub each: Duration,
    /// The rates of the open loop.
    pub rates: Vec<u64>,
    /// How long each rate is kept up.
    pub each_rate: Duration,
    /// Records of the backlog.
    pub backlog: usize,
    /// Shipments of a large store, and of a small one.
    pub stored: (usize, usize),
    /// How long the soak lasts.
    pub soak: Duration,
    /// Shortened, so that the figures mean little.
    pub quick: bool,
    /// Where the report is written.
    pub directory: PathBuf,
}

impl Plan {
    /// The whole report, in about 25 minutes on two processors. The soak is left out: by itself it takes ten minutes.
    #[must_use]
    pub fn whole(directory: PathBuf) -> Self {
        let sections = Section::ALL.into_iter().filter(|section| *section != Section::Soak).collect();
        Self {
            sections,
            rounds: 3,
            each: Duration::from_secs(8),
            rates: RATES.to_vec(),
            each_rate: Duration::from_secs(12),
            backlog: 1_000_000,
            stored: (1_000_000, 10_000),
            soak: Duration::from_secs(600),
            quick: false,
            directory,
        }
    }

    /// The same, one short round.
    #[must_use]
    pub fn quick(self) -> Self {
        Self {
            rounds: 1,
            each: Duration::from_secs(1),
            rates: RATES[..2].to_vec(),
            each_rate: Duration::from_secs(2),
            backlog: 20_000,
            stored: (20_000, 2_000),
            soak: Duration::from_secs(10),
            quick: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_by_their_names() {
        for section in Section::ALL {
            assert_eq!(Section::named(section.name()), Some(section));
        }
        assert_eq!(Section::named("everything"), None);
        assert!(!Plan::whole(PathBuf::new()).sections.contains(&Section::Soak));
    }
}
