//! Where Redis is, and how it is believed to be the one: `REDIS_ADDR` and `REDIS_TLS_CA_FILE`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
#[cfg(target_os = "linux")]
use std::time::Duration;

use ::redis::{Client, ConnectionAddr, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// After how long without an acknowledgement the kernel gives a connection up. Without it a server that vanished without a word would
/// keep us on a dead connection for a quarter of an hour.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(3);
/// Largest file with authorities, in bytes: all that a system trusts take a quarter of it.
const AUTHORITIES_BYTES: u64 = 1024 * 1024;

/// `REDIS_ADDR` is no address, or one that is not to be trusted. The messages do not hold it: it may have a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error(
        "is neither host:port nor redis://[user:password@]host:port nor, for TLS, rediss://[user:password@]host:port"
    )]
    Malformed,
    /// It asks for TLS with whomever.
    #[error("ends in #insecure: whoever is in between could pose as Redis; name its authority in REDIS_TLS_CA_FILE")]
    Unverified,
    /// There are authorities, and nobody to ask for a certificate.
    #[error("is set, and REDIS_ADDR asks for no TLS; write it as rediss://…")]
    NoTls,
}

/// The authorities from whom a server's certificate must come, instead of those that the system trusts.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities(Vec<u8>);

impl fmt::Debug for Authorities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authorities({} bytes)", self.0.len())
    }
}

impl Authorities {
    /// Those in the file at `path`: certificates in PEM, one after the other.
    ///
    /// # Errors
    /// It cannot be read, is too large, or holds no certificate.
    pub fn of_file(path: &str) -> io::Result<Self> {
        let mut pem = Vec::new();
        File::open(path)?.take(AUTHORITIES_BYTES + 1).read_to_end(&mut pem)?;
        if pem.len() as u64 > AUTHORITIES_BYTES {
            return Err(io::Error::other(format!("has more than {AUTHORITIES_BYTES} bytes")));
        }
        Self::of_pem(pem)
    }

    /// Those of `pem`.
    ///
    /// # Errors
    /// It holds no certificate, or what is none.
    pub fn of_pem(pem: impl Into<Vec<u8>>) -> io::Result<Self> {
        let pem = pem.into();
        let wrong =
            |error: &dyn fmt::Display| io::Error::other(format!("holds what is no certificate in PEM: {error}"));
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        // The library would take none for an authority of nobody, and no server would ever be believed.
        if roots.is_empty() {
            return Err(io::Error::other("holds no certificate in PEM"));
        }
        Ok(Self(pem))
    }
}

/// A client of `database` at `address`.
pub(super) fn client(address: &str, database: i64, authorities: Option<&Authorities>) -> Result<Client, AddressError> {
    let url = if address.contains("://") { address.to_owned() } else { format!("redis://{address}") };
    let info = url.as_str().into_connection_info().map_err(|_| AddressError::Malformed)?;
    let has_port = |address: &str| address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !address.contains("://") && !has_port(address) {
        return Err(AddressError::Malformed);
    }
    let tls = match info.addr() {
        ConnectionAddr::Tcp(..) => false,
        ConnectionAddr::TcpTls { insecure: false, .. } => true,
        ConnectionAddr::TcpTls { .. } => return Err(AddressError::Unverified),
        _ => return Err(AddressError::Malformed),
    };
    let settings = info.redis_settings().clone().set_db(database);
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE);
    let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
    let client = match (tls, authorities) {
        (false, None) => Client::open(info),
        (false, Some(_)) => return Err(AddressError::NoTls),
        (true, authorities) => {
            choose_cryptography();
            let root_cert = authorities.map(|authorities| authorities.0.clone());
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        }
    };
    client.map_err(|_| AddressError::Malformed)
}

/// The library takes what the process has chosen, and panics when that is ambiguous.
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // When somebody else chooses at the same moment, theirs is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::RedisConnection;
    use crate::settings::Environment;

    #[tokio::test]
    async fn addresses_are_read_and_malformed_ones_refused_without_quoting_them() {
        for address in
            ["127.0.0.1:6379", "redis:6379", "redis://user:secret@redis:6379", "[::1]:6379", "rediss://redis:6379"]
        {
            assert!(RedisConnection::open(address, 0).is_ok(), "{address}");
        }
        for address in ["", "redis", "redis:port", "mongodb://redis:6379", "unix:///tmp/redis"] {
            let error = RedisConnection::open(address, 0).map(drop);
            assert_eq!(error, Err(AddressError::Malformed), "{address}");
        }
        let connection = RedisConnection::open("redis://user:secret@redis:6379", 3).expect("an address");
        assert!(!format!("{connection:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_wrong_setting_of_tls_names_its_variable() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).expect("written");
            path.display().to_string()
        };
        let tls = ("REDIS_ADDR", "rediss://user:s3cret@redis:6379");
        let broken = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
        for (variables, problem) in [
            (vec![("REDIS_ADDR", "rediss://user:s3cret@redis:6379#insecure")], "REDIS_ADDR: ends in #insecure"),
            (vec![("REDIS_ADDR", "rediss://user:s3cret@redis:6379#secure")], "REDIS_ADDR: is neither"),
            (vec![tls, ("REDIS_TLS_CA_FILE", "/nowhere/at/all")], "REDIS_TLS_CA_FILE: /nowhere/at/all: "),
            (vec![tls, ("REDIS_TLS_CA_FILE", &file("empty", b""))], "REDIS_TLS_CA_FILE: "),
            (vec![tls, ("REDIS_TLS_CA_FILE", &file("words", b"trust me"))], "REDIS_TLS_CA_FILE: "),
            (vec![tls, ("REDIS_TLS_CA_FILE", &file("broken", broken.as_bytes()))], "REDIS_TLS_CA_FILE: "),
            (vec![tls, ("REDIS_TLS_CA_FILE", &file("large", &[b'-'; 1_100_000]))], "REDIS_TLS_CA_FILE: "),
        ] {
            let error = RedisConnection::from_environment(&Environment::of(&variables)).map(drop);
            let error = error.expect_err("refused").to_string();
            assert!(error.starts_with(problem) && !error.contains("s3cret"), "{error}");
        }
    }
}
