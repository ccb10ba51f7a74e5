//! The bare window: pipelines that set a key for each event, as the processor remembers what it decided.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use redis::{AsyncConnectionConfig, Client, pipe};

use super::Rate;
use crate::failure::Failure;
use crate::numbers::Suffix;
use crate::template::Template;

/// Commands in a pipeline, as many as the platform sends.
const PIPELINE: usize = 1_000;
/// Pipelines under way at a time: one for each of the default lanes.
const LANES: usize = 4;
/// How long an entry lives, in milliseconds: long enough for the measurement.
const LIFE: u64 = 60_000;
/// How long an answer may take: that to the removal of everything takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sets entries for `suffixes` until all are set or the time is over; then removes everything. The server must be ours alone.
///
/// # Errors
/// Redis fails.
pub async fn measure(
    address: &str,
    (key, value): &(Template, Template),
    suffixes: &[Suffix],
    at_most: Duration,
) -> Result<Rate, Failure> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let client = Client::open(format!("redis://{address}"))?;
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let begin = Instant::now();
    let lane = async |suffixes: &[Suffix]| {
        let (mut connection, mut count) = (connection.clone(), 0);
        for chunk in suffixes.chunks(PIPELINE) {
            if begin.elapsed() >= at_most {
                break;
            }
            let mut pipeline = pipe();
            for &suffix in chunk {
                let (key, value) = (key.stamp(suffix), value.stamp(suffix));
                pipeline.cmd("SET").arg(key).arg(value).arg("NX").arg("PX").arg(LIFE).ignore();
            }
            pipeline.exec_async(&mut connection).await?;
            count += chunk.len();
        }
        Ok::<_, Failure>(count)
    };
    let counts = try_join_all(suffixes.chunks(suffixes.len().div_ceil(LANES).max(1)).map(lane)).await?;
    let rate = Rate { count: counts.into_iter().sum(), took: begin.elapsed() };
    redis::cmd("FLUSHDB").exec_async(&mut connection.clone()).await?;
    Ok(rate)
}
