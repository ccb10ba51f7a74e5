//! Reads while events flow.

use futures::future::join_all;
use hyper::StatusCode;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::connection::{Connection, Target};
use crate::failure::Failure;
use crate::latency::Latencies;
use crate::load::{self, Plan};
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::systems::CONNECTIONS;
use crate::walk::Walk;

/// Events a second meanwhile.
const FLOW: u64 = 2_000;
/// Events in a request.
const BATCH: usize = 10;
/// Readers, each of which asks again when it is answered.
const READERS: usize = 4;

/// Measures one shipment, and lists.
///
/// # Errors
/// The pair could not be loaded, or does not answer.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
    let plan = Plan { rate: FLOW, ..Plan::flat_out(bench.plan.each, BATCH, CONNECTIONS) };
    for (row, path) in [
        ("GET /shipments/{n}", None),
        ("GET /shipments?limit=100", Some("/shipments?limit=100")),
        (
            "GET /shipments?client_id&status&limit=10",
            Some("/shipments?client_id=client_001&status=in_transit&limit=10"),
        ),
    ] {
        let shipments = FLOW as usize * plan.duration.as_secs_f64().ceil() as usize / steps.len() + BATCH * CONNECTIONS;
        let suffixes = bench.numbers.take(shipments);
        let numbers = pair.stored(&real, &suffixes).await?;
        let begin = Instant::now();
        let until = begin + plan.duration;
        let flow = load::run(&pair.target, plan, &numbers, &steps, begin);
        let readers = (0..READERS).map(|reader| read(&pair.target, &numbers, path, reader, until));
        let (flowed, read) = tokio::join!(flow, join_all(readers));
        let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
        let percentiles = read.into_iter().fold(Latencies::default(), |mut all, one| {
            all.append(one);
            all
        });
        let percentiles = percentiles.percentiles();
        let rate = percentiles.count as f64 / plan.duration.as_secs_f64();
        bench.progress.say(&format!("  {row}: {rate:.0} a second, p99 {:.1} ms", percentiles.p99));
        if flowed.accepted == 0 {
            bench.wrong.push(format!("{}, {row}: no events flowed", n::READS));
        }
        let figures = &mut bench.figures;
        figures.add(at(n::READS, row, n::RATE), Unit::PerSecond, rate);
        figures.add(at(n::READS, row, "p50"), Unit::Milliseconds, percentiles.p50);
        figures.add(at(n::READS, row, "p99"), Unit::Milliseconds, percentiles.p99);
        figures.add(at(n::READS, row, "p99.9"), Unit::Milliseconds, percentiles.p99_9);
    }
    Ok(())
}

/// Reads `path`, or one shipment after the other, until the time is over.
async fn read(
    target: &Target,
    numbers: &[String],
    path: Option<&str>,
    reader: usize,
    until: Instant,
) -> Result<Latencies, Failure> {
    // Between the shipments of two readers.
    let mut place = reader * numbers.len() / READERS;
    let (mut connection, mut latencies) = (Connection::new(target), Latencies::default());
    while Instant::now() < until {
        let path = path.map_or_else(|| format!("/shipments/{}", numbers[place % numbers.len()]), str::to_owned);
        place += 1;
        let begin = Instant::now();
        let (status, body) = connection.get(&path).await.map_err(|error| Failure::NotMeasured(error.to_string()))?;
        latencies.add(begin.elapsed());
        if status != StatusCode::OK {
            let body: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(Failure::NotMeasured(format!("GET {path}: {status}: {body}")));
        }
        // The load is sent by the same thread.
        tokio::task::yield_now().await;
    }
    Ok(latencies)
}
