//! Programs that end under load, in good order and not.

use std::cell::Cell;
use std::time::Duration;

use acceptance::client::{Client, text};
use acceptance::platform::Platform;
use acceptance::sample::parcel;
use acceptance::servers::Servers;
use acceptance::wait;
use futures::future::join_all;

use crate::{SOME, hold_to_account, traffic, troubles};

// contract: "only after the broker acknowledged the record"
// contract: "has exactly one final outcome"
#[tokio::test]
async fn what_was_answered_before_sigterm_is_there_after_a_restart() {
    let Some(servers) = Servers::given("what_was_answered_before_sigterm_is_there_after_a_restart") else { return };
    let mut platform = Platform::pair(&servers, 1, 1).await;
    let (_, _, traffic) = traffic(&platform).await;
    let Platform { edges, processors, .. } = &mut platform;
    for served in edges.iter().chain(processors.iter()) {
        served.program.ask_to_end();
    }
    for served in edges.iter_mut().chain(processors) {
        served.program.end().await;
    }
    come_back(&mut platform).await;
    traffic.goes_on(SOME).await;
    let posters = traffic.end().await;
    let (_, unanswered) = troubles(&posters);
    assert!(unanswered > 0, "nobody was there for a while");
    hold_to_account(&platform, &posters, &[]).await;
}

// contract: "only after the broker acknowledged the record"
// contract: "has exactly one final outcome"
// contract: "a duplicate is never applied twice"
#[tokio::test]
async fn what_was_answered_before_a_crash_is_there_after_a_restart() {
    let Some(servers) = Servers::given("what_was_answered_before_a_crash_is_there_after_a_restart") else { return };
    let mut platform = Platform::pair(&servers, 1, 1).await;
    let (_, _, traffic) = traffic(&platform).await;
    for _ in 0..3 {
        let Platform { edges, processors, .. } = &mut platform;
        for served in edges.iter_mut().chain(processors) {
            served.program.kill();
        }
        come_back(&mut platform).await;
        traffic.goes_on(SOME).await;
    }
    let posters = traffic.end().await;
    assert!(troubles(&posters).1 > 0, "nobody was there for a while");
    hold_to_account(&platform, &posters, &[]).await;
}

/// Callers that register at the same time, and how many parcels each of them has at least.
const REGISTRARS: usize = 8;
const PARCELS: usize = 12;
/// How often an edge dies at least; and at most, until that was in the middle of a registration.
const DEATHS: usize = 4;
const MOST_DEATHS: usize = 24;
/// So many parcels are registered between two deaths.
const BETWEEN: u64 = 20;
/// Longest time until a registration is answered: after a crash its key is left alone for 20 s, and the next attempt may crash too.
const REGISTERED: Duration = Duration::from_secs(120);

/// Registers a parcel under `key`, before one edge after the other from number `turn` on, until somebody answers for it. Returns its
/// number; `cut_off` becomes true when an attempt was cut off behind the taking of the key: only then is anybody told that it is in use.
async fn register(edges: &[Client], mut turn: usize, key: &str, cut_off: &Cell<bool>) -> String {
    let sent = async || {
        turn += 1;
        let answer = edges[turn % edges.len()].keyed("/shipments", key, &parcel()).try_send().await.ok()?;
        cut_off.set(cut_off.get() || answer.status == 409);
        match answer.status {
            201 | 202 => Some(text(&answer.body, "tracking_number")),
            409 | 503 => None,
            _ => panic!("{key}: {} {}", answer.status, answer.text),
        }
    };
    wait::until(&format!("an answer for {key}"), REGISTERED, sent).await.0
}

/// How many shipments the caller sees.
async fn registered(client: &Client) -> u64 {
    let listed = client.get("/shipments?limit=1").await.with_status(200);
    listed["pagination"]["total"].as_u64().expect("a number")
}

// contract: "same body again: the first answer again"
#[tokio::test]
async fn a_registration_under_a_key_is_made_once_whichever_edge_dies_meanwhile() {
    let name = "a_registration_under_a_key_is_made_once_whichever_edge_dies_meanwhile";
    let Some(servers) = Servers::given(name) else { return };
    let mut platform = Platform::pair(&servers, 2, 1).await;
    let ana = platform.a_client().await;
    let edges: Vec<_> = platform.edges.iter().map(|edge| ana.before(&edge.url)).collect();
    let cut_off = Cell::new(false);
    let registrars = (0..REGISTRARS).map(async |registrar| {
        let mut numbers = Vec::new();
        while numbers.len() < PARCELS || !cut_off.get() {
            let (parcel, turn) = (numbers.len(), registrar + numbers.len());
            numbers.push(register(&edges, turn, &format!("parcel-{registrar}-{parcel}"), &cut_off).await);
        }
        numbers
    });
    // The edges die in turn, in the middle of the work; the other one goes on.
    let deaths = async {
        let dead = (0..MOST_DEATHS).take_while(|&dead| dead < DEATHS || !cut_off.get());
        for (turn, goal) in dead.zip((BETWEEN / 2..).step_by(BETWEEN as usize)) {
            let (dies, lives) = (turn % 2, &edges[(turn + 1) % 2]);
            let is_enough = || turn >= DEATHS && cut_off.get(); // and nobody registers any more
            let reached = async || (registered(lives).await >= goal || is_enough()).then_some(());
            wait::until(&format!("{goal} parcels"), REGISTERED, reached).await;
            platform.edges[dies].program.kill();
            platform.edges[dies].program.start_again();
            platform.edges[dies].ready().await;
        }
        assert!(cut_off.get(), "no edge died in the middle of a registration");
    };
    let (registered_by, ()) = futures::join!(join_all(registrars), deaths);
    let mut numbers: Vec<_> = registered_by.into_iter().flatten().collect();
    let keys = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), keys, "each has a shipment of its own");
    let all_shown = async || {
        let total = registered(&edges[0]).await;
        assert!(total <= numbers.len() as u64, "{total} shipments for {} keys", numbers.len());
        (total == numbers.len() as u64).then_some(())
    };
    wait::until("each of them is shown", REGISTERED, all_shown).await;
    for number in &numbers {
        assert_eq!(ana.shipment(number).await["version"], 1);
    }
}

async fn come_back(platform: &mut Platform) {
    let Platform { edges, processors, .. } = platform;
    for served in edges.iter_mut().chain(processors.iter_mut()) {
        served.program.start_again();
    }
    for served in edges.iter_mut().chain(processors) {
        served.ready().await;
    }
}
