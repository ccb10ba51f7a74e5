//! What a member of the group knows and does when librdkafka calls: which partitions it owns, what waits to be taken, what
//! waits to be committed. All calls come on the subscriber's thread, out of `poll`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings::rd_kafka_resp_err_t as Event;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::{describe, log_error, log_line};
use crate::event_log::{LogRecord, PartitionConsumer, Position};

/// An offset that was sent and is not known to be committed after this long is sent again.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a good report about the group stands. librdkafka reports every second.
const HEALTH_STANDS: Duration = Duration::from_secs(5);

/// A member of a group.
pub(super) struct Membership<'a> {
    consumer: &'a dyn PartitionConsumer,
    topic: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owned: BTreeMap<i32, Owned>,
    /// Durable offsets that are not known to be committed.
    uncommitted: BTreeMap<i32, Uncommitted>,
    /// When the group was last known to know us.
    healthy_at: Option<Instant>,
}

/// The durable offset of a partition, as far as it is not known to be committed.
struct Uncommitted {
    offset: i64,
    /// When it was sent to the broker.
    sent_at: Option<Instant>,
}

impl Uncommitted {
    fn is_due(&self) -> bool {
        self.sent_at.is_none_or(|at| at.elapsed() >= COMMIT_PATIENCE)
    }
}

/// A partition of ours.
#[derive(Default)]
pub(super) struct Owned {
    /// Records that were not taken yet, in order. While there are any, no other is offered.
    pub(super) waiting: VecDeque<LogRecord>,
    /// librdkafka fetches none at present.
    pub(super) paused: bool,
    /// One past the last record that came.
    pub(super) next: i64,
}

impl<'a> Membership<'a> {
    pub(super) fn new(consumer: &'a dyn PartitionConsumer, topic: String) -> Self {
        Self { consumer, topic, state: Mutex::default() }
    }

    pub(super) fn consumer(&self) -> &'a dyn PartitionConsumer {
        self.consumer
    }

    /// Looks at the partitions that are ours, or changes them.
    pub(super) fn owned<T>(&self, use_them: impl FnOnce(&mut BTreeMap<i32, Owned>) -> T) -> T {
        use_them(&mut self.state().owned)
    }

    /// These partitions of the topic, for librdkafka.
    pub(super) fn list(&self, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        list
    }

    /// Whether the group knows us, as far as we know.
    pub(super) fn is_healthy(&self) -> bool {
        self.state().is_healthy()
    }

    /// The end of a partition was looked up.
    pub(super) fn end_is(&self, partition: i32, end: i64, committed: i64) {
        self.consumer.lag(partition, (end - committed).max(0));
    }

    /// Begins to commit what is durable and was not sent before, or is not known to have arrived. rdkafka 0.39 tells nobody what becomes of it
    /// (its issue 856): the statistics do. Nothing is sent while the group is away, because librdkafka would keep all of it.
    pub(super) fn commit(&self, kafka: &BaseConsumer<Self>) {
        self.collect();
        let mut state = self.state();
        if !state.is_healthy() {
            return;
        }
        let due = state.uncommitted.iter_mut().filter(|(_, durable)| durable.is_due());
        let due = due.map(|(&partition, durable)| {
            durable.sent_at = Some(Instant::now());
            (partition, durable.offset)
        });
        let due: BTreeMap<i32, i64> = due.collect();
        drop(state);
        if due.is_empty() {
            return;
        }
        let offsets = self.offsets(&due);
        if let Err(error) = kafka.commit(&offsets, CommitMode::Async) {
            self.committed(Err(error), &offsets);
        }
    }

    /// Asks the consumer what became durable, and keeps what is about our partitions.
    fn collect(&self) {
        let durable = self.consumer.durable();
        let mut state = self.state();
        for Position { partition, offset } in durable {
            if state.owned.contains_key(&partition) {
                state.uncommitted.insert(partition, Uncommitted { offset, sent_at: None });
            }
        }
    }

    fn offsets(&self, uncommitted: &BTreeMap<i32, i64>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in uncommitted {
            // Fails for an offset that is no number only.
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset)).unwrap_or_default();
        }
        list
    }

    /// A commit was answered: what it did not commit stays for the next one.
    fn committed(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let mut state = self.state();
        if let Err(error) = result {
            tracing::warn!(error = describe(&error), "offsets were not committed; they are sent again");
            state.send_again(offsets.elements().iter().map(|element| element.partition()));
            return;
        }
        for element in offsets.elements() {
            match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => state.is_committed(element.partition(), offset),
                (Ok(()), _) => {}
                (Err(error), _) => {
                    tracing::warn!(
                        partition = element.partition(),
                        error = describe(&error),
                        "an offset was not committed; it is sent again"
                    );
                    state.send_again([element.partition()]);
                }
            }
        }
    }

    /// These partitions are ours.
    fn take_over(&self, partitions: &[i32]) {
        let mut state = self.state();
        for &partition in partitions {
            state.owned.insert(partition, Owned::default());
            state.uncommitted.remove(&partition);
        }
        state.healthy_at = Some(Instant::now());
        drop(state);
        self.consumer.assigned(partitions);
    }

    /// Drains these partitions, as far as they are ours, and commits what is durable of them, unless they are `lost` to somebody
    /// else already.
    fn let_go(&self, kafka: &BaseConsumer<Self>, partitions: &[i32], lost: bool) {
        let ours: Vec<i32> = partitions.iter().copied().filter(|p| self.state().owned.contains_key(p)).collect();
        if ours.is_empty() {
            return;
        }
        // What waits is offered to the next owner.
        self.owned(|owned| {
            let ours = owned.iter_mut().filter(|(partition, _)| ours.contains(partition));
            ours.for_each(|(_, owned)| owned.waiting.clear());
        });
        self.consumer.revoked(&ours);
        self.collect();
        let mut state = self.state();
        state.owned.retain(|partition, _| !ours.contains(partition));
        let durable = state.uncommitted.extract_if(.., |partition, _| ours.contains(partition));
        let durable: BTreeMap<i32, i64> = durable.map(|(partition, durable)| (partition, durable.offset)).collect();
        drop(state);
        if lost {
            tracing::warn!(partitions = ?ours, "partitions were lost: another member has them");
        } else if !durable.is_empty()
            && let Err(error) = kafka.commit(&self.offsets(&durable), CommitMode::Sync)
        {
            // The next owner repeats some work.
            tracing::warn!(partitions = ?ours, error = describe(&error), "offsets of revoked partitions were not committed");
        }
    }

    /// Before the end: drains and commits all partitions.
    pub(super) fn let_go_of_everything(&self, kafka: &BaseConsumer<Self>) {
        let all: Vec<i32> = self.owned(|owned| owned.keys().copied().collect());
        self.let_go(kafka, &all, kafka.assignment_lost());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_healthy(&self) -> bool {
        self.healthy_at.is_some_and(|at| at.elapsed() < HEALTH_STANDS)
    }

    /// This offset is committed.
    fn is_committed(&mut self, partition: i32, offset: i64) {
        // Only this very one: the group may know greater offsets of a topic that is not there any more.
        if self.uncommitted.get(&partition).is_some_and(|durable| durable.offset == offset) {
            self.uncommitted.remove(&partition);
        }
    }

    fn send_again(&mut self, partitions: impl IntoIterator<Item = i32>) {
        for partition in partitions {
            if let Some(durable) = self.uncommitted.get_mut(&partition) {
                durable.sent_at = None;
            }
        }
    }
}

impl ClientContext for Membership<'_> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        // "up": the coordinator of the group is connected and has heard of us.
        if statistics.cgrp.is_some_and(|group| group.state == "up") {
            self.state().healthy_at = Some(Instant::now());
        }
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let ours: Vec<i32> =
            self.owned(|owned| owned.iter().filter(|(_, owned)| !owned.paused).map(|(&p, _)| p).collect());
        for partition in topic.partitions.values() {
            self.state().is_committed(partition.partition, partition.committed_offset);
        }
        for partition in ours.iter().filter_map(|partition| topic.partitions.get(partition)) {
            if let Some(lag) = lag(partition) {
                self.consumer.lag(partition.partition, lag);
            }
        }
    }
}

/// How many records of a partition are not committed; `None` while nothing is known of it.
fn lag(partition: &Partition) -> Option<i64> {
    let known = |offset: i64| (offset >= 0).then_some(offset);
    let end = known(partition.ls_offset).or_else(|| known(partition.hi_offset))?;
    let committed = known(partition.committed_offset).or_else(|| known(partition.lo_offset))?;
    Some((end - committed).max(0))
}

impl ConsumerContext for Membership<'_> {
    fn rebalance(&self, kafka: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let incremental = matches!(kafka.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if event == Event::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(?partitions, "partitions assigned");
            self.take_over(&partitions);
            if incremental { kafka.incremental_assign(list) } else { kafka.assign(list) }
        } else {
            tracing::info!(?partitions, "partitions revoked");
            self.resume_paused(kafka, &partitions);
            self.let_go(kafka, &partitions, kafka.assignment_lost());
            if incremental { kafka.incremental_unassign(list) } else { kafka.unassign() }
        };
        if let Err(error) = done {
            // A second rebalance has overtaken this one and will call again.
            tracing::warn!(error = describe(&error), "a rebalance was not carried out");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.committed(result, offsets);
    }
}

impl Membership<'_> {
    /// librdkafka remembers a pause although the partition goes; it must not be paused when it comes back.
    fn resume_paused(&self, kafka: &BaseConsumer<Self>, partitions: &[i32]) {
        let paused = |owned: &mut BTreeMap<i32, Owned>| -> Vec<i32> {
            let paused = |partition: &&i32| owned.get(partition).is_some_and(|owned| owned.paused);
            partitions.iter().filter(paused).copied().collect()
        };
        let paused = self.owned(paused);
        if !paused.is_empty()
            && let Err(error) = kafka.resume(&self.list(paused))
        {
            tracing::warn!(error = describe(&error), "revoked partitions were not resumed");
        }
    }
}
