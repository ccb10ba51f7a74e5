//! A processor that cannot read what stands in the log.

use std::process::Command;
use std::time::Duration;

use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::topic::{self, Record};
use acceptance::{binary, wait};
use serde_json::{Value, json};

/// Longest time until something is noticed, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many records nobody can read.
const POISON: usize = 3_000;

#[tokio::test]
async fn a_storm_of_dead_letters_stops_the_processor_and_the_command_line_lets_it_through() {
    let name = "a_storm_of_dead_letters_stops_the_processor_and_the_command_line_lets_it_through";
    let Some(servers) = Servers::given(name) else { return };
    let platform = Platform::pair(&servers, 1, 1).await;
    let (admin, pair) = (platform.admin().await, platform.on_servers());
    let number = platform.a_client().await.register(&parcel()).await;
    let bad =
        |n: usize| Record::new(&format!("99M-BAD{n:05}"), "no JSON", &[("ce_type", "com.rastro.shipment.created.v1")]);
    let poison: Vec<_> = (0..POISON).map(bad).collect();
    topic::write(&servers.kafka_brokers, &pair.topic, &poison).await;

    let processor = platform.processors[0].nobody();
    let stands = async || {
        let health = processor.get("/health").await;
        (health.body["status"] == "degraded").then_some(health.body)
    };
    let (health, _) = wait::until("the processor says that it stands", PATIENCE, stands).await;
    assert!(health["reason"].as_str().is_some_and(|reason| reason.contains("dead-letters continue")), "{health}");
    assert_eq!(processor.get("/readyz").await.status, 503, "a rolling update must not go on");
    assert_eq!(processor.get("/livez").await.status, 200, "a restart would not help");
    assert!(platform.processors[0].metrics().await.contains("shipping_dlq_storm_open 1"));
    let letters = async || topic::read(&servers.kafka_brokers, &format!("{}.dlq", pair.topic)).await.len();
    assert!(letters().await < 1_000, "most of it stays where it is");
    let id = admin.accepted(&report(&number, "picked_up", 1)).await;

    let said = command(&platform, &["dead-letters", "continue"]);
    assert!(said.contains("let it through"), "{said}");
    assert_eq!(admin.outcome(&id).await["outcome"], "applied", "what came behind the storm is judged");
    let all = async || (letters().await == POISON).then_some(());
    wait::until("all letters are there", PATIENCE, all).await;

    let listed = command(&platform, &["dead-letters", "list", "--tracking-number", "99M-BAD00007"]);
    let letter: Value = serde_json::from_str(listed.trim()).unwrap_or_else(|error| panic!("{error}: {listed}"));
    assert_eq!(letter["reason"], "NO_JSON");
    let id = letter["id"].as_str().expect("an id");
    let shown: Value = serde_json::from_str(&command(&platform, &["dead-letters", "show", id])).expect("JSON");
    assert_eq!(shown["value"], "no JSON");
    let redriven: Value =
        serde_json::from_str(&command(&platform, &["dead-letters", "redrive", "--id", id])).expect("JSON");
    assert_eq!((&redriven["selected"], &redriven["redriven"]), (&json!(1), &json!(1)));
    // It is no better than it was.
    let again = async || (letters().await == POISON + 1).then_some(());
    wait::until("the redriven record is a letter again", PATIENCE, again).await;
}

/// What `processor-service` prints when an operator calls it on the platform's servers.
fn command(platform: &Platform, arguments: &[&str]) -> String {
    let pair = platform.on_servers();
    let environment = [
        ("KAFKA_BROKERS", &pair.servers.kafka_brokers),
        ("MONGO_URI", &pair.servers.mongo_uri),
        ("REDIS_ADDR", &pair.servers.redis_addr),
        ("KAFKA_TOPIC", &pair.topic),
        ("MONGO_DB", &pair.database),
    ];
    let ended =
        Command::new(binary::processor_service()).args(arguments).envs(environment).output().expect("it starts");
    let said = String::from_utf8(ended.stdout).expect("text");
    assert!(ended.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&ended.stderr));
    said
}
