//! The stateless HTTP edge: it authenticates, validates, publishes to the log, and answers queries.
//!
//! The way of a request: [`router`] (all routes on one page) → `request` (trace, deadline, memory, the one shape of errors) → `authenticate` →
//! `authorize` → `idempotent` (done before?) → `validate` (with `carriers`, where a carrier's words are ours to read) → `publish` (into the log)
//! or `query` (out of the store) → `outcome` (what became of an event). Beside it, `stream` tells callers what changes, as it changes.
//!
//! # Invariants
//! - 201 and 202 are given for what the log acknowledged, and for nothing else. When the log is away the answer is 503 within ten seconds,
//!   and nothing waits behind the caller's back.
//! - No state of its own: any number of instances, in any order, with any of them killed, give the same answers. (They read carriers'
//!   words by the mappings that each of them has loaded, so all of them are told of new ones.)
//! - The library holds ports and no drivers; only the program names adapters.
//! - What a dependency said, a secret or a password never gets into an answer.

mod accept;
mod authenticate;
mod authorize;
mod broken_head;
mod carriers;
mod client_address;
mod config;
#[cfg(feature = "cost")]
#[doc(hidden)]
pub mod cost;
mod create_admin;
mod cross_origin;
mod dead_letters;
mod error;
mod health;
mod idempotent;
mod json;
mod jwt_secret;
mod line;
mod listen;
mod log_level;
mod metrics;
mod openapi;
mod outcome;
mod prefer;
mod publish;
mod query;
mod query_string;
mod rate_limit;
mod request;
mod rest_of_body;
mod router;
mod seed;
mod serve;
mod stream;
mod tracking_position;
mod validate;

use std::sync::Arc;

use shared::api_key_store::ApiKeyStore;
use shared::applied::AppliedWatcher;
use shared::change_feed::ChangeFeed;
use shared::dead_letters::DeadLetters;
use shared::dedup_window::DedupWindow;
use shared::event_log::EventAppender;
use shared::idempotency::IdempotencyKeys;
use shared::log_level::LogLevel;
use shared::number_lease::NumberLeases;
use shared::shipment_store::ShipmentReader;
use shared::user_store::UserStore;

pub use authenticate::{HashError, PasswordFault, hash_password};
pub use carriers::{BrokenMappings, Carriers, UnmappedTally, reload_on_hangup};
pub use client_address::TrustedProxies;
pub use config::{Config, DEFAULT_PORT};
pub use create_admin::{Command, CreateAdmin, CreateAdminError, UsageError};
pub use jwt_secret::{JwtSecrets, Secret};
pub use listen::{Listeners, listen};
pub use router::{Routers, paths, routers};
pub use seed::{SEEDED_USERS, SeedError, SeededUser, check_admin, seed_users};
pub use serve::serve;

/// Everything outside of the process that the edge talks to.
#[derive(Clone)]
#[expect(missing_docs, reason = "each port says what it is")]
pub struct Ports {
    pub log: Arc<dyn EventAppender>,
    pub changes: Arc<dyn ChangeFeed>,
    pub store: Arc<dyn ShipmentReader>,
    pub window: Arc<dyn DedupWindow>,
    pub applied: Arc<dyn AppliedWatcher>,
    pub users: Arc<dyn UserStore>,
    pub api_keys: Arc<dyn ApiKeyStore>,
    pub leases: Arc<dyn NumberLeases>,
    pub keys: Arc<dyn IdempotencyKeys>,
    pub unmapped: Arc<UnmappedTally>,
    pub dead_letters: DeadLetters,
    pub log_level: LogLevel,
}
