//! Gives up dead letters that events were parked behind for long enough: says so in the log, where it becomes part of what everybody decides by.
//!
//! Who is due stands in the store, written with the state that parked; so it is found after a crash and by the next owner. A release that is
//! appended twice, by a zombie say, does nothing the second time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::event_log::Topic;
use shared::shipment::record::Release;
use shared::shipment::{Timestamp, TrackingNumber};
use shared::shipment_store::ParkedShipment;
use tokio_util::sync::CancellationToken;

use crate::Ports;
use crate::consume::Lanes;
use crate::failure::Failure;
use crate::metrics::Metrics;

/// How often is looked who is due. While nobody is parked, that is a look into an empty index.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most shipments that are looked at, those first that are due first: more are a disaster, and their turn comes when these are released.
const LOOKED_AT: u32 = 1_000;
/// A release that was appended and is not applied after so long is appended again: the topic may have been made anew.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Looks after the parked events of the partitions that this member owns.
pub(crate) struct Releases {
    ports: Ports,
    lanes: Arc<Lanes>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// The releases that were appended and are not applied yet: until when was parked, and when that was said.
    said: HashMap<TrackingNumber, (Timestamp, Timestamp)>,
}

impl Releases {
    pub(crate) fn new(ports: Ports, lanes: Arc<Lanes>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { ports, lanes, clock, metrics, said: HashMap::new() }
    }

    /// Looks again and again until `end` is cancelled.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        let looking = async {
            let mut failed = false;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                match self.look().await {
                    Ok(()) => failed = false,
                    Err(failure) => {
                        self.metrics.error(failure.reason());
                        // Once for an outage: the lanes tell of it too.
                        if !std::mem::replace(&mut failed, true) {
                            tracing::warn!(
                                error = &failure as &dyn std::error::Error,
                                "parked events are looked after later"
                            );
                        }
                    }
                }
            }
        };
        end.run_until_cancelled(looking).await;
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let owned = self.lanes.owned();
        let parked = if owned.is_empty() { Vec::new() } else { self.ports.store.parked(&owned, LOOKED_AT).await? };
        self.metrics.parked(parked.len());
        let still: HashSet<TrackingNumber> = parked.iter().map(|parked| parked.tracking_number).collect();
        self.said.retain(|number, _| still.contains(number));

        let now = (self.clock)();
        let due: Vec<ParkedShipment> =
            parked.into_iter().filter(|parked| parked.until <= now && !self.was_said(parked, now)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let release = |due: &ParkedShipment| Release { tracking_number: due.tracking_number, until: now }.record();
        self.ports.log.append(Topic::Events, due.iter().map(release).collect()).await.all()?;
        tracing::info!(
            shipments = due.len(),
            "dead letters are not waited for any more; what is parked behind them is released"
        );
        self.said.extend(due.into_iter().map(|due| (due.tracking_number, (due.until, now))));
        Ok(())
    }

    fn was_said(&self, parked: &ParkedShipment, now: Timestamp) -> bool {
        let said = self.said.get(&parked.tracking_number);
        said.is_some_and(|&(until, at)| until == parked.until && now < at.plus(SAY_AGAIN))
    }
}
