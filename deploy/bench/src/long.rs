//! One shipment that is scanned again and again (`bench long`): whatever it has behind it, its document stays bounded and an event costs
//! the same.
//!
//! The scans claim statuses and kinds in turn and arrive out of order: each block of [`BLOCK`] is shuffled, so that some are older than
//! everything that is embedded.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::api::{self, ApiError};
use crate::connection::{Connection, Target};
use crate::process::{Usage, Watch, Watched};

/// Scans that are shuffled with each other: twice as many as a shipment embeds.
const BLOCK: usize = 400;
/// Scans of a request: the default of `MAX_BATCH`.
const BATCH: usize = 1_000;
/// Lines of the table.
const MARKS: usize = 10;
/// How long the scans of a mark may take until they can be read.
const DEADLINE: Duration = Duration::from_secs(300);
/// Between two looks at the shipment.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Between two scans of the shipment, by their times.
const STEP: time::Duration = time::Duration::seconds(30);
/// Largest document that is right, in bytes of its answer.
const DOCUMENT_BYTES: usize = 100_000;
/// What the scans claim, in turn.
const CLAIMS: [(&str, &str); 6] = [
    ("status", "in_warehouse"),
    ("status", "in_transit"),
    ("kind", "customs"),
    ("status", "in_warehouse"),
    ("kind", "exception"),
    ("status", "in_transit"),
];

/// What to measure.
#[derive(Clone, Debug)]
pub struct LongRun {
    /// Where the platform listens.
    pub target: Target,
    /// Who posts.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Scans in all.
    pub scans: usize,
    /// Whose processor time to report.
    pub processes: Vec<Watched>,
}

/// The shipment when so many scans of it could be read, and what the last of them cost.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Scans so far.
    pub scans: usize,
    /// Scans a second since the mark before, until the last of them could be read.
    pub per_second: f64,
    /// Bytes of the shipment's answer.
    pub document_bytes: usize,
    /// What the processes took since the mark before.
    pub processes: Vec<Usage>,
    since: usize,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct LongResult {
    /// Of tenths of the scans.
    pub marks: Vec<Mark>,
    /// What is wrong with the shipment at the end.
    pub wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Shipment {
    current_status: String,
    version: usize,
    history_truncated: usize,
    status_history: Vec<serde::de::IgnoredAny>,
}

impl LongRun {
    /// Measures.
    ///
    /// # Errors
    /// The platform does not take the scans, or does not show them in time.
    pub async fn measure(&self) -> Result<LongResult, ApiError> {
        let target = api::login(&self.target, &self.user, &self.password).await?;
        let mut connection = Connection::new(&target);
        let number = api::register(&mut connection, api::registration("field")).await?;
        let step = i32::try_from(self.scans).unwrap_or(i32::MAX);
        let first = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH) - STEP * step;
        let order = arrivals(self.scans);
        let mut marks: Vec<Mark> = Vec::new();
        let mut sent = 0;
        for scans in order.chunks(self.scans.div_ceil(MARKS).max(1)) {
            let (begin, watch) = (Instant::now(), Watch::begin(&self.processes));
            for batch in scans.chunks(BATCH) {
                post(&mut connection, &number, first, batch).await?;
            }
            sent += scans.len();
            let document_bytes = wait_for(&mut connection, &number, sent + 1).await?;
            let per_second = scans.len() as f64 / begin.elapsed().as_secs_f64();
            let (since, processes) = (scans.len(), watch.end());
            marks.push(Mark { scans: sent, per_second, document_bytes, processes, since });
        }
        let shipment = read(&api::shipment(&mut connection, &number).await?)?;
        let mut wrong = Vec::new();
        let newest = (0..self.scans).rev().map(|scan| CLAIMS[scan % CLAIMS.len()]);
        let expected = newest.into_iter().find(|(member, _)| *member == "status").map_or("created", |(_, word)| word);
        if shipment.current_status != expected {
            wrong.push(format!("it is {}, and should be {expected}", shipment.current_status));
        }
        let entries = shipment.status_history.len() + shipment.history_truncated;
        if entries != self.scans + 1 {
            wrong.push(format!("it has {entries} entries, and should have {}", self.scans + 1));
        }
        if let Some(mark) = marks.iter().find(|mark| mark.document_bytes > DOCUMENT_BYTES) {
            wrong.push(format!("its document has {} bytes, more than {DOCUMENT_BYTES}", mark.document_bytes));
        }
        Ok(LongResult { marks, wrong })
    }
}

/// The order in which the scans arrive: blocks of them shuffled, the same in each run.
fn arrivals(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for block in order.chunks_mut(BLOCK) {
        for end in (1..block.len()).rev() {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let random = usize::try_from(state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or_default();
            block.swap(end, random % (end + 1));
        }
    }
    order
}

async fn post(
    connection: &mut Connection,
    number: &str,
    first: OffsetDateTime,
    scans: &[usize],
) -> Result<(), ApiError> {
    #[derive(Deserialize)]
    struct Results {
        queued: usize,
    }
    let call = "POST /events/batch";
    let event = |&scan: &usize| {
        let (member, word) = CLAIMS[scan % CLAIMS.len()];
        let when = first + STEP * i32::try_from(scan).unwrap_or(i32::MAX);
        json!({"tracking_number": number, member: word, "timestamp": when.format(&Rfc3339).unwrap_or_default(),
            "source": "hub_scanner", "place": "Centro de distribución Vallejo", "code": "AR-17",
            "location": {"lat": 19.43, "lng": -99.13}})
    };
    let body = json!(scans.iter().map(event).collect::<Vec<_>>()).to_string();
    let answer = connection.post("/events/batch", body.into(), None).await;
    let (status, body) = answer.map_err(|source| ApiError::Connection { call, source })?;
    match serde_json::from_slice::<Results>(&body) {
        Ok(results) if status == StatusCode::ACCEPTED && results.queued == scans.len() => Ok(()),
        _ => Err(ApiError::answer(call, status, &body)),
    }
}

/// Waits until the shipment shows `version`, and returns how long its document is then.
async fn wait_for(connection: &mut Connection, number: &str, version: usize) -> Result<usize, ApiError> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let body = api::shipment(connection, number).await?;
        if read(&body)?.version >= version {
            return Ok(body.len());
        }
        if Instant::now() >= deadline {
            return Err(ApiError::answer("GET /shipments/{tracking_number}", StatusCode::OK, &body));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn read(body: &[u8]) -> Result<Shipment, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::answer("GET /shipments/{tracking_number}", StatusCode::OK, body))
}

impl fmt::Display for LongResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>10}{:>12}{:>18}", "scans", "scans/s", "document bytes")?;
        let names = self.marks.first().map(|mark| mark.processes.as_slice()).unwrap_or_default();
        for Usage { name, .. } in names {
            write!(formatter, "{:>22}", format!("{name} µs/scan"))?;
        }
        writeln!(formatter)?;
        for Mark { scans, per_second, document_bytes, processes, since } in &self.marks {
            write!(formatter, "{scans:>10}{per_second:>12.0}{document_bytes:>18}")?;
            for Usage { cpu_seconds, .. } in processes {
                write!(formatter, "{:>22.0}", cpu_seconds * 1e6 / *since as f64)?;
            }
            writeln!(formatter)?;
        }
        for wrong in &self.wrong {
            writeln!(formatter, "WRONG: {wrong}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scan_arrives_once_and_not_far_from_its_place() {
        let order = arrivals(1_050);
        assert!(order.iter().enumerate().all(|(place, scan)| place / BLOCK == scan / BLOCK), "{order:?}");
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_050).collect::<Vec<_>>());
        assert!(!order.is_sorted());
    }
}
