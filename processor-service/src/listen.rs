//! Where a processor is seen: on `PORT` and, when `ADMIN_PORT` is set, on a second port for metrics and what is for operators.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use shared::settings::{Environment, SettingError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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

    /// Serves `public` and, on the second port, `admin`, until `end` is cancelled and what is in flight is answered.
    ///
    /// # Errors
    /// The system's.
    pub async fn serve(self, public: Router, admin: Option<Router>, end: CancellationToken) -> std::io::Result<()> {
        let serve = |listener, routes: Router| {
            let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, routes).with_graceful_shutdown(end.clone().cancelled_owned()).into_future()
        };
        let second = async {
            match self.admin.zip(admin) {
                Some((listener, routes)) => serve(listener, routes).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(serve(self.public, public), second).map(drop)
    }
}

async fn bind(port: u16, variable: &str) -> Result<TcpListener, SettingError> {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    bound.map_err(|error| SettingError::new(variable, format!("cannot listen on {port}: {error}")))
}
