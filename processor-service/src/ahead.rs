//! Shipments that had moved on when they were compared: the log is read on, and they are compared again. Those that move all the time are
//! compared one at a time, each with what the log says at exactly the position that it was seen at.

use std::time::Duration;

use async_trait::async_trait;
use shared::event_log::COMMIT_INTERVAL;
use shared::event_log::replay::Offsets;
use tokio_util::sync::CancellationToken;

use crate::compare::Comparison;
use crate::tools::ToolError;

/// How often all of them are compared again.
const ROUNDS: u32 = 3;
/// How many are compared one at a time afterwards: each takes as long as processors take to commit.
const ONE_BY_ONE: usize = 200;
/// Longest time until the position of a document that was read is committed: processors that have died meanwhile come back in it.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);

/// The log, as far as a comparison goes.
#[async_trait]
pub(crate) trait ReadOn: Send + Sync {
    /// How far the live projection is.
    async fn stands(&self) -> Result<Offsets, ToolError>;

    /// Reads on.
    async fn read(&self, from: Offsets, to: &Offsets) -> Result<(), ToolError>;
}

/// Compares again what was ahead, and reads on for it from `read`. What is left over is in the report.
pub(crate) async fn compare_again(
    comparison: &mut Comparison<'_>,
    read: &mut Offsets,
    log: &dyn ReadOn,
    stop: &CancellationToken,
) -> Result<(), ToolError> {
    for _ in 0..ROUNDS {
        if comparison.ahead.is_empty() {
            break;
        }
        pause(COMMIT_INTERVAL, stop).await?;
        let to = log.stands().await?;
        log.read(read.clone(), &to).await?;
        *read = to;
        comparison.again(read).await?;
    }
    let hot: Vec<String> = comparison.ahead.iter().take(ONE_BY_ONE).cloned().collect();
    for id in hot {
        exactly(comparison, &id, read, log, stop).await?;
    }
    comparison.report.moved_on = comparison.ahead.len() as u64;
    comparison.report.shipments -= comparison.report.moved_on;
    Ok(())
}

async fn exactly(
    comparison: &mut Comparison<'_>,
    id: &str,
    read: &mut Offsets,
    log: &dyn ReadOn,
    stop: &CancellationToken,
) -> Result<(), ToolError> {
    let Some((live, partition, to)) = comparison.seen_at(id, read).await? else { return Ok(()) };
    let mut waited = Duration::ZERO;
    while log.stands().await?.get(&partition).is_none_or(|&stands| stands < to) {
        if waited >= COMMITTED_WITHIN {
            return Ok(()); // it is left over
        }
        pause(COMMIT_INTERVAL, stop).await?;
        waited += COMMIT_INTERVAL;
    }
    let mut further = read.clone();
    further.insert(partition, to);
    log.read(read.clone(), &further).await?;
    *read = further;
    Ok(comparison.exactly(id, live, read).await?)
}

async fn pause(time: Duration, stop: &CancellationToken) -> Result<(), ToolError> {
    stop.run_until_cancelled(tokio::time::sleep(time)).await.ok_or(ToolError::Stopped)
}
