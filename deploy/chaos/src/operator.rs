//! An operator: looks at the dead letters, has the cause of some mended, and has them redriven; others are left to time, and some are redriven in
//! vain.

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::client::Answer;
use acceptance::sample::Sequence;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::ledger::Ledger;
use crate::refusals::Mender;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Letters that one look shows.
const PAGE: usize = 50;
/// One letter of so many is left to time.
const LEFT: usize = 3;
/// One of those that are to be redriven is redriven at each of so many looks: at once, or when it is too late for the events behind it.
const LOOKS: usize = 8;
/// At one of so many looks everything of a shipment that cannot be mended is redriven.
const IN_VAIN: usize = 4;
/// The class of what the store refused.
const REFUSED: &str = "STORE_REFUSED";
/// Classes of letters of which nothing comes when they are redriven.
const HOPELESS: [&str; 5] = ["NO_VALUE", "UNKNOWN_TYPE", "NO_JSON", "BAD_FIELDS", "KEY_CONFLICT"];

/// Somebody who operates the platform.
pub struct Operator {
    stop: CancellationToken,
    working: JoinHandle<Ledger>,
}

impl Operator {
    /// Begins to work; `admin` may do everything.
    #[must_use]
    pub fn begin(admin: &Door, mender: Mender, seed: u64) -> Self {
        let (stop, sequence) = (CancellationToken::new(), Sequence::of(seed));
        let (seen, chosen) = (BTreeSet::new(), Vec::new());
        let shift = Shift { admin: admin.clone(), mender, sequence, seen, chosen, ledger: Ledger::default() };
        let working = tokio::spawn(shift.until(stop.clone()));
        Self { stop, working }
    }

    /// Brings to an end what was begun, and returns what went wrong.
    ///
    /// # Panics
    /// The work panicked.
    pub async fn end(self) -> Ledger {
        self.stop.cancel();
        self.working.await.expect("an operator does not panic")
    }
}

struct Shift {
    admin: Door,
    mender: Mender,
    sequence: Sequence,
    /// Letters that were seen.
    seen: BTreeSet<String>,
    /// Those of them that are to be redriven.
    chosen: Vec<String>,
    ledger: Ledger,
}

impl Shift {
    async fn until(mut self, stop: CancellationToken) -> Ledger {
        let mut pace = tokio::time::interval(EVERY);
        while stop.run_until_cancelled(pace.tick()).await.is_some() {
            // What failed was complained about; the next look is another one.
            let _ = self.look().await;
            if self.sequence.below(IN_VAIN) == 0 {
                let _ = self.redrive_in_vain().await;
            }
        }
        self.ledger
    }

    async fn look(&mut self) -> Option<()> {
        for letter in self.letters(REFUSED).await? {
            let id = letter["id"].as_str().unwrap_or_default().to_owned();
            if self.seen.insert(id.clone()) && self.sequence.below(LEFT) > 0 {
                self.chosen.push(id);
            }
        }
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.chosen) {
            if self.sequence.below(LOOKS) == 0 { now.push(id) } else { later.push(id) }
        }
        self.chosen = later;
        if now.is_empty() {
            return Some(());
        }
        let mut places = Vec::new();
        for id in &now {
            let shown = self.get(&format!("/admin/dead-letters/{id}")).await?;
            let value: Value = serde_json::from_str(shown["value"].as_str().unwrap_or_default()).unwrap_or_default();
            places.extend(value["place"].as_str().map(str::to_owned));
        }
        // Before, or what becomes of it would depend on who is quicker.
        if self.mender.mend(places).await.is_none() {
            self.ledger.complaints.push("the store does not take a rule".to_owned());
            return None;
        }
        self.redrive(&json!({ "ids": now })).await
    }

    /// Everything of some class and shipment.
    async fn redrive_in_vain(&mut self) -> Option<()> {
        let class = HOPELESS[self.sequence.below(HOPELESS.len())];
        let letters = self.letters(class).await?;
        if letters.is_empty() {
            return Some(());
        }
        let number = &letters[self.sequence.below(letters.len())]["tracking_number"];
        self.redrive(&json!({"tracking_number": number, "reason": class})).await
    }

    /// The newest letters of a class.
    async fn letters(&mut self, class: &str) -> Option<Vec<Value>> {
        let mut listed = self.get(&format!("/admin/dead-letters?reason={class}&limit={PAGE}")).await?;
        Some(serde_json::from_value(listed["data"].take()).unwrap_or_default())
    }

    async fn get(&mut self, path: &str) -> Option<Value> {
        let answer = self.admin.insist(&mut self.ledger, path, |client| client.call("GET", path)).await;
        self.good(path, answer)
    }

    async fn redrive(&mut self, selection: &Value) -> Option<()> {
        let call =
            |client: &acceptance::client::Client| client.call("POST", "/admin/dead-letters/redrive").json(selection);
        let answer = self.admin.insist(&mut self.ledger, "a redrive", call).await;
        self.good("a redrive", answer).map(drop)
    }

    fn good(&mut self, what: &str, answer: Option<Answer>) -> Option<Value> {
        match answer? {
            Answer { status: 200, body, .. } => Some(body),
            other => {
                self.ledger.complaints.push(format!("{what} was answered with {} {}", other.status, other.text));
                None
            }
        }
    }
}
