//! What the processor is told by its environment (contract section 7).

use shared::event_log::{DEFAULT_GROUP, DEFAULT_TOPIC};
use shared::settings::{Environment, SettingError};

use crate::consume::Strands;

/// Most lanes: more than a machine has cores for only make batches smaller.
pub(crate) const MOST_LANES: usize = 16;

/// Settings of the processor.
#[derive(Clone, Debug)]
pub struct Config {
    /// `LANES` (4): how many batches are worked on at once. A lane waits for the disk of the database most of its time: on two
    /// cores four lanes come a third further than two, and more only make batches smaller.
    pub lanes: usize,
    /// What is applied in order. Not a setting: the program knows what log it reads.
    pub strands: Strands,
    /// `TOPIC_EPOCH` (1): which life of the topic this is. Raise it when the topic was made anew and its offsets begin at 0 again.
    pub epoch: i64,
    /// `KAFKA_TOPIC` (shipments.events), for the headers of dead letters.
    pub topic: String,
    /// `KAFKA_GROUP`, for the same.
    pub group: String,
    /// `DLQ_STORM_PERCENT` (50): when more than so many of a hundred records would be dead letters, the processor stops; 0 for never. One bad
    /// source among many stays far below it, and a processor that cannot read what all sources send is far above it.
    pub storm_percent: u8,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        Ok(Self {
            lanes: environment.number("LANES", 4, 1..=MOST_LANES)?,
            strands: Strands::Partitions,
            epoch: environment.number("TOPIC_EPOCH", 1, 1..=i64::MAX)?,
            topic: environment.text_or("KAFKA_TOPIC", DEFAULT_TOPIC),
            group: environment.text_or("KAFKA_GROUP", DEFAULT_GROUP),
            storm_percent: environment.number("DLQ_STORM_PERCENT", 50, 0..=99)?,
        })
    }
}
