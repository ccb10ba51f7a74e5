//! Dead letters over HTTP.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::event_log::{EventAppender, Header, NewRecord, Topic};
use shared::operator_log::{Act, OperatorLog};
use shared::shipment::TrackingNumber;

use crate::world::{ADMIN, CLIENT, DRIVER, World, now};

const LETTERS: &str = "/admin/dead-letters";

/// Buries record `n`, which is no JSON, and its original; gives the id of the letter.
async fn bury(world: &World, n: usize) -> String {
    let number: TrackingNumber = format!("99M-TEST{:04}", n % 3).parse().expect("well-formed");
    let headers = vec![Header::text("ce_id", format!("evt_{n}"))];
    let original = NewRecord::keyed(number, format!("no JSON {n}").into(), headers);
    let at = world.log.append(Topic::Events, vec![original.clone()]).await.all().expect("accepted")[0];
    let mut letter = NewRecord { partition: Some(at.partition), ..original };
    letter.headers.extend([
        Header::text("dlq.topic", "shipments.events"),
        Header::text("dlq.partition", at.partition.to_string()),
        Header::text("dlq.offset", at.offset.to_string()),
        Header::text("dlq.error.class", "NO_JSON"),
        Header::text("dlq.error.message", "the value is no JSON"),
        Header::text("dlq.attempts", "1"),
        Header::text("dlq.first_failed_at", now().to_string()),
        Header::text("dlq.group", "processor-service"),
    ]);
    let at = world.log.append(Topic::DeadLetters, vec![letter]).await.all().expect("accepted")[0];
    format!("{}:{}", at.partition, at.offset)
}

fn ids(answer: &Value, of: &str) -> Vec<String> {
    let listed = answer[of].as_array().expect("a list");
    listed.iter().map(|letter| letter["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn letters_are_listed_page_by_page_and_shown_whole() {
    let world = World::new().await;
    let mut buried = Vec::new();
    for n in 0..25 {
        buried.push(bury(&world, n).await);
    }
    let (mut seen, mut path) = (Vec::new(), format!("{LETTERS}?reason=NO_JSON&limit=10"));
    loop {
        let page = world.get(ADMIN, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        seen.extend(ids(&page.json(), "data"));
        let next = page.json()["pagination"]["next_cursor"].as_str().map(str::to_owned);
        let link = page.header("link").map(str::to_owned);
        assert_eq!(page.json()["pagination"]["has_next"], json!(next.is_some()));
        let Some(next) = next else { break };
        assert!(link.expect("a link").contains(&next));
        path = format!("{LETTERS}?reason=NO_JSON&limit=10&cursor={next}");
    }
    seen.sort_unstable();
    buried.sort_unstable();
    assert_eq!(seen, buried);
    let of_one = world.get(ADMIN, &format!("{LETTERS}?tracking_number=99m-test0001&limit=100")).await.json();
    assert_eq!(of_one["data"].as_array().expect("a list").len(), 8);
    assert!(
        world.get(ADMIN, &format!("{LETTERS}?reason=TOO_LARGE")).await.json()["data"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );

    let shown = world.get(ADMIN, &format!("/v1{LETTERS}/{}", buried[0])).await.json();
    assert_eq!((&shown["id"], &shown["reason"]), (&json!(buried[0]), &json!("NO_JSON")));
    assert_eq!((&shown["message"], &shown["attempts"]), (&json!("the value is no JSON"), &json!(1)));
    assert!(shown["value"].as_str().is_some_and(|value| value.starts_with("no JSON")), "{shown}");
    assert!(shown["headers"].as_array().is_some_and(|headers| headers.len() == 9), "{shown}");
    let around = shown["around"].as_array().expect("records");
    assert_eq!(around.iter().filter(|record| record["original"] == true).count(), 1, "{shown}");
}

#[tokio::test]
async fn a_redrive_says_what_it_would_do_and_then_does_it_in_the_caller_s_name() {
    let world = World::new().await;
    let mut buried = Vec::new();
    for n in 0..9 {
        buried.push(bury(&world, n).await);
    }
    let before = world.records().len();
    let path = format!("{LETTERS}/redrive");
    let dry = world.post(ADMIN, &path, &json!({"tracking_number": "99M-TEST0001", "dry_run": true})).await.json();
    assert_eq!((&dry["dry_run"], &dry["selected"], &dry["redriven"]), (&json!(true), &json!(3), &json!(0)));
    assert_eq!(world.records().len(), before);

    let done = world.post(ADMIN, &path, &json!({"tracking_number": "99M-TEST0001"})).await.json();
    assert_eq!((&done["selected"], &done["redriven"], &done["next_cursor"]), (&json!(3), &json!(3), &Value::Null));
    assert_eq!(ids(&done, "letters"), ids(&dry, "letters"));
    let redriven: Vec<_> =
        world.records().into_iter().filter(|record| record.header("x-replay-of").is_some()).collect();
    assert_eq!(redriven.len(), 3);
    for record in &redriven {
        assert_eq!(record.header("x-replayed-by"), Some(ADMIN));
        assert!(record.headers.iter().all(|header| !header.name.starts_with("dlq.")));
    }
    let entries = world.operators.newest(None, 10).await.expect("in memory");
    assert_eq!((entries.len(), entries[0].act, entries[0].by.as_str()), (1, Act::DeadLettersRedriven, ADMIN));
    assert_eq!(entries[0].details["selection"]["tracking_number"], "99M-TEST0001");

    let told = world.get(ADMIN, "/admin/operator-log?limit=1").await.json();
    assert_eq!((&told["data"][0]["by"], &told["data"][0]["act"]), (&json!(ADMIN), &json!("dead_letters_redriven")));

    let named = world.post(ADMIN, &path, &json!({"ids": [buried[0], "0:99999"]})).await.json();
    assert_eq!((&named["redriven"], &named["unknown"]), (&json!(1), &json!(["0:99999"])));
    let page = world.post(ADMIN, &path, &json!({"reason": "NO_JSON", "limit": 4})).await.json();
    let next = page["next_cursor"].as_str().expect("more");
    let rest = world.post(ADMIN, &path, &json!({"reason": "NO_JSON", "cursor": next})).await.json();
    assert_eq!((&page["redriven"], &rest["redriven"]), (&json!(4), &json!(5)));
}

#[tokio::test]
async fn an_operator_s_word_in_a_storm_is_kept() {
    let world = World::new().await;
    let path = format!("{LETTERS}/storm/continue");
    assert_eq!(world.post(ADMIN, &path, &json!({})).await.status, StatusCode::ACCEPTED);
    let entries = world.operators.newest(Some(Act::DeadLetterStormContinued), 10).await.expect("in memory");
    assert_eq!((entries.len(), entries[0].by.as_str(), entries[0].at), (1, ADMIN, now()));
}

#[tokio::test]
async fn only_an_admin_sees_or_moves_dead_letters() {
    let world = World::new().await;
    let id = bury(&world, 1).await;
    let before = world.records().len();
    for user in [CLIENT, DRIVER] {
        for path in [LETTERS.to_owned(), format!("{LETTERS}/{id}"), "/admin/operator-log".to_owned()] {
            assert_eq!(world.get(user, &path).await.failure(), (403, "FORBIDDEN".to_owned()), "{path}");
        }
        for (path, body) in [("redrive", json!({"ids": [id]})), ("storm/continue", json!({}))] {
            let answer = world.post(user, &format!("{LETTERS}/{path}"), &body).await;
            assert_eq!(answer.failure(), (403, "FORBIDDEN".to_owned()), "{path}");
        }
    }
    assert_eq!(world.records().len(), before);
    assert!(world.operators.newest(None, 10).await.expect("in memory").is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_named_and_what_is_away_is_told() {
    let world = World::new().await;
    let listed = world.get(ADMIN, &format!("{LETTERS}?from=now&reson=x")).await;
    assert_eq!(
        listed.fields(),
        [("from", "malformed"), ("reson", "unknown_field")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    for id in ["0:0", "9:1", "x", "0:-1"] {
        assert_eq!(world.get(ADMIN, &format!("{LETTERS}/{id}")).await.failure(), (404, "NOT_FOUND".to_owned()), "{id}");
    }
    let redrive = format!("{LETTERS}/redrive");
    assert_eq!(world.post(ADMIN, &redrive, &json!({})).await.failure(), (400, "VALIDATION_ERROR".to_owned()));
    assert_eq!(world.get(ADMIN, &redrive).await.failure().0, 405, "no letter has that id");
    let id = bury(&world, 1).await;
    world.operators.set_away(true);
    let answer = world.post(ADMIN, &redrive, &json!({"ids": [id]})).await;
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    world.log.set_away(true);
    assert_eq!(world.get(ADMIN, LETTERS).await.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
}
