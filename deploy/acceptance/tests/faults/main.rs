//! What the pair keeps when something breaks under load. Every test here needs real servers; outages are made on a private set.
//!
//! The sources of the traffic send again what was not accepted, as real ones do; in the end everything that was accepted is held to
//! account: one outcome each, shipments that are the fold of the log, changes published in order.

mod crash;
mod handover;
mod outages;
mod rebuilds;
mod storm;
mod streams;

use acceptance::client::Client;
use acceptance::platform::Platform;
use acceptance::poster::{Accepted, Poster, Traffic};
use acceptance::sample::parcel;
use acceptance::verdict;

/// Sources that report at the same time.
const SOURCES: u64 = 6;
/// Shipments that they report about: enough that some are on their way for as long as a test takes.
const SHIPMENTS: usize = 120;
/// Events that are accepted before something breaks, and after it is whole again.
const SOME: usize = 200;

/// A client with shipments, and traffic about them that is well under way.
async fn traffic(platform: &Platform) -> (Client, Vec<String>, Traffic) {
    let ana = platform.a_client().await;
    let numbers = ana.register_many(&parcel(), SHIPMENTS).await;
    let traffic = Traffic::begin(&platform.driver().await, SOURCES, &numbers);
    traffic.goes_on(SOME).await;
    (ana, numbers, traffic)
}

/// Holds the platform to account for the traffic and for what was accepted besides, over HTTP and in the changes.
async fn hold_to_account(platform: &Platform, posters: &[Poster], besides: &[Accepted]) {
    let lists: Vec<_> = posters.iter().map(|poster| poster.accepted.as_slice()).chain([besides]).collect();
    let moves = verdict::hold_to_account(&platform.admin().await, &lists).await;
    verdict::hold_published_to_account(platform.on_servers(), &moves).await;
}

/// How often the traffic was refused, and how often it got no answer.
fn troubles(posters: &[Poster]) -> (usize, usize) {
    (posters.iter().map(|poster| poster.refused).sum(), posters.iter().map(|poster| poster.unanswered).sum())
}

/// Says what was measured, past the harness, which swallows what a passing test prints.
fn say(line: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("measured: {line}\n").as_bytes()).expect("standard error is writable");
}
