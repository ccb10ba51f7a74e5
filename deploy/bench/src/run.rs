//! One run against one platform.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::api::{self, ApiError};
use crate::connection::Target;
use crate::load::Plan;
use crate::process::{Watch, Watched};
use crate::result::EventsResult;
use crate::walk::{Step, Walk};
use crate::{fleet, load, probe, visible};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is called in the report.
    pub label: String,
    /// Where the platform listens.
    pub target: Target,
    /// Who posts.
    pub user: String,
    /// Its password.
    pub password: String,
    /// How to load.
    pub plan: Plan,
    /// Shipments to register for the load.
    pub shipments: usize,
    /// The policy that judges them: `strict` or `field`.
    pub policy: String,
    /// Which events each of them gets.
    pub walk: Walk,
    /// Single events a second beside the load.
    pub probe_rate: u32,
    /// Whose memory and processor time to report.
    pub processes: Vec<Watched>,
}

impl Run {
    /// Measures.
    ///
    /// # Errors
    /// The platform could not be prepared, or could not be read afterwards.
    pub async fn measure(&self) -> Result<EventsResult, ApiError> {
        let target = api::login(&self.target, &self.user, &self.password).await?;
        let steps = self.walk.steps(OffsetDateTime::now_utc());
        let probes = probe::shipments(self.probe_rate, self.plan.duration, steps.len());
        let (numbers, taken) = fleet::register(&target, &self.policy, self.shipments + probes).await?;
        let (probe_numbers, numbers) = numbers.split_at(probes);
        let load = Load {
            target: &target,
            plan: self.plan,
            numbers,
            steps: &steps,
            probe_rate: self.probe_rate,
            probe_numbers,
            processes: &self.processes,
        };
        let result = load.measure().await?;
        let registered_per_second = per_second(self.shipments + probes, taken);
        Ok(EventsResult { label: self.label.clone(), registered_per_second, ..result })
    }
}

/// A run on shipments that are there.
#[derive(Debug)]
pub struct Load<'a> {
    /// Where the platform listens, with the token of who posts.
    pub target: &'a Target,
    /// How to load.
    pub plan: Plan,
    /// Shipments for the load.
    pub numbers: &'a [String],
    /// Which events each of them gets.
    pub steps: &'a [Step],
    /// Single events a second beside the load.
    pub probe_rate: u32,
    /// Shipments for these.
    pub probe_numbers: &'a [String],
    /// Whose memory and processor time to report.
    pub processes: &'a [Watched],
}

impl Load<'_> {
    /// Measures.
    ///
    /// # Errors
    /// The platform could not be read afterwards.
    pub async fn measure(&self) -> Result<EventsResult, ApiError> {
        let (target, plan) = (self.target, self.plan);
        let watch = Watch::begin(self.processes);
        let begin = Instant::now();
        let over = AtomicBool::new(false);
        let loading = async {
            let loaded = load::run(target, plan, self.numbers, self.steps, begin).await;
            over.store(true, Ordering::Relaxed);
            let (seen, unseen) = visible::wait(target, &loaded.last).await;
            (loaded, seen, unseen, watch.end())
        };
        let probing = probe::run(target, self.probe_rate, self.probe_numbers, self.steps, begin, &over);
        let ((loaded, seen, unseen, processes), probed) = tokio::join!(loading, probing);
        let sample = visible::sample(target, &loaded.groups).await?;

        let ended = loaded.ended.unwrap_or(begin);
        let visible_after = seen.saturating_duration_since(ended);
        Ok(EventsResult {
            label: String::new(),
            rate_wanted: plan.rate,
            batch: plan.batch,
            connections: plan.connections,
            shipments: self.numbers.len(),
            registered_per_second: 0.0,
            seconds: rounded((ended - begin).as_secs_f64()),
            used_up: loaded.used_up,
            sent: loaded.sent,
            accepted: loaded.accepted,
            repeated: loaded.repeated,
            accepted_per_second: per_second(loaded.accepted, ended - begin),
            visible_per_second: per_second(loaded.accepted, ended - begin + visible_after),
            visible_after_seconds: rounded(visible_after.as_secs_f64()),
            unseen,
            refused: loaded.refused,
            http_ms: loaded.latencies.percentiles(),
            end_to_end_ms: probed.latencies.percentiles(),
            end_to_end_failed: probed.failed,
            sample,
            processes,
        })
    }
}

fn per_second(count: usize, duration: Duration) -> f64 {
    if duration.is_zero() { 0.0 } else { (count as f64 / duration.as_secs_f64()).round() }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
