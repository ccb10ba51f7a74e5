//! A stretch of the log, or some of its records, applied to a store by the lanes that process live, and by nobody noticed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared::applied::{AnnounceError, AppliedAnnouncer};
use shared::dedup_window::{Decided, DedupWindow, WindowError};
use shared::event_log::replay::{Offsets, Stretch};
use shared::event_log::{
    AppendError, Appended, EventAppender, EventSubscriber, LogRecord, NewRecord, Offer, PartitionConsumer, Position,
    SubscribeError, Topic,
};
use shared::metrics::MetricRegistry;
use shared::operator_log::{Act, Entry, OperatorLog};
use shared::shipment::{EventId, Outcome, TrackingNumber};
use shared::shipment_store::{ShipmentWriter, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::progress::{Counter, Shown};
use crate::rebuild::hold::{HeldBack, Holding};
use crate::tools::{ToolError, Tools};
use crate::{Ports, Processor};

/// Which records are applied, by the shipment that their key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Select {
    /// All.
    All,
    /// Those of one shipment.
    One(TrackingNumber),
    /// Those of one shipment in so many, spread evenly.
    OneIn(u64),
    /// Those whose number stands behind the first and not behind the second.
    Between(Option<String>, Option<String>),
}

impl Select {
    /// Whether a shipment is one of them.
    pub(crate) fn takes(&self, number: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(wanted) => wanted.as_str() == number,
            Self::OneIn(count) => {
                let mut hasher = DefaultHasher::new();
                number.hash(&mut hasher);
                hasher.finish().is_multiple_of(*count)
            }
            Self::Between(after, to) => {
                after.as_deref().is_none_or(|after| number > after) && to.as_deref().is_none_or(|to| number <= to)
            }
        }
    }

    fn takes_record(&self, record: &LogRecord) -> bool {
        // Without a key that is a number it is poison: no shipment knows of it.
        *self == Self::All
            || record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).is_some_and(|key| self.takes(key))
    }
}

/// Applies the selected records of a stretch to `store`. Returns how many records were read, and how long that took.
///
/// # Errors
/// The log failed; the command was told to end. What the store refuses for a passing reason is tried again for ever.
pub(crate) async fn apply(
    tools: &Tools,
    store: Arc<dyn ShipmentWriter>,
    stretch: Stretch,
    select: Select,
    stop: &CancellationToken,
    what: &'static str,
) -> Result<(i64, Duration), ToolError> {
    run(tools, store, None, stretch, select, stop, what).await
}

/// The same, with the states of up to `most` shipments held back, so that each is written once for many events.
///
/// # Errors
/// As [`apply`]; or the store refuses a state that was held back, and what was written of the stretch is of no use.
pub(crate) async fn apply_holding(
    tools: &Tools,
    store: Arc<dyn ShipmentWriter>,
    most: usize,
    stretch: Stretch,
    select: Select,
    stop: &CancellationToken,
    what: &'static str,
) -> Result<(i64, Duration), ToolError> {
    let stop = stop.child_token();
    let held = Arc::new(Holding::new(store, most, stop.clone()));
    let applied = run(tools, held.clone(), Some(held.clone()), stretch, select, &stop, what).await;
    match held.refusal() {
        Some(why) => Err(ToolError::HeldRefused(why.to_owned())),
        None => applied,
    }
}

async fn run(
    tools: &Tools,
    store: Arc<dyn ShipmentWriter>,
    held: Option<Arc<Holding>>,
    stretch: Stretch,
    select: Select,
    stop: &CancellationToken,
    what: &'static str,
) -> Result<(i64, Duration), ToolError> {
    let shown = Shown::begin(tools.screen, what, Some(length(&stretch)));
    let counter = shown.counter();
    let replay = tools.replay.replay(stretch);
    let subscriber = Box::new(Selected { replay, select, counter: counter.clone(), held });
    let nobody = Arc::new(Nobody);
    let (log, window, announcer) = (nobody.clone(), nobody.clone(), nobody.clone());
    let ports = Ports { store, log, window, announcer, operators: nobody };
    // What was let through once is let through again.
    let config = Config { storm_percent: 0, ..tools.config.clone() };
    let processor = Processor::new(config, ports, tools.clock, &MetricRegistry::default())?.quiet();
    processor.run(subscriber, stop.child_token()).await?;
    if stop.is_cancelled() {
        return Err(ToolError::Stopped);
    }
    Ok((counter.read(), counter.took()))
}

/// Offsets of a stretch: at least as many as it has records.
pub(crate) fn length(stretch: &Stretch) -> i64 {
    let of = |(partition, to): (&i32, &i64)| (to - stretch.from.get(partition).copied().unwrap_or(0)).max(0);
    stretch.to.iter().map(of).sum()
}

/// A replay of which only some records are passed on.
struct Selected {
    replay: Box<dyn EventSubscriber>,
    select: Select,
    counter: Arc<Counter>,
    held: Option<Arc<Holding>>,
}

impl EventSubscriber for Selected {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        let (partitions, held) = (Mutex::default(), self.held.map(HeldBack::new));
        let passing = Passing { consumer, select: self.select, counter: self.counter, partitions, held };
        self.replay.run(&passing, stop)
    }
}

struct Passing<'a> {
    consumer: &'a dyn PartitionConsumer,
    select: Select,
    counter: Arc<Counter>,
    partitions: Mutex<BTreeMap<i32, Passed>>,
    held: Option<HeldBack>,
}

/// Each one past a record.
#[derive(Default)]
struct Passed {
    seen: i64,
    passed_on: i64,
    applied: i64,
    durable: i64,
    told: i64,
}

impl Passing<'_> {
    fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, Passed>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartitionConsumer for Passing<'_> {
    fn assigned(&self, partitions: &[i32]) {
        self.consumer.assigned(partitions);
    }

    fn offer(&self, record: LogRecord) -> Offer {
        let Position { partition, offset } = record.position;
        let selected = self.select.takes_record(&record);
        if selected && let Offer::Full(record) = self.consumer.offer(record) {
            return Offer::Full(record);
        }
        let mut partitions = self.partitions();
        let passed = partitions.entry(partition).or_default();
        passed.seen = offset + 1;
        if selected {
            passed.passed_on = offset + 1;
        }
        self.counter.add();
        Offer::Taken
    }

    fn wait_for_room(&self, partition: i32, patience: Duration) -> bool {
        self.consumer.wait_for_room(partition, patience)
    }

    /// What was left out is as good as durable when all before it is.
    fn durable(&self) -> Vec<Position> {
        let applied = self.consumer.durable();
        let mut partitions = self.partitions();
        for &Position { partition, offset } in &applied {
            partitions.entry(partition).or_default().applied = offset;
        }
        let is_all = partitions.values().all(|passed| passed.applied >= passed.passed_on);
        let durable = match &self.held {
            Some(held) => held.durable(applied, is_all),
            None => applied,
        };
        for Position { partition, offset } in durable {
            partitions.entry(partition).or_default().durable = offset;
        }
        let news = |(&partition, passed): (&i32, &mut Passed)| {
            let offset = if passed.durable >= passed.passed_on { passed.seen } else { passed.durable };
            let is_news = offset > passed.told;
            passed.told = passed.told.max(offset);
            is_news.then_some(Position { partition, offset })
        };
        partitions.iter_mut().filter_map(news).collect()
    }

    fn revoked(&self, partitions: &[i32]) {
        self.consumer.revoked(partitions);
    }

    fn lag(&self, partition: i32, records: i64) {
        self.consumer.lag(partition, records);
    }

    fn alive(&self) {
        self.consumer.alive();
    }
}

/// Nobody is told of what a replay decides: all of it was told when it was decided first. The lanes of a replay do not even ask.
struct Nobody;

#[async_trait]
impl EventAppender for Nobody {
    async fn append(&self, _: Topic, _: Vec<NewRecord>) -> Appended {
        Appended::nothing(AppendError::Refused("a replay appends nothing".to_owned()))
    }

    async fn end_of(&self, _: Topic, _: &[u8]) -> Result<Position, AppendError> {
        Err(AppendError::Refused("a replay asks for no end".to_owned()))
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {}
}

#[async_trait]
impl DedupWindow for Nobody {
    async fn look_up(&self, keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        Ok(vec![None; keys.len()])
    }

    async fn remember(&self, _: &[Decided]) -> Result<(), WindowError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(())
    }
}

#[async_trait]
impl AppliedAnnouncer for Nobody {
    async fn announce(&self, _: &[Position]) -> Result<(), AnnounceError> {
        Ok(())
    }
}

#[async_trait]
impl OperatorLog for Nobody {
    async fn write(&self, _: &Entry) -> Result<(), StoreError> {
        Ok(())
    }

    async fn newest(&self, _: Option<Act>, _: u32) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }
}

/// Whether none of `offsets` lies beyond `to`.
pub(crate) fn is_within(offsets: &Offsets, to: &Offsets) -> bool {
    offsets.iter().all(|(partition, offset)| to.get(partition).is_some_and(|to| offset <= to))
}
