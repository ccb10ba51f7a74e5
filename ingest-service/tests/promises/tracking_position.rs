//! Read your writes: an answer says where its record stands, and a GET that brings that along shows it.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{ADMIN, Announce, Answer, CLIENT, DRIVER, OTHER_CLIENT, World, registration, report};

const APPLIED: &str = "tracking-position-applied";

fn position(answer: &Answer) -> String {
    answer.header("tracking-position").unwrap_or_else(|| panic!("no position: {answer:?}")).to_owned()
}

async fn read(world: &World, path: &str, position: &str) -> Answer {
    world.get_with(ADMIN, path, &[("tracking-position", position)]).await
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_into_the_log_says_where_it_stands() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let record = || {
        let stands = world.records().into_iter().map(|record| record.position);
        let last = stands.max_by_key(|position| position.offset).expect("a record");
        format!("{}:{}", last.partition, last.offset)
    };
    let event = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    assert_eq!((event.status, position(&event)), (StatusCode::ACCEPTED, record()));
    let waited = world.post_and_wait(DRIVER, &report(&number, "in_warehouse", 1)).await;
    assert_eq!((waited.status, position(&waited)), (StatusCode::ACCEPTED, record()), "nobody decides it");
    let registered = world.post(CLIENT, "/shipments", &registration()).await;
    assert_eq!(registered.status, StatusCode::ACCEPTED);
    let own = registered.json()["tracking_number"].as_str().expect("a number").to_owned();
    let of_own = world.records().into_iter().find(|record| record.key.as_deref() == Some(own.as_bytes()));
    let of_own = of_own.expect("it is in the log").position;
    assert_eq!(position(&registered), format!("{}:{}", of_own.partition, of_own.offset));

    world.process().await;
    let again = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    assert_eq!((&again.json()["status"], again.header("tracking-position")), (&json!("duplicate"), None), "no record");
}

#[tokio::test]
async fn a_batch_says_the_last_position_of_each_partition() {
    let world = World::new().await;
    let numbers = ["99M-AAAAAA", "99M-BBBBBB", "99M-CCCCCC", "99M-DDDDDD", "99M-EEEEEE", "99M-FFFFFF", "99M-GGGGGG"];
    let events: Vec<_> = (0..2).flat_map(|minute| numbers.map(|number| report(number, "picked_up", minute))).collect();
    let answer = world.post(DRIVER, "/events/batch", &json!(events)).await;
    let mut last = std::collections::BTreeMap::new();
    for record in world.records() {
        let known = last.entry(record.position.partition).or_insert(0);
        *known = record.position.offset.max(*known);
    }
    assert!(last.len() > 1, "several partitions: {last:?}");
    let expected: Vec<_> = last.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
    assert_eq!(position(&answer), expected.join(","));
    world.process().await;
    let seen = read(&world, "/shipments", &position(&answer)).await;
    assert_eq!((seen.status, seen.header(APPLIED)), (StatusCode::OK, Some("true")));
}

async fn read_back(announce: Announce) {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let posted = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    let (shipment, event) = (format!("/shipments/{number}"), posted.header("location").expect("a location").to_owned());
    let (of_event, trail) = (position(&posted), format!("{shipment}/events"));
    let reads = async {
        tokio::join!(
            read(&world, &shipment, &of_event),
            read(&world, &trail, &of_event),
            read(&world, &event, &of_event)
        )
    };
    let processing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.processor(announce)
    };
    let ((shipment, trail, event), _processor) = tokio::join!(reads, processing);
    assert_eq!(shipment.json()["current_status"], "picked_up");
    assert_eq!(trail.json()["data"][1]["outcome"], "applied");
    assert_eq!(event.json()["outcome"], "applied");
    for answer in [&shipment, &trail, &event] {
        assert_eq!(answer.header(APPLIED), Some("true"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_brings_a_position_along_shows_what_was_written_there() {
    read_back(Announce::Yes).await;
}

#[tokio::test(start_paused = true)]
async fn it_does_so_when_all_notices_are_lost() {
    read_back(Announce::No).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_waits_until_everything_is_applied() {
    let world = World::new().await;
    let registered = world.post(CLIENT, "/shipments", &registration()).await;
    assert_eq!(registered.status, StatusCode::ACCEPTED);
    let of_registration = position(&registered);
    let processing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.process().await;
    };
    let (page, ()) = tokio::join!(read(&world, "/shipments?status=created", &of_registration), processing);
    assert_eq!((page.header(APPLIED), &page.json()["pagination"]["total"]), (Some("true"), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_is_shown_what_is_there() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let posted = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    let nothing = "/shipments/99M-ZZZZZZZZ".to_owned();
    for (path, status) in [(format!("/shipments/{number}"), 200), ("/shipments".to_owned(), 200), (nothing, 404)] {
        for position in [position(&posted), "0:9223372036854775807".to_owned(), "2147483647:0".to_owned()] {
            let begun = Instant::now();
            let answer = read(&world, &path, &position).await;
            assert_eq!((answer.status.as_u16(), answer.header(APPLIED)), (status, Some("false")), "{path} {position}");
            assert_eq!(begun.elapsed().as_secs(), 5, "{path} {position}");
        }
    }
    let shown = world.get(ADMIN, &format!("/shipments/{number}")).await;
    assert_eq!(
        (&shown.json()["current_status"], shown.header(APPLIED)),
        (&json!("created"), None),
        "nothing was asked"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_of_an_earlier_life_of_the_topic_proves_nothing() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    for minute in 0..5 {
        world.post(DRIVER, "/events", &report(&number, "picked_up", minute)).await;
    }
    world.process().await;
    // The same store beside a log that was made anew, whose notices are lost.
    let store = world.store.clone();
    let anew = World::with(|ports| ports.store = store).await;
    let posted = anew.post(DRIVER, "/events", &report(&number, "in_warehouse", 9)).await;
    let answer = read(&anew, &format!("/shipments/{number}"), &position(&posted)).await;
    assert_eq!(answer.header(APPLIED), Some("false"));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_does_not_wait_and_a_malformed_position_is_named() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let path = format!("/shipments/{number}");
    let begun = Instant::now();
    let far = [("tracking-position", "0:9999")];
    assert_eq!(world.get_with(DRIVER, &path, &far).await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get_with(ADMIN, "/shipments/parcel", &far).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.get_with(ADMIN, "/shipments?limit=0", &far).await.status, StatusCode::BAD_REQUEST);
    for path in [&*path, "/shipments", &format!("{path}/events"), "/events/evt_ABC12345_0000000000000000000000"] {
        for bad in ["", "3", "a:b", "-1:5", "3:-5", "0:1;1:2"] {
            let answer = world.get_with(ADMIN, path, &[("tracking-position", bad)]).await;
            assert_eq!(answer.fields(), [("Tracking-Position".to_owned(), "malformed".to_owned())], "{path} {bad}");
        }
        let many = vec!["0:1"; 129].join(",");
        let answer = world.get_with(ADMIN, path, &[("tracking-position", &many)]).await;
        assert_eq!(answer.fields(), [("Tracking-Position".to_owned(), "too_long".to_owned())], "{path}");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let other = world.get_with(OTHER_CLIENT, &path, &far).await;
    assert_eq!((other.status, other.json()["current_status"].clone()), (StatusCode::FORBIDDEN, Value::Null));
}
