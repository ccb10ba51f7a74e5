//! What those who are behind may rely on, and what happens to those who listen when the topic cannot be followed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::change_feed::FeedError;
use shared::event_log::memory::MemoryLog;
use tokio::time::Instant;

use crate::feed::Feed;
use crate::listener::Listener;
use crate::world::{CLIENT, World, now};

const OWN: &str = "client_001";

/// A world whose changes can be held up.
async fn world() -> (World, Arc<Feed>) {
    let mut feed = None;
    let mut world = World::with(|ports| {
        let log = MemoryLog::new(4, || now().as_millis());
        let held = Feed::of(log.clone());
        ports.changes = held.clone();
        feed = Some((held, log));
    })
    .await;
    let (feed, log) = feed.expect("it was replaced");
    world.log = log;
    (world, feed)
}

/// The numbers of the next `count` changes, sorted: each of them once.
async fn versions(listener: &mut Listener, count: usize) -> Vec<i64> {
    let told = listener.changes(count, "version").await;
    let mut versions: Vec<_> = told.iter().map(|version| version.as_i64().expect("a number")).collect();
    versions.sort_unstable();
    versions
}

#[tokio::test(start_paused = true)]
async fn too_many_who_read_older_changes_at_once_are_put_off() {
    let (world, feed) = world().await;
    let begun = world.listen(CLIENT, "/stream", None).await.last_id;
    // What a tail has never seen: another edge's begins at the end.
    world.publish(OWN, 0..10).await;
    let other = World::with(|ports| ports.changes = feed.clone()).await;
    feed.set_open(false);
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let (router, bearer, begun) = (other.router.clone(), other.bearer(CLIENT), begun.clone());
            let request = async move {
                let request = axum::http::Request::get("/stream").header("authorization", bearer.await);
                let request = request.header("last-event-id", begun).body(axum::body::Body::empty());
                tower::ServiceExt::oneshot(router, request.expect("well-formed")).await.expect("infallible").status()
            };
            Box::pin(request)
        })
        .collect();
    let mut waiting = futures::future::join_all(waiting);
    let put_off = async {
        let refused = other.try_listen(CLIENT, "/stream", Some(&begun)).await.err().expect("refused");
        assert_eq!(refused.failure().0, 503, "{}", refused.text);
        assert!(refused.header("retry-after").is_some());
        let page = other.get(CLIENT, "/changes").await;
        assert_eq!(page.failure().0, 503, "{}", page.text);
        assert!(other.try_listen(CLIENT, "/stream", None).await.is_ok(), "who begins now needs no turn");
    };
    tokio::select! {
        biased;
        early = &mut waiting => panic!("nothing can be read: {early:?}"),
        () = put_off => {}
    }
    feed.set_open(true);
    assert_eq!(waiting.await, [200; 4]);
    let mut late = other.listen(CLIENT, "/stream", Some(&begun)).await;
    assert_eq!(versions(&mut late, 10).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_hears_heartbeats_while_nothing_can_be_read() {
    const MANY: i64 = 20_000;
    let (world, feed) = world().await;
    let mut slow = world.listen(CLIENT, "/stream", None).await;
    feed.set_open(false);
    for begin in (0..MANY).step_by(2_000) {
        world.publish(OWN, begin..begin + 2_000).await;
    }
    let mut told = Vec::new();
    let (mut beats, mut begun) = (0, Instant::now());
    while beats < 3 {
        let block = slow.block().await.expect("it goes on");
        match block.data {
            Some(change) => {
                told.push(change["version"].as_i64().expect("a number"));
                begun = Instant::now();
            }
            None => {
                beats += 1;
                assert_eq!((block.comment.as_deref(), begun.elapsed()), (Some(""), Duration::from_secs(15) * beats));
            }
        }
    }
    feed.set_open(true);
    let left = usize::try_from(MANY).expect("fits") - told.len();
    told.extend(versions(&mut slow, left).await);
    told.sort_unstable();
    assert_eq!(told, (0..MANY).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_breaks_goes_on_without_a_gap_and_without_a_repeat() {
    let (world, feed) = world().await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    for (round, why) in (0..).zip([FeedError::Unavailable("told so".to_owned()), FeedError::OutOfRange]) {
        world.publish(OWN, round * 100..round * 100 + 10).await;
        assert_eq!(versions(&mut listener, 10).await, (round * 100..round * 100 + 10).collect::<Vec<_>>());
        feed.break_off(why);
        world.publish(OWN, round * 100 + 10..round * 100 + 20).await;
        assert_eq!(versions(&mut listener, 10).await, (round * 100 + 10..round * 100 + 20).collect::<Vec<_>>());
    }
}

/// A log that came an hour later.
fn another_life() -> MemoryLog {
    MemoryLog::new(4, || now().as_millis() + 3_600_000)
}

/// What a reset says, after which the stream goes on.
async fn reset(listener: &mut Listener) -> String {
    let reset = listener.event().await;
    assert_eq!(reset.event.as_deref(), Some("reset"));
    reset.data.expect("it says why")["reason"].as_str().expect("a word").to_owned()
}

// contract: "`event: reset` when the place is not kept any more"
// contract: "410 `CURSOR_EXPIRED` with a `next_cursor`"
#[tokio::test(start_paused = true)]
async fn an_id_of_an_earlier_life_of_the_topic_is_told_when_the_new_one_has_grown_beyond_it() {
    let (mut world, feed) = world().await;
    let begun = world.listen(CLIENT, "/stream", None).await.last_id;
    world.publish(OWN, 0..50).await;
    let cursor = |page: &Value| page["pagination"]["next_cursor"].as_str().expect("a cursor").to_owned();
    let now = cursor(&world.get(CLIENT, "/changes?cursor=now").await.json());
    let half = cursor(&world.get(CLIENT, "/changes?limit=25").await.json());
    let mut listener = world.listen(CLIENT, "/stream", Some(&half)).await;
    assert_eq!(versions(&mut listener, 25).await.len(), 25);

    world.log = another_life();
    world.publish(OWN, 100..300).await;
    feed.make_anew(world.log.clone());
    assert_eq!(reset(&mut listener).await, "made_anew", "who listened");
    for id in [&now, &half] {
        let gone = world.get(CLIENT, &format!("/changes?cursor={id}")).await.status.as_u16();
        let mut again = world.listen(CLIENT, "/stream", Some(id)).await;
        assert_eq!((gone, reset(&mut again).await.as_str()), (410, "made_anew"));
        world.publish(OWN, 300..301).await;
        assert_eq!(versions(&mut again, 1).await, [300]);
        assert_eq!(versions(&mut listener, 1).await, [300]);
    }
    let mut first = world.listen(CLIENT, "/stream", Some(&begun)).await;
    assert_eq!(
        versions(&mut first, 202).await[..200],
        (100..300).collect::<Vec<_>>(),
        "who had got nothing misses nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_told_when_the_topic_is_made_anew() {
    let (mut world, feed) = world().await;
    world.publish(OWN, 0..50).await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    world.log = MemoryLog::new(4, || now().as_millis());
    feed.make_anew(world.log.clone());
    assert_eq!(reset(&mut listener).await, "not_reached");
    world.publish(OWN, 100..110).await;
    assert_eq!(versions(&mut listener, 10).await, (100..110).collect::<Vec<_>>());
}
