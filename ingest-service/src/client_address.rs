//! Where a request comes from: the other end of the connection or, when that is a proxy of our own, whoever it says.
//!
//! `TRUSTED_PROXIES` names the networks of those proxies, none by default, and `PROXY_HEADER` the header that they write,
//! `x-forwarded-for` or `forwarded`. Only that one is read: a proxy lets the other one through as a caller made it up. Each proxy appends
//! the address that it was called from, so the caller is the right-most address that is none of our proxies; what stands to the left of
//! it anybody may have written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;
use shared::settings::{Environment, SettingError};

/// Leading bits of an IPv6 address that are one caller's: the smallest network that is given out.
const IPV6_NETWORK_BITS: u32 = 64;

/// What is one caller's, of an address.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !(u128::MAX >> IPV6_NETWORK_BITS)).into(),
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ProxyHeader,
}

/// The header that they write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyHeader {
    /// The one that came about by itself.
    XForwardedFor,
    /// The one of RFC 7239.
    Forwarded,
}

impl TrustedProxies {
    /// Reads `TRUSTED_PROXIES` and `PROXY_HEADER`.
    ///
    /// # Errors
    /// One of them is wrong.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let headers = [("x-forwarded-for", ProxyHeader::XForwardedFor), ("forwarded", ProxyHeader::Forwarded)];
        let header = environment.choice("PROXY_HEADER", ProxyHeader::XForwardedFor, &headers)?;
        let list = environment.text("TRUSTED_PROXIES").unwrap_or_default();
        let mut networks = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            networks.push(network(item).ok_or_else(|| {
                let problem = format!("expected networks such as 10.0.0.0/8 and fd00::/8, or addresses, got {item:?}");
                SettingError::new("TRUSTED_PROXIES", problem)
            })?);
        }
        Ok(Self { networks, header })
    }

    /// Nobody is believed.
    pub(crate) fn none() -> Self {
        Self { networks: Vec::new(), header: ProxyHeader::XForwardedFor }
    }

    /// The address that `request` comes from.
    pub(crate) fn client_of(&self, request: &Request) -> IpAddr {
        // Without a connection (in tests) all callers are one.
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
        self.client(peer, request.headers())
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in self.hops(headers) {
            if !self.trust(client) {
                break;
            }
            match hop {
                Some(address) => client = address,
                None => break, // "unknown", or hidden on purpose: the proxy is all that is known
            }
        }
        client
    }

    /// Whether it is one of ours that has `address`, which is written in its own family.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// What the proxies wrote, from the last one on; `None` for what is no address.
    fn hops<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => ("x-forwarded-for", address),
            ProxyHeader::Forwarded => ("forwarded", forwarded_for),
        };
        let lines = headers.get_all(name).iter().rev();
        lines.flat_map(move |line| line.to_str().unwrap_or_default().rsplit(',').map(read))
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let address =
        bare.unwrap_or(text).parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The address in one element of `Forwarded`, such as `for="[2001:db8::7]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn proxies(networks: &str, header: &str) -> TrustedProxies {
        let environment = [("TRUSTED_PROXIES", networks), ("PROXY_HEADER", header)];
        TrustedProxies::from_environment(&Environment::of(&environment)).expect("valid")
    }

    fn client(proxies: &TrustedProxies, peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let line = |&(name, value): &(_, _)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers = lines.iter().map(line).fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        });
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn nobody_is_believed_by_default() {
        let nobody = proxies("", "");
        assert_eq!(client(&nobody, "10.0.0.1", &[(XFF, "203.0.113.7"), ("forwarded", "for=203.0.113.7")]), "10.0.0.1");
    }

    #[test]
    fn the_caller_is_the_right_most_address_that_is_no_proxy_of_ours() {
        let ours = proxies("10.0.0.0/8, fd00::/8,192.0.2.9", "");
        for (peer, lines, expected) in [
            ("198.51.100.1", &[(XFF, "203.0.113.7")] as &[_], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "203.0.113.7")], "203.0.113.7"),
            ("::ffff:10.0.0.1", &[(XFF, "::ffff:203.0.113.7")], "203.0.113.7"),
            ("10.0.0.1", &[(XFF, "1.1.1.1, 203.0.113.7 , 192.0.2.9,10.9.9.9")], "203.0.113.7"),
            ("10.0.0.1", &[(XFF, "1.1.1.1"), (XFF, "203.0.113.7:4711,10.1.1.1")], "203.0.113.7"),
            ("fd00::1", &[(XFF, "[2001:db8::7]:443")], "2001:db8::7"),
            ("10.0.0.1", &[(XFF, "10.0.0.3,10.0.0.2")], "10.0.0.3"),
            ("10.0.0.1", &[(XFF, "203.0.113.7,unknown,10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[(XFF, "")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=1.1.1.1")], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(&ours, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let ours = proxies("10.0.0.0/8", "forwarded");
        let theirs = (XFF, "1.1.1.1");
        for (line, expected) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("for=1.1.1.1, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1", "2001:db8::7"),
            ("for=203.0.113.7, proto=http;for=10.0.0.2", "203.0.113.7"),
            ("for=203.0.113.7, for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client(&ours, "10.0.0.1", &[theirs, ("forwarded", line)]), expected, "{line}");
        }
    }

    #[test]
    fn a_wrong_list_names_its_variable() {
        for (variable, value) in
            [("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "proxy"), ("PROXY_HEADER", "via")]
        {
            let error = TrustedProxies::from_environment(&Environment::of(&[(variable, value)])).expect_err("wrong");
            assert_eq!(error.variable, variable);
        }
    }
}
