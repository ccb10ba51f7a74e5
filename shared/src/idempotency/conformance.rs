//! What all keys must do, through two adapters on one store: two instances of the edge. The store must not have been used before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    ANSWER_BYTES, Attempt, Claim, Fingerprint, IdempotencyKeys, KeptAnswer, KeyId, LEASE, REMEMBERED, Standing,
};
use crate::shipment::Timestamp;

/// How many begin, take over or finish at once.
const RACERS: u16 = 16;

type Keys = [Arc<dyn IdempotencyKeys>; 2];

fn now() -> Timestamp {
    Timestamp::from_millis(1_750_000_000_123)
}

fn just_before(duration: Duration) -> Timestamp {
    now().plus(duration - Duration::from_millis(1))
}

fn claim(key: &str) -> Claim {
    Claim { id: KeyId::of(&[key.as_bytes()]), fingerprint: Fingerprint::of(&[b"request"]) }
}

fn other_request(key: &str) -> Claim {
    Claim { fingerprint: Fingerprint::of(&[b"another request"]), ..claim(key) }
}

fn plan(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// An answer with a body of arbitrary bytes.
pub(super) fn answer(status: u16) -> KeptAnswer {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header("location", "/shipments/99M-ABC12345"), header("content-type", "application/json")];
    let body = (0..=u8::MAX).chain(status.to_be_bytes()).collect();
    KeptAnswer { status, headers, body }
}

/// The attempt and the plan of one who may start.
#[track_caller]
fn started(standing: Option<Standing>) -> (Attempt, Bytes) {
    match standing {
        Some(Standing::Started { attempt, plan }) => (attempt, plan),
        other => panic!("not started but {other:?}"),
    }
}

async fn begin(keys: &Keys, key: &str) -> Attempt {
    let standing = keys[0].begin(&claim(key), plan("first"), now()).await.expect("reachable");
    let (attempt, given) = started(Some(standing));
    assert_eq!((attempt.took_over(), given), (false, plan("first")));
    attempt
}

/// How the request stands, by both ways in, in both instances.
async fn stands(keys: &Keys, claim: &Claim, now: Timestamp) -> Standing {
    let mut standings = Vec::new();
    for keys in keys {
        standings.push(keys.begin(claim, plan("second"), now).await.expect("reachable"));
        standings.extend(keys.resume(claim, now).await.expect("reachable"));
    }
    assert_eq!(standings.len(), 4, "the key is known");
    assert!(standings.windows(2).all(|pair| pair[0] == pair[1]), "{standings:?}");
    standings.swap_remove(0)
}

/// Runs the suite.
///
/// # Panics
/// The keys break their contract.
pub async fn run(keys: Keys) {
    a_key_is_taken_once_and_answered_for_ever_in_the_same_way(&keys).await;
    a_key_belongs_to_its_request(&keys).await;
    an_attempt_is_left_alone_until_its_lease_runs_out(&keys).await;
    the_first_answer_counts_whoever_gave_it(&keys).await;
    an_attempt_that_was_given_back_is_taken_over_at_once(&keys).await;
    a_key_is_new_again_after_its_time(&keys).await;
    an_attempt_of_yesterday_does_not_touch_the_key_of_today(&keys).await;
    of_all_who_race_one_wins(&keys).await;
    the_largest_answer_is_kept_to_the_byte(&keys).await;
}

// contract: "same body again: the first answer again"
async fn a_key_is_taken_once_and_answered_for_ever_in_the_same_way(keys: &Keys) {
    for keys in keys {
        assert_eq!(keys.resume(&claim("simple"), now()).await.expect("reachable"), None, "nothing was begun");
    }
    let attempt = begin(keys, "simple").await;
    assert_eq!(stands(keys, &claim("simple"), now()).await, Standing::Running);
    assert_eq!(keys[1].resume(&claim("another"), now()).await.expect("reachable"), None);
    assert_eq!(keys[0].finish(&attempt, &answer(201)).await.expect("reachable"), None, "ours is the first");
    assert_eq!(stands(keys, &claim("simple"), now()).await, Standing::Done(answer(201)));
    let again = keys[1].finish(&attempt, &answer(202)).await.expect("reachable");
    assert_eq!(again, Some(answer(201)), "an answer is never replaced");
    let at_the_end = stands(keys, &claim("simple"), just_before(REMEMBERED)).await;
    assert_eq!(at_the_end, Standing::Done(answer(201)), "the lease is over, the answer stays");
}

// contract: "other body: 422"
async fn a_key_belongs_to_its_request(keys: &Keys) {
    let attempt = begin(keys, "owned").await;
    assert_eq!(stands(keys, &other_request("owned"), now()).await, Standing::Reused);
    assert_eq!(stands(keys, &other_request("owned"), now().plus(LEASE)).await, Standing::Reused, "no take-over");
    keys[0].finish(&attempt, &answer(201)).await.expect("reachable");
    assert_eq!(stands(keys, &other_request("owned"), just_before(REMEMBERED)).await, Standing::Reused);
}

async fn an_attempt_is_left_alone_until_its_lease_runs_out(keys: &Keys) {
    for (key, by_beginning) in [("resumed", false), ("begun again", true)] {
        begin(keys, key).await;
        assert_eq!(stands(keys, &claim(key), just_before(LEASE)).await, Standing::Running);
        let then = now().plus(LEASE);
        let standing = if by_beginning {
            Some(keys[1].begin(&claim(key), plan("second"), then).await.expect("reachable"))
        } else {
            keys[1].resume(&claim(key), then).await.expect("reachable")
        };
        let (attempt, given) = started(standing);
        assert_eq!((attempt.took_over(), given), (true, plan("first")), "the first plan is done, by whoever does it");
        assert_eq!(stands(keys, &claim(key), then).await, Standing::Running, "it has a lease of its own");
        let (attempt, given) = started(keys[0].resume(&claim(key), then.plus(LEASE)).await.expect("reachable"));
        assert_eq!((attempt.took_over(), given), (true, plan("first")));
    }
}

async fn the_first_answer_counts_whoever_gave_it(keys: &Keys) {
    for (key, zombie_is_first) in [("zombie first", true), ("successor first", false)] {
        let zombie = begin(keys, key).await;
        let (successor, _) = started(keys[1].resume(&claim(key), now().plus(LEASE)).await.expect("reachable"));
        let (first, second) = if zombie_is_first { (zombie, successor) } else { (successor, zombie) };
        assert_eq!(keys[0].finish(&first, &answer(201)).await.expect("reachable"), None);
        assert_eq!(keys[1].finish(&second, &answer(202)).await.expect("reachable"), Some(answer(201)), "{key}");
        assert_eq!(stands(keys, &claim(key), now().plus(LEASE)).await, Standing::Done(answer(201)));
    }
}

async fn an_attempt_that_was_given_back_is_taken_over_at_once(keys: &Keys) {
    let first = begin(keys, "given back").await;
    keys[0].release(&first).await.expect("reachable");
    assert_eq!(
        stands(keys, &other_request("given back"), now()).await,
        Standing::Reused,
        "something may have been done"
    );
    let (second, given) = started(keys[1].resume(&claim("given back"), now()).await.expect("reachable"));
    assert_eq!((second.took_over(), given), (true, plan("first")), "something of the plan may have been done");
    keys[0].release(&first).await.expect("reachable");
    assert_eq!(stands(keys, &claim("given back"), now()).await, Standing::Running, "it was not its own to give back");
    keys[1].finish(&second, &answer(201)).await.expect("reachable");
    keys[1].release(&second).await.expect("reachable");
    assert_eq!(stands(keys, &claim("given back"), now()).await, Standing::Done(answer(201)));
}

// contract: "`Idempotency-Key` header: scoped"
async fn a_key_is_new_again_after_its_time(keys: &Keys) {
    let attempt = begin(keys, "answered yesterday").await;
    keys[0].finish(&attempt, &answer(201)).await.expect("reachable");
    begin(keys, "cut off yesterday").await;
    let today = now().plus(REMEMBERED);
    for key in ["answered yesterday", "cut off yesterday"] {
        assert_eq!(keys[0].resume(&claim(key), today).await.expect("reachable"), None, "{key}");
        let standing = keys[1].begin(&other_request(key), plan("of today"), today).await.expect("reachable");
        let (attempt, given) = started(Some(standing));
        assert_eq!((attempt.took_over(), given), (false, plan("of today")), "{key}");
        assert_eq!(stands(keys, &claim(key), today).await, Standing::Reused, "{key}");
        assert_eq!(stands(keys, &other_request(key), today).await, Standing::Running, "{key}");
        keys[0].finish(&attempt, &answer(202)).await.expect("reachable");
        let end = today.plus(REMEMBERED - Duration::from_millis(1));
        assert_eq!(stands(keys, &other_request(key), end).await, Standing::Done(answer(202)), "{key}");
    }
}

async fn an_attempt_of_yesterday_does_not_touch_the_key_of_today(keys: &Keys) {
    let zombie = begin(keys, "of two days").await;
    let today = now().plus(REMEMBERED);
    keys[1].begin(&claim("of two days"), plan("of today"), today).await.expect("reachable");
    assert_eq!(keys[0].finish(&zombie, &answer(201)).await.expect("reachable"), None);
    keys[0].release(&zombie).await.expect("reachable");
    assert_eq!(stands(keys, &claim("of two days"), today).await, Standing::Running);
}

async fn of_all_who_race_one_wins(keys: &Keys) {
    let claim = claim("raced for");
    let begun = race(keys, |keys, _| async move { keys.begin(&claim, plan("raced"), now()).await }).await;
    let resumed = race(keys, |keys, _| async move {
        keys.resume(&claim, now().plus(LEASE)).await.map(|standing| standing.expect("the key is known"))
    });
    let mut attempts = Vec::new();
    for standings in [begun, resumed.await] {
        let (winners, others): (Vec<_>, Vec<_>) =
            standings.into_iter().partition(|standing| matches!(standing, Standing::Started { .. }));
        assert_eq!(winners.len(), 1, "one starts");
        assert!(others.iter().all(|standing| *standing == Standing::Running), "{others:?}");
        attempts.extend(winners.into_iter().map(|winner| started(Some(winner)).0));
    }
    assert!(!attempts[0].took_over() && attempts[1].took_over(), "{attempts:?}");

    let finished = race(keys, |keys, racer| {
        let (attempt, answer) = (attempts[usize::from(racer) % 2], answer(200 + racer));
        async move { keys.finish(&attempt, &answer).await }
    });
    let finished = finished.await;
    let winner = finished.iter().position(Option::is_none).expect("one is first");
    assert_eq!(finished.iter().filter(|first| first.is_none()).count(), 1, "one is first");
    let counts = answer(200 + u16::try_from(winner).expect("there are few"));
    assert!(finished.iter().flatten().all(|first| *first == counts), "all give the same answer");
    assert_eq!(stands(keys, &claim, now()).await, Standing::Done(counts));
}

/// Runs `one` many times at once, alternately in both instances.
async fn race<T, F>(keys: &Keys, one: impl Fn(Arc<dyn IdempotencyKeys>, u16) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, crate::shipment_store::StoreError>> + Send + 'static,
{
    let racers = (0..RACERS).map(|racer| tokio::spawn(one(keys[usize::from(racer) % 2].clone(), racer)));
    let mut results = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        results.push(racer.await.expect("no panic").expect("reachable"));
    }
    results
}

async fn the_largest_answer_is_kept_to_the_byte(keys: &Keys) {
    let attempt = begin(keys, "large").await;
    let headers_bytes = answer(202).size() - answer(202).body.len();
    let body: Bytes = (0..ANSWER_BYTES - headers_bytes).map(|index| (index % 251) as u8).collect();
    let large = KeptAnswer { body, ..answer(202) };
    assert_eq!(large.size(), ANSWER_BYTES);
    assert_eq!(keys[0].finish(&attempt, &large).await.expect("reachable"), None);
    let standing = keys[1].resume(&claim("large"), now()).await.expect("reachable");
    assert!(standing == Some(Standing::Done(large)), "it comes back as it was");
}
