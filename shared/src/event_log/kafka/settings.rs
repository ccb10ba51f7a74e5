//! What must be known about the brokers, and what librdkafka is told. Every value that is not its default has its reason.

use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::event_log::{DEFAULT_GROUP, DEFAULT_TOPIC, Topic};
use crate::settings::{Environment, SettingError};

/// How long a record may stay unacknowledged. librdkafka looks every second for records whose time is over, so that an append ends
/// within [`crate::event_log::APPEND_DEADLINE`].
const MESSAGE_TIMEOUT_MS: u32 = 6_500;
/// Records that wait to be sent, at most. The queue is a cushion for milliseconds, no waiting room.
const QUEUE_MESSAGES: u32 = 200_000;
/// Kilobytes that wait to be sent, at most: what bounds the memory of an appender.
const QUEUE_KBYTES: u32 = 65_536;
/// Largest record. The brokers' default is 1 MiB; a dead letter is its original with some headers more.
pub(super) const MESSAGE_BYTES: u32 = 2_097_152;
/// Kilobytes that are fetched ahead, at most: more than the lanes take in the time of a fetch.
const PREFETCH_KBYTES: u32 = 4_096;
/// Bytes of a partition in one answer; a larger record comes alone. All partitions together are to stay near [`PREFETCH_KBYTES`], for an answer that
/// was asked for is taken whole.
const FETCH_BYTES: u32 = 131_072;

/// Where the log is and what its topics are like.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port,host:port,…`
    pub brokers: String,
    /// The topic of events; the others are called after it ([`Topic::name`]).
    pub topic: String,
    /// How many partitions each topic has.
    pub partitions: i32,
    /// On how many brokers each partition is kept.
    pub replication_factor: i32,
    /// The consumer group.
    pub group: String,
    /// How to log in; `None` for plain connections.
    pub security: Option<KafkaSecurity>,
}

/// How to log in to the brokers.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSecurity {
    /// librdkafka's `security.protocol`.
    pub protocol: &'static str,
    /// librdkafka's `sasl.mechanism`.
    pub mechanism: Option<&'static str>,
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// A file with the certificates of the authorities that are trusted; `None` for those of the system.
    pub authorities: Option<String>,
}

const PROTOCOLS: &[(&str, &str)] =
    &[("plaintext", "plaintext"), ("ssl", "ssl"), ("sasl_plaintext", "sasl_plaintext"), ("sasl_ssl", "sasl_ssl")];
const MECHANISMS: &[(&str, &str)] =
    &[("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];

/// Without the password, so that none gets into a log.
impl fmt::Debug for KafkaSecurity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} {:?}", self.protocol, self.mechanism, self.username)
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, topic, partitions, replication_factor, group, security } = self;
        write!(formatter, "{topic} × {partitions} on {brokers} ×{replication_factor}, group {group}, {security:?}")
    }
}

impl KafkaSettings {
    /// Reads `KAFKA_BROKERS`, `KAFKA_TOPIC`, `KAFKA_PARTITIONS`, `KAFKA_REPLICATION_FACTOR`, `KAFKA_GROUP` and, for brokers that want a
    /// login, `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_MECHANISM`, `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD`, `KAFKA_SSL_CA_LOCATION`.
    ///
    /// # Errors
    /// A value is wrong, or asks for something that this build cannot do.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let replicas = if environment.is_production()? { 3 } else { 1 };
        Ok(Self {
            brokers: environment.text_or("KAFKA_BROKERS", "127.0.0.1:9092"),
            topic: topic(environment)?,
            partitions: environment.number("KAFKA_PARTITIONS", 12, 1..=1_000)?,
            replication_factor: environment.number("KAFKA_REPLICATION_FACTOR", replicas, 1..=100)?,
            group: environment.text_or("KAFKA_GROUP", DEFAULT_GROUP),
            security: KafkaSecurity::from_environment(environment)?,
        })
    }

    /// The name of a topic.
    #[must_use]
    pub fn name(&self, topic: Topic) -> String {
        topic.name(&self.topic)
    }

    /// What all clients are told.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            // The default of 10 s keeps a broker that is back waiting for 5 s and more.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("retry.backoff.ms", "50")
            .set("retry.backoff.max.ms", "500")
            .set("socket.timeout.ms", "8000")
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.refresh.interval.ms", "10000")
            // A broker that makes topics by itself makes them with its own number of partitions, for ever.
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        if let Some(security) = &self.security {
            security.apply(&mut config);
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("client.id", "rastro-appender")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // One millisecond gathers what comes at the same time; more is only latency.
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("batch.size", "1000000")
            .set("message.max.bytes", MESSAGE_BYTES.to_string())
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS.to_string())
            .set("queue.buffering.max.messages", QUEUE_MESSAGES.to_string())
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string());
        config
    }

    /// What every reader is told.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // `latest` would lose the records of new partitions and of lost offsets.
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "50")
            // How long to wait before fetching again when the prefetch was full; the default of 1 s starves us.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
            .set("queued.max.messages.kbytes", PREFETCH_KBYTES.to_string());
        config
    }

    /// What a member of the group is told.
    pub(super) fn member(&self) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("client.id", "rastro-subscriber")
            .set("group.id", &self.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            // The partitions of a member that was killed stand still for this long; the brokers' minimum.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "2000")
            // Also the longest that a rebalance waits for a member that drains.
            .set("max.poll.interval.ms", "60000")
            // For the lag and for the state of the membership.
            .set("statistics.interval.ms", "1000");
        config
    }
}

/// `KAFKA_TOPIC`: a name that Kafka allows, with room for `.dlq` and `.changes`.
fn topic(environment: &Environment) -> Result<String, SettingError> {
    const LONGEST: usize = 200;
    let name = environment.text_or("KAFKA_TOPIC", DEFAULT_TOPIC);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > LONGEST || !name.chars().all(allowed) || matches!(name.as_str(), "." | "..") {
        let problem = format!("expected at most {LONGEST} letters, digits, '.', '_' and '-', got {name:?}");
        return Err(SettingError::new("KAFKA_TOPIC", problem));
    }
    Ok(name)
}

impl KafkaSecurity {
    fn from_environment(environment: &Environment) -> Result<Option<Self>, SettingError> {
        const PROTOCOL: &str = "KAFKA_SECURITY_PROTOCOL";
        const MECHANISM: &str = "KAFKA_SASL_MECHANISM";
        const USERNAME: &str = "KAFKA_SASL_USERNAME";
        const PASSWORD: &str = "KAFKA_SASL_PASSWORD";
        let protocol = environment.choice(PROTOCOL, "plaintext", PROTOCOLS)?;
        let mechanism = environment.choice(MECHANISM, "PLAIN", MECHANISMS)?;
        let sasl = protocol.starts_with("sasl");
        let wanted = |variable: &str, what: &str, given: Option<String>| {
            given.ok_or_else(|| SettingError::new(variable, format!("{PROTOCOL}={protocol} needs {what}")))
        };
        if !cfg!(feature = "kafka-tls") && protocol.ends_with("ssl") {
            return Err(SettingError::new(PROTOCOL, format!("{protocol} needs a build with the feature kafka-tls")));
        }
        if !cfg!(feature = "kafka-tls") && sasl && mechanism != "PLAIN" {
            return Err(SettingError::new(MECHANISM, format!("{mechanism} needs a build with the feature kafka-tls")));
        }
        let security = Self {
            protocol,
            mechanism: sasl.then_some(mechanism),
            username: match sasl {
                true => Some(wanted(USERNAME, "a user", environment.text(USERNAME))?),
                false => None,
            },
            password: match sasl {
                true => Some(wanted(PASSWORD, "a password", environment.secret(PASSWORD)?)?),
                false => None,
            },
            authorities: environment.text("KAFKA_SSL_CA_LOCATION"),
        };
        Ok((protocol != "plaintext").then_some(security))
    }

    fn apply(&self, config: &mut ClientConfig) {
        config.set("security.protocol", self.protocol);
        let settings = [
            ("sasl.mechanism", self.mechanism),
            ("sasl.username", self.username.as_deref()),
            ("sasl.password", self.password.as_deref()),
            ("ssl.ca.location", self.authorities.as_deref()),
        ];
        for (name, value) in settings {
            if let Some(value) = value {
                config.set(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<KafkaSettings, String> {
        KafkaSettings::from_environment(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    // contract: "never repartitioned in place"
    #[test]
    fn nothing_set_means_one_plain_broker_in_development_and_three_copies_in_production() {
        let settings = read(&[]).expect("defaults");
        assert_eq!((settings.brokers.as_str(), settings.topic.as_str()), ("127.0.0.1:9092", "shipments.events"));
        assert_eq!((settings.partitions, settings.replication_factor, settings.security), (12, 1, None));
        assert_eq!(read(&[("ENV", "production")]).expect("defaults").replication_factor, 3);
    }

    #[test]
    fn a_wrong_setting_is_refused_in_a_line_that_names_it() {
        let refused = |variables: &[(&str, &str)]| read(variables).expect_err("refused");
        assert!(refused(&[("KAFKA_TOPIC", "shipments events")]).starts_with("KAFKA_TOPIC: "));
        assert!(refused(&[("KAFKA_PARTITIONS", "0")]).starts_with("KAFKA_PARTITIONS: "));
        let line = refused(&[("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")]);
        assert_eq!(line, "KAFKA_SASL_USERNAME: KAFKA_SECURITY_PROTOCOL=sasl_plaintext needs a user");
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn a_build_without_tls_says_so() {
        let line = read(&[("KAFKA_SECURITY_PROTOCOL", "sasl_ssl")]).expect_err("refused");
        assert_eq!(line, "KAFKA_SECURITY_PROTOCOL: sasl_ssl needs a build with the feature kafka-tls");
    }

    #[test]
    fn a_password_is_passed_on_and_never_shown() {
        let settings = read(&[
            ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
            ("KAFKA_SASL_USERNAME", "rastro"),
            ("KAFKA_SASL_PASSWORD", "s3cret"),
        ]);
        let settings = settings.expect("complete");
        assert_eq!(settings.client().get("sasl.password"), Some("s3cret"));
        for shown in [format!("{settings:?}"), format!("{:?}", settings.security), format!("{:?}", settings.client())] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
