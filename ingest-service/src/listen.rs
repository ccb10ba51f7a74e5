//! Where the edge listens: on `PORT` and, when `ADMIN_PORT` is set, on a second port for those who operate it.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use shared::settings::SettingError;
use tokio::net::TcpListener;

use crate::client_address::{TrustedProxies, network_of};
use crate::config::Config;
use crate::serve::CONNECTIONS;

/// The listeners of an edge.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) public: TcpListener,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) crowd: Crowd,
}

impl Listeners {
    /// Where callers find the edge.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where operators find it, when that is another place.
    ///
    /// # Errors
    /// The system does not say.
    pub fn admin_address(&self) -> std::io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }
}

/// One port for all, and as many connections of an address as there may be.
impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self { public, admin: None, crowd: Crowd::new(CONNECTIONS, TrustedProxies::none()) }
    }
}

/// Listens where `config` says.
///
/// # Errors
/// An address or a port cannot be had; the message names the setting to change.
pub async fn listen(config: &Config) -> Result<Listeners, SettingError> {
    let public = bind(config.listen_address, config.port, "PORT").await?;
    let admin = match config.admin_port {
        Some(port) => Some(bind(config.listen_address, port, "ADMIN_PORT").await?),
        None => None,
    };
    Ok(Listeners { public, admin, crowd: Crowd::new(config.connections_per_address, config.trusted_proxies.clone()) })
}

async fn bind(address: IpAddr, port: u16, variable: &str) -> Result<TcpListener, SettingError> {
    let wrong = |error: std::io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            let other = port.checked_add(1).unwrap_or(8080);
            SettingError::new(variable, format!("{port} is in use; try {variable}={other}"))
        }
        ErrorKind::AddrNotAvailable => {
            SettingError::new("LISTEN_ADDRESS", format!("{address} is no address of this machine"))
        }
        _ => SettingError::new(variable, format!("cannot listen on {port}: {error}")),
    };
    TcpListener::bind((address, port)).await.map_err(wrong)
}

/// How many connections each address has. One that could have all of them would keep everybody else out, by connecting alone.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    each: usize,
    /// Who calls for many others.
    proxies: TrustedProxies,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that counts for its address as long as this is there.
#[derive(Debug)]
pub(crate) struct Place {
    of: Option<IpAddr>,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Crowd {
    /// `each` address may have so many connections, but for `proxies`.
    pub(crate) fn new(each: usize, proxies: TrustedProxies) -> Self {
        Self { each, proxies, held: Arc::default() }
    }

    /// Room for one more connection of `address`; `None` when it has all that it may have.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        let held = self.held.clone();
        if self.proxies.trust(address.to_canonical()) {
            return Some(Place { of: None, held });
        }
        let network = network_of(address);
        let mut counts = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { of: Some(network), held })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(network) = self.of else { return };
        let mut counts = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::settings::Environment;

    use super::*;

    #[test]
    fn each_address_has_its_share_and_gets_it_back_and_a_proxy_is_many() {
        let proxies = TrustedProxies::from_environment(&Environment::of(&[("TRUSTED_PROXIES", "10.0.0.0/8")]));
        let crowd = Crowd::new(2, proxies.expect("valid"));
        let of = |address: &str| crowd.admit(address.parse().expect("an address"));
        let (first, second) = (of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert!(
            first.is_some() && second.is_some() && of("203.0.113.7").is_none(),
            "one address, however it is written"
        );
        let other = of("203.0.113.8");
        assert!(other.is_some(), "another has its own");
        drop(first);
        let again = of("203.0.113.7");
        assert!(again.is_some() && of("203.0.113.7").is_none());
        let of_a_network = (of("2001:db8::1"), of("2001:db8::2"));
        assert!(of_a_network.0.is_some() && of_a_network.1.is_some() && of("2001:db8::3").is_none());
        let behind_a_proxy: Vec<_> = (0..5).map(|_| of("10.1.2.3")).collect();
        assert!(behind_a_proxy.iter().all(Option::is_some));
        drop((second, again, other, of_a_network, behind_a_proxy));
        assert!(crowd.held.lock().expect("no panic").is_empty(), "nothing is kept of those who have gone");
    }
}
