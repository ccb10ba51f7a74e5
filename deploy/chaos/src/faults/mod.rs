//! The faults: which there are ([`Fault`]), in which order they come ([`deck`]), and how each is injected and healed ([`inject`]).

pub mod deck;
pub mod inject;

use crate::network::Toxic;

/// Who is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One `ingest-service`.
    Edge,
    /// One `processor-service`.
    Processor,
    /// The broker.
    Kafka,
    /// mongod.
    Mongodb,
    /// Redis.
    Redis,
}

impl Target {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Processor => "processor",
            Self::Kafka => "Kafka",
            Self::Mongodb => "mongod",
            Self::Redis => "Redis",
        }
    }
}

/// What is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is killed (SIGKILL) and comes back.
    Kill(Target),
    /// It does nothing for a while (SIGSTOP), and goes on as if nothing had been. A processor for longer than its session.
    Freeze(Target),
    /// Each of them is ended in good order and started again, one after the other.
    Roll(Target),
    /// One more processor comes, and goes.
    JoinAndLeave,
    /// Redis forgets everything.
    Flush,
    /// A connection is disturbed.
    Disturb(String, Toxic),
}

impl Fault {
    /// What the report counts it as.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Kill(target) => format!("kill -9 {}", target.as_str()),
            Self::Freeze(target) => format!("SIGSTOP {}", target.as_str()),
            Self::Roll(target) => format!("rolling restart, {}s", target.as_str()),
            Self::JoinAndLeave => "processor joins and leaves".to_owned(),
            Self::Flush => "FLUSHALL".to_owned(),
            Self::Disturb(link, toxic) => format!("{} {}", toxic.as_str(), without_number(link)),
        }
    }
}

/// The doors are one kind of connection.
fn without_number(link: &str) -> &str {
    link.trim_end_matches(|character: char| character == '-' || character.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_counted_by_its_kind() {
        assert_eq!(Fault::Kill(Target::Kafka).kind(), "kill -9 Kafka");
        assert_eq!(Fault::Disturb("callers-edge-1".to_owned(), Toxic::Half).kind(), "half-delivered callers-edge");
    }
}
