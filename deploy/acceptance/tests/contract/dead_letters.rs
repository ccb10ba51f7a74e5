//! What could not be processed, as operators see it.

use std::time::Duration;

use acceptance::client::text;
use acceptance::platform::Platform;
use acceptance::program::{Program, free_port};
use acceptance::sample::{parcel, report, with};
use acceptance::{binary, client, wait};
use serde_json::{Value, json};

/// Longest time until a letter is in the topic: the outcome may be told a moment earlier.
const PATIENCE: Duration = Duration::from_secs(60);

/// A parcel with a conflict, which is the dead letter that anybody can cause: its number, the event's id, and the letter.
async fn a_conflict(platform: &Platform) -> (String, String, Value) {
    let (ana, admin) = (platform.a_client().await, platform.admin().await);
    let number = ana.register(&parcel()).await;
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    let other = with(report(&number, "picked_up", 1), json!({"notes": "something else in the same second"}));
    let id = ana.accepted(&other).await;
    assert_eq!(admin.outcome(&id).await["outcome"], "conflict");
    let path = format!("/admin/dead-letters?tracking_number={number}&reason=KEY_CONFLICT");
    let listed = async || {
        let page = admin.get(&path).await.with_status(200);
        page["data"].as_array()?.first().cloned()
    };
    let (letter, _) = wait::until("the letter is listed", PATIENCE, listed).await;
    (number, id, letter)
}

pub(crate) async fn an_operator_finds_a_dead_letter_and_sees_what_stood_around_it(platform: &Platform) {
    let admin = platform.admin().await;
    let (number, id, letter) = a_conflict(platform).await;
    assert_eq!((&letter["tracking_number"], &letter["reason"]), (&json!(number), &json!("KEY_CONFLICT")));
    let shown = admin.get(&format!("/admin/dead-letters/{}", text(&letter, "id"))).await.with_status(200);
    assert_eq!((&shown["key"], &shown["message"]), (&json!(number), &letter["message"]));
    let value: Value = serde_json::from_str(&text(&shown, "value")).expect("the original value");
    assert_eq!((&value["event_id"], &value["notes"]), (&json!(id), &json!("something else in the same second")));
    let around = shown["around"].as_array().expect("records");
    let original = around.iter().find(|record| record["original"] == true).expect("it stands among them");
    assert_eq!((&original["event_id"], &original["offset"]), (&json!(id), &shown["original"]["offset"]));
    assert!(
        shown["headers"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "dlq.attempts")),
        "{shown}"
    );

    let after = text(&letter, "buried_at");
    let before = format!("/admin/dead-letters?tracking_number={number}&to={after}");
    assert_eq!(admin.get(&before).await.with_status(200)["data"], json!([]), "the end of a time is not in it");
    let from = format!("/admin/dead-letters?tracking_number={number}&from={after}");
    assert_eq!(admin.get(&from).await.with_status(200)["data"], json!([letter]));
}

pub(crate) async fn a_redriven_letter_stands_in_the_log_again_and_its_outcome_stays_one(platform: &Platform) {
    let admin = platform.admin().await;
    let (number, id, letter) = a_conflict(platform).await;
    let events =
        async || admin.get(&format!("/shipments/{number}/events?limit=100")).await.with_status(200)["data"].clone();
    let (before, shipment) = (events().await, admin.shipment(&number).await);
    let redrive = json!({"ids": [letter["id"]]});
    let dry = with(redrive.clone(), json!({"dry_run": true}));
    let dry = admin.post("/admin/dead-letters/redrive", &dry).await.with_status(200);
    assert_eq!((&dry["selected"], &dry["redriven"]), (&json!(1), &json!(0)));
    assert!(text(&dry["letters"][0], "note").contains("conflict"), "it is told beforehand: {dry}");
    for _ in 0..2 {
        let done = admin.post("/admin/dead-letters/redrive", &redrive).await.with_status(200);
        assert_eq!((&done["selected"], &done["redriven"]), (&json!(1), &json!(1)));
        let to = &done["letters"][0]["redriven_to"];
        assert!(to["offset"].as_i64() > letter["original"]["offset"].as_i64(), "{done}");
        // A later event of the same shipment is judged behind it.
        admin.report(&with(report(&number, "in_warehouse", 2), json!({"source": "api"}))).await;
    }
    assert_eq!(admin.outcome(&id).await["outcome"], "conflict");
    assert_eq!(
        events().await.as_array().map(Vec::len),
        before.as_array().map(|before| before.len() + 1),
        "one more: the later event"
    );
    assert_eq!(
        admin.shipment(&number).await["version"].as_i64(),
        shipment["version"].as_i64().map(|version| version + 1)
    );
    let path = format!("/admin/dead-letters?tracking_number={number}");
    assert_eq!(admin.get(&path).await.with_status(200)["data"], json!([letter]), "and no new letter");
}

pub(crate) async fn dead_letters_are_for_admins_and_a_bad_redrive_is_refused(platform: &Platform) {
    let (ana, admin, driver) = (platform.a_client().await, platform.admin().await, platform.driver().await);
    for nobody in [ana, driver] {
        for path in ["/admin/dead-letters", "/admin/dead-letters/0:0"] {
            nobody.get(path).await.problem(403, "FORBIDDEN");
        }
        for path in ["/admin/dead-letters/redrive", "/admin/dead-letters/storm/continue"] {
            nobody.post(path, &json!({"ids": ["0:0"]})).await.problem(403, "FORBIDDEN");
        }
    }
    admin.post("/admin/dead-letters/redrive", &json!({})).await.problem(400, "VALIDATION_ERROR");
    let answer = admin.post("/admin/dead-letters/redrive", &json!({"ids": ["x"], "from": "now"})).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["from", "ids.0"]);
    admin.get("/admin/dead-letters/0:999999999").await.problem(404, "NOT_FOUND");
    admin.post("/admin/dead-letters/storm/continue", &json!({})).await.with_status(202);
}

#[tokio::test]
async fn rastro_lists_shows_and_redrives_the_dead_letters_of_its_file_while_nobody_else_has_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let data = directory.path().join("data").display().to_string();
    let port = free_port();
    let environment = vec![("DATA_DIR".to_owned(), data.clone()), ("PORT".to_owned(), port.to_string())];
    let mut program = Program::start("rastro", binary::rastro(), environment, directory.path());
    let nobody = client::Client::nobody(&format!("http://127.0.0.1:{port}"));
    let ready = async || nobody.call("GET", "/readyz").try_send().await.ok().filter(|answer| answer.status == 200);
    wait::until("rastro listens", PATIENCE, ready).await;
    let admin = nobody.log_in("admin_user", "password123").await;
    let number = admin.register(&with(parcel(), json!({"client_id": "client_001"}))).await;
    admin.report(&report(&number, "picked_up", 1)).await.with_status(200);
    let other = with(report(&number, "picked_up", 1), json!({"notes": "something else"}));
    let event = admin.accepted(&other).await;
    assert_eq!(admin.outcome(&event).await["outcome"], "conflict");
    assert!(called(&data, 1, &["list"]).await.contains("in use"));
    program.ask_to_end();
    program.end().await;

    let listed = called(&data, 0, &["list", "--tracking-number", &number]).await;
    let letter: Value = serde_json::from_str(listed.trim()).unwrap_or_else(|error| panic!("{error}: {listed}"));
    let id = text(&letter, "id");
    let shown: Value = serde_json::from_str(&called(&data, 0, &["show", &id]).await).expect("JSON");
    assert_eq!(shown["key"], json!(number));
    let redriven = called(&data, 0, &["redrive", "--reason", "KEY_CONFLICT"]).await;
    let redriven: Value = serde_json::from_str(&redriven).expect("JSON");
    assert_eq!((&redriven["selected"], &redriven["redriven"]), (&json!(1), &json!(1)));
    assert!(called(&data, 0, &["continue"]).await.contains("let it through"));
    assert!(called(&data, 1, &["show", "0:99"]).await.contains("no dead letter"));
    assert!(called(&data, 2, &["redrive"]).await.contains("usage: rastro dead-letters"));

    program.start_again();
    wait::until("rastro listens again", PATIENCE, ready).await;
    let told = admin.get("/admin/operator-log").await.with_status(200);
    let acts: Vec<_> = told["data"].as_array().expect("entries").iter().map(|entry| text(entry, "act")).collect();
    assert_eq!(acts, ["dead_letter_storm_continued", "dead_letters_redriven"]);
    assert_eq!(admin.outcome(&event).await["outcome"], "conflict");
}

/// What `rastro dead-letters` says about the file in `data` when it ends with this code.
async fn called(data: &str, code: i32, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(binary::rastro());
    command.arg("dead-letters").args(arguments).env_clear().env("DATA_DIR", data).kill_on_drop(true);
    let ended = wait::within(&format!("{arguments:?}"), PATIENCE, command.output()).await.expect("it can be run");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
    said
}
