//! What one event costs, in instructions and allocations, step by step: counted under valgrind, kept in `docs/instructions.md`, and held
//! against it by CI. A count does not hang on how busy the machine is, so a tenth more is a tenth more.
//!
//! - `sample`: three events as callers send them, and everything that they become on their way;
//! - `lane`: a whole lane between ports that hold nothing;
//! - [`step`]: the steps that are counted, each with each sample;
//! - [`callgrind`]: counts them, in one run;
//! - [`table`]: what stands in the document, and how the counts differ from it.

pub mod callgrind;
mod lane;
mod sample;
pub mod step;
pub mod table;
