//! Codes of carriers that no mapping knows: what an operator must map, and how often it was seen.
//!
//! # Contract
//! - **Sightings add up.** [`UnmappedCodes::add`] adds to what is known of a code: its count grows, `first_seen` is the earliest and
//!   `last_seen` the latest of all; the tracking number is that of the latest call, and so is the text, when it came with one. Callers in several processes add to one entry.
//! - **Bounded.** A carrier has at most [`CODES_PER_CARRIER`] entries, and one more for the rest ([`Seen::Rest`]) into which what finds no
//!   room is counted. (Several processes that add at the same moment may go beyond by what each of them holds.) When there is no room, codes
//!   that were not seen for [`KEPT`] make some: a code that has been mapped is not added any more, and so its entry ends.
//! - **Figures for people.** A call that reports an error may have been done in part, and is not undone; whoever repeats it counts twice.
//! - Lists are in order of the count, the most frequent first; of two with one count, the one that was seen later.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
mod room;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;

use crate::shipment::{Timestamp, TrackingNumber};
use crate::shipment_store::StoreError;
use room::Room;

/// Most entries of one carrier: the largest published lists of codes have some hundreds; texts without a code may hold anything.
pub const CODES_PER_CARRIER: usize = 1_000;
/// How long a code is kept for certain after it was last seen: a quarter, in which somebody looks.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// What of a carrier's is not mapped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// A code.
    Code(String),
    /// A text, of scans without a code.
    Text(String),
    /// Everything that found no room.
    Rest,
}

impl Seen {
    /// The text that stands for it in a store. A code and a text never have one.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Code(code) => format!("code:{code}"),
            Self::Text(text) => format!("text:{text}"),
            Self::Rest => "rest".to_owned(),
        }
    }

    /// What [`Seen::key`] gave the text for.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        match key.split_once(':') {
            Some(("code", code)) => Some(Self::Code(code.to_owned())),
            Some(("text", text)) => Some(Self::Text(text.to_owned())),
            None if key == "rest" => Some(Self::Rest),
            _ => None,
        }
    }
}

/// An entry; or what is to be added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmappedCode {
    /// The carrier.
    pub carrier: String,
    /// What is not mapped.
    pub seen: Seen,
    /// The text that came with it the last time.
    pub text: Option<String>,
    /// How often it was seen.
    pub count: u64,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// A shipment whose scan it was.
    pub tracking_number: TrackingNumber,
}

impl UnmappedCode {
    /// Adds `more` of the same to it.
    pub fn absorb(&mut self, more: Self) {
        self.count = self.count.saturating_add(more.count);
        self.first_seen = self.first_seen.min(more.first_seen);
        self.last_seen = self.last_seen.max(more.last_seen);
        if more.text.is_some() {
            self.text = more.text;
        }
        self.tracking_number = more.tracking_number;
    }

    /// The same as a part of the rest of its carrier, in which no text stands for all.
    #[must_use]
    pub fn into_rest(self) -> Self {
        Self { seen: Seen::Rest, text: None, ..self }
    }
}

/// The codes.
#[async_trait]
pub trait UnmappedCodes: Send + Sync {
    /// Adds what was seen; each pair of a carrier and a code stands in `sightings` at most once.
    ///
    /// # Errors
    /// The store failed; see the module.
    async fn add(&self, sightings: &[UnmappedCode]) -> Result<(), StoreError>;

    /// At most `limit` entries, of `carrier` or of all.
    ///
    /// # Errors
    /// The store failed.
    async fn list(&self, carrier: Option<&str>, limit: u32) -> Result<Vec<UnmappedCode>, StoreError>;
}
