//! On a real broker (`KAFKA_BROKERS`), and on librdkafka's own mock cluster where a broker must fail.

mod conformance;
mod topic;
