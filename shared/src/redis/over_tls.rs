//! The adapters over TLS, before a Redis of the test's own whose certificate was made for it.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::own_server::OwnServer;
use super::{Authorities, RedisConnection, RedisError};
use crate::applied::redis::{RedisAnnouncer, RedisWatcher};
use crate::applied::{self, AppliedWatcher};
use crate::dedup_window::redis::RedisWindow;
use crate::dedup_window::{self, DedupWindow};
use crate::settings::Environment;

/// Longest time until a server that is there has answered. A call may take a fifth of a second, and a busy machine needs more for a first
/// connection over TLS; the attempt goes on behind the call that began it.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of the test's own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut who = CertificateParams::new([]).expect("no name is a wrong one");
    who.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(who, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A Redis that speaks TLS alone, and the authority of its certificate.
struct Secured {
    server: OwnServer,
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Secured {
    /// `None` when there is no Redis that could.
    async fn start(test: &str) -> Option<Self> {
        let mut server = OwnServer::installed(test)?;
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), authority());
        let key = KeyPair::generate().expect("a key");
        let named = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let certificate = named.signed_by(&key, &authority).expect("a certificate");
        let write = |name: &str, pem: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, pem).expect("written");
            path
        };
        let (certificate, key) = (write("certificate", certificate.pem()), write("key", key.serialize_pem()));
        write("authority", authority.pem());
        let started = server.start_with_tls(test, &certificate, &key).await;
        started.then_some(Self { server, authority, directory })
    }

    fn address(&self) -> String {
        format!("rediss://{}", self.server.address())
    }

    /// A connection as a program has it that is told of this server and its authority.
    async fn connected(&self) -> RedisConnection {
        let authority = self.directory.path().join("authority").display().to_string();
        let settings = [("REDIS_ADDR", &*self.address()), ("REDIS_TLS_CA_FILE", &*authority)];
        let connection = RedisConnection::from_environment(&Environment::of(&settings)).expect("an address");
        let answered = async {
            while connection.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("it is there");
        connection
    }
}

#[tokio::test]
async fn the_window_keeps_its_contract_over_tls() {
    let Some(redis) = Secured::start("the_window_keeps_its_contract_over_tls").await else { return };
    let window = RedisWindow::new(&redis.connected().await, Duration::from_secs(60));
    dedup_window::conformance::run(&window, "over-tls").await;
}

#[tokio::test]
async fn applied_positions_are_announced_and_heard_over_tls() {
    let Some(redis) = Secured::start("applied_positions_are_announced_and_heard_over_tls").await else { return };
    let connection = redis.connected().await;
    let watch = || Arc::new(RedisWatcher::start(&connection, "topic")) as Arc<dyn AppliedWatcher>;
    applied::conformance::run(&RedisAnnouncer::new(&connection, "topic"), watch(), watch).await;
}

/// What the connection itself says, with no breaker and no deadline before it.
async fn refused(connection: &RedisConnection) -> String {
    let asked = tokio::time::timeout(PATIENCE, connection.client().get_multiplexed_async_connection()).await;
    match asked.expect("the other side is there") {
        Ok(_) => panic!("it is believed"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_server_whose_authority_is_another_is_not_believed() {
    let Some(redis) = Secured::start("a_server_whose_authority_is_another_is_not_believed").await else { return };
    let other = Authorities::of_pem(authority().pem()).expect("a certificate");
    let wrong = RedisConnection::open_with(&redis.address(), 0, Some(&other)).expect("an address");
    assert!(refused(&wrong).await.contains("certificate"), "{}", refused(&wrong).await);
    // Nobody but the test trusts the server's own.
    let of_the_system = RedisConnection::open(&redis.address(), 0).expect("an address");
    assert!(refused(&of_the_system).await.contains("certificate"), "{}", refused(&of_the_system).await);
    // And nothing gets through the doors that the services use.
    let window = RedisWindow::new(&wrong, Duration::from_secs(60));
    window.check().await.expect_err("nobody answers who is believed");
    // Two in one file: so one is put into the place of the other.
    let both = Authorities::of_pem(authority().pem() + &redis.authority.pem()).expect("two certificates");
    let connection = RedisConnection::open_with(&redis.address(), 0, Some(&both)).expect("an address");
    connection.client().get_multiplexed_async_connection().await.expect("it is believed");
}

#[tokio::test]
async fn a_server_that_is_not_the_one_that_was_asked_for_is_not_believed() {
    let name = "a_server_that_is_not_the_one_that_was_asked_for_is_not_believed";
    let Some(redis) = Secured::start(name).await else { return };
    let authority = Authorities::of_pem(redis.authority.pem()).expect("a certificate");
    let address = format!("rediss://localhost:{}", redis.server.port);
    let connection = RedisConnection::open_with(&address, 0, Some(&authority)).expect("an address");
    assert!(refused(&connection).await.contains("certificate"), "{}", refused(&connection).await);
}

#[tokio::test]
async fn a_server_that_wants_tls_is_not_asked_without() {
    let Some(redis) = Secured::start("a_server_that_wants_tls_is_not_asked_without").await else { return };
    let plain = RedisConnection::open(&redis.server.address(), 0).expect("an address");
    assert!(matches!(plain.ping().await, Err(RedisError::Failed(_) | RedisError::TooLate(_))));
    let authority = Authorities::of_pem(redis.authority.pem()).expect("a certificate");
    let error = RedisConnection::open_with(&redis.server.address(), 0, Some(&authority)).map(drop);
    assert_eq!(error, Err(super::AddressError::NoTls), "who names an authority means to be sure");
}
