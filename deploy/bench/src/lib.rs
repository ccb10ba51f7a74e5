//! Load generator, and the ceiling that its figures are held against.
//!
//! A run (`bench events`), in this order: [`fleet`] registers shipments, [`load`] posts batches of their events ([`walk`]) while
//! [`probe`] measures on the side how long single events take, [`visible`] waits until the last accepted event can be read and
//! looks at a sample of the shipments, [`process`] says what the processes took, [`result`] is what is printed. `bench long` ([`long`]) is one
//! shipment with a long history, `bench ceiling-mongo` (`ceiling`) is the store alone, and [`compare`] makes one table of several results.

pub mod api;
pub mod arguments;
#[cfg(feature = "mongo-ceiling")]
pub mod ceiling;
pub mod compare;
pub mod connection;
pub mod fleet;
pub mod latency;
pub mod load;
pub mod long;
pub mod probe;
pub mod process;
pub mod result;
pub mod run;
pub mod visible;
pub mod walk;
