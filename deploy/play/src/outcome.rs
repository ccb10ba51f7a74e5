//! What became of a scan, in the words of the contract (sections 1 and 3).

use std::fmt;

/// The final outcome of one posted scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the history and moved the status.
    Applied,
    /// It is in the history and moved nothing.
    Recorded,
    /// The same event was there before.
    Duplicate,
    /// Its key was taken by another payload.
    Conflict,
    /// A rule forbids it; the reason as the platform names it.
    Rejected(String),
    /// The platform could not process it.
    DeadLettered,
}

impl Outcome {
    /// The outcome that `word` stands for; `None` for a word that this program does not know.
    #[must_use]
    pub fn from_word(word: &str, reason: Option<&str>) -> Option<Self> {
        Some(match word {
            "applied" => Self::Applied,
            "recorded" => Self::Recorded,
            "duplicate" => Self::Duplicate,
            "conflict" => Self::Conflict,
            "rejected" => Self::Rejected(reason.unwrap_or("(no reason given)").to_owned()),
            "dead_lettered" => Self::DeadLettered,
            _ => return None,
        })
    }

    /// Whether it is in the history of the shipment.
    #[must_use]
    pub fn is_in_history(&self) -> bool {
        matches!(self, Self::Applied | Self::Recorded)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => formatter.write_str("applied"),
            Self::Recorded => formatter.write_str("recorded"),
            Self::Duplicate => formatter.write_str("duplicate"),
            Self::Conflict => formatter.write_str("conflict"),
            Self::Rejected(reason) => write!(formatter, "rejected {reason}"),
            Self::DeadLettered => formatter.write_str("dead_lettered"),
        }
    }
}

/// Why a scan has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOutcome {
    /// It was not accepted, or nobody knows whether it was: the connection broke, the platform refused it or answered
    /// something that is not in the contract.
    #[error("{0}")]
    Failed(String),
    /// It was accepted, and its outcome did not come.
    #[error("accepted, and no outcome within {0} s")]
    Lost(u64),
}
