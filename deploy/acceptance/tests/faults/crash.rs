//! Programs that end under load, in good order and not.

use acceptance::platform::Platform;
use acceptance::servers::Servers;

use crate::{SOME, hold_to_account, traffic, troubles};

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

async fn come_back(platform: &mut Platform) {
    let Platform { edges, processors, .. } = platform;
    for served in edges.iter_mut().chain(processors.iter_mut()) {
        served.program.start_again();
    }
    for served in edges.iter_mut().chain(processors) {
        served.ready().await;
    }
}
