//! Follows the topic, on a thread of its own.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tokio::sync::mpsc;

use super::{FeedConsumer, Shared, meaning, unavailable};
use crate::change_feed::{FeedError, TAIL_CHUNK, Tail};
use crate::event_log::kafka::{describe, record};
use crate::event_log::{LogRecord, Position, Topic};

/// How long a broker keeps the question for records that are not there yet: it answers as soon as one is.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait for a record before the thread looks whether anybody still listens.
const POLL: Duration = Duration::from_millis(100);
/// Chunks that wait to be taken, at most. Behind them librdkafka's bounded prefetch waits.
const WAITING_CHUNKS: usize = 2;

type Chunk = Result<Vec<LogRecord>, FeedError>;

/// The receiving side.
pub(super) struct KafkaTail {
    chunks: mpsc::Receiver<Chunk>,
}

/// Begins to follow. Blocks for a moment.
pub(super) fn follow(shared: &Shared, from: &[Position]) -> Result<KafkaTail, FeedError> {
    if from.is_empty() || from.iter().any(|position| position.offset < 0) {
        return Err(FeedError::OutOfRange);
    }
    let open = || {
        let consumer = shared.open(LONGEST_WAIT)?;
        let places = from.iter().map(|position| (position.partition, Offset::Offset(position.offset)));
        consumer.assign(&shared.at(Topic::Changes, places)?)?;
        Ok(consumer)
    };
    let consumer = open().map_err(|error: KafkaError| unavailable(&error))?;
    let (sender, chunks) = mpsc::channel(WAITING_CHUNKS);
    let thread = std::thread::Builder::new().name("changes-tail".to_owned());
    // The consumer ends on its thread, which takes a moment, as soon as nobody listens.
    let started = thread.spawn(move || pump(&consumer, &sender));
    started.map_err(|error| FeedError::Unavailable(error.to_string()))?;
    Ok(KafkaTail { chunks })
}

/// Moves records from the consumer to the channel, as long as somebody listens.
fn pump(consumer: &FeedConsumer, sender: &mpsc::Sender<Chunk>) {
    while !sender.is_closed() {
        let (chunk, failure) = poll_chunk(consumer);
        let gone = !chunk.is_empty() && sender.blocking_send(Ok(chunk)).is_err();
        if gone {
            return;
        }
        if let Some(error) = failure {
            // Whether anybody hears it makes no difference: this was the end.
            sender.blocking_send(Err(error)).unwrap_or_default();
            return;
        }
    }
}

/// What is there, after a wait for the first record, and why there will be no more.
fn poll_chunk(consumer: &FeedConsumer) -> (Vec<LogRecord>, Option<FeedError>) {
    let (mut chunk, mut patience) = (Vec::new(), POLL);
    while chunk.len() < TAIL_CHUNK {
        match consumer.poll(patience) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Ok(message)) => chunk.push(record::record(&message)),
            Some(Err(error)) => match meaning(&error) {
                Some(error) => return (chunk, Some(error)),
                // librdkafka has logged it, and goes on by itself.
                None => tracing::debug!(error = describe(&error), "following the changes"),
            },
        }
        patience = Duration::ZERO;
    }
    (chunk, None)
}

#[async_trait]
impl Tail for KafkaTail {
    async fn next(&mut self) -> Result<Vec<LogRecord>, FeedError> {
        let ended = || Err(FeedError::Unavailable("the thread that follows the changes has ended".to_owned()));
        self.chunks.recv().await.unwrap_or_else(ended)
    }
}
