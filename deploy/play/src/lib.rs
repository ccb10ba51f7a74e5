//! Plays parcel histories, as carriers published them, against a running Rastro.
//!
//! The program knows the public API only. What a run must give it works out on its own ([`model`]), so a run with
//! `--expect` checks the platform against a second reading of the contract, scan by scan.
//!
//! In the order of the data path: [`arguments`] says what to play and where, [`history`] reads a file and puts its scans into
//! the order in which they happened, [`player`] posts them through [`api`], [`read_back`] compares what the platform shows
//! with what it answered, [`report`] counts.

pub mod api;
pub mod arguments;
pub mod history;
pub mod model;
pub mod outcome;
pub mod player;
pub mod read_back;
pub mod report;
