//! Where a processor is seen: on `PORT` and, when `ADMIN_PORT` is set, on a second port for metrics and what is for operators.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use shared::connections::{self, Arrival, OPERATORS_CONNECTIONS, Room};
use shared::settings::{Environment, SettingError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Longest time for what is in flight at the end: a look at every dependency takes less.
const DRAIN: Duration = Duration::from_secs(5);
/// Port when `PORT` is not set (contract section 7).
pub const DEFAULT_PORT: u16 = 8081;

/// The listeners of a processor.
pub struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    /// Listens where `environment` says.
    ///
    /// # Errors
    /// `PORT` or `ADMIN_PORT` is wrong or cannot be had.
    pub async fn open(environment: &Environment) -> Result<Self, SettingError> {
        const ADMIN: &str = "ADMIN_PORT";
        let port = environment.number("PORT", DEFAULT_PORT, 0..=u16::MAX)?;
        let admin = match environment.text(ADMIN) {
            None => None,
            Some(_) => Some(environment.number(ADMIN, 0, 0..=u16::MAX)?),
        };
        if admin == Some(port) && port != 0 {
            let problem = format!("{port} is PORT too; leave it out to have one port for all");
            return Err(SettingError::new(ADMIN, problem));
        }
        let public = bind(port, "PORT").await?;
        let admin = match admin {
            Some(port) => Some(bind(port, ADMIN).await?),
            None => None,
        };
        Ok(Self { public, admin })
    }

    /// Whether there is a second port.
    #[must_use]
    pub fn are_two(&self) -> bool {
        self.admin.is_some()
    }

    /// Both addresses, as a line of the log has them.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, Option<SocketAddr>)> {
        Ok((self.public.local_addr()?, self.admin.as_ref().map(TcpListener::local_addr).transpose()?))
    }

    /// Serves `public` and, on the second port, `admin`, until `end` is cancelled and what is in flight is answered, for which there are five
    /// seconds. Each port has room for [`OPERATORS_CONNECTIONS`].
    pub async fn serve(self, public: Router, admin: Option<Router>, end: CancellationToken) {
        let connections = TaskTracker::new();
        let second = async {
            if let Some((listener, routes)) = self.admin.zip(admin) {
                take_in(listener, routes, &connections, &end).await;
            }
        };
        tokio::join!(take_in(self.public, public, &connections, &end), second);
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests were still in flight at the end of the shutdown");
        }
    }
}

/// Takes in whoever comes until `end` is cancelled.
async fn take_in(listener: TcpListener, routes: Router, connections: &TaskTracker, end: &CancellationToken) {
    let room = Room::new(OPERATORS_CONNECTIONS);
    while let Some(arrival) = end.run_until_cancelled(room.next(&listener)).await {
        connections.spawn(connection(arrival, routes.clone(), end.clone()));
    }
}

async fn connection(arrival: Arrival, routes: Router, end: CancellationToken) {
    let Arrival { stream, peer, place, patience } = arrival;
    let routes = routes.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    if let Err(broken) = connections::serve(stream, TowerToHyperService::new(routes), patience, &end).await {
        tracing::debug!(error = %broken.error, "a connection broke");
    }
    drop(place);
}

async fn bind(port: u16, variable: &str) -> Result<TcpListener, SettingError> {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    bound.map_err(|error| SettingError::new(variable, format!("cannot listen on {port}: {error}")))
}
