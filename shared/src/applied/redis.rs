//! Applied positions through Redis: a channel for the news, and a hash for who comes later.
//!
//! Both are named after the log's topic, so that two systems on one Redis do not meet. The hash `applied:<topic>` has one field
//! per partition; the channel `applied:<database>:<topic>` carries `<partition>:<offset>` pairs, since channels know no databases.

use std::time::Duration;

use ::redis::aio::PubSubStream;
use ::redis::{RedisResult, cmd, pipe};
use async_trait::async_trait;
use futures::StreamExt;
use tokio::task::AbortHandle;

use super::in_process::AppliedPositions;
use super::{AnnounceError, AppliedAnnouncer, AppliedWatcher};
use crate::breaker::CircuitState;
use crate::event_log::Position;
use crate::redis::{CONNECT_DEADLINE, RedisConnection};
use crate::telemetry::spans::{self, called};

/// How long a silent subscription is believed. Then it is proved by subscribing again, and the hash is read, which heals what was lost.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// First and longest pause before the next attempt to subscribe.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(2);

fn hash_name(topic: &str) -> String {
    format!("applied:{topic}")
}

fn channel_name(database: i64, topic: &str) -> String {
    format!("applied:{database}:{topic}")
}

fn write_positions(positions: &[Position]) -> String {
    let pair = |position: &Position| format!("{}:{}", position.partition, position.offset);
    positions.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// What a message says; parts that cannot be read come from another version of us and are left out, as if they had been lost.
fn read_positions(message: &str) -> Vec<Position> {
    let read = |pair: &str| {
        let (partition, offset) = pair.split_once(':')?;
        Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    };
    message.split(' ').filter_map(read).collect()
}

/// The processor's side.
#[derive(Debug)]
pub struct RedisAnnouncer {
    connection: RedisConnection,
    hash: String,
    channel: String,
    announced: AppliedPositions,
}

impl RedisAnnouncer {
    /// Announces the positions of `topic` on `connection`.
    #[must_use]
    pub fn new(connection: &RedisConnection, topic: &str) -> Self {
        Self {
            connection: connection.clone(),
            hash: hash_name(topic),
            channel: channel_name(connection.database(), topic),
            announced: AppliedPositions::default(),
        }
    }

    /// The state of its circuit, for the metric.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        self.connection.circuit()
    }
}

#[async_trait]
impl AppliedAnnouncer for RedisAnnouncer {
    async fn announce(&self, positions: &[Position]) -> Result<(), AnnounceError> {
        let is_news = |position: &&Position| {
            self.announced.applied(position.partition).is_none_or(|announced| position.offset > announced)
        };
        let news: Vec<_> = positions.iter().filter(is_news).copied().collect();
        if news.is_empty() {
            return Ok(());
        }
        let fields: Vec<_> = news.iter().map(|position| (position.partition, position.offset)).collect();
        let mut pipeline = pipe();
        pipeline.hset_multiple(&self.hash, &fields).ignore();
        pipeline.publish(&self.channel, write_positions(&news)).ignore();
        let announce = |mut connection| async move { pipeline.exec_async(&mut connection).await };
        let announcing = called(spans::call("redis", "PUBLISH", "applied positions"), self.connection.run(announce));
        announcing.await.map_err(|error| AnnounceError(error.to_string()))?;
        // Only now: what was not announced is news again in the next call.
        self.announced.hear(&news);
        Ok(())
    }
}

/// The edge's side: a background task that listens for as long as this lives.
#[derive(Debug)]
pub struct RedisWatcher {
    heard: std::sync::Arc<AppliedPositions>,
    task: AbortHandle,
}

impl RedisWatcher {
    /// Listens to the positions of `topic`. Does not wait for Redis. Call it within a Tokio runtime.
    #[must_use]
    pub fn start(connection: &RedisConnection, topic: &str) -> Self {
        let heard = std::sync::Arc::<AppliedPositions>::default();
        let listener = Listener {
            connection: connection.clone(),
            hash: hash_name(topic),
            channel: channel_name(connection.database(), topic),
            heard: heard.clone(),
        };
        Self { heard, task: tokio::spawn(listener.run()).abort_handle() }
    }
}

impl Drop for RedisWatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl AppliedWatcher for RedisWatcher {
    async fn wait_for(&self, position: Position, patience: Duration) -> bool {
        self.heard.wait_for(position, patience).await
    }

    fn applied(&self, partition: i32) -> Option<i64> {
        self.heard.applied(partition)
    }
}

struct Listener {
    connection: RedisConnection,
    hash: String,
    channel: String,
    heard: std::sync::Arc<AppliedPositions>,
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("no answer within {CONNECT_DEADLINE:?}")]
    TooLate,
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Redis(#[from] ::redis::RedisError),
}

async fn in_time<T>(work: impl Future<Output = RedisResult<T>>) -> Result<T, Lost> {
    Ok(tokio::time::timeout(CONNECT_DEADLINE, work).await.map_err(|_| Lost::TooLate)??)
}

impl Listener {
    async fn run(self) {
        let mut pause = *BACKOFF.start();
        let mut away = false;
        loop {
            match self.subscribe().await {
                Ok((sink, stream)) => {
                    if std::mem::take(&mut away) {
                        tracing::info!(channel = self.channel, "applied positions are heard again");
                    }
                    pause = *BACKOFF.start();
                    let lost = self.listen(sink, stream).await;
                    tracing::warn!(channel = self.channel, error = %lost, "applied positions are not heard; trying again");
                    away = true;
                }
                Err(error) if !away => {
                    tracing::warn!(channel = self.channel, %error, "applied positions are not heard; trying again");
                    away = true;
                }
                // Said already; it is still away.
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(*BACKOFF.end());
        }
    }

    async fn subscribe(&self) -> Result<(::redis::aio::PubSubSink, PubSubStream), Lost> {
        let (mut sink, stream) = in_time(self.connection.client().get_async_pubsub()).await?.split();
        in_time(sink.subscribe(&self.channel)).await?;
        // After the subscription, so that nothing falls between the two.
        self.read_hash().await?;
        Ok((sink, stream))
    }

    async fn listen(&self, mut sink: ::redis::aio::PubSubSink, mut stream: PubSubStream) -> Lost {
        loop {
            match tokio::time::timeout(HEARTBEAT, stream.next()).await {
                Ok(Some(message)) => match message.get_payload::<String>() {
                    Ok(payload) => self.heard.hear(&read_positions(&payload)),
                    Err(error) => return Lost::Redis(error),
                },
                Ok(None) => return Lost::Closed,
                Err(_) => {
                    let proof = async {
                        in_time(sink.subscribe(&self.channel)).await?;
                        self.read_hash().await
                    };
                    if let Err(lost) = proof.await {
                        return lost;
                    }
                }
            }
        }
    }

    /// Reads the hash over a connection of its own: seldom, and the breaker of the shared one has no say in it.
    async fn read_hash(&self) -> Result<(), Lost> {
        let fields: Vec<(i32, i64)> = in_time(async {
            let mut connection = self.connection.client().get_multiplexed_async_connection().await?;
            cmd("HGETALL").arg(&self.hash).query_async(&mut connection).await
        })
        .await?;
        let position = |(partition, offset)| Position { partition, offset };
        self.heard.hear(&fields.into_iter().map(position).collect::<Vec<_>>());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::applied::conformance;
    use crate::real_servers;
    use crate::redis::own_server::OwnServer;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    async fn forget(connection: &RedisConnection, topic: &str) {
        let hash = hash_name(topic);
        let delete = |mut connection| async move { cmd("DEL").arg(hash).query_async::<()>(&mut connection).await };
        connection.run(delete).await.expect("what the test made can be deleted");
    }

    /// Announces until Redis takes it: it was away a moment ago, and the breaker may still be open.
    async fn announce(announcer: &RedisAnnouncer, position: Position) {
        let announced = async {
            while announcer.announce(&[position]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, announced).await.expect("Redis is found again");
    }

    #[tokio::test]
    async fn redis_keeps_the_contract() {
        let Some(address) = real_servers::address("REDIS_ADDR", "redis_keeps_the_contract") else { return };
        let connection = RedisConnection::open(&address, 0).expect("an address");
        let topic = real_servers::unique_name("topic");
        let watch = || Arc::new(RedisWatcher::start(&connection, &topic)) as Arc<dyn AppliedWatcher>;
        conformance::run(&RedisAnnouncer::new(&connection, &topic), watch(), watch).await;
        forget(&connection, &topic).await;
    }

    #[tokio::test]
    async fn two_topics_do_not_meet() {
        let Some(address) = real_servers::address("REDIS_ADDR", "two_topics_do_not_meet") else { return };
        let connection = RedisConnection::open(&address, 0).expect("an address");
        let (one, other) = (real_servers::unique_name("topic"), real_servers::unique_name("topic"));
        let (watcher, watcher_of_other) =
            (RedisWatcher::start(&connection, &one), RedisWatcher::start(&connection, &other));
        RedisAnnouncer::new(&connection, &other).announce(&[at(0, 9)]).await.expect("announced");
        assert!(watcher_of_other.wait_for(at(0, 9), PATIENCE).await);
        assert_eq!(watcher.applied(0), None);
        forget(&connection, &other).await;
    }

    #[tokio::test]
    async fn a_watcher_hears_again_after_redis_was_killed_and_lost_everything() {
        let name = "a_watcher_hears_again_after_redis_was_killed_and_lost_everything";
        let Some(mut server) = OwnServer::installed(name) else { return };
        let connection = RedisConnection::open(&server.address(), 2).expect("an address");
        let (announcer, watcher) = (RedisAnnouncer::new(&connection, "t"), RedisWatcher::start(&connection, "t"));
        assert!(announcer.announce(&[at(0, 1)]).await.is_err(), "it is not there yet");
        for offset in 2..5 {
            server.start().await;
            announce(&announcer, at(0, offset)).await;
            assert!(watcher.wait_for(at(0, offset), PATIENCE).await, "offset {offset}");
            server.kill();
        }
        assert_eq!(watcher.applied(0), Some(4), "what was heard is not forgotten");
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let positions = [at(0, 5), at(11, 1 << 40)];
        assert_eq!(write_positions(&positions), "0:5 11:1099511627776");
        assert_eq!(read_positions(&write_positions(&positions)), positions);
        assert_eq!(read_positions("0:5 what 3 7:8:9 :1 1:"), [at(0, 5)], "what cannot be read is left out");
        assert_eq!(read_positions(""), []);
    }
}
