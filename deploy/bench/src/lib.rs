//! Load generator, the ceilings that its figures are held against, and the report of both.
//!
//! - A load (`bench events`, and every measurement of the report), in this order: shipments are there ([`fleet`] registers them), [`load`] posts
//!   their events ([`walk`]) while [`probe`] measures on the side how long single events take, [`visible`] waits until the last accepted event
//!   can be read and looks at a sample of the shipments, [`process`] says what the processes took, [`result`] is what came of it.
//! - `bench report` ([`report`]): a [`report::plan`] of [`sections`], measured in rounds ([`report::run`]), each on [`systems`] that are new. What a platform
//!   writes about one shipment ([`specimen`]) is what the [`ceilings`] write, with other numbers in it ([`template`]).
//! - `bench long` ([`long`]): one shipment with a long history.

pub mod api;
pub mod arguments;
pub mod ceilings;
pub mod connection;
pub mod failure;
pub mod fleet;
pub mod latency;
pub mod load;
pub mod long;
pub mod numbers;
pub mod probe;
pub mod process;
pub mod report;
pub mod result;
pub mod run;
pub mod sections;
pub mod specimen;
pub mod systems;
pub mod template;
pub mod visible;
pub mod walk;
