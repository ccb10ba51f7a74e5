//! The steps that are counted, each with each sample. What a step gives is dropped within it: to give memory back is part of its cost.

use std::hint::black_box;

use ingest_service::cost as edge;
use processor_service::cost as processor;
use serde_json::json;
use shared::change_feed::Change;
use shared::shipment::{judge, record};
use shared::shipment_store::{mongo, sqlite};

use crate::lane::{self, WholeLane};
use crate::sample::{CLIENT, Door, Sample, TRACEPARENT, driver_report, mapping, samples, time};

/// How often a step is done while it is counted. What happens once in a while (a reallocation, say) weighs little then.
const ROUNDS: u32 = 200;
/// How often it is done before: whatever is made at the first use is there afterwards.
const WARM_UP: u32 = 3;
/// Profiles that one step leaves behind.
pub const PROFILES: usize = 2;
/// Events in the batch that is validated as one.
const BATCH: u32 = 100;

/// One step with one sample.
pub struct Step {
    /// What is done.
    pub name: &'static str,
    /// With what.
    pub form: &'static str,
    /// How often it is done while it is counted.
    pub rounds: u32,
    /// How many events one round is.
    pub events: u32,
    round: Box<dyn Fn()>,
}

impl Step {
    fn new(name: &'static str, form: &'static str, round: impl Fn() + 'static) -> Self {
        Self { name, form, rounds: ROUNDS, events: 1, round: Box::new(round) }
    }

    /// Does it, first [`WARM_UP`] times and then as often as it is counted: [`PROFILES`] profiles, of which the last one counts.
    pub fn run(&self) {
        counted(&*self.round, WARM_UP);
        counted(&*self.round, self.rounds);
    }
}

/// What valgrind counts: it begins when this function is entered and ends when it is left, and knows it by its name. Calls it counts all the
/// time, and so the warming up has a profile of its own.
#[inline(never)]
fn counted(round: &dyn Fn(), times: u32) {
    for _ in 0..times {
        round();
    }
}

/// All of them, in the order of the data path.
#[must_use]
pub fn steps() -> Vec<Step> {
    let samples: Vec<&'static Sample> = samples().into_iter().map(|sample| &*Box::leak(Box::new(sample))).collect();
    let mut steps = Vec::new();
    let mut each = |of: fn(&'static Sample) -> Step| steps.extend(samples.iter().map(|sample| of(sample)));
    each(validate);
    each(publish);
    each(decode);
    each(decide);
    each(row);
    each(encode_for_mongodb);
    each(encode_for_sqlite);
    each(change);
    steps.insert(samples.len(), validate_batch());
    steps.push(lane());
    steps
}

/// From the bytes of a request's body to an event.
fn validate(sample: &'static Sample) -> Step {
    let now = time(1_000);
    let body = &*sample.body;
    match sample.door {
        Door::Event => Step::new("validate", sample.form, move || drop(black_box(edge::event(black_box(body), now)))),
        Door::Scan => {
            Step::new("validate", sample.form, move || drop(black_box(edge::scan(black_box(body), mapping(), now))))
        }
        Door::Shipment => {
            Step::new("validate", sample.form, move || drop(black_box(edge::shipment(black_box(body), CLIENT))))
        }
    }
}

/// From the records of a batch to what the stores get, and the offset that may be committed.
fn lane() -> Step {
    let rounds = ROUNDS / 10;
    let lane = WholeLane::new(WARM_UP + rounds);
    Step { rounds, events: lane::BATCH, ..Step::new("lane", "a batch of 200", move || lane.round()) }
}

fn validate_batch() -> Step {
    let now = time(1_000);
    let events: Vec<_> = (0..BATCH).map(|second| driver_report(i64::from(second))).collect();
    let body = json!({"events": events}).to_string().into_bytes();
    let most = usize::try_from(BATCH).expect("small");
    let round = move || drop(black_box(edge::batch(black_box(&body), most, now)));
    Step { rounds: ROUNDS / 10, events: BATCH, ..Step::new("validate", "strict, in a batch of 100", round) }
}

/// From an event to a record of the log, its id and the key that the window is asked for included.
fn publish(sample: &'static Sample) -> Step {
    Step::new("publish", sample.form, || {
        let event = black_box(&sample.event);
        let id = event.event_id();
        if let shared::shipment::Event::Reported(reported) = event {
            black_box(reported.body.dedup_key());
        }
        drop(black_box(record::encode_as(event, id, Some(TRACEPARENT))));
    })
}

/// From a record to an event with its id.
fn decode(sample: &'static Sample) -> Step {
    Step::new("decode", sample.form, || {
        drop(black_box(processor::event(black_box(&sample.record))));
    })
}

/// From an event and the state before it to the state after it.
fn decide(sample: &'static Sample) -> Step {
    Step::new("decide", sample.form, || {
        let position = sample.row.position.log;
        drop(black_box(judge(black_box(sample.before.as_ref()), None, black_box(&sample.identified), position)));
    })
}

/// From a judgement to the row that tells of it.
fn row(sample: &'static Sample) -> Step {
    Step::new("row", sample.form, || {
        let (event, judgement) = black_box((&sample.identified, &sample.judgement));
        drop(black_box(processor::row(event, judgement, sample.row.position, sample.before.as_ref())));
    })
}

/// From a row and a state to the bytes of the two commands.
fn encode_for_mongodb(sample: &'static Sample) -> Step {
    Step::new("encode for MongoDB", sample.form, || {
        drop(black_box(mongo::cost::rows(std::slice::from_ref(black_box(&sample.row)))));
        drop(black_box(mongo::cost::states(std::slice::from_ref(black_box(&sample.write)))));
    })
}

/// From a row and a state to what the writer's thread binds.
fn encode_for_sqlite(sample: &'static Sample) -> Step {
    Step::new("encode for SQLite", sample.form, || {
        let (row, write) = black_box((&sample.row, &sample.write));
        sqlite::cost::encode(std::slice::from_ref(row), std::slice::from_ref(write));
    })
}

/// From a row to the record of the change feed.
fn change(sample: &'static Sample) -> Step {
    Step::new("change", sample.form, || {
        drop(black_box(Change::of(black_box(&sample.row)).map(|change| change.record())));
    })
}
