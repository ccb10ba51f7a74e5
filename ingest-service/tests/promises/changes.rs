//! What those who ask for changes may rely on.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::event_log::{Position, Topic};

use crate::world::{ADMIN, Answer, CLIENT, DRIVER, OTHER_CLIENT, World};

const OWN: &str = "client_001";
const OTHER: &str = "client_002";

fn versions(page: &Value) -> Vec<i64> {
    let data = page["data"].as_array().expect("a page");
    data.iter().map(|change| change["version"].as_i64().expect("a number")).collect()
}

fn next(page: &Value) -> (bool, String) {
    let pagination = &page["pagination"];
    let cursor = pagination["next_cursor"].as_str().expect("there always is one").to_owned();
    (pagination["has_next"].as_bool().expect("a flag"), cursor)
}

async fn page(world: &World, user: &str, query: &str) -> Value {
    let answer = world.get(user, &format!("/changes?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json()
}

/// Everything from a page on, and how many pages that took.
async fn walk(world: &World, user: &str, query: &str, mut cursor: String) -> (Vec<Value>, usize) {
    let (mut data, mut pages) = (Vec::new(), 0);
    loop {
        let page = page(world, user, &format!("{query}&cursor={cursor}")).await;
        data.extend(page["data"].as_array().expect("a page").iter().cloned());
        let (has_next, next) = next(&page);
        assert!(!has_next || next != cursor, "a page that is not the last one goes on");
        (cursor, pages) = (next, pages + 1);
        if !has_next {
            return (data, pages);
        }
    }
}

// contract: "the same feed a page at a time"
#[tokio::test]
async fn pages_show_every_change_once_in_the_order_of_each_shipment() {
    let world = World::new().await;
    let begin = next(&page(&world, CLIENT, "").await);
    assert!(!begin.0);
    world.publish(OWN, 0..230).await;
    for (limit, cursor) in [(7, ""), (100, ""), (1_000, ""), (7, begin.1.as_str())] {
        let (data, pages) = walk(&world, CLIENT, &format!("limit={limit}"), cursor.to_owned()).await;
        assert_eq!(pages, 230_usize.div_ceil(limit), "limit {limit}");
        for shipment in 0..50 {
            let versions = data.iter().filter_map(|change| change["version"].as_i64());
            let told: Vec<_> = versions.filter(|version| version % 50 == shipment).collect();
            assert_eq!(told, (0..230).filter(|n| n % 50 == shipment).collect::<Vec<_>>(), "shipment {shipment}");
        }
        assert_eq!(data.iter().map(|change| change["id"].to_string()).collect::<BTreeSet<_>>().len(), 230);
    }
    let first = page(&world, CLIENT, "limit=1").await;
    assert_eq!((first["pagination"]["limit"].clone(), next(&first).0), (json!(1), true));
    assert_eq!(
        first["data"][0]["id"], first["pagination"]["next_cursor"],
        "the id of a change is the cursor behind it"
    );
}

// contract: "the same feed a page at a time"
#[tokio::test]
async fn a_page_and_a_stream_go_on_with_each_other_s_ids() {
    let world = World::new().await;
    world.publish(OWN, 0..20).await;
    let half = page(&world, CLIENT, "limit=10").await;
    let mut told: BTreeSet<i64> = versions(&half).into_iter().collect();
    let mut listener = world.listen(CLIENT, "/stream", Some(&next(&half).1)).await;
    for version in listener.changes(5, "version").await {
        assert!(told.insert(version.as_i64().expect("a number")), "{version} was told before");
    }
    let rest = page(&world, CLIENT, &format!("cursor={}", listener.last_id)).await;
    for version in versions(&rest) {
        assert!(told.insert(version), "{version} was told before");
    }
    assert_eq!(told, (0..20).collect());
    assert!(!next(&rest).0);
}

// contract: "without `cursor` from the oldest that is kept"
#[tokio::test]
async fn who_begins_now_gets_what_comes_later() {
    let world = World::new().await;
    world.publish(OWN, 0..20).await;
    let now = page(&world, CLIENT, "cursor=now").await;
    assert_eq!((versions(&now), next(&now).0), (Vec::new(), false));
    let cursor = next(&now).1;
    assert_eq!(versions(&page(&world, CLIENT, &format!("cursor={cursor}")).await), Vec::<i64>::new());
    world.publish(OWN, 20..21).await;
    assert_eq!(versions(&page(&world, CLIENT, &format!("cursor={cursor}")).await), [20]);
}

// contract: "`GET /changes` | `?client_id&status&cursor&limit`"
// contract: "`GET /changes` | admin, client (own shipments)"
#[tokio::test]
async fn a_client_is_shown_its_own_changes_and_a_source_none() {
    let world = World::new().await;
    for (client, n) in [(OWN, 1), (OTHER, 2), (OWN, 3)] {
        world.publish(client, n..n + 1).await;
    }
    let sorted = async |user, query| {
        let mut versions = versions(&page(&world, user, query).await);
        versions.sort_unstable();
        versions
    };
    assert_eq!(sorted(ADMIN, "").await, [1, 2, 3]);
    assert_eq!(sorted(ADMIN, "client_id=client_002").await, [2]);
    assert_eq!(sorted(ADMIN, "status=delivered").await, Vec::<i64>::new());
    assert_eq!(sorted(CLIENT, "").await, [1, 3]);
    assert_eq!(sorted(CLIENT, "client_id=client_001&status=picked_up").await, [1, 3]);
    assert_eq!(sorted(OTHER_CLIENT, "").await, [2]);
    assert_eq!(world.get(CLIENT, "/changes?client_id=client_002").await.failure(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(world.get(DRIVER, "/changes").await.failure(), (403, "FORBIDDEN".to_owned()));
}

// contract: "410 `CURSOR_EXPIRED` with a `next_cursor`"
#[tokio::test]
async fn a_cursor_that_is_not_kept_any_more_is_gone_and_a_fresh_one_is_given() {
    let world = World::new().await;
    world.publish(OWN, 0..100).await;
    let early = next(&page(&world, CLIENT, "limit=10").await).1;
    for partition in 0..4 {
        world.log.forget(Topic::Changes, Position { partition, offset: 15 });
    }
    let gone = world.get(CLIENT, &format!("/changes?cursor={early}")).await;
    assert_eq!(gone.failure(), (410, "CURSOR_EXPIRED".to_owned()));
    let fresh = gone.json()["next_cursor"].as_str().expect("a fresh one").to_owned();
    world.publish(OWN, 100..101).await;
    assert_eq!(versions(&page(&world, CLIENT, &format!("cursor={fresh}")).await), [100]);
    let kept = walk(&world, CLIENT, "limit=10", String::new()).await.0.len();
    assert_eq!(kept, 101 - 4 * 15, "without a cursor: from the oldest that is there");

    let elsewhere = World::new().await;
    assert_eq!(elsewhere.get(CLIENT, &format!("/changes?cursor={fresh}")).await.failure().0, 410);
}

#[tokio::test]
async fn a_client_whose_changes_are_rare_gets_there_in_pages_of_bounded_work() {
    let world = World::new().await;
    world.publish(OTHER, 0..30_000).await;
    world.publish(OWN, 30_000..30_001).await;
    let (data, pages) = walk(&world, CLIENT, "", String::new()).await;
    assert_eq!(data.iter().map(|change| &change["version"]).collect::<Vec<_>>(), [&json!(30_000)]);
    assert_eq!(pages, 4, "ten thousand are looked at for a page, whatever they are");
}

#[tokio::test]
async fn bad_parameters_are_named_and_an_outage_is_told() {
    let world = World::new().await;
    let fields = |answer: Answer| answer.fields().into_iter().map(|(field, _)| field).collect::<Vec<_>>();
    let answer = world.get(CLIENT, "/changes?cursor=nonsense&limit=0&status=lost&offset=1").await;
    assert_eq!(
        (answer.status, fields(answer)),
        (StatusCode::BAD_REQUEST, ["cursor", "limit", "status", "offset"].map(str::to_owned).to_vec())
    );
    world.log.set_away(true);
    let away = world.get(CLIENT, "/changes").await;
    assert_eq!(away.failure().0, 503);
    assert!(away.header("retry-after").is_some());
}
