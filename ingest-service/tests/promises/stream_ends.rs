//! How streams go on, and when they end.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use shared::shipment::Timestamp;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::streams::numbers;
use crate::world::{ADMIN, CLIENT, OTHER_CLIENT, World, now};

const OWN: &str = "client_001";
const OTHER: &str = "client_002";

// contract: "a comment every 15 s while nothing is told"
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_a_heartbeat_every_fifteen_seconds_and_keeps_its_place_fresh() {
    let world = World::new().await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    let (begun, id) = (Instant::now(), listener.last_id.clone());
    for beat in 1..=3 {
        let block = listener.block().await.expect("it goes on");
        assert_eq!((block.comment.as_deref(), block.id, block.data), (Some(""), None, None));
        assert_eq!(begun.elapsed(), Duration::from_secs(15) * beat);
    }
    world.publish(OTHER, 0..10).await;
    let block = listener.block().await.expect("it goes on");
    assert_eq!((block.comment.as_deref(), block.data), (Some(""), None));
    assert_ne!(block.id, Some(id), "others' changes have passed");
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    world.publish(OWN, 10..11).await;
    let mut again = world.listen(CLIENT, "/stream", Some(&listener.last_id)).await;
    assert_eq!(numbers(&again.changes(1, "version").await), [10]);
    assert_eq!(numbers(&listener.changes(1, "version").await), [10]);
    assert_eq!(begun.elapsed(), Duration::from_secs(60), "what happens is told at once");
}

// contract: "closed when the token or key ends or is withdrawn"
#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_token_does() {
    let world = World::new().await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    let begun = Instant::now();
    let mut last = None;
    while let Some(block) = listener.block().await {
        last = Some(block);
    }
    let day = Duration::from_secs(86_400);
    assert!((day..day + Duration::from_secs(60)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(last.and_then(|block| block.comment).as_deref(), Some("the token or key has ended"));
}

static LATER: AtomicI64 = AtomicI64::new(0);

#[tokio::test(start_paused = true)]
async fn the_time_of_day_ends_a_token_on_a_machine_that_slept() {
    let clock = || Timestamp::from_millis(now().as_millis() + LATER.load(Ordering::SeqCst));
    let world = World::at(clock).await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    let begun = Instant::now();
    listener.block().await.expect("a heartbeat");
    LATER.store(86_400_000 + 5_000, Ordering::SeqCst);
    world.publish(OWN, 0..1).await;
    while listener.block().await.is_some() {}
    assert!(begun.elapsed() <= Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(world.try_listen(CLIENT, "/stream", None).await.err().map(|answer| answer.status.as_u16()), Some(401));
}

// contract: "429 `TOO_MANY_STREAMS`"
#[tokio::test]
async fn a_caller_who_opens_too_many_streams_is_told_to_close_one() {
    let world = World::new().await;
    let mut open = Vec::new();
    let refused = loop {
        match world.try_listen(CLIENT, "/stream", None).await {
            Ok(listener) => open.push(listener),
            Err(answer) => break answer,
        }
    };
    assert_eq!(refused.failure(), (429, "TOO_MANY_STREAMS".to_owned()));
    assert!(refused.header("retry-after").is_some());
    let shown = format!("shipping_streams_open {}", open.len());
    assert!(world.registry.text().expect("encodes").contains(&shown));
    assert!(world.try_listen(OTHER_CLIENT, "/stream", None).await.is_ok(), "others are not in its way");
    open.pop();
    while world.try_listen(CLIENT, "/stream", None).await.is_err() {
        tokio::task::yield_now().await;
    }
}

// contract: "closed when the token or key ends or is withdrawn"
#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_what_was_presented_is_withdrawn() {
    let world = World::new().await;
    let body = json!({"name": "Dashboard", "role": "client", "client_id": OWN});
    let made = world.post(ADMIN, "/auth/api-keys", &body).await.json();
    let key = format!("Bearer {}", made["key"].as_str().expect("a key"));
    let user = world.bearer(CLIENT).await;
    let unchanged = world.bearer(OTHER_CLIENT).await;
    for (path, method, presented) in [
        (format!("/auth/api-keys/{}", made["id"].as_str().expect("an id")), "DELETE", key),
        (format!("/auth/users/{CLIENT}"), "PATCH", user),
    ] {
        let mut listener = world.listen_with(&presented, "/stream", None).await.expect("it stands");
        let mut other = world.listen_with(&unchanged, "/stream", None).await.expect("it stands");
        world.publish(OWN, 0..1).await;
        assert_eq!(numbers(&listener.changes(1, "version").await), [0]);
        let changed = world.change(ADMIN, method, &path, &json!({"disabled": true})).await;
        assert!(changed.status.is_success(), "{}", changed.text);
        let (begun, mut last) = (Instant::now(), None);
        while let Some(block) = listener.block().await {
            last = Some(block);
        }
        assert!(begun.elapsed() <= Duration::from_secs(45), "{:?}", begun.elapsed());
        assert_eq!(last.and_then(|block| block.comment).as_deref(), Some("the token or key has ended"));
        world.publish(OTHER, 1..2).await;
        assert_eq!(numbers(&other.changes(1, "version").await), [1], "others go on");
        let refused = world.listen_with(&presented, "/stream", None).await.err().expect("refused");
        assert_eq!(refused.failure().0, 401);
    }
}

#[tokio::test]
async fn a_stream_is_for_those_who_take_one() {
    let world = World::new().await;
    for (accept, expected) in [("text/event-stream", 200), ("*/*", 200), ("application/json", 406)] {
        let request =
            Request::get("/stream").header("authorization", world.bearer(CLIENT).await).header("accept", accept);
        let request = request.body(Body::empty()).expect("well-formed");
        let response = world.router.clone().oneshot(request).await.expect("the router is infallible");
        assert_eq!(response.status().as_u16(), expected, "{accept}");
    }
}
