//! What every store of unmapped codes must do. It must be empty at the beginning.

use std::sync::Arc;

use super::{CODES_PER_CARRIER, KEPT, Seen, UnmappedCode, UnmappedCodes};
use crate::shipment::Timestamp;

fn code(carrier: &str, code: &str, count: u64, second: i64) -> UnmappedCode {
    let at = Timestamp::from_millis(second * 1000);
    UnmappedCode {
        carrier: carrier.to_owned(),
        seen: Seen::Code(code.to_owned()),
        text: Some(format!("text of {code} at {second}")),
        count,
        first_seen: at,
        last_seen: at,
        tracking_number: "99M-ABC12345".parse().expect("well-formed"),
    }
}

/// Runs the suite.
///
/// # Panics
/// The store breaks its contract.
pub async fn run(codes: Arc<dyn UnmappedCodes>) {
    sightings_add_up(&*codes).await;
    lists_are_by_frequency(&*codes).await;
    many_add_at_once(codes.clone()).await;
    a_full_carrier_counts_the_rest(&*codes).await;
    what_was_not_seen_for_long_makes_room(&*codes).await;
}

async fn listed(codes: &dyn UnmappedCodes, carrier: &str) -> Vec<UnmappedCode> {
    codes.list(Some(carrier), u32::MAX).await.expect("reachable")
}

async fn sightings_add_up(codes: &dyn UnmappedCodes) {
    codes.add(&[]).await.expect("nothing is no mistake");
    assert_eq!(codes.list(None, 10).await.expect("reachable"), []);
    let first = code("adds", "X:1 $ü.", 2, 500);
    codes.add(std::slice::from_ref(&first)).await.expect("added");
    assert_eq!(listed(codes, "adds").await, std::slice::from_ref(&first));
    let other = "99M-XYZ98765".parse().expect("well-formed");
    let late = UnmappedCode { text: None, tracking_number: other, ..code("adds", "X:1 $ü.", 3, 100) };
    codes.add(std::slice::from_ref(&late)).await.expect("added");
    let both = UnmappedCode { count: 5, last_seen: first.last_seen, text: first.text, ..late };
    assert_eq!(listed(codes, "adds").await, [both]);

    let text = UnmappedCode { seen: Seen::Text("X:1 $ü.".to_owned()), ..code("adds", "", 1, 1) };
    codes.add(&[code("adds", "x:1 $ü.", 1, 2), text.clone()]).await.expect("added");
    let seen: Vec<_> = listed(codes, "adds").await.into_iter().map(|entry| entry.seen).collect();
    let code = |code: &str| Seen::Code(code.to_owned());
    assert_eq!(seen, [code("X:1 $ü."), code("x:1 $ü."), text.seen], "capitals count, and a text is no code");
}

async fn lists_are_by_frequency(codes: &dyn UnmappedCodes) {
    let sightings =
        [code("lists", "a", 5, 10), code("lists", "b", 7, 20), code("lists", "c", 5, 30), code("lists-2", "d", 6, 5)];
    codes.add(&sightings).await.expect("added");
    let order = |entries: Vec<UnmappedCode>| entries.into_iter().map(|entry| entry.seen).collect::<Vec<_>>();
    let expected = ["b", "c", "a"].map(|code| Seen::Code(code.to_owned()));
    assert_eq!(order(listed(codes, "lists").await), expected, "and nothing of lists-2");
    assert_eq!(order(codes.list(Some("lists"), 2).await.expect("reachable")), expected[..2]);
    let all = order(codes.list(None, 2).await.expect("reachable"));
    assert_eq!(all, ["b", "d"].map(|code| Seen::Code(code.to_owned())));
    assert_eq!(listed(codes, "list").await, [], "the whole name counts");
}

async fn many_add_at_once(codes: Arc<dyn UnmappedCodes>) {
    let adders = (0..8).map(|_| {
        let codes = codes.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                codes.add(&[code("many", "A", 1, 10), code("many", "B", 2, 10)]).await.expect("added");
            }
        })
    });
    for adder in adders.collect::<Vec<_>>() {
        adder.await.expect("no panic");
    }
    let counts: Vec<_> = listed(&*codes, "many").await.into_iter().map(|entry| (entry.seen, entry.count)).collect();
    assert_eq!(counts, [(Seen::Code("B".to_owned()), 80), (Seen::Code("A".to_owned()), 40)]);
}

/// A thousand codes, seen at `second`.
async fn fill(codes: &dyn UnmappedCodes, carrier: &str, second: i64) {
    let all: Vec<_> = (0..CODES_PER_CARRIER).map(|number| code(carrier, &number.to_string(), 1, second)).collect();
    codes.add(&all).await.expect("added");
    assert_eq!(listed(codes, carrier).await.len(), CODES_PER_CARRIER);
}

async fn a_full_carrier_counts_the_rest(codes: &dyn UnmappedCodes) {
    fill(codes, "full", 1_000).await;
    codes
        .add(&[code("full", "new", 3, 1_001), code("full", "7", 4, 1_001), code("full", "newer", 2, 1_002)])
        .await
        .expect("added");
    codes.add(&[code("full", "newest", 4, 1_003), code("not-full", "new", 1, 1)]).await.expect("added");
    let entries = listed(codes, "full").await;
    assert_eq!(entries.len(), CODES_PER_CARRIER + 1);
    let rest = &entries[0];
    assert_eq!((&rest.seen, rest.count, &rest.text), (&Seen::Rest, 9, &None));
    assert_eq!((rest.first_seen.unix_seconds(), rest.last_seen.unix_seconds()), (1_001, 1_003));
    assert_eq!(
        (&entries[1].seen, entries[1].count),
        (&Seen::Code("7".to_owned()), 5),
        "what is known is still counted"
    );
    assert_eq!(listed(codes, "not-full").await.len(), 1);
}

async fn what_was_not_seen_for_long_makes_room(codes: &dyn UnmappedCodes) {
    fill(codes, "old", 1_000).await;
    let kept = i64::try_from(KEPT.as_secs()).expect("some days");
    codes.add(&[code("old", "1", 1, 2_000)]).await.expect("added");
    codes.add(&[code("old", "early", 1, 1_000 + kept)]).await.expect("added");
    assert_eq!(listed(codes, "old").await[..1][0].seen, Seen::Code("1".to_owned()));
    assert_eq!(listed(codes, "old").await.len(), CODES_PER_CARRIER + 1, "nothing is old enough yet");
    codes.add(&[code("old", "late", 1, 1_001 + kept)]).await.expect("added");
    let left: Vec<_> = listed(codes, "old").await.into_iter().map(|entry| entry.seen).collect();
    assert_eq!(left, [Seen::Code("1".to_owned()), Seen::Code("late".to_owned()), Seen::Rest]);
    assert_eq!(listed(codes, "full").await.len(), CODES_PER_CARRIER + 1, "other carriers keep theirs");
}
