//! Guessing passwords.

use std::time::Duration;

use axum::http::StatusCode;
use tower::ServiceExt;

use crate::log_in::login;
use crate::world::{ADMIN, CLIENT, DRIVER, OTHER_CLIENT, SECRET, World, pass};

/// Failures of one account from one address, and of one address (`throttle.rs`).
const OF_ACCOUNT: u32 = 5;
const OF_ADDRESS: u32 = 50;

/// When a test is given up.
const HUNG: Duration = Duration::from_secs(60);

const HERE: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.7";

async fn status(world: &World, address: &str, username: &str, password: &str) -> u16 {
    world.log_in_from(address, &[], username, password).await.status.as_u16()
}

async fn guess_until_throttled(world: &World, address: &str, username: &str) {
    for _ in 0..OF_ACCOUNT {
        assert_eq!(status(world, address, username, "a guess").await, 401);
    }
    assert_eq!(status(world, address, username, "a guess").await, 429);
}

// contract: "throttled (429)"
// contract: "Errors, one shape everywhere"
// contract: "400 malformed or invalid, 401"
#[tokio::test(start_paused = true)]
async fn an_account_that_is_guessed_at_from_an_address_has_to_wait_there_and_nobody_else_has_to() {
    let world = World::new().await;
    guess_until_throttled(&world, HERE, ADMIN).await;
    let refused = world.log_in_from(HERE, &[], ADMIN, "password123").await;
    assert_eq!(refused.failure(), (429, "TOO_MANY_REQUESTS".to_owned()), "the right password does not get through");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(status(&world, ELSEWHERE, ADMIN, "password123").await, 200, "its owner elsewhere");
    assert_eq!(status(&world, HERE, CLIENT, "password123").await, 200, "another account here");

    pass(Duration::from_secs(59)).await;
    let refused = world.log_in_from(HERE, &[], ADMIN, "password123").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, Some("1")), "it does not grow");
    pass(Duration::from_secs(1)).await;
    assert_eq!(status(&world, HERE, ADMIN, "password123").await, 200);
    assert_eq!(world.metric("shipping_logins_total{result=\"account_throttled\"}").await, 3);
}

#[tokio::test(start_paused = true)]
async fn whether_there_is_such_a_user_does_not_show_in_when_one_has_to_wait() {
    let world = World::new().await;
    guess_until_throttled(&world, HERE, ADMIN).await;
    guess_until_throttled(&world, HERE, "nobody").await;
}

#[tokio::test(start_paused = true)]
async fn many_who_guess_at_an_account_do_not_lock_its_owner_out() {
    let world = World::new().await;
    for host in 1..=20 {
        guess_until_throttled(&world, &format!("198.51.100.{host}"), ADMIN).await;
    }
    assert_eq!(status(&world, HERE, ADMIN, "password123").await, 200);
}

// contract: "throttled (429)"
#[tokio::test(start_paused = true)]
async fn an_address_that_guesses_around_has_to_wait_and_its_known_users_do_not() {
    let world = World::new().await;
    assert_eq!(status(&world, HERE, CLIENT, "password123").await, 200, "known here from now on");
    for number in 0..OF_ADDRESS {
        assert_eq!(status(&world, HERE, &format!("user {number}"), "password123").await, 401);
    }
    let refused = world.log_in_from(HERE, &[], OTHER_CLIENT, "password123").await;
    assert_eq!((refused.failure().0, refused.header("retry-after")), (429, Some("6")));
    assert_eq!(status(&world, HERE, CLIENT, "password123").await, 200);
    assert_eq!(status(&world, HERE, OTHER_CLIENT, "password123").await, 429, "a success gives strangers nothing back");
    assert_eq!(status(&world, ELSEWHERE, OTHER_CLIENT, "password123").await, 200);
    pass(Duration::from_secs(6)).await;
    assert_eq!(status(&world, HERE, OTHER_CLIENT, "password123").await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_does_not_choose_its_address_and_a_proxy_of_ours_may_say_it() {
    let settings = [("JWT_SECRET", SECRET), ("TRUSTED_PROXIES", "10.0.0.0/8")];
    let world = World::set(&settings).await;
    let through = async |peer: &str, forwarded: &str, password: &str| {
        world.log_in_from(peer, &[("x-forwarded-for", forwarded)], DRIVER, password).await.status
    };
    for number in 0..OF_ACCOUNT {
        let made_up = format!("192.0.2.{number}");
        assert_eq!(through(HERE, &made_up, "a guess").await, StatusCode::UNAUTHORIZED);
        assert_eq!(through("10.0.0.1", &format!("{made_up}, {ELSEWHERE}"), "a guess").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(through(HERE, "192.0.2.99", "password123").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        through("10.0.0.1", &format!("192.0.2.99, {ELSEWHERE}"), "password123").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(through("10.0.0.2", "192.0.2.99", "password123").await, StatusCode::OK, "somebody else behind a proxy");
}

#[tokio::test]
async fn who_hangs_up_has_guessed_all_the_same() {
    let world = World::new().await;
    for number in 1..=u64::from(OF_ACCOUNT) {
        let attempt = world.router.clone().oneshot(login(HERE, &[], ADMIN, "a guess"));
        // Polled once, which is until its hash is being computed; then its caller has gone.
        assert!(tokio::time::timeout(Duration::ZERO, attempt).await.is_err(), "nobody has waited for an answer");
        let counted = async {
            while world.metric("shipping_password_check_duration_seconds_count").await < number {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HUNG, counted).await.expect("an attempt, once made, is made to its end");
    }
    // The last one is counted a moment after its hash was.
    let throttled = async { while status(&world, HERE, ADMIN, "another guess").await != 429 {} };
    tokio::time::timeout(HUNG, throttled).await.expect("throttled");
    assert_eq!(world.metric("shipping_password_check_duration_seconds_count").await, u64::from(OF_ACCOUNT));
}
