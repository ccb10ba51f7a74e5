//! What an operator says to processors that stopped at a storm of dead letters, and what a processor says of it.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::json;

use super::{DeadLetters, Trouble};
use crate::operator_log::{Act, Entry, OperatorLog};
use crate::shipment::Timestamp;
use crate::shipment_store::StoreError;

/// What is wrong, as long as the processor of this process stands at a storm of dead letters. Clones are the same notice.
#[derive(Clone, Debug, Default)]
pub struct StormNotice(Arc<RwLock<Option<String>>>);

impl StormNotice {
    /// Says what is wrong, or that nothing is any more.
    pub fn set(&self, trouble: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// What is wrong.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When an operator last said that a storm is to be let through.
///
/// # Errors
/// The store failed.
pub async fn last_word(operators: &dyn OperatorLog) -> Result<Option<Timestamp>, StoreError> {
    let words = operators.newest(Some(Act::DeadLetterStormContinued), 1).await?;
    Ok(words.first().map(|word| word.at))
}

impl DeadLetters {
    /// The same, with what the processor of this process says.
    #[must_use]
    pub fn beside(self, notice: StormNotice) -> Self {
        Self { notice, ..self }
    }

    /// What is wrong, when a processor of this process stands at a storm. Of those in other processes nothing is known here.
    #[must_use]
    pub fn storm(&self) -> Option<String> {
        self.notice.get()
    }

    /// Tells all processors to let the storm through at which they stand. Durable: also one that is being started hears it.
    ///
    /// # Errors
    /// It could not be written down.
    pub async fn let_storm_through(&self, by: &str) -> Result<(), Trouble> {
        let entry =
            Entry { at: (self.clock)(), by: by.to_owned(), act: Act::DeadLetterStormContinued, details: json!({}) };
        self.operators.write(&entry).await?;
        tracing::warn!(by, "an operator lets the storm of dead letters through");
        Ok(())
    }
}
