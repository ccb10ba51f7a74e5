//! The log in Apache Kafka.
//!
//! - [`KafkaAppender`] hands records to librdkafka's queue and waits for one completion for each call.
//! - [`KafkaSubscriber`] is a member of a consumer group on one thread of its own.
//! - [`ensure_topics`] makes the topics; [`read_all`] and [`read_each`] read a topic without a group. The changes have a reader of their
//!   own: [`crate::change_feed`].
//!
//! What is deliberately absent: `FutureProducer` (sleeps and reorders when its queue is full), `StreamConsumer` and split
//! partition queues (they stall partitions and run the drain of a rebalance on a worker of the async runtime), auto commit (it
//! commits what is not durable).

mod appender;
mod delivery;
mod membership;
mod outage;
mod pump;
pub(crate) mod questions;
mod reader;
pub(crate) mod record;
mod replay;
mod settings;
mod subscriber;
mod topics;

#[cfg(test)]
pub(crate) mod tests;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

pub use appender::KafkaAppender;
pub use reader::{ReadError, read_all, read_each};
pub use replay::KafkaReplay;
pub use settings::{KafkaSecurity, KafkaSettings};
pub use subscriber::KafkaSubscriber;
pub use topics::{TopicsError, ensure_topics};

/// The client could not be made: a setting is wrong. A broker that is away is no reason.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka client cannot be made: {0}")]
pub struct ClientError(String);

impl ClientError {
    fn new(error: &KafkaError) -> Self {
        Self(describe(error))
    }
}

/// The text of an error, without the values of settings: one of them may be a password.
pub(crate) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, setting, _) => format!("the setting {setting} is refused"),
        other => other.to_string(),
    }
}

/// Passes the lines of librdkafka on.
pub(crate) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Logged {}

/// Passes a line of librdkafka on to our own log.
fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match (facility, level) {
        // The committed offset is not in the log: a topic that was made anew, or cut off.
        ("OFFSET", Warning) => {
            tracing::error!(line, "the log does not hold the offset to go on from: was the topic made anew?");
        }
        // `allow.auto.create.topics` counts for a producer too, whatever this line says.
        ("CONFWARN", _) => tracing::debug!(facility, line, "librdkafka"),
        (_, Emerg | Alert | Critical) => tracing::error!(facility, line, "librdkafka"),
        // Connections that fail, for the greater part: we go on.
        (_, Error | Warning) => tracing::warn!(facility, line, "librdkafka"),
        (_, Notice | Info) => tracing::info!(facility, line, "librdkafka"),
        (_, Debug) => tracing::debug!(facility, line, "librdkafka"),
    }
}

/// Passes an error that is not about a record or a call on to our own log.
fn log_error(error: &KafkaError, reason: &str) {
    // librdkafka has logged what it is about; what we do about it is logged where it is done.
    tracing::debug!(error = describe(error), reason, "librdkafka reports an error");
}
