//! Many scans about few shipments: batches of events that claim no status, each in a second of its own, about 10 shipments and about
//! thousands.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use hyper::StatusCode;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use super::{PAIR_MOST, shipments};
use crate::api::{self, ApiError};
use crate::connection::{Connection, Target};
use crate::failure::Failure;
use crate::report::figures::{Unit, at};
use crate::report::names as n;
use crate::report::run::Bench;
use crate::systems::CONNECTIONS;

/// Scans in a request.
const BATCH: usize = 100;
/// Hot shipments.
const HOT: usize = 10;
/// How long the last scans may take until they are shown.
const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at a shipment: as often as elsewhere ([`crate::visible`]).
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Shipments that are waited for: of many, so many of those that were reported about last.
const WAITED_FOR: usize = 16;

/// Measures both.
///
/// # Errors
/// The pair does not take the scans, or does not show them.
pub async fn measure(bench: &mut Bench) -> Result<(), Failure> {
    let (real, pair) = (bench.real().await?, bench.pair().await?);
    let events = shipments(bench, PAIR_MOST, 1);
    // Four scans for each, as there are four moves elsewhere.
    for (row, count) in [(n::SPREAD, (events / 4).max(HOT)), (n::TEN, HOT)] {
        let suffixes = bench.numbers.take(count);
        let numbers = pair.stored(&real, &suffixes).await?;
        let load = ScanLoad { target: &pair.target, numbers: &numbers, events, at_most: bench.plan.each };
        let Scanned { accepted, accepting, shown } = load.run().await?;
        let rate = |took: Duration| accepted as f64 / took.as_secs_f64().max(f64::EPSILON);
        bench.progress.say(&format!(
            "  {row}: {:.0} accepted and {:.0} visible a second",
            rate(accepting),
            rate(shown)
        ));
        bench.figures.add(at(n::HOT, row, n::ACCEPTED), Unit::PerSecond, rate(accepting));
        bench.figures.add(at(n::HOT, row, n::VISIBLE), Unit::PerSecond, rate(shown));
    }
    Ok(())
}

/// Scans in turn about `numbers`, as many as go.
struct ScanLoad<'a> {
    target: &'a Target,
    numbers: &'a [String],
    events: usize,
    at_most: Duration,
}

struct Scanned {
    accepted: usize,
    /// Until the last answer.
    accepting: Duration,
    /// Until the last scan was shown.
    shown: Duration,
}

impl ScanLoad<'_> {
    async fn run(&self) -> Result<Scanned, Failure> {
        let share = self.events / CONNECTIONS;
        // Made beforehand, so that the generator has nothing to do but to send.
        let bodies: Vec<Vec<Bytes>> = (0..CONNECTIONS).map(|connection| self.bodies(connection, share)).collect();
        let begin = Instant::now();
        let senders = bodies.into_iter().map(|bodies| self.send(bodies, begin));
        let sent = join_all(senders).await.into_iter().collect::<Result<Vec<usize>, Failure>>()?;
        let accepting = begin.elapsed();
        self.wait(&sent, share).await?;
        Ok(Scanned { accepted: sent.iter().sum(), accepting, shown: begin.elapsed() })
    }

    /// The shipment of a connection's scan.
    fn shipment(&self, connection: usize, share: usize, scan: usize) -> usize {
        (connection * share + scan) % self.numbers.len()
    }

    /// Each connection is a source of its own, so no two scans have one key.
    fn bodies(&self, connection: usize, share: usize) -> Vec<Bytes> {
        let first = OffsetDateTime::now_utc() - Duration::from_secs(share as u64 + 60);
        let scans: Vec<usize> = (0..share).collect();
        let body = |scans: &[usize]| {
            let mut body = String::from(r#"{"events":["#);
            for (index, &scan) in scans.iter().enumerate() {
                let when = (first + Duration::from_secs(scan as u64)).format(&Rfc3339).unwrap_or_default();
                let number = &self.numbers[self.shipment(connection, share, scan)];
                let comma = if index > 0 { "," } else { "" };
                write!(
                    body,
                    r#"{comma}{{"tracking_number":"{number}","kind":"customs","timestamp":"{when}","source":"scanner_{connection}","location":{{"lat":19.43,"lng":-99.13}}}}"#
                )
                .expect("a String takes what is written");
            }
            Bytes::from(body + "]}")
        };
        scans.chunks(BATCH).map(body).collect()
    }

    /// How many scans were accepted: all of the first requests.
    async fn send(&self, bodies: Vec<Bytes>, begin: Instant) -> Result<usize, Failure> {
        #[derive(Deserialize)]
        struct Results {
            received: usize,
            queued: usize,
        }
        let call = "POST /events/batch";
        let (mut connection, mut sent) = (Connection::new(self.target), 0);
        for body in bodies {
            if begin.elapsed() >= self.at_most {
                break;
            }
            let answer = connection.post("/events/batch", body, None).await;
            let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
            match serde_json::from_slice::<Results>(&body) {
                Ok(results) if status == StatusCode::ACCEPTED && results.queued == results.received => {
                    sent += results.queued;
                }
                _ => return Err(ApiError::answer(call, status, &body).into()),
            }
        }
        Ok(sent)
    }

    /// Waits until the shipments that were reported about last show as many entries as were accepted.
    async fn wait(&self, sent: &[usize], share: usize) -> Result<(), Failure> {
        let mut entries = vec![0_usize; self.numbers.len()];
        let mut last = Vec::new();
        for (connection, &sent) in sent.iter().enumerate() {
            (0..sent).for_each(|scan| entries[self.shipment(connection, share, scan)] += 1);
            let newest = (0..sent).rev().take(WAITED_FOR / CONNECTIONS);
            last.extend(newest.map(|scan| self.shipment(connection, share, scan)));
        }
        last.sort_unstable();
        last.dedup();
        let deadline = Instant::now() + DEADLINE;
        try_join_all(last.iter().map(|&shipment| self.shown(shipment, entries[shipment] + 1, deadline))).await.map(drop)
    }

    async fn shown(&self, shipment: usize, version: usize, deadline: Instant) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Shown {
            version: usize,
        }
        let mut connection = Connection::new(self.target);
        while Instant::now() < deadline {
            let body = api::shipment(&mut connection, &self.numbers[shipment]).await?;
            if serde_json::from_slice::<Shown>(&body).is_ok_and(|shown| shown.version >= version) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Failure::NotMeasured(format!("{} does not show {version} entries", self.numbers[shipment])))
    }
}
