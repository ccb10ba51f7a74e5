//! What both services must agree on, in the order of the data path.
//!
//! - [`shipment`]: the domain, pure: tracking numbers, events and their identity, the state of a shipment and
//!   the decision what an event does to it. No I/O, no clock, no log line.
//! - [`carrier`]: the vocabularies of carriers, pure as well: from their codes, texts and local times to our words.
//! - [`event_log`], [`change_feed`], [`shipment_store`], [`dedup_window`], [`applied`], [`user_store`], [`api_key_store`], [`number_lease`],
//!   [`unmapped_codes`], [`idempotency`], [`operator_log`], [`projection`]: the ports.
//!   Each module's documentation is its contract; the adapters and the one conformance suite that all of them
//!   pass stand beside it.
//! - [`dead_letters`]: what operators see of dead letters and do about them, on these ports.
//! - [`settings`], [`telemetry`], [`log_level`], [`metrics`], [`healthcheck`], [`connections`], [`security_headers`], [`shutdown`], [`breaker`],
//!   [`clock`]: what every program needs to start, to be seen, to stop and to live with a dependency that is away.

pub mod api_key_store;
pub mod applied;
pub mod breaker;
pub mod carrier;
pub mod change_feed;
pub mod clock;
pub mod connections;
pub mod dead_letters;
pub mod dedup_window;
pub mod event_log;
pub mod healthcheck;
pub mod idempotency;
pub mod leb128;
pub mod log_level;
pub mod metrics;
pub mod number_lease;
pub mod operator_log;
pub mod projection;
#[cfg(any(test, feature = "conformance"))]
pub mod real_servers;
pub mod security_headers;
#[cfg(all(feature = "kafka", feature = "mongo", feature = "redis"))]
pub mod servers;
pub mod settings;
pub mod shipment;
pub mod shipment_store;
pub mod shutdown;
pub mod telemetry;
pub mod unmapped_codes;
pub mod user_store;

#[cfg(feature = "count-allocations")]
pub mod allocations;
#[cfg(feature = "mongo")]
pub mod mongo;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
