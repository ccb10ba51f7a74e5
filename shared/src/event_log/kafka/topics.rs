//! Makes the topics, and looks whether they are as they must be.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};
use tokio::runtime::Handle;

use super::settings::MESSAGE_BYTES;
use super::{KafkaSettings, Logged, describe};
use crate::event_log::{CHANGES_KEPT, Topic};

/// Longest time that one question to the brokers may take.
const QUESTION_DEADLINE: Duration = Duration::from_secs(5);
/// Longest time that a new topic may take until all its partitions have a leader.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(10);
/// How often to look whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why the topics are not there as they must be.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The brokers cannot be reached, or are not ready. Try again.
    #[error("the topics cannot be made yet: {0}")]
    Unavailable(String),
    /// A topic is there with another number of partitions. Records of one key would stand on two partitions: a topic is never
    /// repartitioned in place.
    #[error("topic {topic} has {found} partitions, not {wanted}: set KAFKA_PARTITIONS={found} or use another topic")]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many the settings say.
        wanted: i32,
    },
    /// The brokers refuse to make a topic, and will refuse again.
    #[error("the brokers refuse to make topic {topic}: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
}

/// Makes those of the three topics that are not there, and makes sure that all of them have the partitions that the settings say.
/// May be called as often as one likes, by several programs at once.
///
/// # Errors
/// See [`TopicsError`]; only [`TopicsError::Unavailable`] is worth another attempt.
pub async fn ensure_topics(settings: &KafkaSettings) -> Result<(), TopicsError> {
    let (settings, runtime) = (settings.clone(), Handle::current());
    let ensured = tokio::task::spawn_blocking(move || ensure(&settings, &runtime)).await;
    ensured.map_err(|error| TopicsError::Unavailable(error.to_string()))?
}

fn ensure(settings: &KafkaSettings, runtime: &Handle) -> Result<(), TopicsError> {
    let config: ClientConfig = settings.client();
    let admin: AdminClient<Logged> = config.create_with_context(Logged).map_err(|error| unavailable(&error))?;
    let missing = missing(admin.inner(), settings)?;
    if missing.is_empty() {
        return Ok(());
    }
    for &topic in &missing {
        create(&admin, settings, topic, runtime)?;
    }
    // Metadata lags behind.
    let deadline = Instant::now() + VISIBLE_DEADLINE;
    while !self::missing(admin.inner(), settings)?.is_empty() {
        if Instant::now() > deadline {
            return Err(TopicsError::Unavailable("a new topic is not visible yet".to_owned()));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

fn unavailable(error: &KafkaError) -> TopicsError {
    TopicsError::Unavailable(describe(error))
}

/// The topics that are not there; an error when one is there and wrong.
fn missing<C: ClientContext>(client: &Client<C>, settings: &KafkaSettings) -> Result<Vec<Topic>, TopicsError> {
    let mut missing = Vec::new();
    for topic in Topic::ALL {
        let name = settings.name(topic);
        match partitions(client, &name, QUESTION_DEADLINE).map_err(|error| unavailable(&error))? {
            None => missing.push(topic),
            Some(found) if found == settings.partitions => {}
            Some(found) => return Err(TopicsError::Partitions { topic: name, found, wanted: settings.partitions }),
        }
    }
    Ok(missing)
}

/// How many partitions a topic has; `None` when it is not there.
fn partitions<C: ClientContext>(client: &Client<C>, name: &str, patience: Duration) -> Result<Option<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(name), patience)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(Some(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(error) => Err(KafkaError::MetadataFetch(error)),
    }
}

fn create<C: ClientContext>(
    admin: &AdminClient<C>,
    settings: &KafkaSettings,
    topic: Topic,
    runtime: &Handle,
) -> Result<(), TopicsError> {
    use RDKafkaErrorCode as Code;
    let (name, config) = (settings.name(topic), configuration(settings, topic));
    let new = NewTopic::new(&name, settings.partitions, TopicReplication::Fixed(settings.replication_factor));
    let new = config.iter().fold(new, |new, (name, value)| new.set(name, value));
    let options =
        AdminOptions::new().request_timeout(Some(QUESTION_DEADLINE)).operation_timeout(Some(QUESTION_DEADLINE));
    let results = runtime.block_on(admin.create_topics([&new], &options)).map_err(|error| unavailable(&error))?;
    for result in results {
        match result {
            Ok(_) => tracing::info!(topic = name, partitions = settings.partitions, "topic made"),
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((
                _,
                refusal @ (Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidTopic
                | Code::InvalidConfig
                | Code::PolicyViolation),
            )) => return Err(TopicsError::Refused { topic: name, reason: refusal.to_string() }),
            // Too few brokers are up for the replication factor, for instance.
            Err((_, error)) => return Err(TopicsError::Unavailable(format!("{name}: {error}"))),
        }
    }
    Ok(())
}

/// How a topic is set up.
fn configuration(settings: &KafkaSettings, topic: Topic) -> Vec<(&'static str, String)> {
    let retention = match topic {
        // The source of truth is kept for ever. So are dead letters: they bear the time of their original, and the letter of an
        // old record (an import, a log that was restored) would be thrown away within minutes by any shorter retention.
        Topic::Events | Topic::DeadLetters => "-1".to_owned(),
        Topic::Changes => CHANGES_KEPT.as_millis().to_string(),
    };
    let mut configuration = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention),
        ("retention.bytes", "-1".to_owned()),
        ("message.timestamp.type", "CreateTime".to_owned()),
    ];
    if topic == Topic::DeadLetters {
        // The largest record of another topic, with the headers of a dead letter and the frame of a batch.
        configuration.push(("max.message.bytes", (MESSAGE_BYTES + 65_536).to_string()));
    }
    if settings.replication_factor >= 3 {
        configuration.push(("min.insync.replicas", "2".to_owned()));
    }
    configuration
}

/// Whether events can be appended: their topic is there and each of its partitions has a leader. Blocks.
pub(super) fn check_events<C: ClientContext>(
    client: &Client<C>,
    settings: &KafkaSettings,
    patience: Duration,
) -> Result<(), String> {
    let metadata = client.fetch_metadata(Some(&settings.topic), patience).map_err(|error| describe(&error))?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == settings.topic) else {
        return Err(format!("topic {} is not there", settings.topic));
    };
    if let Some(error) = topic.error() {
        return Err(format!("topic {}: {}", settings.topic, RDKafkaErrorCode::from(error)));
    }
    match topic.partitions().iter().find(|partition| partition.leader() < 0) {
        Some(partition) => Err(format!("partition {} has no leader", partition.id())),
        None => Ok(()),
    }
}
