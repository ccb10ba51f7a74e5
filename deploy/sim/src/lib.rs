//! The specification of the lane that can be run.
//!
//! The processor's real code (queues, lane, pipeline) runs over ports that do what a seed says: each call succeeds, fails, happens although it
//! failed, happens in part or late; owners die between any two calls, lose their partitions without knowing and go on as zombies, come back; the store
//! forgets what a majority did not have, and refuses some records, which an operator redrives; commits are lost; the clock jumps; the topic is made
//! anew. After each step what must always hold is looked at, and in the end everything is compared with a model that takes one record after the
//! other.
//!
//! - `specification`, which one has to believe. `workload`: what stands in the log; `model`: what must become of it; `check`: what must hold;
//! - `platform`: store and topics as servers can tear them; `ports`: the gate at which every call waits;
//! - `owner`: the processor as it is polled; `world`: broker, owners and the steps of a schedule;
//! - `shrink`: the shortest schedule that still fails.
//!
//! `mutants/` breaks the lane in one way each; `mutants.sh` shows that each is found out.

mod dice;
mod owner;
mod platform;
mod ports;
mod shrink;
mod specification;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::dice::Dice;
use crate::specification::check::Checker;
use crate::specification::model::Expected;
use crate::specification::workload::Workload;
use crate::world::{Step, World};

/// A workload and what happens while it is worked on.
#[derive(Clone, Debug)]
pub struct Schedule {
    workload: Workload,
    steps: Vec<Step>,
}

impl Schedule {
    /// The schedule of `seed`: the same on every machine.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self { workload: Workload::of(&mut dice), steps: world::steps(&mut dice) }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What did not hold.
    pub fn run(&self) -> Result<(), String> {
        self.play(false).0
    }

    /// Runs it and tells what happened, one line for each record and each step.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        let records = self.workload.records.iter().enumerate().map(|(index, record)| {
            let (partition, epoch, offset) = self.workload.position(index);
            format!("record {index} (epoch {epoch}, {partition}/{offset}): {record:?}")
        });
        let (result, steps) = self.play(true);
        records.chain(steps).chain(result.err().map(|what| format!("then {what}"))).collect()
    }

    /// The shortest schedule that can be made of it by leaving things out and that still fails.
    #[must_use]
    pub fn shrunk(self) -> Self {
        shrink::shrink(self)
    }

    fn play(&self, tell: bool) -> (Result<(), String>, Vec<String>) {
        let expected = Expected::of(&self.workload);
        let mut world = World::new(&self.workload, Checker::new(&self.workload, &expected), tell);
        // Time stands still but for what the schedule adds to it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without a thread or a socket");
        let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(world.run(&self.steps))));
        let result = run.unwrap_or_else(|panic| Err(format!("the lane panics: {}", message(&*panic))));
        (result, world.story.take().unwrap_or_default())
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
