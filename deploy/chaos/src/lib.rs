//! Breaks a running platform under load, and holds it to account for everything that it accepted.
//!
//! In the order of a run: [`arguments`] says what to break and for how long; [`pair`] and [`embedded`] are the two runs. [`door`] is
//! how callers reach the platform, [`load`] what they send, keeping their own record of what was acknowledged ([`ledger`]),
//! [`poison`] what is written past the platform, [`refusals`] what its store does not take, and [`operator`] who sees to the dead letters that come of
//! both; [`faults`] break something after a seeded schedule, through [`stage`] and
//! [`network`]; [`probe`] tells when the platform has recovered. In the end [`evidence`] is gathered, [`model`] says what must have
//! become of the log, [`check`] compares, and [`report`] is what is printed.
//!
//! The model and the check share no code with the services: the model is that of `play`, behind a queue of its own, and records are read as JSON.

pub mod arguments;
pub mod check;
pub mod door;
pub mod embedded;
pub mod evidence;
pub mod faults;
pub mod ledger;
pub mod load;
pub mod model;
pub mod network;
pub mod operator;
pub mod pair;
pub mod poison;
pub mod probe;
pub mod progress;
pub mod refusals;
pub mod report;
pub mod stage;
pub mod yard;
