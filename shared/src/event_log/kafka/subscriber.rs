//! Reads the log as a member of a consumer group.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use super::membership::Membership;
use super::pump::Pump;
use super::{KafkaSettings, describe};
use crate::event_log::{EventSubscriber, PartitionConsumer, SubscribeError};

/// A member of the group. It connects when it runs, and waits for brokers and for a topic that are not there yet.
pub struct KafkaSubscriber {
    settings: KafkaSettings,
}

impl KafkaSubscriber {
    /// A member of the group that `settings` name.
    #[must_use]
    pub fn new(settings: KafkaSettings) -> Self {
        Self { settings }
    }
}

impl EventSubscriber for KafkaSubscriber {
    fn run(self: Box<Self>, consumer: &dyn PartitionConsumer, stop: &CancellationToken) -> Result<(), SubscribeError> {
        let fatal = |error: KafkaError| SubscribeError::Fatal(describe(&error));
        let membership = Membership::new(consumer, self.settings.topic.clone());
        let kafka: BaseConsumer<Membership<'_>> =
            self.settings.member().create_with_context(membership).map_err(fatal)?;
        kafka.subscribe(&[&self.settings.topic]).map_err(fatal)?;
        let result = Pump::new(&kafka).run(stop);
        kafka.context().let_go_of_everything(&kafka);
        match result {
            // To drop it is to leave the group. That takes up to a few seconds, on this thread.
            Ok(()) => drop(kafka),
            // librdkafka 2.12 closes no group after a fatal error and then waits for its end for ever. The process must end
            // anyway.
            Err(_) => std::mem::forget(kafka),
        }
        result.map_err(fatal)
    }
}
