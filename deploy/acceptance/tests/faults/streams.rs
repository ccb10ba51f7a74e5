//! Streams whose instances die.

use std::sync::Arc;
use std::time::Duration;

use acceptance::client::{Client, text};
use acceptance::listener::{Listener, Told};
use acceptance::platform::Platform;
use acceptance::servers::Servers;
use acceptance::{verdict, wait};
use tokio::sync::{Mutex, Notify, watch};

use crate::{SOME, say, traffic};

/// Between two attempts to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Longest time until everything that happened was told.
const TOLD: Duration = Duration::from_secs(60);

/// Pulls everything that was told so far; returns where a stream goes on.
async fn pull(caller: &Client, told: &mut Told) -> String {
    let mut cursor = String::new();
    loop {
        let page = caller.get(&format!("/changes?limit=1000&cursor={cursor}")).await.with_status(200);
        page["data"].as_array().expect("a page").iter().for_each(|change| told.hear(change));
        cursor = text(&page["pagination"], "next_cursor");
        if page["pagination"]["has_next"] == false {
            return cursor;
        }
    }
}

/// Listens at one edge after the other, whichever is there, and never gives up.
async fn listen(
    callers: Vec<Client>,
    mut last_id: String,
    told: Arc<Mutex<Told>>,
    news: Arc<Notify>,
    connections: watch::Sender<usize>,
) {
    for caller in callers.iter().cycle() {
        let Some(mut listener): Option<Listener> = caller.reconnected().listen_if_there("/stream", &last_id).await
        else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        connections.send_modify(|connections| *connections += 1);
        while let Some(event) = listener.next().await {
            assert_eq!(event.name, "", "{event:?}");
            told.lock().await.hear(&event.data);
            news.notify_one();
        }
        last_id = listener.last_id;
    }
}

// contract: "`Last-Event-ID` goes on behind that place"
#[tokio::test]
async fn a_stream_misses_nothing_while_instances_are_killed_and_started_again() {
    let name = "a_stream_misses_nothing_while_instances_are_killed_and_started_again";
    let Some(servers) = Servers::given(name) else { return };
    let mut platform = Platform::pair(&servers, 2, 2).await;
    let (ana, _, traffic) = traffic(&platform).await;
    let callers: Vec<_> = platform.edges.iter().map(|edge| ana.before(&edge.url)).collect();
    let (told, news) = (Arc::<Mutex<Told>>::default(), Arc::<Notify>::default());
    let (connect, mut connections) = watch::channel(0);
    let begin = pull(&ana, &mut *told.lock().await).await;
    let listening = tokio::spawn(listen(callers, begin, told.clone(), news.clone(), connect));
    let first = connections.wait_for(|&connections| connections > 0);
    drop(wait::within("the first connection", TOLD, first).await.expect("it listens"));
    for victims in [&[0][..], &[1], &[0, 1]] {
        for &victim in victims {
            platform.edges[victim].program.kill();
            platform.processors[victim].program.kill();
        }
        for &victim in victims {
            platform.edges[victim].program.start_again();
            platform.processors[victim].program.start_again();
        }
        for &victim in victims {
            platform.edges[victim].ready().await;
            platform.processors[victim].ready().await;
        }
        traffic.goes_on(SOME).await;
    }
    let posters = traffic.end().await;
    let lists: Vec<_> = posters.iter().map(|poster| poster.accepted.as_slice()).collect();
    let moves = verdict::hold_to_account(&platform.admin().await, &lists).await;
    let all = async {
        while !told.lock().await.holds(&moves) {
            news.notified().await;
        }
    };
    wait::within("everything is told", TOLD, all).await;
    told.lock().await.assert_is(&moves);
    listening.abort();
    // The first instance was killed with it, and then both at once; a listener at the second one was cut off once more.
    let connections = *connections.borrow();
    assert!(connections >= 3, "it was cut off: {connections} connections");
    say(&format!("a stream over {} moves, in {connections} connections", moves.values().map(Vec::len).sum::<usize>()));
}
