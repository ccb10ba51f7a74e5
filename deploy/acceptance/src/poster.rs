//! Callers that report without a pause, as sources do: each waits for the answer before it sends the next event, and sends again
//! what was not accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, text};
use crate::sample::{self, Sequence};
use crate::wait;

/// Longest time for which an event is sent again and again: longer than any outage that a test makes.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often a source in traffic reports: often enough that something is always on its way, seldom enough to leave the machine to what is
/// tested.
const PACE: Duration = Duration::from_millis(25);
/// Shipments that a source in traffic reports about at a time.
const AT_A_TIME: usize = 10;
/// Reports about each of them before the next ones have their turn.
const ROUNDS: usize = 12;
/// The way of most parcels.
const WAY: [&str; 4] = ["picked_up", "in_warehouse", "in_transit", "delivered"];

/// An event that the platform accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub event_id: String,
    /// The shipment.
    pub number: String,
    /// What tells it from other events about the shipment: source and second.
    pub key: String,
    /// The claimed status; `None` for a scan.
    pub status: Option<String>,
}

/// One source.
pub struct Poster {
    client: Client,
    source: String,
    sequence: Sequence,
    way: Vec<Traveller>,
    second: i64,
    /// What was accepted, in the order of the answers; a duplicate stands there twice.
    pub accepted: Vec<Accepted>,
    /// How many times the platform refused, all of them with 503 and `Retry-After`.
    pub refused: usize,
    /// How many times there was no answer.
    pub unanswered: usize,
    progress: Arc<AtomicUsize>,
}

struct Traveller {
    number: String,
    steps: usize,
    last: Option<Value>,
}

impl Poster {
    /// A source called `source` that reports about `shipments`; equal seeds report the same.
    #[must_use]
    pub fn new(client: Client, source: &str, shipments: &[String], seed: u64) -> Self {
        let way = shipments.iter().map(|number| Traveller { number: number.clone(), steps: 0, last: None }).collect();
        let (source, sequence) = (source.to_owned(), Sequence::of(seed));
        let (accepted, progress) = (Vec::new(), Arc::default());
        Self { client, source, sequence, way, second: 0, accepted, refused: 0, unanswered: 0, progress }
    }

    /// Reports once about each shipment.
    pub async fn round(&mut self) {
        for index in 0..self.way.len() {
            self.step(index).await;
        }
    }

    /// Reports until `stop` is cancelled, about a few shipments at a time, so that some are always on their way; what was begun is
    /// brought to its end.
    async fn until(&mut self, stop: &CancellationToken) {
        let mut turn = 0;
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            pace.tick().await;
            let few = turn / (AT_A_TIME * ROUNDS);
            self.step((few * AT_A_TIME + turn % AT_A_TIME) % self.way.len()).await;
            turn += 1;
        }
    }

    async fn step(&mut self, index: usize) {
        let event = self.next(index);
        let id = self.send(&event).await;
        self.accepted.push(Accepted {
            event_id: id,
            number: self.way[index].number.clone(),
            key: format!("{}:{}", self.source, text(&event, "timestamp")),
            status: event["status"].as_str().map(str::to_owned),
        });
        self.way[index].last = Some(event);
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Of 12 reports, 2 are the last one again, 1 is another one of the same second, 2 are scans, 2 claim whatever status, and 5 are the next
    /// step of the way.
    fn next(&mut self, index: usize) -> Value {
        let traveller = &mut self.way[index];
        let dice = self.sequence.below(12);
        if let Some(last) = traveller.last.clone().filter(|_| dice < 3) {
            return if dice < 2 { last } else { sample::with(last, json!({"notes": "not what was said first"})) };
        }
        self.second += 1;
        let event = match dice {
            3 | 4 => sample::scan(&traveller.number, "other", self.second),
            5 | 6 => {
                let any = ["picked_up", "in_warehouse", "in_transit", "delivered", "cancelled"];
                sample::report(&traveller.number, any[self.sequence.below(any.len())], self.second)
            }
            _ => {
                let status = WAY[traveller.steps % WAY.len()];
                traveller.steps += 1;
                sample::report(&traveller.number, status, self.second)
            }
        };
        sample::with(event, json!({"source": self.source}))
    }

    /// Sends until it is accepted, and returns the id.
    async fn send(&mut self, event: &Value) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.client.call("POST", "/events").json(event).try_send().await;
            match answer {
                Ok(answer) if matches!(answer.status, 200 | 202) => return text(&answer.body, "event_id"),
                Ok(answer) => {
                    answer.problem(503, "SERVICE_UNAVAILABLE");
                    assert!(answer.header("retry-after").is_some(), "a 503 says when to come again");
                    self.refused += 1;
                }
                Err(_) => self.unanswered += 1, // whoever is not answered sends again
            }
            assert!(begun.elapsed() < PATIENCE, "{event} was not accepted within {PATIENCE:?}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// Sources that report at the same time, about the same shipments, until they are told to stop.
pub struct Traffic {
    stop: CancellationToken,
    progress: Arc<AtomicUsize>,
    posters: Vec<JoinHandle<Poster>>,
}

impl Traffic {
    /// Sets `sources` of them going.
    #[must_use]
    pub fn begin(client: &Client, sources: u64, shipments: &[String]) -> Self {
        let (stop, progress) = (CancellationToken::new(), Arc::<AtomicUsize>::default());
        let source = |number: u64| {
            let mut poster = Poster::new(client.reconnected(), &format!("source_{number}"), shipments, number);
            poster.progress = progress.clone();
            let stop = stop.clone();
            tokio::spawn(async move {
                poster.until(&stop).await;
                poster
            })
        };
        let posters = (0..sources).map(source).collect();
        Self { stop, progress, posters }
    }

    /// How many events were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.progress.load(Ordering::Relaxed)
    }

    /// Waits until `more` events were accepted from now on.
    pub async fn goes_on(&self, more: usize) {
        let goal = self.accepted() + more;
        let patience = PATIENCE;
        wait::until("traffic goes on", patience, async || {
            assert!(!self.posters.iter().any(JoinHandle::is_finished), "a source gave up");
            (self.accepted() >= goal).then_some(())
        })
        .await;
    }

    /// Lets all of them come to an end.
    pub async fn end(self) -> Vec<Poster> {
        self.stop.cancel();
        let mut ended = Vec::new();
        for poster in self.posters {
            ended.push(poster.await.expect("a source does not panic"));
        }
        ended
    }
}
