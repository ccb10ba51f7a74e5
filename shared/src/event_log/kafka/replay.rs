//! The past of the log, and the offsets of the groups, for the generations of the projection.
//!
//! A replay is *assigned* its partitions and subscribes to nothing: it takes them from nobody, begins at once and ends at exact offsets. The
//! broker takes commits of one that is no member as long as the group has none.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use tokio_util::sync::CancellationToken;

use super::{KafkaSettings, KafkaSubscriber, describe, record};
use crate::event_log::replay::{EventReplay, Held, Offsets, Progress, ReplayError, Stretch};
use crate::event_log::{EventSubscriber, PartitionConsumer, SubscribeError};
use crate::projection::Generation;
use crate::shipment::Timestamp;

/// Longest time that one question to the brokers may take.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time between two looks at the other duties.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// See [`EventReplay`].
#[derive(Clone, Debug)]
pub struct KafkaReplay {
    settings: KafkaSettings,
}

impl From<KafkaError> for ReplayError {
    fn from(error: KafkaError) -> Self {
        Self(describe(&error))
    }
}

impl KafkaReplay {
    /// The log that `settings` name; their group is that of the first generation.
    #[must_use]
    pub fn new(settings: KafkaSettings) -> Self {
        Self { settings }
    }

    /// The settings with the group of a generation.
    #[must_use]
    pub fn settings_of(&self, generation: Generation) -> KafkaSettings {
        KafkaSettings { group: generation.name(&self.settings.group, ".g"), ..self.settings.clone() }
    }

    /// Asks the brokers on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        generation: Generation,
        question: impl FnOnce(&Asker) -> Result<T, ReplayError> + Send + 'static,
    ) -> Result<T, ReplayError> {
        let settings = self.settings_of(generation);
        let asked = tokio::task::spawn_blocking(move || question(&Asker::open(settings)?));
        asked.await.map_err(|error| ReplayError(error.to_string()))?
    }
}

/// A client for questions about one group.
struct Asker {
    kafka: BaseConsumer,
    settings: KafkaSettings,
}

impl Asker {
    fn open(settings: KafkaSettings) -> Result<Self, ReplayError> {
        Ok(Self { kafka: client(&settings)?, settings })
    }

    /// All partitions with what `offset` says of each.
    fn list(&self, offset: impl Fn(i32) -> Offset) -> Result<TopicPartitionList, ReplayError> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.settings.partitions {
            list.add_partition_offset(&self.settings.topic, partition, offset(partition))?;
        }
        Ok(list)
    }

    fn held(&self) -> Result<Held, ReplayError> {
        let mut held = Held::default();
        for partition in 0..self.settings.partitions {
            let (begin, end) = self.kafka.fetch_watermarks(&self.settings.topic, partition, QUESTION_DEADLINE)?;
            held.begin.insert(partition, begin);
            held.end.insert(partition, end);
        }
        Ok(held)
    }

    fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError> {
        let ends = self.held()?.end;
        let found =
            self.kafka.offsets_for_times(self.list(|_| Offset::Offset(time.as_millis()))?, QUESTION_DEADLINE)?;
        let offset = |partition: i32, offset: Offset| match offset {
            Offset::Offset(offset) => offset,
            _ => ends[&partition],
        };
        let elements = found.elements();
        Ok(elements.iter().map(|one| (one.partition(), offset(one.partition(), one.offset()))).collect())
    }

    fn committed(&self) -> Result<Offsets, ReplayError> {
        let found = self.kafka.committed_offsets(self.list(|_| Offset::Invalid)?, QUESTION_DEADLINE)?;
        let mut committed = Offsets::new();
        for element in found.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                committed.insert(element.partition(), offset);
            }
        }
        Ok(committed)
    }

    /// Each broker lists the groups that it looks after; one that no broker lists does not exist. A broker that does not answer is an error.
    fn has_members(&self) -> Result<bool, ReplayError> {
        let list = self.kafka.fetch_group_list(Some(&self.settings.group), QUESTION_DEADLINE)?;
        let mut has_members = false;
        for group in list.groups() {
            match (group.members().len(), group.state()) {
                (0, "Empty" | "Dead") => {}
                (0, "") => {
                    return Err(ReplayError(format!("no broker says what state the group {group:?} is in")));
                }
                _ => has_members = true,
            }
        }
        Ok(has_members)
    }
}

fn client(settings: &KafkaSettings) -> Result<BaseConsumer, KafkaError> {
    let mut config = settings.reader();
    config.set("client.id", "rastro-replay").set("group.id", &settings.group).set("enable.partition.eof", "true");
    config.create()
}

fn commit(kafka: &BaseConsumer, topic: &str, offsets: &Offsets) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    for (&partition, &offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    kafka.commit(&list, CommitMode::Sync)
}

#[async_trait]
impl EventReplay for KafkaReplay {
    async fn held(&self) -> Result<Held, ReplayError> {
        self.ask(Generation::FIRST, Asker::held).await
    }

    async fn offsets_at(&self, time: Timestamp) -> Result<Offsets, ReplayError> {
        self.ask(Generation::FIRST, move |asker| asker.offsets_at(time)).await
    }

    async fn committed(&self, generation: Generation) -> Result<Offsets, ReplayError> {
        self.ask(generation, Asker::committed).await
    }

    async fn commit(&self, generation: Generation, offsets: &Offsets) -> Result<(), ReplayError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let offsets = offsets.clone();
        self.ask(generation, move |asker| Ok(commit(&asker.kafka, &asker.settings.topic, &offsets)?)).await
    }

    async fn has_members(&self, generation: Generation) -> Result<bool, ReplayError> {
        self.ask(generation, Asker::has_members).await
    }

    async fn forget(&self, generation: Generation) -> Result<(), ReplayError> {
        let settings = self.settings_of(generation);
        let admin: AdminClient<DefaultClientContext> = settings.client().create()?;
        let options = AdminOptions::new().request_timeout(Some(QUESTION_DEADLINE));
        for deleted in admin.delete_groups(&[&settings.group], &options).await? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((group, code)) => return Err(ReplayError(format!("group {group}: {code}"))),
            }
        }
        Ok(())
    }

    fn member(&self, generation: Generation) -> Box<dyn EventSubscriber> {
        Box::new(KafkaSubscriber::new(self.settings_of(generation)))
    }

    fn replay(&self, stretch: Stretch) -> Box<dyn EventSubscriber> {
        // Without one there is no queue to read from. Nothing is committed then.
        let settings = self.settings_of(stretch.commit.unwrap_or(Generation::FIRST));
        Box::new(Replay { settings, stretch })
    }
}

/// One stretch.
struct Replay {
    settings: KafkaSettings,
    stretch: Stretch,
}

impl Replay {
    /// Begins to read; gives the partitions of which something is to be read.
    fn assign(&self, kafka: &BaseConsumer) -> Result<BTreeSet<i32>, KafkaError> {
        let mut assignment = TopicPartitionList::new();
        let mut open = BTreeSet::new();
        for (&partition, &to) in &self.stretch.to {
            let from = self.stretch.from.get(&partition).copied();
            if from.unwrap_or(0) < to {
                let begin = from.map_or(Offset::Beginning, Offset::Offset);
                assignment.add_partition_offset(&self.settings.topic, partition, begin)?;
                open.insert(partition);
            }
        }
        kafka.assign(&assignment)?;
        Ok(open)
    }

    /// Fetches nothing more of a partition.
    fn close(&self, kafka: &BaseConsumer, open: &mut BTreeSet<i32>, partition: i32) {
        open.remove(&partition);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.settings.topic, partition);
        if let Err(error) = kafka.pause(&list) {
            // Its records are left out as they come.
            tracing::debug!(partition, error = describe(&error), "a partition that is read goes on being fetched");
        }
    }
}

impl EventSubscriber for Replay {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        let fatal = |error: KafkaError| SubscribeError::Fatal(describe(&error));
        let kafka = client(&self.settings).map_err(fatal)?;
        let mut open = self.assign(&kafka).map_err(fatal)?;
        let partitions: Vec<i32> = self.stretch.to.keys().copied().collect();
        consumer.assigned(&partitions);
        let commits = self.stretch.commit.is_some();
        let mut save = |offsets: &Offsets| {
            if commits {
                commit(&kafka, &self.settings.topic, offsets).map_err(|error| describe(&error))
            } else {
                Ok(())
            }
        };
        let mut progress = Progress::new();
        while !open.is_empty() && !stop.is_cancelled() {
            match kafka.poll(POLL_INTERVAL) {
                Some(Ok(message)) => {
                    let record = record::record(&message);
                    drop(message);
                    let (partition, next) = (record.position.partition, record.position.offset + 1);
                    let to = self.stretch.to.get(&partition).copied().unwrap_or_default();
                    let is_wanted = open.contains(&partition) && next <= to;
                    if next >= to {
                        self.close(&kafka, &mut open, partition);
                    }
                    if is_wanted && !progress.offer(consumer, record, stop, &mut save) {
                        break;
                    }
                }
                // Behind the last record there may be offsets without one.
                Some(Err(KafkaError::PartitionEOF(partition))) => self.close(&kafka, &mut open, partition),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal(error)),
                Some(Err(error)) => tracing::debug!(error = describe(&error), "a replay met an error and goes on"),
                None => {}
            }
            progress.tick(consumer, &mut save);
        }
        progress.finish(consumer, &partitions, stop, &mut save);
        Ok(())
    }
}
