//! Events behind a dead letter of their shipment: in both modes, on platforms of their own, since everything else is told without parking.

use std::path::Path;
use std::time::Duration;

use acceptance::client::{Client, text};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::servers::Servers;
use acceptance::{binary, wait};
use serde_json::{Value, json};

/// Longest time until something has come about, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long these platforms park, in seconds: longer than any test, unless the dead letter is old.
const PARKED_FOR: i64 = 3_600;
const REPORTED: &str = "com.rastro.shipment.status_reported.v1";

// contract: "its later events get the outcome `parked`"
// contract: "They are judged in the order in which they came"
// contract: "otherwise 202, at once with status `parked`"
#[tokio::test]
async fn rastro_parks_behind_a_dead_letter_and_restores_the_order() {
    let mut platform = Platform::embedded_with(&[("PARK_SECONDS", &PARKED_FOR.to_string())]).await;
    parks_and_restores_the_order(&mut platform).await;
}

// contract: "A redriven record is judged in the place of the one"
// contract: "and `parked`, the only one that is not final"
#[tokio::test]
async fn the_pair_parks_behind_a_dead_letter_and_restores_the_order() {
    let name = "the_pair_parks_behind_a_dead_letter_and_restores_the_order";
    let Some(servers) = Servers::given(name) else { return };
    let mut platform = Platform::pair_with(&servers, 1, 2, &[("PARK_SECONDS", &PARKED_FOR.to_string())]).await;
    parks_and_restores_the_order(&mut platform).await;
}

async fn parks_and_restores_the_order(platform: &mut Platform) {
    let ana = platform.a_client().await;
    let (repaired, given_up) = (ana.register(&parcel()).await, ana.register(&parcel()).await);
    for number in [&repaired, &given_up] {
        ana.report(&report(number, "picked_up", 1)).await.with_status(200);
    }
    let now = shared::clock::system().as_millis();
    let follows = report(&given_up, "in_transit", 3).to_string();
    bring_in(
        platform,
        &[
            line(&repaired, "no JSON", now, &[]),
            line(&given_up, "no JSON", now - PARKED_FOR * 1_000, &[]),
            line(&given_up, &follows, now, &[]),
        ],
    )
    .await;
    let (ana, admin) = (ana.before(&platform.edges[0].url), platform.admin().await);

    let letter = letter_of(&admin, &repaired).await;
    let later = report(&repaired, "in_transit", 3);
    let answer = ana.report(&later).await.with_status(202);
    assert_eq!(answer["status"], "parked", "it is an answer, though not the last one: {answer}");
    let id = text(&answer, "event_id");
    assert_eq!(ana.outcome(&id).await["outcome"], "parked");
    assert_eq!(statuses(&ana, &repaired).await, ["picked_up"], "the history shows what was judged");
    assert_eq!(outcomes(&ana, &repaired).await, ["applied", "applied", "parked"], "its events show all");
    assert_eq!(ana.report(&later).await.with_status(200)["status"], "duplicate");

    // What nobody could read, nobody can read now.
    admin.post("/admin/dead-letters/redrive", &json!({"ids": [letter["id"]]})).await.with_status(200);
    ana.report(&report(&repaired, "delivered", 4)).await.with_status(202);
    assert_eq!(outcomes(&ana, &repaired).await, ["applied", "applied", "parked", "parked"], "in vain");

    let original = &letter["original"];
    let of = format!("{}/{}/{}", text(original, "topic"), original["partition"], original["offset"]);
    let mended = report(&repaired, "in_warehouse", 2).to_string();
    bring_in(platform, &[line(&repaired, &mended, now, &[("x-replay-of", &of)])]).await;
    let ana = ana.before(&platform.edges[0].url);
    let whole = async || (ana.shipment(&repaired).await["current_status"] == "delivered").then_some(());
    wait::until("the mended record releases what waits", PATIENCE, whole).await;
    assert_eq!(
        statuses(&ana, &repaired).await,
        ["picked_up", "in_warehouse", "in_transit", "delivered"],
        "as if nothing had happened"
    );
    assert_eq!(outcomes(&ana, &repaired).await, ["applied"; 5]);
    assert_eq!(ana.outcome(&id).await["outcome"], "applied");

    // The other one's time was over when it came.
    let released = async || (outcomes(&ana, &given_up).await == ["applied", "applied", "rejected"]).then_some(());
    wait::until("what waited for too long is judged without it", PATIENCE, released).await;
    ana.report(&report(&given_up, "in_warehouse", 9)).await.with_status(200);
}

/// What the history says happened to a parcel: its registration is of today, and the samples are older.
async fn statuses(client: &Client, number: &str) -> Vec<String> {
    let shipment = client.shipment(number).await;
    let history = shipment["status_history"].as_array().expect("a history");
    history.iter().map(|entry| text(entry, "status")).filter(|status| status != "created").collect()
}

async fn outcomes(client: &Client, number: &str) -> Vec<String> {
    let page = client.get(&format!("/shipments/{number}/events?limit=100")).await.with_status(200);
    page["data"].as_array().expect("a page").iter().map(|event| text(event, "outcome")).collect()
}

async fn letter_of(admin: &Client, number: &str) -> Value {
    let path = format!("/admin/dead-letters?tracking_number={number}&reason=NO_JSON");
    let listed = async || admin.get(&path).await.with_status(200)["data"].as_array()?.first().cloned();
    wait::until("the dead letter is listed", PATIENCE, listed).await.0
}

/// A record as `import` reads it.
fn line(number: &str, value: &str, timestamp: i64, headers: &[(&str, &str)]) -> String {
    let headers: Vec<_> = [&[("ce_type", REPORTED)], headers].concat();
    let line =
        json!({"partition": 0, "offset": 0, "timestamp": timestamp, "key": number, "headers": headers, "value": value});
    line.to_string()
}

/// Appends records past the edge, as an operator does: with `rastro` at rest, whose file it is, or beside the pair.
async fn bring_in(platform: &mut Platform, lines: &[String]) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("records.ndjson");
    std::fs::write(&file, lines.join("\n")).expect("a temporary file can be written");
    if platform.processors.is_empty() {
        let data = platform.data_directory().display().to_string();
        let rastro = &mut platform.edges[0];
        rastro.program.ask_to_end();
        rastro.program.end().await;
        import(&binary::rastro(), &file, &[("DATA_DIR".to_owned(), data)]).await;
        rastro.program.start_again();
        rastro.ready().await;
    } else {
        import(&binary::processor_service(), &file, &platform.on_servers().environment).await;
    }
}

async fn import(binary: &Path, file: &Path, environment: &[(String, String)]) {
    let mut command = tokio::process::Command::new(binary);
    command.arg("import").arg(file).env_clear().envs(environment.iter().cloned()).kill_on_drop(true);
    let ended = wait::within("the import", PATIENCE, command.output()).await.expect("it can be run");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
