//! What those who listen may rely on.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::event_log::{EventAppender, NewRecord, Position, Topic};

use crate::listener::{Listener, change};
use crate::world::{ADMIN, CLIENT, DRIVER, OTHER_CLIENT, World, report};

const OWN: &str = "client_001";
const OTHER: &str = "client_002";

/// A shipment of `client_001` that was picked up and brought to a warehouse.
async fn moved(world: &World) -> String {
    let number = world.shipment(OWN).await;
    for (status, minute) in [("picked_up", 0), ("in_warehouse", 1)] {
        world.post(DRIVER, "/events", &report(&number, status, minute)).await;
    }
    world.process().await;
    number
}

pub(crate) fn numbers(values: &[Value]) -> Vec<i64> {
    values.iter().map(|value| value.as_i64().expect("a number")).collect()
}

// contract: "200 `text/event-stream`: each change from now on"
// contract: "with `<partition>:<offset>:<time>` as ids"
#[tokio::test]
async fn a_stream_tells_what_changes_from_now_on_as_the_contract_writes_it() {
    let world = World::new().await;
    let number = moved(&world).await;
    let path = format!("/v1/shipments/{}/stream", number.to_lowercase());
    let mut listener = world.listen(CLIENT, &path, None).await;
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(listener.headers.get(name).and_then(|value| value.to_str().ok()), Some(value));
    }
    let begun = listener.last_id.clone();
    let posted = world.post(DRIVER, "/events", &report(&number, "in_transit", 2)).await.json();
    world.process().await;
    let event = listener.event().await;
    let mut data = event.data.expect("an event has data");
    let (partition, offset) = (data["partition"].take(), data["offset"].take());
    assert!(partition.is_i64() && offset.is_i64(), "where the event stands: {partition} {offset}");
    let expected = json!({"event_id": posted["event_id"], "tracking_number": number, "client_id": OWN,
        "from": "in_warehouse", "to": "in_transit", "version": 4, "timestamp": "2025-06-15T12:02:00Z",
        "recorded_at": "2025-06-15T15:06:40Z", "source": "driver_app", "partition": null, "offset": null});
    assert_eq!(data, expected);
    // Of one shipment the id is the position of the change and the time: of the last one before, and of this one.
    let read = |id: &str| -> Vec<i64> { id.split(':').map(|part| part.parse().expect("a number")).collect() };
    let (begun, id) = (read(&begun), read(&event.id.expect("an event has an id")));
    assert_eq!((id.len(), [begun[0], begun[1] + 1]), (3, [id[0], id[1]]));
}

// contract: "`GET /stream` | `?client_id&status`"
// contract: "`GET /stream` | admin, client (own shipments)"
#[tokio::test]
async fn each_caller_is_told_about_its_own_shipments_and_no_others() {
    let world = World::new().await;
    let streams = ["/stream", "/stream?client_id=client_002", "/stream?client_id=client_001"];
    let allowed =
        [(ADMIN, [200, 200, 200]), (CLIENT, [200, 403, 200]), (OTHER_CLIENT, [200, 200, 403]), (DRIVER, [403; 3])];
    for (user, expected) in allowed {
        for (path, expected) in streams.into_iter().zip(expected) {
            let status = match world.try_listen(user, path, None).await {
                Ok(_) => 200,
                Err(answer) => answer.status.as_u16(),
            };
            assert_eq!(status, expected, "{user} {path}");
        }
    }
    let mut everything = world.listen(ADMIN, "/stream", None).await;
    let mut of_one = world.listen(ADMIN, "/stream?client_id=client_002", None).await;
    let mut own = world.listen(CLIENT, "/stream", None).await;
    let mut none = world.listen(ADMIN, "/stream?client_id=nobody", None).await;
    for (client, n) in [(OWN, 1), (OTHER, 2), (OWN, 3), (OTHER, 4)] {
        world.publish(client, n..n + 1).await;
    }
    let sorted = |values: Vec<Value>| {
        let mut numbers = numbers(&values);
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(sorted(everything.changes(4, "version").await), [1, 2, 3, 4]);
    assert_eq!(sorted(of_one.changes(2, "version").await), [2, 4]);
    assert_eq!(sorted(own.changes(2, "version").await), [1, 3]);
    world.publish("nobody", 5..6).await;
    assert_eq!(numbers(&none.changes(1, "version").await), [5]);
    world.publish(OWN, 6..7).await;
    assert_eq!(numbers(&own.changes(1, "version").await), [6], "and nothing in between");

    let number = world.shipment(OWN).await;
    let path = format!("/shipments/{number}/stream");
    for (user, path, expected) in [
        (OTHER_CLIENT, path.as_str(), 403),
        (DRIVER, &path, 403),
        (ADMIN, "/shipments/99M-ZZZZZZZZ/stream", 404),
        (ADMIN, "/shipments/nonsense/stream", 400),
    ] {
        let answer = world.try_listen(user, path, None).await.err().expect("refused");
        assert_eq!(answer.status.as_u16(), expected, "{user} {path}");
    }
    assert!(world.try_listen(ADMIN, &path, None).await.is_ok());
}

#[tokio::test]
async fn a_filter_leaves_what_it_names() {
    let world = World::new().await;
    let mut delivered = world.listen(CLIENT, "/stream?status=in_warehouse", None).await;
    let number = moved(&world).await;
    let event = delivered.event().await.data.expect("an event has data");
    assert_eq!((&event["to"], &event["tracking_number"]), (&json!("in_warehouse"), &json!(number)));
    for (path, field) in [
        ("/stream?status=lost", "status"),
        ("/stream?stauts=created", "stauts"),
        (&format!("/shipments/{number}/stream?status=created"), "status"),
    ] {
        let answer = world.try_listen(CLIENT, path, None).await.err().expect("refused");
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(answer.fields()[0].0, field, "{path}");
    }
}

// contract: "`Last-Event-ID` goes on behind that place"
#[tokio::test]
async fn from_every_id_the_rest_comes_without_a_gap_and_without_a_repeat() {
    let world = World::new().await;
    let number = moved(&world).await;
    for path in [format!("/shipments/{number}/stream"), "/stream".to_owned()] {
        let mut first = world.listen(CLIENT, &path, None).await;
        let mut ids = vec![first.last_id.clone()];
        let mut told = Vec::new();
        for round in 0..3 {
            // Whatever the shipment allows, and others' changes in between.
            world.publish(OTHER, round * 10..round * 10 + 10).await;
            world.publish(OWN, round * 10 + 1_000..round * 10 + 1_005).await;
            if path == "/stream" {
                for version in first.changes(5, "version").await {
                    told.push(version);
                }
                ids.push(first.last_id.clone());
            }
        }
        if path != "/stream" {
            let steps = [("in_transit", 2), ("delivered", 3)];
            for (status, minute) in steps {
                world.post(DRIVER, "/events", &report(&number, status, minute)).await;
                world.process().await;
                told.extend(first.changes(1, "version").await);
                ids.push(first.last_id.clone());
            }
        }
        drop(first);
        // The tail of this instance knows them all; another one's begins at the end, and it reads them out of the topic.
        let other = world.replica(|_| ());
        let step = told.len() / (ids.len() - 1);
        for (index, id) in ids.iter().enumerate() {
            for replica in [&world, &other] {
                let rest = &told[index * step..];
                let mut again = replica.listen(CLIENT, &path, Some(id)).await;
                assert_eq!(again.last_id, *id, "it begins where the caller was cut off");
                // One by one: from each of them the rest comes too.
                let mut found = Vec::new();
                while found.len() < rest.len() {
                    found.extend(again.changes(1, "version").await);
                    let id = again.last_id.clone();
                    again = replica.listen(CLIENT, &path, Some(&id)).await;
                }
                let sorted = |values: &[Value]| {
                    let mut numbers = numbers(values);
                    numbers.sort_unstable();
                    numbers
                };
                assert_eq!(sorted(&found), sorted(rest), "{path} from {id}");
            }
        }
    }
}

/// The numbers of each shipment's changes, in the order in which they came.
async fn by_shipment(listener: &mut Listener, count: usize) -> BTreeMap<i64, Vec<i64>> {
    let mut shipments: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for n in numbers(&listener.changes(count, "version").await) {
        shipments.entry(n % 50).or_default().push(n);
    }
    shipments
}

fn all_in_order(shipments: &BTreeMap<i64, Vec<i64>>, range: std::ops::Range<i64>) {
    assert_eq!(shipments.len(), 50);
    for (shipment, told) in shipments {
        let expected: Vec<i64> = range.clone().filter(|n| n % 50 == *shipment).collect();
        assert_eq!(*told, expected, "shipment {shipment}");
    }
}

#[tokio::test]
async fn a_slow_caller_whom_the_ring_has_passed_gets_everything_once_and_in_order() {
    const MANY: i64 = 40_000;
    let world = World::new().await;
    let mut slow = world.listen(CLIENT, "/stream", None).await;
    let mut quick = world.listen(CLIENT, "/stream", None).await;
    let begun = slow.last_id.clone();
    let mut told = BTreeMap::new();
    for begin in (0..MANY).step_by(4_000) {
        world.publish(OWN, begin..begin + 4_000).await;
        for (shipment, more) in by_shipment(&mut quick, 4_000).await {
            told.entry(shipment).or_insert_with(Vec::new).extend(more);
        }
    }
    all_in_order(&told, 0..MANY);
    all_in_order(&by_shipment(&mut slow, usize::try_from(MANY).expect("fits")).await, 0..MANY);
    world.publish(OWN, MANY..MANY + 50).await;
    all_in_order(&by_shipment(&mut slow, 50).await, MANY..MANY + 50);

    let mut late = world.listen(ADMIN, "/stream", Some(&begun)).await;
    all_in_order(&by_shipment(&mut late, usize::try_from(MANY + 50).expect("fits")).await, 0..MANY + 50);
}

// contract: "`event: reset` when the place is not kept any more"
#[tokio::test]
async fn a_place_that_is_not_there_any_more_is_told_and_the_stream_goes_on_from_now() {
    let world = World::new().await;
    world.publish(OWN, 0..100).await;
    let page = world.get(CLIENT, "/changes?limit=10").await.json();
    let early = page["pagination"]["next_cursor"].as_str().expect("a cursor").to_owned();
    let far = {
        let other = World::new().await;
        other.publish(OWN, 0..400).await;
        other.listen(CLIENT, "/stream", None).await.last_id
    };
    for partition in 0..4 {
        world.log.forget(Topic::Changes, Position { partition, offset: 15 });
    }
    for (id, reason) in [(&early, "too_old"), (&far, "not_reached")] {
        let mut listener = world.listen(CLIENT, "/stream", Some(id)).await;
        let reset = listener.event().await;
        assert_eq!(reset.event.as_deref(), Some("reset"));
        assert_eq!(reset.data.expect("it says why")["reason"], reason);
        let id = reset.id.expect("a place to go on from");
        world.publish(OWN, 500..501).await;
        assert_eq!(numbers(&listener.changes(1, "version").await), [500]);
        let mut again = world.listen(CLIENT, "/stream", Some(&id)).await;
        assert_eq!(numbers(&again.changes(1, "version").await), [500], "the id of a reset is as good as any");
    }
    let number = world.shipment(OWN).await;
    let path = format!("/shipments/{number}/stream");
    let id = world.listen(CLIENT, &path, None).await.last_id;
    let (partition, rest) = id.split_once(':').expect("a position");
    let (offset, time) = rest.split_once(':').expect("a position and a time");
    let old = (format!("{partition}:3:{time}"), "too_old");
    let far = (format!("{partition}:{offset}9:{time}"), "not_reached");
    for (id, reason) in [old, far] {
        let mut listener = world.listen(CLIENT, &path, Some(&id)).await;
        let reset = listener.event().await;
        assert_eq!(
            (reset.event.as_deref(), &reset.data.expect("it says why")["reason"]),
            (Some("reset"), &json!(reason))
        );
    }
    let text = world.registry.text().expect("encodes");
    for line in ["{reason=\"too_old\"} 2", "{reason=\"not_reached\"} 2"] {
        assert!(text.contains(&format!("shipping_stream_resets_total{line}")), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_malformed_id_is_refused_by_its_name() {
    let world = World::new().await;
    let number = world.shipment(OWN).await;
    let path = format!("/shipments/{number}/stream");
    let whole = world.listen(CLIENT, "/stream", None).await.last_id;
    let partition =
        world.listen(CLIENT, &path, None).await.last_id.split(':').next().and_then(|p| p.parse::<i32>().ok());
    let another = format!("{}:4:1", partition.expect("a number") + 1);
    let long = "A".repeat(10_000);
    for (path, id) in [
        ("/stream", "nonsense"),
        ("/stream", "0:5:1"),
        ("/stream", long.as_str()),
        (path.as_str(), "nonsense"),
        (&path, &whole),
        (&path, &another),
    ] {
        let answer = world.try_listen(CLIENT, path, Some(id)).await.err().expect("refused");
        assert_eq!(answer.fields(), [("Last-Event-ID".to_owned(), "malformed".to_owned())], "{path} {id}");
    }
    assert!(world.try_listen(CLIENT, "/stream", Some("")).await.is_ok(), "an empty one is none");
}

#[tokio::test]
async fn while_the_log_is_away_no_stream_begins_and_those_that_are_open_live_on() {
    let world = World::new().await;
    let mut listener = world.listen(CLIENT, "/stream", None).await;
    world.log.set_away(true);
    let refused = world.try_listen(CLIENT, "/stream", None).await.err().expect("refused");
    assert_eq!(refused.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(refused.header("retry-after").is_some());
    world.log.set_away(false);
    world.publish(OWN, 0..1).await;
    assert_eq!(numbers(&listener.changes(1, "version").await), [0]);
}

#[tokio::test]
async fn a_record_that_is_no_change_is_passed_over() {
    let world = World::new().await;
    let mut listener = world.listen(ADMIN, "/stream", None).await;
    let number = change(OWN, 0).tracking_number;
    for odd in ["nonsense", "{}", "null"] {
        let record = NewRecord::keyed(number, odd.into(), Vec::new());
        world.log.append(Topic::Changes, vec![record]).await.all().expect("reachable");
    }
    world.publish(OWN, 0..1).await;
    assert_eq!(numbers(&listener.changes(1, "version").await), [0]);
    let page = world.get(ADMIN, "/changes").await.json();
    assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
}
