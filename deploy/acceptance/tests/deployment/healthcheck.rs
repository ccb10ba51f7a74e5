//! Images have no client: a program asks its own running instance.

use std::path::Path;
use std::process::{Command, Output};

use acceptance::platform::{Platform, Served};
use acceptance::program::free_port;
use acceptance::servers::Servers;
use acceptance::{binary, wait};

use crate::PATIENCE;

/// What `healthcheck` says with nothing but this port.
async fn checked(binary: &Path, port: &str) -> Output {
    let mut command = tokio::process::Command::from(Command::new(binary));
    command.arg("healthcheck").env_clear().env("PORT", port).kill_on_drop(true);
    wait::within("a health check", PATIENCE, command.output()).await.expect("it can be run")
}

async fn says_whether_it_is_ready(binary: &Path, served: &Served) {
    let port = served.url.rsplit(':').next().expect("a port");
    let ended = checked(binary, port).await;
    assert!(ended.status.success() && ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    let ended = checked(binary, &free_port().to_string()).await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("does not answer"), "{said}");
}

#[tokio::test]
async fn rastro_says_whether_it_is_ready() {
    let platform = Platform::embedded().await;
    says_whether_it_is_ready(&binary::rastro(), &platform.edges[0]).await;
}

#[tokio::test]
async fn the_services_say_whether_they_are_ready() {
    let Some(servers) = Servers::given("the_services_say_whether_they_are_ready") else { return };
    let platform = Platform::pair(&servers, 1, 1).await;
    says_whether_it_is_ready(&binary::ingest_service(), &platform.edges[0]).await;
    says_whether_it_is_ready(&binary::processor_service(), &platform.processors[0]).await;
}
