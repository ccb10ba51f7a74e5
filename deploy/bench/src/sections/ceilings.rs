//! The ceilings, one after the other, each with the machine to itself.

use std::sync::Arc;
use std::time::Duration;

use acceptance::servers::Server;
use time::OffsetDateTime;

use crate::ceilings::http::{BareEdge, Behind};
use crate::ceilings::kafka::{BareLog, Load as Appends, WARM_UP};
use crate::ceilings::mongo::{self, BareStore, Writer};
use crate::ceilings::{Rate, on_threads, redis};
use crate::connection::Target;
use crate::failure::Failure;
use crate::load::{self, Form, Plan};
use crate::numbers::number;
use crate::process::{Usage, Watch, Watched};
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::{Bench, Real};
use crate::systems::CONNECTIONS;
use crate::systems::pair::watched_server;
use crate::walk::Walk;

/// The bare MongoDB writers: by lanes; without the look-up; and with shipments that do not lie beside one another, to see what these cost.
const WRITERS: [(&str, Writer); 5] = [
    ("MongoDB writer, 1 lane", Writer { lanes: 1, looks_up: true, mixes: false }),
    ("MongoDB writer, 2 lanes", Writer { lanes: 2, looks_up: true, mixes: false }),
    ("MongoDB writer, 4 lanes", Writer { lanes: 4, looks_up: true, mixes: false }),
    ("MongoDB writer, 2 lanes, nothing looked up", Writer { lanes: 2, looks_up: false, mixes: false }),
    ("MongoDB writer, 4 lanes, shipments mixed", Writer { lanes: 4, looks_up: true, mixes: true }),
];
/// Events a second for which there are numbers: more than two processors can do.
const WRITER_MOST: usize = 60_000;
const LOG_MOST: usize = 400_000;
const WINDOW_MOST: usize = 600_000;
const EDGE_MOST: usize = 300_000;

/// Measures all of them.
///
/// # Errors
/// One of them fails.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let real = bench.real().await?;
    writers(bench, &real).await?;
    log(bench, &real).await?;
    window(bench, &real).await?;
    edges(bench, &real).await
}

/// Notes a rate, and what it took of the processors.
fn note(bench: &mut Bench, row: &str, rate: Rate, took: &[Usage]) {
    let per_second = rate.per_second();
    bench.progress.say(&format!("  {row}: {per_second:.0} a second"));
    bench.figures.add(at(n::CEILINGS, row, n::RATE), Unit::PerSecond, per_second);
    for Usage { name, cpu_seconds, .. } in took {
        let micros = 1e6 * cpu_seconds / rate.count.max(1) as f64;
        bench.figures.add(at(n::CEILINGS, row, &format!("CPU of {name}, each")), Unit::Microseconds, micros);
    }
}

fn watched(real: &Real, server: Server) -> Vec<Watched> {
    vec![watched_server(real, server), Watched::generator()]
}

/// Half as long as a platform is loaded: a ceiling has no queue to fill.
fn briefly(bench: &Bench) -> Duration {
    bench.plan.each / 2
}

/// So many as are enough at a rate that is not reached.
fn enough(most: usize, at_most: Duration) -> usize {
    (most as f64 * at_most.as_secs_f64()).ceil() as usize
}

async fn writers(bench: &mut Bench, real: &Arc<Real>) -> Result<(), Failure> {
    let mut best: f64 = 0.0;
    for (index, (row, writer)) in WRITERS.into_iter().enumerate() {
        let at_most = bench.plan.each;
        let shipments = enough(WRITER_MOST, at_most) / real.specimen.moves.len();
        let suffixes = bench.numbers.take(shipments.max(writer.lanes * mongo::BATCH));
        let name = format!("bench_writer_{}_{index}", bench.round);
        let watched = watched(real, Server::Mongodb);
        let real = real.clone();
        let (rate, took) = on_threads(async move || {
            let store = BareStore::open(&real.servers.servers().mongo_uri, &name).await?;
            store.make(&real.specimen).await?;
            store.store(&real.specimen, &suffixes).await?;
            let watch = Watch::begin(&watched);
            let rate = store.write_moves(&real.specimen, &suffixes, writer, at_most).await?;
            let took = watch.end();
            store.drop().await?;
            Ok((rate, took))
        })
        .await?;
        note(bench, row, rate, &took);
        if writer.looks_up {
            best = best.max(rate.per_second());
        }
    }
    bench.figures.add(at(n::CEILINGS, n::BEST_WRITER, n::RATE), Unit::PerSecond, best);
    Ok(())
}

async fn log(bench: &mut Bench, real: &Arc<Real>) -> Result<(), Failure> {
    let at_most = briefly(bench);
    let suffixes = bench.numbers.take(enough(LOG_MOST, at_most));
    let topic = format!("bench.log.{}", bench.round);
    let watched = watched(real, Server::Kafka);
    let real = real.clone();
    let (produced, producing, consumed, consuming) = on_threads(async move || {
        let log = BareLog::open(&real.servers.servers().kafka_brokers, &topic)?;
        log.make_topic().await?;
        let record = &real.specimen.moves[0].record;
        log.warm_up(record).await?;
        let watch = Watch::begin(&watched);
        let load = Appends { batch: 100, connections: CONNECTIONS, at_most };
        let produced = log.produce(record, &suffixes, load).await?;
        let (producing, watch) = (watch.end(), Watch::begin(&watched));
        let consumed = log.consume(produced.count + WARM_UP, at_most)?;
        let consuming = watch.end();
        log.delete_topic().await?;
        Ok((produced, producing, consumed, consuming))
    })
    .await?;
    note(bench, "Kafka producer, requests of 100", produced, &producing);
    note(bench, "Kafka consumer", consumed, &consuming);
    Ok(())
}

async fn window(bench: &mut Bench, real: &Arc<Real>) -> Result<(), Failure> {
    let at_most = briefly(bench);
    let suffixes = bench.numbers.take(enough(WINDOW_MOST, at_most));
    let watched = watched(real, Server::Redis);
    let real = real.clone();
    let (rate, took) = on_threads(async move || {
        let watch = Watch::begin(&watched);
        let (address, entry) = (&real.servers.servers().redis_addr, &real.specimen.moves[0].window);
        let rate = redis::measure(address, entry, &suffixes, at_most).await?;
        Ok((rate, watch.end()))
    })
    .await?;
    note(bench, "Redis pipelines of 1,000", rate, &took);
    Ok(())
}

/// The bare edge: it parses and answers; with the log behind it, it also appends.
async fn edges(bench: &mut Bench, real: &Arc<Real>) -> Result<(), Failure> {
    let at_most = briefly(bench);
    let plan = Plan::flat_out(at_most, 100, CONNECTIONS);
    let single = Plan { batch: 1, form: Form::Single, ..plan };
    edge(bench, "axum, parse and answer, batches of 100", plan, None).await?;
    edge(bench, "axum, parse and answer, single events", single, None).await?;
    let topic = format!("bench.edge.{}", bench.round);
    let log = BareLog::open(&real.servers.servers().kafka_brokers, &topic)?;
    log.make_topic().await?;
    let behind = Behind { log: log.clone(), record: real.specimen.moves[0].record.clone() };
    log.warm_up(&behind.record).await?;
    edge(bench, n::AXUM_PRODUCER, single, Some(behind.clone())).await?;
    edge(bench, "axum and producer, batches of 100", plan, Some(behind)).await?;
    log.delete_topic().await
}

async fn edge(bench: &mut Bench, row: &str, plan: Plan, behind: Option<Behind>) -> Result<(), Failure> {
    let edge = BareEdge::start(behind).await?;
    let target = Target::of(&edge.url).map_err(|error| Failure::NotMeasured(error.to_string()))?;
    let steps = Walk::Moves.steps(OffsetDateTime::now_utc());
    let numbers = bench.numbers.take(enough(EDGE_MOST, plan.duration) / steps.len());
    let numbers: Vec<_> = numbers.into_iter().map(number).collect();
    let watch = Watch::begin(&[Watched::generator()]);
    let begin = tokio::time::Instant::now();
    let loaded = load::run(&target, plan, &numbers, &steps, begin).await;
    let took = loaded.ended.unwrap_or(begin) - begin;
    if let Some((why, count)) = loaded.refused.first_key_value() {
        return Err(Failure::NotMeasured(format!("{row}: {count} events were refused: {why}")));
    }
    note(bench, row, Rate { count: loaded.accepted, took }, &watch.end());
    Ok(())
}
