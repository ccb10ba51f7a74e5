//! `rebuild`: the projection made anew out of the log, in a generation of its own beside the live one ([`shared::projection`]).
//!
//! - [`rebuild`]: read the log as far as the live one is, again and again until little is behind; show what differs; then keep it, drop it
//!   or, by `swap`, take it into use;
//! - [`rollback`]: the generation before the last swap is live again;
//! - [`collect()`]: drops generations that nobody reads any more.
//!
//! A tool that is killed at any point can be run again. What it had built is durable up to what its group has committed, and it goes on from
//! there. What it had not switched is not switched.

mod collect;
pub(crate) mod hold;
mod swap;

use std::time::Duration;

use async_trait::async_trait;
use shared::event_log::replay::{Held, Offsets, Stretch};
use shared::projection::{Generation, Projection, Working};
use shared::shipment_store::StoreError;
use tokio_util::sync::CancellationToken;

pub use collect::collect;
pub use swap::rollback;

use crate::ahead::{ReadOn, compare_again};
use crate::command::{Part, Rebuild, Then, Until};
use crate::compare::Comparison;
use crate::difference;
use crate::replayed::{Select, apply, apply_holding, is_within, length};
use crate::tools::{Finished, ToolError, Tools};

/// So little may be behind when the processors are asked to leave: they stand still while it is read.
const LITTLE: i64 = 2_000;
/// How often the log is read after before a swap when ever more than [`LITTLE`] is behind: then the live processors are as fast as we are, and
/// stand still a little longer.
const ROUNDS: u32 = 8;
/// Pause before the store is asked again whether it has completed a generation.
const COMPLETE_PAUSE: Duration = Duration::from_secs(1);

/// Builds a generation and does with it what `options` say.
///
/// # Errors
/// It could not be done; nothing was switched.
pub async fn rebuild(options: &Rebuild, tools: &Tools) -> Result<Finished, ToolError> {
    let working = Working::begin(tools.generations.control()).await?;
    let run = Run { tools, options, working: &working, stop: stop_of(tools, &working), hold: options.hold };
    let built = run.run().await;
    let ended = working.end().await;
    let finished = built?;
    ended?;
    Ok(finished)
}

/// Ends with the command, and with its right.
fn stop_of(tools: &Tools, working: &Working) -> CancellationToken {
    let (stop, lost) = (tools.stop.child_token(), working.lost());
    let both = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = lost.cancelled() => both.cancel(),
            () = both.cancelled() => {}
        }
    });
    stop
}

struct Run<'a> {
    tools: &'a Tools,
    options: &'a Rebuild,
    working: &'a Working,
    stop: CancellationToken,
    /// Of how many shipments the states are held back.
    hold: usize,
}

impl Run<'_> {
    async fn run(mut self) -> Result<Finished, ToolError> {
        let mut finished = self.once().await;
        if let Err(ToolError::HeldRefused(why)) = &finished {
            self.tools.screen.say(&format!("{why}; beginning again, each state is written at once"));
            self.hold = 0;
            if self.options.then != Then::Drop {
                self.working.change(Projection::abandoned).await?;
            }
            finished = self.once().await;
        }
        self.stop.cancel(); // ends who waits for it
        finished
    }

    async fn once(&self) -> Result<Finished, ToolError> {
        let live = self.working.known().await.live;
        let held = self.tools.replay.held().await?;
        if self.options.then == Then::Drop { self.sketch(live, &held).await } else { self.build(live, &held).await }
    }

    /// Builds a generation that is only compared.
    async fn sketch(&self, live: Generation, held: &Held) -> Result<Finished, ToolError> {
        let generation = self.working.change(Projection::sketched).await?.last;
        self.tools.generations.make(generation).await?;
        let compared = self.compare_sketch(generation, live, held).await;
        self.tools.generations.remove(generation).await?;
        self.working.change(|known| known.dropped(generation)).await?;
        compared
    }

    async fn compare_sketch(&self, sketch: Generation, live: Generation, held: &Held) -> Result<Finished, ToolError> {
        let from = match self.options.part {
            Part::Since(time) => self.tools.replay.offsets_at(time).await?,
            Part::All | Part::Shipment(_) => held.begin.clone(),
        };
        let select = match self.options.part {
            Part::Shipment(number) => Select::One(number),
            Part::All | Part::Since(_) => Select::All,
        };
        let to = self.target(live, held).await?;
        self.read(sketch, Stretch { from, to: to.clone(), commit: None }, select.clone()).await?;
        self.compare(sketch, live, to, select, false, held).await
    }

    /// Builds the generation that was begun, or a new one, and keeps it or takes it into use.
    async fn build(&self, live: Generation, held: &Held) -> Result<Finished, ToolError> {
        let swap = self.options.then == Then::Swap;
        refuse_without_beginning(held)?;
        let mut to = self.target(live, held).await?;
        let mut building = self.begun().await?;
        let mut from = self.built(building, held).await?;
        if !is_within(&from, &to) {
            // It went farther than it is to go: a rollback, or another --until.
            self.tools
                .screen
                .say(&format!("generation {building} was built farther; it is given up, and another one begun"));
            self.working.change(Projection::abandoned).await?;
            building = self.begun().await?;
            from = self.built(building, held).await?;
        }
        self.tools.generations.make(building).await?;
        for _ in 0..ROUNDS {
            let stretch = Stretch { from, to: to.clone(), commit: Some(building) };
            let behind = length(&stretch);
            if behind > 0 {
                self.read(building, stretch, Select::All).await?;
            }
            from = to.clone();
            if self.options.until != Until::Now {
                break;
            }
            to = self.target(live, held).await?;
            if length(&Stretch { from: from.clone(), to: to.clone(), commit: None }) <= LITTLE {
                break;
            }
        }
        self.tools.replay.commit(building, &from).await?;
        self.complete(building).await?;
        let mut finished = self.compare(building, live, from, Select::All, true, held).await?;
        if swap {
            let swapped = swap::swap(self.tools, self.working, &self.stop, building, held).await?;
            finished = Finished::saying(format!("{}\n{swapped}", finished.text));
        } else {
            finished.text += &format!(
                "\ngeneration {building} is built; rebuild --swap goes on with it, rebuild gc --force drops it"
            );
        }
        Ok(finished)
    }

    async fn begun(&self) -> Result<Generation, ToolError> {
        let known = self.working.change(Projection::building).await?;
        known.building.ok_or_else(|| ToolError::Refused("no generation could be begun".to_owned()))
    }

    /// How far a generation is built.
    async fn built(&self, building: Generation, held: &Held) -> Result<Offsets, ToolError> {
        let mut from = held.begin.clone();
        from.extend(self.tools.replay.committed(building).await?);
        Ok(from)
    }

    /// How far to read.
    async fn target(&self, live: Generation, held: &Held) -> Result<Offsets, ToolError> {
        let mut to = where_it_stands(self.tools, live, held).await?;
        if let Until::Offsets(until) = &self.options.until {
            for (partition, &offset) in until {
                match to.get_mut(partition) {
                    Some(stands) if offset <= *stands => *stands = offset,
                    Some(stands) => {
                        return Err(ToolError::Refused(format!(
                            "--until: the live projection is at offset {stands} of partition {partition}, not yet at {offset}"
                        )));
                    }
                    None => return Err(ToolError::Refused(format!("--until: there is no partition {partition}"))),
                }
            }
        }
        Ok(to)
    }

    async fn read(&self, generation: Generation, stretch: Stretch, select: Select) -> Result<(), ToolError> {
        let (tools, stop, what) = (self.tools, &self.stop, "rebuilding");
        let store = tools.generations.writer(generation);
        let read = if self.hold > 0 {
            apply_holding(tools, store, self.hold, stretch, select, stop, what).await
        } else {
            apply(tools, store, stretch, select, stop, what).await
        };
        read.map(drop)
    }

    async fn complete(&self, generation: Generation) -> Result<(), ToolError> {
        while let Err(error) = self.tools.generations.complete(generation).await {
            let StoreError::Unavailable(why) = error else { return Err(error.into()) };
            self.tools.screen.say(&format!("the indexes are not there yet: {why}"));
            let paused = self.stop.run_until_cancelled(tokio::time::sleep(COMPLETE_PAUSE)).await;
            paused.ok_or(ToolError::Stopped)?;
        }
        Ok(())
    }

    /// Compares a generation that was read up to `read`; reads on for what is ahead. When it is to stay, what is read is committed as its.
    async fn compare(
        &self,
        rebuilt: Generation,
        live: Generation,
        mut read: Offsets,
        select: Select,
        stays: bool,
        held: &Held,
    ) -> Result<Finished, ToolError> {
        let generations = &self.tools.generations;
        let (of_live, of_rebuilt) = (generations.scan(live), generations.scan(rebuilt));
        let mut comparison = Comparison::new(&*of_live, &*of_rebuilt, self.options.shown);
        self.tools.screen.say("comparing");
        match self.options.part {
            Part::All => comparison.range(&Select::All, &read).await?,
            Part::Since(_) => comparison.each(None, &read).await?,
            Part::Shipment(number) => comparison.each(Some(number), &read).await?,
        }
        if self.options.until == Until::Now {
            let commit = stays.then_some(rebuilt);
            let log = GenerationLog { run: self, live, rebuilt, select, commit, held };
            compare_again(&mut comparison, &mut read, &log, &self.stop).await?;
        } else {
            // It is to stand where it stands: what has moved on since is not compared.
            comparison.report.shipments -= comparison.ahead.len() as u64;
        }
        let report = comparison.report;
        Ok(Finished { text: difference::text(&report, &read), differs: report.differences() > 0 })
    }
}

/// The log, for a generation that is compared.
struct GenerationLog<'a> {
    run: &'a Run<'a>,
    live: Generation,
    rebuilt: Generation,
    select: Select,
    commit: Option<Generation>,
    held: &'a Held,
}

#[async_trait]
impl ReadOn for GenerationLog<'_> {
    async fn stands(&self) -> Result<Offsets, ToolError> {
        self.run.target(self.live, self.held).await
    }

    async fn read(&self, from: Offsets, to: &Offsets) -> Result<(), ToolError> {
        let stretch = Stretch { from, to: to.clone(), commit: self.commit };
        self.run.read(self.rebuilt, stretch, self.select.clone()).await
    }
}

/// Where a generation stands: what its group has committed, and the beginning where it has committed nothing.
pub(crate) async fn where_it_stands(tools: &Tools, generation: Generation, held: &Held) -> Result<Offsets, ToolError> {
    let committed = tools.replay.committed(generation).await?;
    let stands = |(&partition, &begin): (&i32, &i64)| (partition, committed.get(&partition).copied().unwrap_or(begin));
    Ok(held.begin.iter().map(stands).collect())
}

/// A log whose beginning is gone gives another projection.
fn refuse_without_beginning(held: &Held) -> Result<(), ToolError> {
    match held.begin.iter().find(|(_, begin)| **begin > 0) {
        None => Ok(()),
        Some((partition, begin)) => Err(ToolError::Refused(format!(
            "the log has lost its beginning (partition {partition} begins at offset {begin}): what would be built is not what was; \
             --diff-only shows it"
        ))),
    }
}
