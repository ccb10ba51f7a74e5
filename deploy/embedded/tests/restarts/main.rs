//! The real program is killed, and ended, in the middle of concurrent posting. Whatever it acknowledged must be there afterwards,
//! once, with its outcome, and every parcel's history must be the fold of its events in order.

mod rastro;
mod streams;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use rastro::{Rastro, command};
use worker::{Parcel, Site};

const WORKERS: usize = 12;
/// No answer takes longer, however slow the machine; a request that does has found a bug.
const ANSWER: Duration = Duration::from_secs(60);

/// Runs the workers while `end` ends the program after each count of `rounds` acknowledgements; then checks everything.
async fn survive(rounds: &[u64], end: impl AsyncFn(Rastro, &Path)) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut rastro = Rastro::start(directory.path());
    let client = Client::builder().timeout(ANSWER).build().expect("a client");
    let token = log_in(&client, &rastro.address).await;
    let (address, watched) = watch::channel(Some(rastro.address.clone()));
    let site = Arc::new(Site {
        client,
        token,
        address: watched,
        acknowledged: watch::Sender::new(0),
        finishing: AtomicBool::new(false),
        repeated: AtomicU64::new(0),
        parcels: AtomicU64::new(0),
    });
    let workers: Vec<_> = (0..WORKERS).map(|worker| tokio::spawn(site.clone().work(worker))).collect();
    let mut acknowledged = site.acknowledged.subscribe();
    for count in rounds {
        let goal = *acknowledged.borrow() + count;
        acknowledged.wait_for(|now| *now >= goal).await.expect("the site is there");
        end(rastro, directory.path()).await;
        address.send_replace(None);
        rastro = Rastro::start(directory.path());
        address.send_replace(Some(rastro.address.clone()));
    }
    site.finishing.store(true, Ordering::SeqCst);
    let mut parcels = Vec::new();
    for worker in workers {
        parcels.extend(worker.await.expect("no worker panicked"));
    }
    site.settle().await;
    for parcel in &parcels {
        check(&site, parcel).await;
    }
    let shipments = site.get("/shipments?limit=1").await["pagination"]["total"].clone();
    assert_eq!(shipments, site.parcels.load(Ordering::Relaxed), "one for each key, however often it was sent");
    let (repeated, events) = (site.repeated.load(Ordering::Relaxed), parcels.iter().map(|parcel| parcel.events.len()));
    eprintln!("{} parcels, {} events, {repeated} requests sent again", parcels.len(), events.sum::<usize>());
    assert!(repeated > 0, "the program was never away while somebody posted");
    assert!(rastro.terminate().await.success());
}

async fn log_in(client: &Client, address: &str) -> String {
    let body = json!({"username": "admin_user", "password": "password123"});
    let answer = client.post(format!("{address}/auth/login")).json(&body).send().await.expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    answer["token"].as_str().expect("a token").to_owned()
}

async fn check(site: &Site, parcel: &Parcel) {
    let number = &parcel.number;
    let mut last = -1;
    for (id, outcome) in &parcel.events {
        let found = site.get(&format!("/events/{id}")).await;
        assert_eq!(found["outcome"], *outcome, "{found}");
        let offset = found["offset"].as_i64().expect("a number");
        assert!(offset > last, "{number}: {id} at {offset} was posted after the one at {last}");
        last = offset;
    }
    let shipment = site.get(&format!("/shipments/{number}")).await;
    let history = shipment["status_history"].as_array().expect("a list");
    let ids: Vec<_> = history.iter().skip(1).map(|entry| entry["event_id"].as_str().expect("a text")).collect();
    let entered = parcel.events.iter().filter(|(_, outcome)| matches!(*outcome, "applied" | "recorded"));
    assert_eq!(ids, entered.map(|(id, _)| id.as_str()).collect::<Vec<_>>(), "{number}: each once, in order");
    assert_eq!(history[0]["status"], "created");
    assert_eq!((&shipment["current_status"], &shipment["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(shipment["version"], history.len());
}

// contract: "only after the broker acknowledged the record"
// contract: "has exactly one final outcome"
// contract: "In both policies an event may carry a `kind`"
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_at_any_time() {
    let kill = async |rastro: Rastro, _: &Path| rastro.kill();
    survive(&[1, 40, 333, 90, 7, 250], kill).await;
}

// contract: "same body again: the first answer again"
#[tokio::test]
async fn an_answer_under_a_key_is_given_again_after_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let client = Client::builder().timeout(ANSWER).build().expect("a client");
    let rastro = Rastro::start(directory.path());
    let token = log_in(&client, &rastro.address).await;
    let register = async |rastro: &Rastro| {
        let request = client.post(format!("{}/shipments", rastro.address)).bearer_auth(&token);
        let answer = request.header("idempotency-key", "one").json(&worker::parcel()).send().await.expect("answered");
        let replayed = answer.headers().get("idempotent-replayed").map(|value| value == "true");
        (answer.status(), replayed, answer.text().await.expect("text"))
    };
    let (status, replayed, text) = register(&rastro).await;
    assert_eq!((status.as_u16(), replayed), (201, None), "{text}");
    rastro.kill();
    let rastro = Rastro::start(directory.path());
    assert_eq!(register(&rastro).await, (status, Some(true), text));
}

// contract: "only after the broker acknowledged the record"
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_loses_nothing_and_leaves_one_file() {
    let terminate = async |rastro: Rastro, data: &Path| {
        let status = rastro.terminate().await;
        assert!(status.success(), "{status}");
        assert!(!data.join("rastro.sqlite-wal").exists(), "everything is in the database file");
    };
    survive(&[150, 60], terminate).await;
}

#[tokio::test]
async fn what_the_start_prints_can_be_pasted() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("left out: curl is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let rastro = Rastro::start(directory.path());
    let pasted: Vec<_> = rastro.greeting.lines().skip_while(|line| !line.contains("Paste")).skip(1).collect();
    let output = std::process::Command::new("sh").args(["-c", &pasted.join("\n")]).output().expect("a shell");
    let answers: Vec<Value> =
        output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let [event, shipment] = answers.as_slice() else { panic!("two answers, not {output:?}") };
    assert_eq!(event["status"], "applied", "{event}");
    assert_eq!(shipment["current_status"], "picked_up", "{shipment}");
}

// contract: "A wrong value stops the start with one line"
#[test]
fn a_start_that_cannot_be_names_the_variable_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let rastro = Rastro::start(directory.path());
    let refusal = |data: &Path, variables: &[(&str, &str)]| {
        let output = command(data).envs(variables.iter().copied()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).expect("text")
    };
    let (_, port) = rastro.address.rsplit_once(':').expect("it has a port");
    let other = tempfile::tempdir().expect("a directory");
    for (line, variable) in [
        (refusal(other.path(), &[("PORT", port)]), "PORT"),
        (refusal(directory.path(), &[]), "DATA_DIR"),
        (refusal(Path::new("/dev/null/data"), &[]), "DATA_DIR"),
        (refusal(other.path(), &[("ENV", "production")]), "JWT_SECRET"),
        (refusal(other.path(), &[("DEDUP_TTL_SECONDS", "0")]), "DEDUP_TTL_SECONDS"),
    ] {
        assert!(line.starts_with(&format!("rastro: {variable}: ")), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
