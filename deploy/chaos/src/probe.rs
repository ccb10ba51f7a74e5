//! Whether the platform has recovered: an event on each partition is accepted and becomes visible.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acceptance::sample::{self, parcel_of};
use futures::future::join_all;
use serde_json::json;
use shared::event_log::murmur2::partition_of;
use tokio::sync::Mutex;

use crate::door::Door;
use crate::ledger::{Acknowledged, Ledger, Registered};

/// Longest time until the platform has recovered. Generous, because the machine may have other things to do; what takes longer hangs.
const RECOVERY: Duration = Duration::from_secs(120);
/// How often a shipment is used: the histories of the probes are compared, too, and show 200 entries.
const USES: usize = 150;
/// How long an answer may wait for the outcome, in seconds.
const PREFERRED_WAIT: u64 = 10;
/// Between two looks at an outcome.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the probes call themselves.
const SOURCE: &str = "probe";

/// Asks whether the platform has recovered.
pub struct Probe {
    door: Door,
    partitions: i32,
    count: AtomicU64,
    set: Mutex<Set>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Set {
    /// A shipment on each partition.
    shipments: BTreeMap<i32, String>,
    uses: usize,
    registrations: usize,
}

impl Probe {
    /// One of a log with so many partitions.
    #[must_use]
    pub fn of(door: Door, partitions: i32) -> Self {
        Self { door, partitions, count: AtomicU64::new(0), set: Mutex::default(), ledger: Mutex::default() }
    }

    /// Waits until an event on each partition has become visible, and returns how long that took. `None`: not in time.
    pub async fn recovered(&self) -> Option<Duration> {
        let begun = Instant::now();
        let probes = async {
            let shipments = self.shipments().await?;
            join_all(shipments.iter().map(|number| self.visible(number))).await.into_iter().collect::<Option<Vec<_>>>()
        };
        tokio::time::timeout(RECOVERY, probes).await.ok().flatten().map(|_| begun.elapsed())
    }

    /// What was acknowledged.
    pub async fn ledger(self) -> Ledger {
        self.ledger.into_inner()
    }

    /// A shipment on each partition. They are registered when there are none, or those that there are have been used often.
    async fn shipments(&self) -> Option<Vec<String>> {
        let mut set = self.set.lock().await;
        set.uses += 1;
        if set.uses > USES {
            set.shipments.clear();
            set.uses = 1;
        }
        while set.shipments.len() < usize::try_from(self.partitions).unwrap_or_default() {
            set.registrations += 1;
            let registered = self.register(&format!("{SOURCE}-{}", set.registrations)).await?;
            set.shipments.insert(partition_of(registered.as_bytes(), self.partitions), registered);
        }
        Some(set.shipments.values().cloned().collect())
    }

    async fn register(&self, key: &str) -> Option<String> {
        let (body, mut own) = (parcel_of("client_001"), Ledger::default());
        let number = loop {
            let answer = self.door.insist(&mut own, key, |client| client.keyed("/shipments", key, &body)).await;
            match answer {
                Some(answer) if matches!(answer.status, 201 | 202) => {
                    break answer.body["tracking_number"].as_str().map(str::to_owned);
                }
                Some(answer) if answer.status == 409 => tokio::time::sleep(LOOK_EVERY).await,
                Some(other) => {
                    own.complaints.push(format!("{key} was answered with {} {}", other.status, other.text));
                    break None;
                }
                None => break None,
            }
        };
        let mut ledger = self.ledger.lock().await;
        ledger.complaints.append(&mut own.complaints);
        let number = number?;
        ledger.registered.push(Registered { key: key.to_owned(), number: number.clone(), body });
        Some(number)
    }

    /// Reports about `number` and waits until the outcome is known.
    async fn visible(&self, number: &str) -> Option<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let second = i64::try_from(count).unwrap_or_default();
        let id = format!("{SOURCE}-{count}");
        let body =
            sample::with(sample::scan(number, "other", second), json!({"source": SOURCE, "source_event_id": id}));
        let (mut own, wait) = (Ledger::default(), format!("wait={PREFERRED_WAIT}"));
        let answer = self
            .door
            .insist(&mut own, &id, |client| client.call("POST", "/events").json(&body).header("prefer", &wait));
        let answer = answer.await?;
        let Some(event_id) = answer.body["event_id"].as_str().map(str::to_owned) else {
            own.complaints.push(format!("{body} was answered with {} {}", answer.status, answer.text));
            self.ledger.lock().await.complaints.append(&mut own.complaints);
            return None;
        };
        let outcome = answer.body["status"].as_str().filter(|said| *said == "recorded").map(str::to_owned);
        self.ledger.lock().await.events.push(Acknowledged { event_id: event_id.clone(), body, outcome });
        if answer.status == 200 {
            return Some(());
        }
        let path = format!("/events/{event_id}");
        loop {
            let found = self.door.insist(&mut own, &path, |client| client.call("GET", &path)).await?;
            if found.status == 200 && found.body["outcome"] != "queued" {
                return Some(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
