//! A platform as its callers see it: real programs, real servers, HTTP. The tests of this package drive it and look at nothing but
//! answers and topics.
//!
//! - [`platform`]: the programs, embedded or as a pair, behind one type; [`program`] and [`binary`]: how they are built, run and ended;
//! - [`servers`]: the real servers that a pair runs on, given or a private set that a test may stop; [`topic`]: what stands in a topic;
//! - [`client`]: a caller; [`listener`]: one who listens to a stream; [`sample`]: what callers send; [`poster`]: callers that report without a pause;
//! - [`collector`]: one who collects traces;
//! - [`verdict`]: what must have become of all that was accepted, worked out anew from the contract;
//! - [`stage`]: what many tests share and the last one clears away;
//! - [`coverage`]: which test of the repository holds which statement of the contract.
//!
//! Nothing here sleeps for a fixed time: conditions are awaited, each with its deadline ([`wait`]). A harness that cannot do its work
//! panics: that is how a test fails.

pub mod binary;
pub mod client;
pub mod collector;
pub mod coverage;
pub mod listener;
pub mod platform;
pub mod poster;
pub mod program;
pub mod sample;
pub mod servers;
pub mod stage;
pub mod tool;
pub mod topic;
pub mod verdict;
pub mod wait;
