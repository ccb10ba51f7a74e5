//! Two processors share the partitions; one dies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use acceptance::client::Client;
use acceptance::platform::Platform;
use acceptance::poster::Accepted;
use acceptance::sample::{at, parcel, report};
use acceptance::servers::Servers;
use acceptance::wait;
use futures::future::join_all;
use shared::event_log::murmur2::partition_of;

use crate::{SOME, hold_to_account, say, traffic, troubles};

/// How many partitions the topic has (contract section 5).
const PARTITIONS: i32 = 12;
/// Within how long the partitions of a dead processor must be applied again.
const HANDED_OVER: Duration = Duration::from_secs(10);
/// Longest time until two processors have shared the partitions.
const SHARED: Duration = Duration::from_secs(60);

/// The partitions that a processor owns, as its metrics say.
async fn owned(platform: &Platform, processor: usize) -> BTreeSet<i32> {
    let metrics = platform.processors[processor].metrics().await;
    let lags = metrics.lines().filter_map(|line| line.strip_prefix("shipping_consumer_lag{partition=\""));
    lags.map(|rest| rest.split('"').next().and_then(|number| number.parse().ok()).expect("a number")).collect()
}

/// Waits until both have some and together all, and returns those of each.
async fn shared_out(platform: &Platform) -> [BTreeSet<i32>; 2] {
    let shared = async || {
        let both = [owned(platform, 0).await, owned(platform, 1).await];
        let all: BTreeSet<i32> = both[0].union(&both[1]).copied().collect();
        let fair = both.iter().all(|some| !some.is_empty()) && both[0].is_disjoint(&both[1]);
        (fair && all == (0..PARTITIONS).collect()).then_some(both)
    };
    wait::until("the partitions are shared", SHARED, shared).await.0
}

/// Reports that each of `numbers` was picked up, and waits until each was applied; returns what was accepted and when the last one was.
async fn picked_up(client: &Client, numbers: Vec<&String>, since: Instant) -> (Vec<Accepted>, Duration) {
    let reports = numbers.into_iter().map(async |number| {
        let event_id = client.accepted(&report(number, "picked_up", 1)).await;
        let outcome = client.outcome(&event_id).await;
        assert_eq!(outcome["outcome"], "applied", "{outcome}");
        let key = format!("driver_app:{}", at(1));
        (Accepted { event_id, number: number.clone(), key, status: Some("picked_up".to_owned()) }, since.elapsed())
    });
    let (accepted, times): (Vec<_>, Vec<_>) = join_all(reports).await.into_iter().unzip();
    (accepted, times.into_iter().max().unwrap_or_default())
}

// contract: "judged in log order"
// contract: "has exactly one final outcome"
#[tokio::test]
async fn a_dead_processor_s_partitions_are_handed_over_and_nothing_is_lost_doubled_or_reordered() {
    let name = "a_dead_processor_s_partitions_are_handed_over_and_nothing_is_lost_doubled_or_reordered";
    let Some(servers) = Servers::given(name) else { return };
    let mut platform = Platform::pair(&servers, 1, 2).await;
    let of = shared_out(&platform).await;
    let (ana, _, traffic) = traffic(&platform).await;
    // One shipment on each partition that nobody else reports about.
    let mut fresh = BTreeMap::new();
    while fresh.len() < of[0].len() + of[1].len() {
        let more = ana.register_many(&parcel(), 24).await;
        fresh.extend(more.into_iter().map(|number| (partition_of(number.as_bytes(), PARTITIONS), number)));
    }
    let on = |partitions: &BTreeSet<i32>| partitions.iter().map(|partition| &fresh[partition]).collect::<Vec<_>>();
    let (of_the_dead, of_the_living) = (on(&of[1]), on(&of[0]));

    platform.processors[1].program.kill();
    let killed = Instant::now();
    let ((mut besides, handed_over), (meanwhile, others)) =
        futures::join!(picked_up(&ana, of_the_dead, killed), picked_up(&ana, of_the_living, killed));
    say(&format!(
        "a killed processor's {} partitions were handed over in {:.1} s; the others' events were applied within {:.1} s",
        of[1].len(),
        handed_over.as_secs_f64(),
        others.as_secs_f64()
    ));
    assert!(handed_over <= HANDED_OVER, "{handed_over:?}");
    let all = async || (owned(&platform, 0).await == (0..PARTITIONS).collect()).then_some(());
    wait::until("the living one says that it owns them all", SHARED, all).await;
    traffic.goes_on(SOME).await;

    // It comes back: partitions change hands once more, under load, in good order this time.
    platform.processors[1].program.start_again();
    platform.processors[1].ready().await;
    shared_out(&platform).await;
    traffic.goes_on(SOME).await;

    let posters = traffic.end().await;
    assert_eq!(troubles(&posters), (0, 0), "callers notice nothing");
    besides.extend(meanwhile);
    hold_to_account(&platform, &posters, &besides).await;
}

// contract: "has exactly one final outcome"
#[tokio::test]
async fn a_processor_that_wakes_up_after_it_lost_its_partitions_changes_nothing() {
    let name = "a_processor_that_wakes_up_after_it_lost_its_partitions_changes_nothing";
    let Some(servers) = Servers::given(name) else { return };
    let platform = Platform::pair(&servers, 1, 2).await;
    shared_out(&platform).await;
    let (_, _, traffic) = traffic(&platform).await;
    for _ in 0..2 {
        // Amid its work, and longer than its session: the group gives its partitions away, and it does not know.
        platform.processors[1].program.freeze();
        let all = async || (owned(&platform, 0).await == (0..PARTITIONS).collect()).then_some(());
        wait::until("the other one says that it owns them all", SHARED, all).await;
        traffic.goes_on(SOME).await;
        platform.processors[1].program.thaw();
        traffic.goes_on(SOME).await;
        shared_out(&platform).await;
    }
    let posters = traffic.end().await;
    assert_eq!(troubles(&posters), (0, 0), "callers notice nothing");
    hold_to_account(&platform, &posters, &[]).await;
}
