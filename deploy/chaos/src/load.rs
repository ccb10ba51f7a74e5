//! Callers that register and report without a pause, and keep their own record of what was acknowledged. Whoever is refused or gets no
//! answer sends the same again, as real sources do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::client::Answer;
use acceptance::sample::{self, Sequence};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::door::{Door, Doors};
use crate::ledger::{Acknowledged, Ledger, Registered};
use crate::refusals;
use crate::yard::{Parcel, Yard};

/// How often each source sends: often enough that something is always on its way, seldom enough to leave the machine to what is tested.
const PACE: Duration = Duration::from_millis(80);
/// One report of so many is about a shipment that nobody registered.
const STRANGER: usize = 60;
/// One new report of so many is one that the store refuses.
const REFUSED: usize = 40;
/// Events of a batch.
const BATCH: usize = 10;
/// How far back under the field policy a scan may happen, in seconds: they come late and out of order.
const LATE: usize = 40;
/// How long a caller who waits for an outcome asks to be kept, in seconds.
const PREFERRED_WAIT: u64 = 3;
/// The way of most parcels.
const WAY: [&str; 4] = ["picked_up", "in_warehouse", "in_transit", "delivered"];
/// Reports about a shipment between two steps of its way.
const STEP: usize = 10;

/// Sources that send at the same time.
pub struct Load {
    stop: CancellationToken,
    acknowledged: Arc<AtomicUsize>,
    sources: Vec<JoinHandle<Ledger>>,
}

impl Load {
    /// Sets `count` sources going, and one more of a client who may report about half of the shipments only; equal seeds send the same.
    #[must_use]
    pub fn begin(doors: &Doors, yard: &Arc<Yard>, count: u64, seed: u64) -> Self {
        let (stop, acknowledged) = (CancellationToken::new(), Arc::<AtomicUsize>::default());
        let begin = |number: u64| {
            let client = number == count;
            let source = Source {
                door: if client { doors.client.clone() } else { doors.admin.clone() },
                registers: !client,
                stranger: Parcel { number: sample::unregistered(), field: false, reports: 0 },
                yard: yard.clone(),
                name: format!("source_{number}"),
                sequence: Sequence::of(seed.wrapping_mul(1_000).wrapping_add(number)),
                second: i64::try_from(LATE).unwrap_or_default(),
                registrations: 0,
                last: HashMap::new(),
                ledger: Ledger { one_by_one: true, ..Ledger::default() },
                acknowledged: acknowledged.clone(),
            };
            tokio::spawn(source.until(stop.clone()))
        };
        let sources = (0..=count).map(begin).collect();
        Self { stop, acknowledged, sources }
    }

    /// How much was acknowledged so far: registrations and events.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets all sources bring to an end what they have begun, and returns their records.
    ///
    /// # Panics
    /// A source panicked.
    pub async fn end(self) -> Vec<Ledger> {
        self.stop.cancel();
        let mut ledgers = Vec::new();
        for source in self.sources {
            ledgers.push(source.await.expect("a source does not panic"));
        }
        ledgers
    }
}

struct Source {
    door: Door,
    /// Whether it may register shipments for any client.
    registers: bool,
    /// A shipment that nobody registered.
    stranger: Parcel,
    yard: Arc<Yard>,
    name: String,
    sequence: Sequence,
    second: i64,
    registrations: usize,
    /// What it said last about each shipment.
    last: HashMap<String, Value>,
    ledger: Ledger,
    acknowledged: Arc<AtomicUsize>,
}

impl Source {
    async fn until(mut self, stop: CancellationToken) -> Ledger {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            pace.tick().await;
            match self.yard.pick(&mut self.sequence) {
                None if self.registers => self.register().await,
                None => {}
                Some(_) if self.sequence.below(STRANGER) == 0 => {
                    let stranger = self.stranger.clone();
                    self.report(&stranger).await;
                }
                Some(parcel) if self.sequence.below(BATCH) == 0 => self.report_many(&parcel).await,
                Some(parcel) => self.report(&parcel).await,
            }
        }
        self.ledger
    }

    async fn register(&mut self) {
        let field = self.sequence.below(2) == 0;
        let policy = if field { "field" } else { "strict" };
        let client_id = ["client_001", "client_002"][self.sequence.below(2)];
        let body = sample::with(sample::parcel_of(client_id), json!({"transition_policy": policy}));
        let key = format!("{}-{}", self.name, self.registrations);
        self.registrations += 1;
        loop {
            let sent = self.door.insist(&mut self.ledger, &key, |client| client.keyed("/shipments", &key, &body)).await;
            match sent {
                None => return,
                // Somebody who was cut off holds the key still.
                Some(answer) if answer.status == 409 => {
                    tokio::time::sleep(PACE).await;
                }
                Some(Answer { status: 201 | 202, body: answered, .. }) => {
                    let number = answered["tracking_number"].as_str().unwrap_or_default().to_owned();
                    self.yard.enter(number.clone(), field);
                    self.ledger.registered.push(Registered { key, number, body });
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Some(other) => return self.complain(&body, &other),
            }
        }
    }

    async fn report(&mut self, parcel: &Parcel) {
        let body = self.next(parcel);
        let wait = (self.sequence.below(5) == 0).then(|| format!("wait={PREFERRED_WAIT}"));
        let call = |client: &acceptance::client::Client| {
            let call = client.call("POST", "/events").json(&body);
            match &wait {
                Some(wait) => call.header("prefer", wait),
                None => call,
            }
        };
        match self.door.insist(&mut self.ledger, &body.to_string(), call).await {
            None => {}
            // A rejection says what was rejected.
            Some(Answer { body: answered, .. }) if answered["event_id"].is_string() => {
                self.accepted(&answered, &body);
            }
            Some(other) => self.complain(&body, &other),
        }
    }

    /// A batch about some shipments. What the log did not take of it is sent again, with the rest.
    async fn report_many(&mut self, first: &Parcel) {
        let mut events = vec![self.next(first)];
        while events.len() < BATCH {
            let Some(parcel) = self.yard.pick(&mut self.sequence) else { break };
            events.push(self.next(&parcel));
        }
        let body = json!({"events": events});
        loop {
            let call = |client: &acceptance::client::Client| client.call("POST", "/events/batch").json(&body);
            match self.door.insist(&mut self.ledger, "a batch", call).await {
                None => return,
                Some(Answer { status: 202, body: answered, .. }) => {
                    let items = answered["items"].as_array().cloned().unwrap_or_default();
                    let taken = items.iter().zip(&events).filter(|(item, _)| item["error"].is_null());
                    let taken: Vec<_> = taken.collect();
                    for (item, event) in &taken {
                        self.accepted(item, event);
                    }
                    if taken.len() == events.len() {
                        return;
                    }
                    tokio::time::sleep(PACE).await;
                }
                Some(other) => return self.complain(&body, &other),
            }
        }
    }

    fn accepted(&mut self, answered: &Value, body: &Value) {
        let event_id = answered["event_id"].as_str().unwrap_or_default().to_owned();
        let said = answered["outcome"].as_str().or_else(|| answered["status"].as_str());
        // A duplicate's outcome is the first one's, which this answer does not say.
        let outcome = said.filter(|said| !matches!(*said, "queued" | "duplicate")).map(str::to_owned);
        self.ledger.events.push(Acknowledged { event_id, body: body.clone(), outcome });
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn complain(&mut self, body: &Value, answer: &Answer) {
        self.ledger.complaints.push(format!("{body} was answered with {} {}", answer.status, answer.text));
    }

    /// Of 12 reports, 2 are the last one again, 1 is another one of the same key, 3 are scans, 2 claim whatever status, and 4 are the
    /// next step of the way. Every third has an id of the source's own.
    fn next(&mut self, parcel: &Parcel) -> Value {
        let dice = self.sequence.below(12);
        if let Some(last) = self.last.get(&parcel.number).filter(|_| dice < 3) {
            return if dice < 2 {
                last.clone()
            } else {
                sample::with(last.clone(), json!({"place": format!("not what was said first, {}", parcel.reports)}))
            };
        }
        self.second += 1;
        let late = if parcel.field { self.sequence.below(LATE) } else { 0 };
        let second = self.second - i64::try_from(late).unwrap_or_default();
        let mut event = match dice {
            3..=5 => {
                let kinds = ["other", "exception", "delivery_attempt_failed", "returned", "out_for_delivery"];
                sample::scan(&parcel.number, kinds[self.sequence.below(kinds.len())], second)
            }
            6 | 7 => {
                let any = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"];
                sample::report(&parcel.number, any[self.sequence.below(any.len())], second)
            }
            _ => sample::report(&parcel.number, WAY[(parcel.reports / STEP).min(WAY.len() - 1)], second),
        };
        event = sample::with(event, json!({"source": self.name}));
        if self.sequence.below(3) == 0 {
            event = sample::with(event, json!({"source_event_id": format!("{}-{}", self.name, self.second)}));
        }
        if self.sequence.below(REFUSED) == 0 {
            event = sample::with(event, json!({"place": refusals::place(&self.name, self.second)}));
        }
        self.last.insert(parcel.number.clone(), event.clone());
        event
    }
}
