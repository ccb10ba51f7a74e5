//! What a caller was answered: its own record, which no crash of the platform can touch.

use serde_json::Value;

/// An event that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The id that the platform gave to it.
    pub event_id: String,
    /// The body that was sent.
    pub body: Value,
    /// What became of it, when the answer said that: an outcome, for a conflict or a rejection too.
    pub outcome: Option<String>,
}

/// A registration that was answered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The `Idempotency-Key` under which it was sent, as often as it took.
    pub key: String,
    /// The number in the answer.
    pub number: String,
    /// The body that was sent.
    pub body: Value,
}

/// The record of one caller.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The caller sends one request after the other, and the next one when the one before was answered. Then its events about one
    /// shipment stand in the log in that order.
    pub one_by_one: bool,
    /// Registrations.
    pub registered: Vec<Registered>,
    /// Events, in the order of their answers. One that was sent twice stands there twice.
    pub events: Vec<Acknowledged>,
    /// How often the platform said that it cannot take it now (503).
    pub refused: usize,
    /// How often there was no answer.
    pub unanswered: usize,
    /// Answers that the contract does not know, and what was not accepted for minutes.
    pub complaints: Vec<String>,
}

impl Ledger {
    /// How often the callers were refused, and how often they got no answer.
    #[must_use]
    pub fn troubles(ledgers: &[Self]) -> (usize, usize) {
        (ledgers.iter().map(|ledger| ledger.refused).sum(), ledgers.iter().map(|ledger| ledger.unanswered).sum())
    }
}
