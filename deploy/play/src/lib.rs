//! Plays parcel histories, as carriers published them, against a running Rastro.
//!
//! The program knows the public API only. What a run must give it works out on its own ([`model`]), so a run with
//! `--expect` checks the platform against a second reading of the contract, scan by scan.
//!
//! In the order of the data path: [`arguments`] says what to play and where, [`history`] reads a file, [`time_order`] puts its scans into
//! the order in which they happened, [`plan`] says what is posted ([`scan_id`]) and in which [`order`], [`player`] posts it through
//! [`api`], [`read_back`] compares what the platform shows with what it answered, [`report`] counts, and [`ends`] compares where the
//! shipments ended with their [`true_status`].

pub mod api;
pub mod arguments;
pub mod claim;
pub mod document;
pub mod ends;
pub mod history;
pub mod model;
pub mod order;
pub mod outcome;
pub mod plan;
pub mod player;
pub mod read_back;
pub mod report;
pub mod scan_id;
pub mod time_order;
pub mod true_status;
