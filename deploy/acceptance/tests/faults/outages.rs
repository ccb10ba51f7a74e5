//! Servers that go away under load and come back. On a private set: others use the given one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acceptance::client::{Answer, Client};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report, with};
use acceptance::servers::{PrivateServers, Server, Servers};
use acceptance::stage::Stage;
use acceptance::{topic, wait};
use futures::future::join_all;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{SOME, hold_to_account, say, traffic, troubles};

/// How many tests use the private set; the last one clears it away.
static SERVERS: Stage<Mutex<PrivateServers>> = Stage::of(4);
/// Within how long a caller must be told that the log is away (contract: ten seconds).
const TOLD: Duration = Duration::from_secs(10);
/// Longest time until a program notices that a server has gone or is back.
const NOTICED: Duration = Duration::from_secs(60);

/// Runs `test` on the private set, alone.
fn on_private_servers(name: &str, test: impl AsyncFnOnce(&PrivateServers)) {
    if Servers::given(name).is_none() {
        return;
    }
    let open = async || Mutex::new(PrivateServers::start().await);
    SERVERS.play(name, open, async |servers| test(&*servers.lock().await).await);
}

/// Waits until `path` answers as wanted.
async fn says(client: &Client, path: &str, what: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let asked = async || Some(client.get(path).await).filter(&wanted);
    wait::until(&format!("{path} says {what}"), NOTICED, asked).await.0
}

/// Waits until `path` says so of each program.
async fn all_say(platform: &Platform, path: &str, what: &str, wanted: impl Fn(&Answer) -> bool) {
    for served in platform.edges.iter().chain(&platform.processors) {
        says(&Client::nobody(&served.url), path, what, &wanted).await;
    }
}

#[track_caller]
fn put_off(answer: &Answer) {
    answer.problem(503, "SERVICE_UNAVAILABLE");
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "a 503 says when to come again: {:?}", answer.headers);
}

// contract: "400 malformed or invalid, 401"
// contract: "200/503 `{status:"ok""
// contract: "ready does, and turns false on shutdown"
#[test]
fn without_mongodb_events_are_accepted_and_afterwards_applied_in_order() {
    on_private_servers("without_mongodb_events_are_accepted_and_afterwards_applied_in_order", async |servers| {
        let platform = Platform::pair(servers.servers(), 1, 1).await;
        let (ana, numbers, traffic) = traffic(&platform).await;
        servers.stop(Server::Mongodb).await;

        put_off(&ana.get(&format!("/shipments/{}", numbers[0])).await);
        put_off(&ana.get("/shipments").await);
        put_off(&ana.post("/auth/login", &json!({"username": "admin_user", "password": "password123"})).await);
        let ready = says(&ana, "/readyz", "what is missing", |answer| answer.body["checks"]["database"] != "ok").await;
        assert_eq!(ready.status, 200, "events are accepted: {}", ready.text);
        let why = ready.body["reasons"].to_string();
        assert!(why.contains("database"), "{why}");
        let health = says(&ana, "/health", "unhealthy", |answer| answer.body["status"] == "unhealthy").await;
        assert_eq!((health.status, &health.body["checks"]["event_queue"]), (503, &json!("ok")), "{}", health.text);
        traffic.goes_on(SOME).await;

        servers.start_again(Server::Mongodb).await;
        let back = Instant::now();
        all_say(&platform, "/health", "ok", |answer| answer.body["status"] == "ok").await;
        traffic.goes_on(SOME).await;
        let posters = traffic.end().await;
        assert_eq!(troubles(&posters), (0, 0), "whoever reports notices nothing");
        hold_to_account(&platform, &posters, &[]).await;
        say(&format!("everything was applied {:.1} s after MongoDB was back", back.elapsed().as_secs_f64()));
    });
}

// contract: "only after the broker acknowledged the record"
// contract: "400 malformed or invalid, 401"
// contract: "200/503 `{status:"ok""
// contract: "ready does, and turns false on shutdown"
#[test]
fn without_kafka_nothing_is_accepted_and_what_was_accepted_before_is_kept() {
    on_private_servers("without_kafka_nothing_is_accepted_and_what_was_accepted_before_is_kept", async |servers| {
        let platform = Platform::pair(servers.servers(), 1, 1).await;
        let (ana, numbers, traffic) = traffic(&platform).await;
        servers.kill(Server::Kafka).await;

        let told = async |path: &str, body| {
            let begun = Instant::now();
            put_off(&ana.post(path, &body).await);
            begun.elapsed()
        };
        let asked = numbers.iter().take(8).map(async |number| {
            let event = with(report(number, "picked_up", 1), json!({"source": "late"}));
            let (one, many) = futures::join!(told("/events", event.clone()), told("/events/batch", json!([event])));
            one.max(many)
        });
        let told = join_all(asked).await.into_iter().max().unwrap_or_default();
        let before = traffic.accepted();
        assert_eq!(ana.shipment(&numbers[0]).await["tracking_number"], *numbers[0], "queries are answered");
        let ready = says(&ana, "/readyz", "not ready", |answer| answer.status == 503).await;
        assert!(ready.body["reasons"].to_string().contains("log"), "{}", ready.text);
        says(&ana, "/health", "unhealthy", |answer| answer.status == 503).await;
        assert_eq!(traffic.accepted(), before, "nothing was accepted while it was away");

        servers.start_again(Server::Kafka).await;
        let back = Instant::now();
        traffic.goes_on(1).await;
        assert!(told <= TOLD, "every caller is told within {TOLD:?}: {told:?}");
        say(&format!(
            "without Kafka callers were told within {:.1} s, and accepted again {:.1} s after it was back",
            told.as_secs_f64(),
            back.elapsed().as_secs_f64()
        ));
        traffic.goes_on(SOME).await;
        let posters = traffic.end().await;
        assert!(troubles(&posters).0 > 0, "callers were put off");
        hold_to_account(&platform, &posters, &[]).await;
        let pair = platform.on_servers();
        let records = topic::read(&pair.servers.kafka_brokers, &pair.topic).await;
        let held: BTreeSet<_> = records.iter().filter_map(|record| record.header("ce_id")).collect();
        let accepted = posters.iter().flat_map(|poster| &poster.accepted);
        let missing: Vec<_> = accepted.filter(|accepted| !held.contains(accepted.event_id.as_str())).collect();
        assert!(missing.is_empty(), "accepted and not in the log: {missing:?}");
    });
}

// contract: "a duplicate is never applied twice"
// contract: "200/503 `{status:"ok""
#[test]
fn without_redis_everything_goes_on_and_duplicates_are_still_known() {
    on_private_servers("without_redis_everything_goes_on_and_duplicates_are_still_known", async |servers| {
        let platform = Platform::pair(servers.servers(), 1, 1).await;
        let (ana, _, traffic) = traffic(&platform).await;
        let known = ana.register(&parcel()).await;
        ana.report(&report(&known, "picked_up", 1)).await.with_status(200);
        servers.kill(Server::Redis).await;
        all_say(&platform, "/health", "degraded", |answer| {
            (answer.status, &answer.body["status"]) == (200, &json!("degraded"))
        })
        .await;
        assert_eq!(ana.get("/readyz").await.status, 200);

        let number = ana.register(&parcel()).await;
        for (event, expected) in [
            (report(&known, "picked_up", 1), "duplicate"),
            (report(&number, "picked_up", 1), "applied"),
            (report(&number, "picked_up", 1), "duplicate"),
            (report(&number, "in_warehouse", 2), "applied"),
        ] {
            assert_eq!(ana.report(&event).await.with_status(200)["status"], expected, "{event}");
        }
        ana.report(&report(&known, "in_warehouse", 1)).await.problem(409, "KEY_CONFLICT");
        traffic.goes_on(SOME).await;

        servers.start_again(Server::Redis).await;
        all_say(&platform, "/health", "ok", |answer| answer.body["status"] == "ok").await;
        traffic.goes_on(SOME).await;
        let posters = traffic.end().await;
        assert_eq!(troubles(&posters), (0, 0), "callers notice nothing");
        hold_to_account(&platform, &posters, &[]).await;
    });
}

// contract: "400 malformed or invalid, 401"
#[test]
fn a_server_that_hangs_is_like_one_that_is_away() {
    on_private_servers("a_server_that_hangs_is_like_one_that_is_away", async |servers| {
        let platform = Platform::pair(servers.servers(), 1, 1).await;
        let (ana, numbers, traffic) = traffic(&platform).await;
        let number = ana.register(&parcel()).await;

        servers.freeze(Server::Redis);
        all_say(&platform, "/health", "degraded", |answer| answer.body["status"] == "degraded").await;
        let begun = Instant::now();
        ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
        let without_redis = begun.elapsed();
        assert!(without_redis < TOLD, "{without_redis:?}");
        traffic.goes_on(SOME).await;
        servers.thaw(Server::Redis);
        all_say(&platform, "/health", "ok", |answer| answer.body["status"] == "ok").await;

        servers.freeze(Server::Mongodb);
        let begun = Instant::now();
        put_off(&ana.get(&format!("/shipments/{}", numbers[0])).await);
        let without_mongodb = begun.elapsed();
        assert!(without_mongodb <= TOLD, "{without_mongodb:?}");
        says(&ana, "/health", "unhealthy", |answer| answer.status == 503).await;
        traffic.goes_on(SOME).await;
        servers.thaw(Server::Mongodb);
        all_say(&platform, "/health", "ok", |answer| answer.body["status"] == "ok").await;
        let afterwards = ana.report(&report(&number, "in_warehouse", 2)).await.with_status(200);
        assert_eq!(afterwards["status"], "applied");

        servers.freeze(Server::Kafka);
        let begun = Instant::now();
        put_off(&ana.post("/events", &report(&number, "in_transit", 3)).await);
        let without_kafka = begun.elapsed();
        assert!(without_kafka <= TOLD, "{without_kafka:?}");
        says(&ana, "/readyz", "not ready", |answer| answer.status == 503).await;
        servers.thaw(Server::Kafka);
        traffic.goes_on(SOME).await;
        all_say(&platform, "/health", "ok", |answer| answer.body["status"] == "ok").await;
        say(&format!(
            "while a server hung: an outcome without Redis in {:.1} s, 503 without MongoDB in {:.1} s, without Kafka in {:.1} s",
            without_redis.as_secs_f64(),
            without_mongodb.as_secs_f64(),
            without_kafka.as_secs_f64()
        ));

        let posters = traffic.end().await;
        assert_eq!(troubles(&posters).1, 0, "everybody is answered");
        hold_to_account(&platform, &posters, &[]).await;
        let settled = ana.report(&report(&number, "in_transit", 3)).await;
        assert_eq!(settled.with_status(200)["tracking_number"], *number, "what was put off can be sent again");
        assert_eq!(ana.shipment(&number).await["current_status"], "in_transit");
    });
}
