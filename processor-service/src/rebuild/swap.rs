//! The one step from one generation to another, and the way to it: processors leave, the offsets of their group are final, the other
//! generation is brought to exactly these, and the document is changed.

use std::time::{Duration, Instant};

use shared::event_log::replay::{Held, Offsets, Stretch};
use shared::projection::{Generation, Projection, SETTLE_TIME, WorkError, Working};
use shared::shipment_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{stop_of, where_it_stands};
use crate::replayed::{Select, apply, is_within, length};
use crate::tools::{Finished, ToolError, Tools};

/// Longest time until all processors have left: a drain takes 10 s at most, and a frozen one falls out of the group after its session (6 s). One
/// that does not leave cannot see that it should.
const LEAVE_PATIENCE: Duration = Duration::from_secs(45);
/// How often to look whether they have.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Makes `to` live; says what it did.
pub(super) async fn swap(
    tools: &Tools,
    working: &Working,
    stop: &CancellationToken,
    to: Generation,
    held: &Held,
) -> Result<String, ToolError> {
    let begun = Instant::now();
    let from = working.change(|known| known.quiescing(to)).await?.live;
    let switched = async {
        let left_at = left(tools, stop, from, held).await?;
        let records = catch_up(tools, stop, to, &left_at, held).await?;
        working.change(|known| known.switched(to, &left_at)).await?;
        Ok((left_at, records))
    };
    match switched.await {
        Ok((left_at, records)) => {
            let stood_still = begun.elapsed();
            settle(tools, working, to).await?;
            Ok(format!(
                "generation {to} is live since offsets {}; the processors stood still for {:.1} s, in which {records} records were read, \
                 and for {:.1} s more until no reader was left in generation {from}, which is kept (rebuild --rollback, rebuild gc)",
                list(&left_at),
                stood_still.as_secs_f64(),
                SETTLE_TIME.as_secs_f64(),
            ))
        }
        Err(error) => {
            resume(tools, working).await;
            Err(error)
        }
    }
}

/// The generation before the last swap is live again, from where it stood on.
///
/// # Errors
/// There is none, or it could not be done.
pub async fn rollback(tools: &Tools) -> Result<Finished, ToolError> {
    let working = Working::begin(tools.generations.control()).await?;
    let rolled = back(tools, &working).await;
    let ended = working.end().await;
    let finished = rolled?;
    ended?;
    Ok(finished)
}

async fn back(tools: &Tools, working: &Working) -> Result<Finished, ToolError> {
    let known = working.known().await;
    let Some(to) = known.kept else {
        return Err(ToolError::Refused("no generation is kept to go back to".to_owned()));
    };
    let held = tools.replay.held().await?;
    let stop = stop_of(tools, working);
    let from = working.change(|known| known.quiescing(to)).await?.live;
    let switched = async {
        let left_at = left(tools, &stop, from, &held).await?;
        // Its group may be forgotten by now, and a process that was frozen may have committed since. That one joins the group again before it sees
        // that it should leave, and the offsets of a group with members are theirs.
        until_empty(tools, &stop, to).await?;
        tools.replay.commit(to, &known.kept_at).await?;
        working.change(|known| known.switched(to, &left_at)).await.map_err(ToolError::from)
    };
    let switched = switched.await;
    stop.cancel();
    if let Err(error) = switched {
        resume(tools, working).await;
        return Err(error);
    }
    settle(tools, working, to).await?;
    Ok(Finished::saying(format!(
        "generation {to} is live again, from offsets {} on; changes since then are published again. Generation {from} is kept.",
        list(&known.kept_at)
    )))
}

/// Waits until the processors have left; where they left the log.
async fn left(tools: &Tools, stop: &CancellationToken, live: Generation, held: &Held) -> Result<Offsets, ToolError> {
    until_empty(tools, stop, live).await?;
    where_it_stands(tools, live, held).await
}

/// Waits until nobody is in the group of a generation.
async fn until_empty(tools: &Tools, stop: &CancellationToken, generation: Generation) -> Result<(), ToolError> {
    let begun = Instant::now();
    while tools.replay.has_members(generation).await? {
        if begun.elapsed() > LEAVE_PATIENCE {
            return Err(ToolError::Refused(format!(
                "the processors have not left within {} s: one of them does not see that it should (is it of an older version, or cannot \
                 reach the database?). Nothing was switched, and they go on",
                LEAVE_PATIENCE.as_secs()
            )));
        }
        let paused = stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await;
        paused.ok_or(ToolError::Stopped)?;
    }
    Ok(())
}

/// Brings `to` to exactly `left_at`, and never beyond: what is beyond has not been published. Says how many records that took.
async fn catch_up(
    tools: &Tools,
    stop: &CancellationToken,
    to: Generation,
    left_at: &Offsets,
    held: &Held,
) -> Result<i64, ToolError> {
    let from = where_it_stands(tools, to, held).await?;
    if !is_within(&from, left_at) {
        return Err(ToolError::Refused(format!(
            "generation {to} was built up to {}, and the live one was left at {}: build another one",
            list(&from),
            list(left_at)
        )));
    }
    let stretch = Stretch { from, to: left_at.clone(), commit: Some(to) };
    let mut records = 0;
    if length(&stretch) > 0 {
        let store = tools.generations.writer(to);
        (records, _) = apply(tools, store, stretch, Select::All, stop, "catching up").await?;
    }
    tools.replay.commit(to, left_at).await?;
    Ok(records)
}

/// Waits until no reader is left in another generation, and points people to the new one.
async fn settle(tools: &Tools, working: &Working, live: Generation) -> Result<(), ToolError> {
    if let Err(error) = tools.generations.show(live).await {
        tools.screen.say(&format!("the view for people shows the old generation still: {error}"));
    }
    tokio::time::sleep(SETTLE_TIME).await;
    match working.change(|known| if known.settled { known.beat() } else { known.settled() }).await {
        // The processors settle it on their own.
        Ok(_) | Err(WorkError::Lost | WorkError::Store(StoreError::Unavailable(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The processors may go on where they were. When that cannot be said, they find out by our silence.
async fn resume(tools: &Tools, working: &Working) {
    let resumed = working.change(Projection::resumed).await;
    if let Err(error) = resumed {
        tools.screen.say(&format!("the processors go on by themselves soon: {error}"));
    }
}

fn list(offsets: &Offsets) -> String {
    offsets.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect::<Vec<_>>().join(",")
}
