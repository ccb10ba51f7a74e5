//! Catch-up: a processor that finds records which were appended while there was none. And the rebuild of what came of them.

use std::process::Stdio;
use std::time::Duration;

use acceptance::binary;
use mongodb::bson::Document;
use mongodb::{Client, Collection};
use tokio::process::Command;
use tokio::time::Instant;

use crate::api;
use crate::ceilings::kafka::Load;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::numbers::{Suffix, number};
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::specimen::pair::{Record, SHIPMENTS, STATUS_EVENTS};
use crate::systems::pair::Pair;
use crate::systems::{CONNECTIONS, end};

/// Records in a request of the appending.
const BATCH: usize = 1_000;
/// How long the backlog may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// How often the store is asked how far it is: its own count of the documents, which costs it nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Parts whose rates give the spread.
const PARTS: usize = 10;
/// Shipments that must show their last move at the end.
const SAMPLE: usize = 200;

/// Measures both, in the first round only: each takes more than a minute. Their spread is that of tenths of the backlog.
///
/// # Errors
/// The backlog is not appended, or not applied.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    if bench.round > 0 {
        return Ok(());
    }
    let (real, mut pair) = (bench.real().await?, bench.pair().await?);
    let moves = real.specimen.moves.len();
    let suffixes = bench.numbers.take((bench.plan.backlog / moves).max(1));
    let own = pair.platform.on_servers();
    let database = Client::with_uri_str(&own.servers.mongo_uri).await?.database(&own.database);
    let (shipments, rows) = (database.collection(SHIPMENTS), database.collection(STATUS_EVENTS));

    bench.progress.say(&format!("  registering {} shipments through the log", suffixes.len()));
    let registered = count(&shipments).await? + suffixes.len();
    append(&pair, &real.specimen.created, &suffixes).await?;
    let mut registering = Watched::begin(&shipments, 0).await?;
    registering.until(registered).await?;
    end(&mut pair.platform.processors[0]).await;

    let before = count(&rows).await?;
    bench.progress.say(&format!("  appending {} records", suffixes.len() * moves));
    for one in &real.specimen.moves {
        append(&pair, &one.record, &suffixes).await?;
    }
    pair.platform.processors[0].program.start_again();
    let mut applying = Watched::begin(&rows, before).await?;
    applying.until(before + suffixes.len() * moves).await?;
    all_delivered(&pair, &suffixes).await?;
    let rates = applying.rates();
    for &rate in &rates {
        bench.figures.add(at(n::CATCH_UP, n::BACKLOG, n::RATE), Unit::PerSecond, rate);
    }
    let median = bench.figures.get(at(n::CATCH_UP, n::BACKLOG, n::RATE)).map_or(0.0, |figure| figure.spread.median);
    bench.progress.say(&format!("  {}: {median:.0} records a second", n::BACKLOG));
    rebuild(bench, &pair).await
}

async fn append(pair: &Pair, record: &Record, suffixes: &[Suffix]) -> Result<(), Failure> {
    let load = Load { batch: BATCH, connections: CONNECTIONS, at_most: DEADLINE };
    let appended = pair.log()?.produce(record, suffixes, load).await?;
    if appended.count == suffixes.len() {
        Ok(())
    } else {
        Err(Failure::NotMeasured("the log takes too long".to_owned()))
    }
}

async fn count(collection: &Collection<Document>) -> Result<usize, Failure> {
    Ok(usize::try_from(collection.estimated_document_count().await?).unwrap_or(usize::MAX))
}

/// How many documents there were, and when.
struct Watched<'a> {
    collection: &'a Collection<Document>,
    seen: Vec<(Instant, usize)>,
}

impl<'a> Watched<'a> {
    /// Begins when there are more than `before`: until then a processor starts, and takes its partitions.
    async fn begin(collection: &'a Collection<Document>, before: usize) -> Result<Self, Failure> {
        let mut watched = Self { collection, seen: Vec::new() };
        watched.until(before + 1).await?;
        watched.seen.drain(..watched.seen.len() - 1);
        Ok(watched)
    }

    async fn until(&mut self, wanted: usize) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let there = count(self.collection).await?;
            self.seen.push((Instant::now(), there));
            if there >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure::NotMeasured(format!(
                    "{there} of {wanted} documents are there after {DEADLINE:?}"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The rate of each tenth.
    fn rates(&self) -> Vec<f64> {
        rates(&self.seen)
    }
}

/// The rate of each of [`PARTS`] parts with equally many documents, as exactly as was looked.
fn rates(seen: &[(Instant, usize)]) -> Vec<f64> {
    let (Some(&(begun, first)), Some(&(_, last))) = (seen.first(), seen.last()) else { return Vec::new() };
    let (mut from, mut rates) = ((begun, first), Vec::new());
    for part in 1..=PARTS {
        let wanted = first + (last - first) * part / PARTS;
        let Some(&to) = seen.iter().find(|(_, there)| *there >= wanted) else { break };
        let took = (to.0 - from.0).as_secs_f64();
        if took > 0.0 && to.1 > from.1 {
            rates.push((to.1 - from.1) as f64 / took);
            from = to;
        }
    }
    rates
}

/// The rows come before the states: waits until some shipments, spread over all, show their last move.
async fn all_delivered(pair: &Pair, suffixes: &[Suffix]) -> Result<(), Failure> {
    let deadline = Instant::now() + DEADLINE;
    let mut connection = Connection::new(&pair.target);
    for &suffix in suffixes.iter().rev().step_by((suffixes.len() / SAMPLE).max(1)) {
        let delivered = br#""current_status":"delivered""#;
        while !api::shipment(&mut connection, &number(suffix))
            .await?
            .windows(delivered.len())
            .any(|part| part == delivered)
        {
            if Instant::now() >= deadline {
                return Err(Failure::NotMeasured(format!("{} is not delivered", number(suffix))));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// Builds the projection anew beside the live one, with the processor's own command, and takes the rate that it tells.
async fn rebuild(bench: &mut Bench, pair: &Pair) -> Result<(), Failure> {
    let environment = pair.platform.on_servers().environment.iter().map(|(name, value)| (name, value));
    let mut command = Command::new(binary::processor_service());
    // As many as there are: a log holds the lives of its shipments one beside the other, and memory is what an operator can give.
    let hold = bench.plan.backlog.to_string();
    command.args(["rebuild", "--diff-only", "--hold", &hold]).envs(environment).stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let Some(rate) = told_rate(&err) else {
        return Err(Failure::NotMeasured(format!("rebuild: {}: {out}{err}", done.status)));
    };
    bench.progress.say(&format!("  rebuild: {rate:.0} records a second"));
    bench.figures.add(at(n::CATCH_UP, "rebuild", n::RATE), Unit::PerSecond, rate);
    Ok(())
}

/// `rebuilding: 50000 of 200000 records (25 %), 10000 a second, done`: the rate of the longest stretch, which is the first one.
fn told_rate(lines: &str) -> Option<f64> {
    let done = lines.lines().find(|line| line.starts_with("rebuilding: ") && line.ends_with(", done"))?;
    done.strip_suffix(" a second, done")?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_tenths_are_those_between_looks() {
        let begin = Instant::now();
        let at = |millis: u64, there| (begin + Duration::from_millis(millis), there);
        let steady: Vec<_> = (0..=100).map(|look| at(look * 100, 50 + look as usize * 10)).collect();
        let found = rates(&steady);
        assert_eq!(found.len(), PARTS);
        assert!(found.iter().all(|rate| (rate - 100.0).abs() < 1e-6), "{found:?}");
        assert_eq!(rates(&[at(0, 1), at(500, 101)]), [200.0], "one look cannot tell of tenths");
        assert!(rates(&[]).is_empty());
    }

    #[test]
    fn the_rate_of_a_rebuild_is_read_from_its_last_line() {
        let lines = "rebuilding: 1 of 9 records (11 %), 5 a second, 2 s to go\nrebuilding: 9 of 9 records (100 %), 1234 a second, done\ncomparing\n";
        assert_eq!(told_rate(lines), Some(1234.0));
        assert_eq!(told_rate("nothing"), None);
    }
}
