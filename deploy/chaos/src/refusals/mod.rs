//! What the store refuses: the rows of some events, until an operator has seen to it. A rule in the store itself does it, so the services see a
//! real refusal, whenever and however often they come back to it.
//!
//! Whether a record is refused follows from the log alone: an event that bears the mark is, unless its record is a redriven one.

pub mod mongodb;
pub mod sqlite;

/// What the place of a refused event begins with.
const MARK: &str = "refused by the store: ";

/// A place that the store refuses. No two events have the same.
#[must_use]
pub fn place(source: &str, count: i64) -> String {
    format!("{MARK}{source}, {count}")
}

/// Whether the store refuses events at `place`, when they come first.
#[must_use]
pub fn is_refused(place: &str) -> bool {
    place.starts_with(MARK)
}

/// Who sees to it that the store takes what it refused.
pub enum Mender {
    /// Somebody who has to be told of each event.
    Mongodb(mongodb::Validator),
    /// The rule knows for itself.
    Sqlite,
}

impl Mender {
    /// Lets the store take the events at `places` when they come again. `None`: it did not listen, for minutes.
    pub async fn mend(&mut self, places: Vec<String>) -> Option<()> {
        match self {
            Self::Mongodb(validator) => validator.take(places).await,
            Self::Sqlite => Some(()),
        }
    }
}
