//! Generations of the projection: which one is live, which one is being built, which ones are still there.
//!
//! A **generation** is what the log was projected into once: its own collections (or tables), and its own consumer group, whose offsets say
//! where that projection stands. The first one has the plain names. A rebuild makes the next one beside it and takes it into use in one
//! step: a change of the one document that this port is about.
//!
//! # Contract
//! - **One step.** [`ProjectionControl::replace`] is a compare-and-set on [`Projection::revision`]: of two that start from the same
//!   revision one succeeds. What it wrote is durable and is what every later [`ProjectionControl::read`], of any process, sees.
//! - **Nothing is there before it is needed.** Where nothing was ever written, the first generation is live.
//!
//! # How the live generation changes
//! 1. The tool sets [`Projection::quiesce`]. Processors see it within [`WATCH_INTERVAL`], drain, commit and leave the group. Its committed
//!    offsets are final when it has no member.
//! 2. The tool brings the new generation to exactly these offsets and commits them in its group.
//! 3. [`Projection::switched`], if the revision is still the tool's: from then on the new generation is live. Whoever is of the old one
//!    still (a frozen process) writes to the old collections and commits in the old group, which nobody reads.
//! 4. Processors see it, wait until no reader can answer out of the old generation any more ([`Projection::settled`]), and go on in the
//!    group of the new one.
//!
//! **Readers** hold the live generation on lease: [`live::Live`] reads it every [`WATCH_INTERVAL`] and does not answer by what it read
//! longer than [`READER_LEASE`] ago. New writers wait for [`SETTLE_TIME`], which is longer. So no reader shows the old generation
//! after the new one has moved on.
//!
//! **A tool that dies** leaves `quiesce` behind. While a tool is at work the revision moves every [`BEAT_INTERVAL`]. A processor
//! that has seen it stand still for [`WORK_LEASE`] takes `quiesce` back, by compare-and-set, before it joins its group again; then the dead
//! tool's switch, should it come after all, fails. No clock of one machine is compared with that of another.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod live;
pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event_log::replay::Offsets;
use crate::shipment_store::{ShipmentScan, ShipmentWriter, StoreError};

pub use work::{WorkError, Working};

/// How often processors and readers look which generation is live.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How long a reader answers by what it knows of the live generation: four looks may fail.
pub const READER_LEASE: Duration = Duration::from_secs(2);
/// How long a new generation's writers wait after they saw the switch: the readers' lease, and as much again as one look may take.
pub const SETTLE_TIME: Duration = Duration::from_millis(2_500);
/// How often a tool at work shows that it lives.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A tool that has shown no sign of life for this long is dead, or has lost its right: processors resume.
pub const WORK_LEASE: Duration = Duration::from_secs(10);

/// The number of a generation, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(u32);

impl Generation {
    /// The one that is there without any rebuild.
    pub const FIRST: Self = Self(1);

    /// Generation `number`; `None` for 0.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// What a name of the first generation is called in this one: itself in the first, else with `mark` and the number behind it.
    #[must_use]
    pub fn name(self, first: &str, mark: &str) -> String {
        if self == Self::FIRST { first.to_owned() } else { format!("{first}{mark}{}", self.0) }
    }

    fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What is known of the generations. Its changes are pure; [`ProjectionControl::replace`] makes them happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projection {
    /// Counts changes, those included that show that a tool lives; 0 when nothing was ever written.
    pub revision: i64,
    /// The generation that is read and written.
    pub live: Generation,
    /// Since the last switch nobody can answer out of another generation any more.
    pub settled: bool,
    /// The one that a rebuild is making, or has made and not taken into use.
    pub building: Option<Generation>,
    /// The one that was live before, for a rollback.
    pub kept: Option<Generation>,
    /// Where the log was left when that one was live: brokers forget the offsets of a group that nobody uses.
    #[serde(with = "pairs")]
    pub kept_at: Offsets,
    /// All others that may have collections: the kept one, and what was given up.
    pub others: Vec<Generation>,
    /// The greatest number that was ever given out: none is used twice, so that no offsets of an old group are met.
    pub last: Generation,
    /// Processors of the live generation must leave it, because this one is to take its place.
    pub quiesce: Option<Generation>,
    /// The tool that is at work: a random word.
    pub work: Option<String>,
}

impl Default for Projection {
    fn default() -> Self {
        Self {
            revision: 0,
            live: Generation::FIRST,
            settled: true,
            building: None,
            kept: None,
            kept_at: Offsets::new(),
            others: Vec::new(),
            last: Generation::FIRST,
            quiesce: None,
            work: None,
        }
    }
}

impl Projection {
    fn changed(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        change(&mut next);
        next
    }

    /// Whether processors may work in the live generation.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.quiesce.is_none()
    }

    /// `tool` is at work from now on. What another one had quiesced goes on.
    #[must_use]
    pub fn taken_by(&self, tool: &str) -> Self {
        self.changed(|next| {
            next.work = Some(tool.to_owned());
            next.quiesce = None;
        })
    }

    /// The tool that is at work lives.
    #[must_use]
    pub fn beat(&self) -> Self {
        self.changed(|_| ())
    }

    /// The tool has done its work.
    #[must_use]
    pub fn released(&self) -> Self {
        self.changed(|next| next.work = None)
    }

    /// A generation is being built: the one that was begun, else a new one.
    #[must_use]
    pub fn building(&self) -> Self {
        self.changed(|next| {
            next.building.get_or_insert_with(|| {
                next.last = next.last.after();
                next.last
            });
        })
    }

    /// A generation is made that is only looked at and dropped again: it is [`Projection::last`].
    #[must_use]
    pub fn sketched(&self) -> Self {
        self.changed(|next| {
            next.last = next.last.after();
            next.others.push(next.last);
        })
    }

    /// What was being built is given up.
    #[must_use]
    pub fn abandoned(&self) -> Self {
        self.changed(|next| next.others.extend(next.building.take()))
    }

    /// The processors are to leave the live generation, for `to`.
    #[must_use]
    pub fn quiescing(&self, to: Generation) -> Self {
        self.changed(|next| next.quiesce = Some(to))
    }

    /// The processors may go on in the live generation.
    #[must_use]
    pub fn resumed(&self) -> Self {
        self.changed(|next| next.quiesce = None)
    }

    /// `to` is live, and what was live is kept, as of `left_at`.
    #[must_use]
    pub fn switched(&self, to: Generation, left_at: &Offsets) -> Self {
        self.changed(|next| {
            next.building = next.building.filter(|&building| building != to);
            next.others.retain(|&other| other != to);
            next.others.push(next.live);
            next.kept = Some(next.live);
            next.kept_at.clone_from(left_at);
            next.live = to;
            next.settled = false;
            next.quiesce = None;
        })
    }

    /// No reader answers out of another generation any more.
    #[must_use]
    pub fn settled(&self) -> Self {
        self.changed(|next| next.settled = true)
    }

    /// `generation` is no more.
    #[must_use]
    pub fn dropped(&self, generation: Generation) -> Self {
        self.changed(|next| {
            next.others.retain(|&other| other != generation);
            next.kept = next.kept.filter(|&kept| kept != generation);
            next.building = next.building.filter(|&building| building != generation);
        })
    }
}

/// Offsets as pairs: BSON has no numbers for names.
mod pairs {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Offsets;

    pub(super) fn serialize<S: Serializer>(offsets: &Offsets, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(offsets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Offsets, D::Error> {
        Ok(Vec::<(i32, i64)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The one document.
#[async_trait]
pub trait ProjectionControl: Send + Sync {
    /// What it says; [`Projection::default`] when nothing was ever written.
    ///
    /// # Errors
    /// The store is away, or the document is not ours.
    async fn read(&self) -> Result<Projection, StoreError>;

    /// Writes `next`, if what is there still has the revision before it. `false`: it has another one, and nothing was changed.
    ///
    /// # Errors
    /// The store is away; it may have happened.
    async fn replace(&self, next: &Projection) -> Result<bool, StoreError>;
}

/// The collections of all generations.
#[async_trait]
pub trait Generations: Send + Sync {
    /// The one document.
    fn control(&self) -> Arc<dyn ProjectionControl>;

    /// The writing side of a generation.
    fn writer(&self, generation: Generation) -> Arc<dyn ShipmentWriter>;

    /// The reading side of a generation, for comparisons.
    fn scan(&self, generation: Generation) -> Arc<dyn ShipmentScan>;

    /// Makes room for a generation: what must be there before anything is written.
    ///
    /// # Errors
    /// The store is away.
    async fn make(&self, generation: Generation) -> Result<(), StoreError>;

    /// Makes everything that a reader of the live generation needs, however long it takes. Safe to repeat.
    ///
    /// # Errors
    /// The store is away, or is still at it: call again.
    async fn complete(&self, generation: Generation) -> Result<(), StoreError>;

    /// Points people who query by hand to this generation.
    ///
    /// # Errors
    /// The store is away.
    async fn show(&self, generation: Generation) -> Result<(), StoreError>;

    /// Drops everything of a generation. Safe to repeat.
    ///
    /// # Errors
    /// The store is away.
    async fn remove(&self, generation: Generation) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_keeps_the_old_one_and_a_rollback_the_new_one() {
        let begun = Projection::default().taken_by("tool").building();
        let second = begun.building.expect("one is being built");
        assert_eq!((second.number(), begun.live, begun.building().building), (2, Generation::FIRST, Some(second)));
        let swapped = begun.quiescing(second).switched(second, &Offsets::from([(0, 7)]));
        assert_eq!(swapped.kept_at, Offsets::from([(0, 7)]));
        assert_eq!((swapped.live, swapped.kept, swapped.building), (second, Some(Generation::FIRST), None));
        assert!(!swapped.settled && swapped.is_open());
        let back = swapped.settled().switched(Generation::FIRST, &Offsets::new());
        assert_eq!(
            (back.live, back.kept, back.others.as_slice()),
            (Generation::FIRST, Some(second), [second].as_slice())
        );
        assert!(back.building().building > Some(second), "no number is used twice");
    }

    #[test]
    fn what_is_given_up_or_dropped_is_known() {
        let begun = Projection::default().building();
        let second = begun.building.expect("one is being built");
        let given_up = begun.abandoned();
        assert_eq!((given_up.building, given_up.others.as_slice()), (None, [second].as_slice()));
        assert!(given_up.dropped(second).others.is_empty());
        let swapped = begun.switched(second, &Offsets::new()).dropped(Generation::FIRST);
        assert_eq!((swapped.kept, swapped.others.as_slice()), (None, [].as_slice()));
    }

    #[test]
    fn names_of_the_first_generation_are_plain() {
        assert_eq!(Generation::FIRST.name("shipments", "_g"), "shipments");
        assert_eq!(Generation::FIRST.after().name("shipments", "_g"), "shipments_g2");
        assert_eq!(Generation::new(0), None);
    }
}
