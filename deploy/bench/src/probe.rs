//! End-to-end latency: single events at a low rate beside the load, each of which waits for its outcome (`Prefer: wait`). The time
//! counts from when an event was intended to be sent, so a stall is felt by every event that falls into it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use tokio::time::{Duration, Instant};

use crate::connection::{Connection, Target};
use crate::latency::Latencies;
use crate::load::error_word;
use crate::walk::Step;

/// Connections of the side stream: as many events can be under way before one has to wait for another.
const CONNECTIONS: u32 = 32;
/// How long an event may wait for its outcome, in seconds.
const WAIT: u32 = 10;

/// What the side stream measured.
#[derive(Debug, Default)]
pub struct Probed {
    /// From the intended time to the final outcome, of the events whose outcome came.
    pub latencies: Latencies,
    /// The others, by status code and error word.
    pub failed: BTreeMap<String, usize>,
}

/// How many shipments a stream of `rate` events a second needs.
#[must_use]
pub fn shipments(rate: u32, duration: Duration, steps: usize) -> usize {
    if rate == 0 {
        return 0;
    }
    let events = f64::from(rate) * duration.as_secs_f64();
    // A share for each connection, and one more for what does not divide evenly.
    (events / steps as f64).ceil() as usize + CONNECTIONS as usize
}

/// Sends `rate` events a second from `begin` on until the load is `over`.
pub async fn run(
    target: &Target,
    rate: u32,
    numbers: &[String],
    steps: &[Step],
    begin: Instant,
    over: &AtomicBool,
) -> Probed {
    if rate == 0 {
        return Probed::default();
    }
    let between = Duration::from_secs(1) / rate;
    let share = numbers.len().div_ceil(CONNECTIONS as usize).max(1);
    let streams = numbers.chunks(share).zip(0..).map(|(numbers, index)| {
        let first = begin + between * index;
        stream(Connection::new(target), numbers, steps, first, between * CONNECTIONS, over)
    });
    futures::future::join_all(streams).await.into_iter().fold(Probed::default(), |mut all, one| {
        all.latencies.append(one.latencies);
        for (code, count) in one.failed {
            *all.failed.entry(code).or_default() += count;
        }
        all
    })
}

async fn stream(
    mut connection: Connection,
    numbers: &[String],
    steps: &[Step],
    first: Instant,
    interval: Duration,
    over: &AtomicBool,
) -> Probed {
    let mut probed = Probed::default();
    let mut intended = first;
    for (step, number) in steps.iter().flat_map(|step| numbers.iter().map(move |number| (step, number))) {
        tokio::time::sleep_until(intended).await;
        if over.load(Ordering::Relaxed) {
            break;
        }
        match connection.post("/events", step.event(number), Some(WAIT)).await {
            Ok((StatusCode::OK, _)) => probed.latencies.add(intended.elapsed()),
            Ok((StatusCode::ACCEPTED, _)) => {
                *probed.failed.entry(format!("no outcome within {WAIT} s")).or_default() += 1
            }
            Ok((status, body)) => {
                *probed.failed.entry(format!("{} {}", status.as_u16(), error_word(&body))).or_default() += 1;
            }
            Err(error) => *probed.failed.entry(error.to_string()).or_default() += 1,
        }
        intended += interval;
    }
    probed
}
