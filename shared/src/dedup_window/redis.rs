//! The dedup window in Redis: `dedup:…` (the key of contract section 3) holds `<event id> <outcome>`.

use std::time::Duration;

use ::redis::{Pipeline, cmd, pipe};
use async_trait::async_trait;

use super::{Decided, DedupWindow, WindowError};
use crate::breaker::CircuitState;
use crate::redis::{RedisConnection, RedisError};
use crate::shipment::{EventId, Outcome};
use crate::telemetry::spans::{self, called};

/// Most commands in one pipeline, and most keys in one `MGET`: about 100 KB, which Redis works off in a millisecond or two, so that one
/// caller does not keep the others waiting.
const PIPELINE_COMMANDS: usize = 1_000;

/// The window.
#[derive(Clone, Debug)]
pub struct RedisWindow {
    connection: RedisConnection,
    time_to_live: Duration,
}

impl RedisWindow {
    /// The window on `connection`, whose entries live for `time_to_live`.
    #[must_use]
    pub fn new(connection: &RedisConnection, time_to_live: Duration) -> Self {
        Self { connection: connection.clone(), time_to_live }
    }

    /// The state of its circuit, for the metric.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        self.connection.circuit()
    }

    /// `SET key value NX PX …` for each: the first event of a key stays.
    fn set_pipelines(&self, decided: &[Decided]) -> Vec<Pipeline> {
        let milliseconds = u64::try_from(self.time_to_live.as_millis()).unwrap_or(u64::MAX);
        let remembered: Vec<_> = decided.iter().filter(|event| event.outcome != Outcome::Conflict).collect();
        let pipeline = |events: &[&Decided]| {
            let mut pipeline = pipe();
            for event in events {
                let value = format!("{} {}", event.event_id, event.outcome);
                pipeline.cmd("SET").arg(&event.dedup_key).arg(value).arg("NX").arg("PX").arg(milliseconds).ignore();
            }
            pipeline
        };
        remembered.chunks(PIPELINE_COMMANDS).map(pipeline).collect()
    }
}

/// What an entry says. One that cannot be read was written by another version of us: it is as good as none.
fn read(value: &str) -> Option<(EventId, Outcome)> {
    let (id, outcome) = value.split_once(' ')?;
    Some((id.parse().ok()?, Outcome::from_word(outcome)?))
}

impl From<RedisError> for WindowError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl DedupWindow for RedisWindow {
    async fn look_up(&self, dedup_keys: &[String]) -> Result<Vec<Option<(EventId, Outcome)>>, WindowError> {
        if dedup_keys.is_empty() {
            return Ok(Vec::new());
        }
        let look_up = self.connection.run(|mut connection| async move {
            let mut values = Vec::with_capacity(dedup_keys.len());
            for chunk in dedup_keys.chunks(PIPELINE_COMMANDS) {
                let part: Vec<Option<String>> = cmd("MGET").arg(chunk).query_async(&mut connection).await?;
                values.extend(part);
            }
            Ok(values)
        });
        let values: Vec<Option<String>> = called(spans::call("redis", "MGET", "dedup window"), look_up).await?;
        if values.len() != dedup_keys.len() {
            return Err(WindowError(format!("{} answers to {} keys", values.len(), dedup_keys.len())));
        }
        Ok(values.into_iter().map(|value| value.as_deref().and_then(read)).collect())
    }

    async fn remember(&self, decided: &[Decided]) -> Result<(), WindowError> {
        if self.time_to_live < Duration::from_millis(1) {
            return Ok(());
        }
        let pipelines = self.set_pipelines(decided);
        if pipelines.is_empty() {
            return Ok(());
        }
        let set = |mut connection| async move {
            for pipeline in &pipelines {
                pipeline.exec_async(&mut connection).await?;
            }
            Ok(())
        };
        Ok(called(spans::call("redis", "SET", "dedup window"), self.connection.run(set)).await?)
    }

    async fn check(&self) -> Result<(), WindowError> {
        Ok(self.connection.ping().await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::dedup_window::{WINDOW_DEADLINE, conformance};
    use crate::real_servers;
    use crate::redis::own_server::OwnServer;
    use crate::shipment::{EventBody, UnknownFields};

    fn window(test: &str, time_to_live: Duration) -> Option<RedisWindow> {
        let address = real_servers::address("REDIS_ADDR", test)?;
        Some(RedisWindow::new(&RedisConnection::open(&address, 0).expect("an address"), time_to_live))
    }

    fn decided(scope: &str, second: usize) -> Decided {
        let body = serde_json::json!({"tracking_number": "99M-ABC12345", "status": "picked_up", "source": scope,
            "timestamp": crate::shipment::Timestamp::from_millis(second as i64 * 1000)});
        let body = EventBody::from_json(body, UnknownFields::Refuse).expect("a valid event");
        Decided { dedup_key: body.dedup_key(), event_id: body.event_id(), outcome: Outcome::Applied }
    }

    fn keys(decided: &[Decided]) -> Vec<String> {
        decided.iter().map(|one| one.dedup_key.clone()).collect()
    }

    async fn forget(window: &RedisWindow, keys: &[String]) {
        let delete = |mut connection| async move { cmd("DEL").arg(keys).query_async::<()>(&mut connection).await };
        window.connection.run(delete).await.expect("what the test made can be deleted");
    }

    /// Short enough that nothing is left behind by a test that does not clean up.
    const BRIEF: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_redis_window_keeps_the_contract() {
        let Some(window) = window("the_redis_window_keeps_the_contract", BRIEF) else { return };
        conformance::run(&window, &real_servers::unique_name("test")).await;
    }

    // contract: "Redis keeps what was decided for"
    #[tokio::test]
    async fn an_entry_does_not_outlive_its_time() {
        let Some(window) = window("an_entry_does_not_outlive_its_time", Duration::ZERO) else { return };
        conformance::run_expired(&window, &real_servers::unique_name("test")).await;
        let brief = RedisWindow { time_to_live: Duration::from_millis(100), ..window };
        let entry = decided(&real_servers::unique_name("test"), 1);
        brief.remember(std::slice::from_ref(&entry)).await.expect("reachable");
        let gone = async {
            while brief.look_up(std::slice::from_ref(&entry.dedup_key)).await.expect("reachable") != [None] {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it expires");
    }

    #[tokio::test]
    async fn more_than_one_pipeline_is_answered_in_order() {
        let Some(window) = window("more_than_one_pipeline_is_answered_in_order", BRIEF) else { return };
        let scope = real_servers::unique_name("test");
        let all: Vec<_> = (0..2 * PIPELINE_COMMANDS + 500).map(|second| decided(&scope, second)).collect();
        window.remember(&all[..2 * PIPELINE_COMMANDS + 100]).await.expect("reachable");
        let found = window.look_up(&keys(&all)).await.expect("reachable");
        let known = all.iter().take(2 * PIPELINE_COMMANDS + 100).map(|one| Some((one.event_id, one.outcome)));
        assert!(found == known.chain(std::iter::repeat_n(None, 400)).collect::<Vec<_>>());
        for chunk in keys(&all).chunks(PIPELINE_COMMANDS) {
            forget(&window, chunk).await;
        }
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_read_is_none() {
        let Some(window) = window("an_entry_that_cannot_be_read_is_none", BRIEF) else { return };
        let key = decided(&real_servers::unique_name("test"), 1).dedup_key;
        let set = |mut connection| {
            let command = cmd("SET").arg(&key).arg("evt_of_another_version parked").to_owned();
            async move { command.query_async::<()>(&mut connection).await }
        };
        window.connection.run(set).await.expect("reachable");
        assert_eq!(window.look_up(std::slice::from_ref(&key)).await.expect("reachable"), [None]);
        forget(&window, &[key]).await;
    }

    #[tokio::test]
    async fn a_window_that_hangs_is_never_in_the_way() {
        let Some(mut server) = OwnServer::installed("a_window_that_hangs_is_never_in_the_way") else { return };
        server.start().await;
        let window = RedisWindow::new(&RedisConnection::open(&server.address(), 0).expect("an address"), BRIEF);
        let entry = decided("hub", 1);
        let entry = std::slice::from_ref(&entry);
        window.remember(entry).await.expect("reachable");
        server.signal("-STOP");
        let start = Instant::now();
        for _ in 0..20 {
            window.remember(entry).await.expect_err("it hangs");
        }
        let took = start.elapsed();
        assert!(took < WINDOW_DEADLINE * 10, "after three failures the others return at once: {took:?}");
        server.signal("-CONT");
    }
}
