//! `rebuild gc`: generations that nobody reads any more go.

use shared::projection::{Generation, Projection, Working};

use crate::tools::{Finished, ToolError, Tools};

/// Drops all generations but the live one and, unless `force` says so, one that is being built.
///
/// # Errors
/// One of them could not be dropped. It can be run again.
pub async fn collect(force: bool, tools: &Tools) -> Result<Finished, ToolError> {
    let working = Working::begin(tools.generations.control()).await?;
    let dropped = drop_all(force, tools, &working).await;
    let ended = working.end().await;
    let dropped = dropped?;
    ended?;
    let numbers: Vec<_> = dropped.iter().map(Generation::to_string).collect();
    Ok(Finished::saying(match numbers.as_slice() {
        [] => "there is no generation to drop".to_owned(),
        _ => format!("dropped generations: {}", numbers.join(", ")),
    }))
}

async fn drop_all(force: bool, tools: &Tools, working: &Working) -> Result<Vec<Generation>, ToolError> {
    let known: Projection = working.known().await;
    let mut dropped = known.others.clone();
    dropped.extend(known.building.filter(|_| force));
    dropped.retain(|&generation| generation != known.live);
    dropped.sort_unstable();
    dropped.dedup();
    for &generation in &dropped {
        // The group first: what has a member may still be written.
        tools.replay.forget(generation).await?;
        tools.generations.remove(generation).await?;
        working.change(|known| known.dropped(generation)).await?;
    }
    Ok(dropped)
}
