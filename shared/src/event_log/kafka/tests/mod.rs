//! On a real broker (`KAFKA_BROKERS`), and on librdkafka's own mock cluster where a broker must fail.

mod away;
mod conformance;
mod group;
mod killed;
mod logged;
mod pressure;
mod replays;
pub(crate) mod topic;
mod topics;
