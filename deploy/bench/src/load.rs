//! The load: every connection posts batches, one after the other. A shipment belongs to one connection, so its events arrive
//! in order; a batch holds one step of as many shipments, and a connection takes all of its shipments one step further
//! before it begins with the next step.
//!
//! With a fixed rate a batch has an intended time, and its latency counts from there, whether or not it could be sent then:
//! a platform that stalls does not get its latency forgiven for the batches that waited (no coordinated omission).

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use tokio::time::{Duration, Instant};

use crate::connection::{Connection, Target};
use crate::latency::Latencies;
use crate::walk::Step;

/// After a broken connection, so that an absent platform is not asked in a tight loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// How events are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each by itself: `POST /events`. Only for batches of one.
    Single,
    /// `POST /events/batch` with a JSON object.
    Json,
    /// `POST /events/batch` with a line for each.
    Ndjson,
}

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Events a second over all connections; 0 for as many as go.
    pub rate: u64,
    /// How long.
    pub duration: Duration,
    /// Events in a request.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// How they are posted.
    pub form: Form,
    /// So many of a hundred events of a batch were sent in the connection's last batch before.
    pub repeats: usize,
}

impl Plan {
    /// As many events as go, in JSON.
    #[must_use]
    pub const fn flat_out(duration: Duration, batch: usize, connections: usize) -> Self {
        Self { rate: 0, duration, batch, connections, form: Form::Json, repeats: 0 }
    }

    /// Events of a batch that were sent before.
    fn repeated(&self) -> usize {
        (self.batch * self.repeats / 100).min(self.batch.saturating_sub(1))
    }

    /// Between two batches of one connection; `None` when each follows at once.
    fn interval(&self) -> Option<Duration> {
        let batches_per_second = self.rate as f64 / self.batch as f64 / self.connections as f64;
        (self.rate > 0).then(|| Duration::from_secs_f64(1.0 / batches_per_second))
    }
}

/// Shipments that go through their steps together.
#[derive(Debug)]
pub struct Group {
    /// Their tracking numbers.
    pub numbers: Vec<String>,
    /// How many of their events were accepted, of each of them.
    pub accepted: usize,
    /// Some events of some of them were not: what the others are worth is unknown.
    pub uncertain: bool,
}

/// What came of one connection, or of all.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The shipments.
    pub groups: Vec<Group>,
    /// Events sent.
    pub sent: usize,
    /// Events accepted, repeated ones included.
    pub accepted: usize,
    /// Accepted events that were sent before, on purpose.
    pub repeated: usize,
    /// Events not accepted, by status code and error word.
    pub refused: BTreeMap<String, usize>,
    /// Of the requests that were answered with 202.
    pub latencies: Latencies,
    /// Of the last batch of each connection: tracking number and event id.
    pub last: Vec<Vec<(String, String)>>,
    /// When the last answer came.
    pub ended: Option<Instant>,
    /// The shipments ran out before the time was over.
    pub used_up: bool,
}

impl Loaded {
    fn merge(mut self, mut other: Self) -> Self {
        self.groups.append(&mut other.groups);
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.latencies.append(other.latencies);
        self.last.append(&mut other.last);
        self.ended = self.ended.max(other.ended);
        self.used_up |= other.used_up;
        self
    }
}

/// Loads the platform with the `steps` of the shipments `numbers`, beginning at `begin`.
pub async fn run(target: &Target, plan: Plan, numbers: &[String], steps: &[Step], begin: Instant) -> Loaded {
    let fresh = plan.batch - plan.repeated();
    let groups =
        numbers.chunks(fresh).map(|numbers| Group { numbers: numbers.to_vec(), accepted: 0, uncertain: false });
    let mut shares: Vec<Vec<Group>> = (0..plan.connections).map(|_| Vec::new()).collect();
    for (index, group) in groups.enumerate() {
        shares[index % plan.connections].push(group);
    }
    let workers = shares.into_iter().zip(0..).map(|(groups, index)| {
        // Spread over the interval, so that not all connections send at once.
        let first = begin + plan.interval().unwrap_or_default() * index / u32::try_from(plan.connections).unwrap_or(1);
        let worker = Worker { connection: Connection::new(target), plan, first, deadline: begin + plan.duration };
        worker.run(groups, steps)
    });
    futures::future::join_all(workers).await.into_iter().fold(Loaded::default(), Loaded::merge)
}

struct Worker {
    connection: Connection,
    plan: Plan,
    first: Instant,
    deadline: Instant,
}

impl Worker {
    async fn run(mut self, mut groups: Vec<Group>, steps: &[Step]) -> Loaded {
        let mut loaded = Loaded { used_up: true, ..Loaded::default() };
        let (interval, mut next) = (self.plan.interval(), self.first);
        let mut before: Option<(usize, Vec<String>)> = None;
        'steps: for (place, step) in steps.iter().enumerate() {
            for group in &mut groups {
                // Only events of the same step: the group that was sent last has just had it.
                let last = before.take().filter(|(at, _)| *at == place).map(|(_, numbers)| numbers);
                let again: Vec<String> = last.unwrap_or_default().into_iter().take(self.plan.repeated()).collect();
                let intended = interval.map_or_else(|| Instant::now().max(self.first), |_| next);
                next = intended + interval.unwrap_or_default();
                if intended.max(Instant::now()) >= self.deadline {
                    loaded.used_up = false;
                    break 'steps;
                }
                let request = self.request(step, &group.numbers, &again);
                tokio::time::sleep_until(intended).await;
                let (path, body, content) = request;
                let answer = self.connection.post_as(path, body, content, None).await;
                let now = Instant::now();
                loaded.sent += group.numbers.len() + again.len();
                loaded.ended = Some(now);
                match answer {
                    Ok((StatusCode::ACCEPTED, body)) => {
                        loaded.latencies.add(now - intended);
                        loaded.count(group, again.len(), self.plan.form, &body);
                    }
                    Ok((status, body)) => loaded.refuse(group, &format!("{} {}", status.as_u16(), error_word(&body))),
                    Err(error) => {
                        loaded.refuse(group, &error.to_string());
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
                if self.plan.repeats > 0 {
                    before = Some((place, group.numbers.clone()));
                }
            }
        }
        loaded.groups = groups;
        loaded
    }

    /// Path, body and content type.
    fn request(&self, step: &Step, numbers: &[String], again: &[String]) -> (&'static str, Bytes, &'static str) {
        match self.plan.form {
            Form::Single => ("/events", step.event(&numbers[0]), JSON),
            Form::Json => ("/events/batch", step.batch(numbers.iter().chain(again)), JSON),
            Form::Ndjson => ("/events/batch", step.lines(numbers.iter().chain(again)), NDJSON),
        }
    }
}

/// The answer to a single event.
#[derive(Deserialize)]
struct Queued<'a> {
    event_id: &'a str,
    tracking_number: &'a str,
}

#[derive(Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    index: usize,
    event_id: Option<&'a str>,
    status: &'a str,
    #[serde(borrow)]
    error: Option<ItemError<'a>>,
}

#[derive(Deserialize)]
struct ItemError<'a> {
    error: &'a str,
}

impl Loaded {
    /// Counts the events of a request that was answered with 202; the last `again` of them were sent before.
    fn count(&mut self, group: &mut Group, again: usize, form: Form, body: &[u8]) {
        if form == Form::Single {
            return self.count_single(group, body);
        }
        let items = match serde_json::from_slice::<Results<'_>>(body) {
            Ok(results) if results.items.len() == group.numbers.len() + again => results.items,
            Ok(_) => return self.refuse(group, "202 with too few items"),
            Err(error) => return self.refuse(group, &format!("202 that cannot be read: {error}")),
        };
        let mut last = Vec::with_capacity(items.len());
        for Item { index, event_id, status, error } in items {
            match (group.numbers.get(index), event_id) {
                (Some(number), Some(id)) if status == "queued" => last.push((number.clone(), id.to_owned())),
                (None, Some(_)) if matches!(status, "queued" | "duplicate") => self.repeated += 1,
                _ => {
                    let word = error.map_or(status, |error| error.error);
                    *self.refused.entry(format!("202 item {word}")).or_default() += 1;
                    group.uncertain = true;
                }
            }
        }
        self.queued(group, last, again);
    }

    fn count_single(&mut self, group: &mut Group, body: &[u8]) {
        match serde_json::from_slice::<Queued<'_>>(body) {
            Ok(Queued { event_id, tracking_number }) => {
                self.queued(group, vec![(tracking_number.to_owned(), event_id.to_owned())], 0);
            }
            Err(error) => self.refuse(group, &format!("202 that cannot be read: {error}")),
        }
    }

    fn queued(&mut self, group: &mut Group, last: Vec<(String, String)>, again: usize) {
        self.accepted += last.len() + again;
        group.accepted += 1;
        group.uncertain |= last.len() < group.numbers.len();
        if !last.is_empty() {
            self.last = vec![last];
        }
    }

    fn refuse(&mut self, group: &mut Group, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += group.numbers.len();
        group.uncertain = true;
    }
}

/// The word of an error answer.
#[must_use]
pub fn error_word(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        error: String,
    }
    serde_json::from_slice(body).map_or_else(|_| "(no problem)".to_owned(), |problem: Problem| problem.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_rate_is_shared_by_the_connections() {
        let plan = Plan { rate: 8_000, ..Plan::flat_out(Duration::from_secs(1), 100, 16) };
        assert_eq!(plan.interval(), Some(Duration::from_millis(200)));
        assert_eq!(Plan { rate: 0, ..plan }.interval(), None);
        assert_eq!(Plan { repeats: 20, ..plan }.repeated(), 20);
        assert_eq!(Plan { repeats: 100, batch: 1, ..plan }.repeated(), 0, "something of a batch is new");
    }

    #[test]
    fn items_that_were_not_queued_are_counted_by_their_error() {
        let numbers = ["99M-00000001", "99M-00000002", "99M-00000003"].map(str::to_owned).to_vec();
        let mut group = Group { numbers, accepted: 0, uncertain: false };
        let mut loaded = Loaded::default();
        let body = br#"{"received":3,"queued":1,"rejected":1,"message":"m","items":[
            {"index":0,"event_id":"evt_1","status":"queued"},
            {"index":1,"event_id":"evt_2","status":"duplicate"},
            {"index":2,"event_id":"evt_3","status":"rejected","error":{"error":"SERVICE_UNAVAILABLE","message":"m"}}]}"#;
        loaded.count(&mut group, 0, Form::Json, body);
        assert_eq!((loaded.accepted, group.accepted, group.uncertain), (1, 1, true));
        assert_eq!(loaded.last, [[("99M-00000001".to_owned(), "evt_1".to_owned())]]);
        let refused: Vec<_> = loaded.refused.iter().map(|(code, &count)| (code.as_str(), count)).collect();
        assert_eq!(refused, [("202 item SERVICE_UNAVAILABLE", 1), ("202 item duplicate", 1)]);
    }

    #[test]
    fn events_that_are_sent_again_count_as_accepted_whether_or_not_the_edge_knows_them() {
        let mut group = Group { numbers: vec!["99M-00000001".to_owned()], accepted: 0, uncertain: false };
        let mut loaded = Loaded::default();
        let body = br#"{"items":[{"index":0,"event_id":"evt_1","status":"queued"},
            {"index":1,"event_id":"evt_2","status":"queued"},{"index":2,"event_id":"evt_3","status":"duplicate"}]}"#;
        loaded.count(&mut group, 2, Form::Ndjson, body);
        assert_eq!((loaded.accepted, loaded.repeated, group.uncertain, loaded.refused.len()), (3, 2, false, 0));
        loaded.count(&mut group, 0, Form::Single, br#"{"event_id":"evt_4","tracking_number":"99M-00000001"}"#);
        assert_eq!((loaded.accepted, loaded.last.len()), (4, 1));
    }
}
