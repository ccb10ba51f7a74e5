//! What the commands work with, and how they end.

use std::fmt;
use std::sync::Arc;

use shared::clock::Clock;
use shared::event_log::replay::{EventReplay, ReplayError};
use shared::event_log::{EventAppender, SubscribeError};
use shared::metrics::MetricError;
use shared::projection::{Generations, WorkError};
use shared::shipment_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::config::Config;
use crate::{rebuild, transfer, verify};

pub use crate::progress::Screen;

/// The outside of a command.
#[derive(Clone)]
pub struct Tools {
    /// The generations of the projection.
    pub generations: Arc<dyn Generations>,
    /// The log's past.
    pub replay: Arc<dyn EventReplay>,
    /// Where an import goes.
    pub log: Arc<dyn EventAppender>,
    /// The processor's settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// Where progress is shown.
    pub screen: Screen,
    /// Ends the command early.
    pub stop: CancellationToken,
}

/// Does what `command` says, whatever it is but to process and to help.
///
/// # Errors
/// It could not be done.
pub async fn run(command: &Command, tools: &Tools) -> Result<Finished, ToolError> {
    match command {
        Command::Rebuild(options) => rebuild::rebuild(options, tools).await,
        Command::Rollback => rebuild::rollback(tools).await,
        Command::Collect { force } => rebuild::collect(*force, tools).await,
        Command::Verify(options) => verify::verify(options, tools).await,
        Command::Export { file } => transfer::export(file.as_deref(), tools).await,
        Command::Import { file } => transfer::import(file, tools).await,
        Command::Process | Command::Help => Ok(Finished::saying("")),
    }
}

/// How a command ended that could do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What is printed.
    pub text: String,
    /// Something differs.
    pub differs: bool,
}

impl Finished {
    pub(crate) fn saying(text: impl Into<String>) -> Self {
        Self { text: text.into(), differs: false }
    }
}

impl Finished {
    /// The exit status that says how it ended: 1 when something differs.
    #[must_use]
    pub fn status(&self) -> u8 {
        u8::from(self.differs)
    }
}

/// The exit status of a command that could not do what it was asked, or was not understood.
pub const COULD_NOT: u8 = 2;

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A replay ended early.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// Another tool is at work, or this one lost its right.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A file.
    #[error("{0}: {1}")]
    File(String, #[source] std::io::Error),
    /// A bug: two metrics of one name.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The store refuses a state that a rebuild held back, whose event it should have refused.
    #[error("the store refuses a state that was held back: {0}")]
    HeldRefused(String),
    /// It was told to end.
    #[error("it was told to end before it was done; run it again, it goes on where it was")]
    Stopped,
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
}
