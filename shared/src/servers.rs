//! The real servers behind both services: where they are, and what must stand in them before work begins.
//!
//! A program starts while any of them is away. [`Servers::prepare`] goes on until all is there; until then calls fail as unavailable.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event_log::kafka::{KafkaAppender, KafkaSettings, TopicsError, ensure_topics};
use crate::idempotency::mongo::MongoKeys;
use crate::metrics::{MetricError, MetricRegistry};
use crate::mongo::MongoConnection;
use crate::projection::mongo::MongoProjection;
use crate::projection::{Generation, ProjectionControl};
use crate::redis::RedisConnection;
use crate::settings::{Environment, SettingError};
use crate::shipment_store::StoreError;
use crate::shipment_store::mongo::MongoStore;
use crate::user_store::mongo::MongoUsers;

/// Pause between two attempts to prepare a server that is away.
const PREPARE_PAUSE: Duration = Duration::from_secs(1);
/// How often the state of the circuit is copied into its metric: more often than anybody scrapes.
const CIRCUIT_INTERVAL: Duration = Duration::from_secs(1);
/// Longest `DEDUP_TTL_SECONDS`, a week: at 10,000 events a second already an hour takes 4 GB of Redis.
const LONGEST_WINDOW_SECONDS: u64 = 7 * 24 * 3600;

/// What the applied positions of a generation are announced under: those of another one say nothing about it.
#[must_use]
pub fn applied_in(generation: Generation, topic: &str) -> String {
    generation.name(topic, "@g")
}

/// Connections and settings of one process. Nothing is connected before it is used.
pub struct Servers {
    /// Kafka.
    pub kafka: KafkaSettings,
    /// MongoDB.
    pub mongo: MongoConnection,
    /// Redis.
    pub redis: RedisConnection,
    /// How long Redis remembers what was decided about an event.
    pub dedup_ttl: Duration,
}

/// A server cannot be prepared, now or ever: it holds what contradicts the settings.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A topic is there and wrong.
    #[error(transparent)]
    Topics(#[from] TopicsError),
}

impl Servers {
    /// Reads `KAFKA_*`, `MONGO_URI`, `MONGO_DB`, `REDIS_*` and `DEDUP_TTL_SECONDS`. Call it within the runtime.
    ///
    /// # Errors
    /// One of them is wrong.
    pub async fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let seconds = environment.number("DEDUP_TTL_SECONDS", 3600, 1..=LONGEST_WINDOW_SECONDS)?;
        Ok(Self {
            kafka: KafkaSettings::from_environment(environment)?,
            mongo: MongoConnection::from_environment(environment).await?,
            redis: RedisConnection::from_environment(environment)?,
            dedup_ttl: Duration::from_secs(seconds),
        })
    }

    /// Makes topics, indexes and the view where they are missing, however long the servers are away; ends early when `stop` is
    /// cancelled.
    ///
    /// # Errors
    /// A topic contradicts the settings. Nothing will come of waiting.
    pub async fn prepare(&self, stop: &CancellationToken) -> Result<(), PrepareError> {
        let topics = async {
            loop {
                match ensure_topics(&self.kafka).await {
                    Err(TopicsError::Unavailable(why)) => wait_for("Kafka", &why).await,
                    other => return other,
                }
            }
        };
        let schema = async {
            while let Err(error) = self.ensure_schema().await {
                wait_for("MongoDB", &error.to_string()).await;
            }
        };
        match stop.run_until_cancelled(async { tokio::join!(topics, schema).0 }).await {
            Some(prepared) => Ok(prepared?),
            None => Ok(()),
        }
    }

    async fn ensure_schema(&self) -> Result<(), StoreError> {
        let live = MongoProjection::new(&self.mongo).read().await?.live;
        MongoStore::of(&self.mongo, live).ensure_schema().await?;
        MongoUsers::new(&self.mongo).ensure_schema().await?;
        MongoKeys::new(&self.mongo).ensure_schema().await
    }

    /// Keeps `shipping_circuit_state` of Kafka and Redis up to date, until `stop` is cancelled. MongoDB has no circuit: nobody can do without it.
    ///
    /// # Errors
    /// The name of the metric is taken.
    pub fn watch_circuits(
        &self,
        registry: &MetricRegistry,
        log: &KafkaAppender,
        stop: CancellationToken,
    ) -> Result<(), MetricError> {
        let (redis, log, registry) = (self.redis.clone(), log.clone(), registry.clone());
        let show = move || {
            registry.circuit("kafka", log.circuit())?;
            registry.circuit("redis", redis.circuit())
        };
        show()?;
        let watch = async move {
            let mut ticks = tokio::time::interval(CIRCUIT_INTERVAL);
            loop {
                ticks.tick().await;
                if let Err(error) = show() {
                    tracing::error!(%error, "the state of a circuit is not shown any more");
                    return;
                }
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(watch).await });
        Ok(())
    }
}

async fn wait_for(server: &'static str, why: &str) {
    tracing::warn!(server, why, "not ready yet; waiting for it");
    tokio::time::sleep(PREPARE_PAUSE).await;
}
