//! The program as it is run: what it prints and how it exits.

mod platform;

use std::io::Write;
use std::process::{Output, Stdio};

use platform::Fault;
use tokio::process::Command;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample.ndjson");

async fn play(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_play"));
    command.args(arguments).env_remove("RASTRO_PASSWORD").stdin(Stdio::null());
    command.output().await.expect("the program runs")
}

async fn play_sample(fault: Fault, options: &[&str]) -> Output {
    let url = platform::start(fault).await;
    play(&[&["--url", &url, SAMPLE], options].concat()).await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("is text")
}

#[tokio::test]
async fn the_table_of_a_sound_run_is_the_one_that_the_model_gives() {
    let played = play_sample(Fault::None, &["--expect"]).await;
    assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
    let modelled = play(&["--model", SAMPLE]).await;
    assert_eq!(text(&played.stdout), text(&modelled.stdout));
    assert!(text(&played.stdout).contains("  conflict                             1\n"), "{}", text(&played.stdout));
    assert!(text(&played.stderr).contains("30 scans of 8 histories"), "{}", text(&played.stderr));
}

#[tokio::test]
async fn outcomes_that_are_looked_up_give_the_same_table() {
    let looked_up = play_sample(Fault::AnswersAtOnce, &["--expect", "--parallel", "3"]).await;
    assert_eq!(looked_up.status.code(), Some(0), "{}", text(&looked_up.stderr));
    assert_eq!(looked_up.stdout, play_sample(Fault::None, &[]).await.stdout);
}

#[tokio::test]
async fn the_report_is_also_given_as_json() {
    let played = play_sample(Fault::None, &["--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&played.stdout).expect("is JSON");
    assert_eq!(report["posted"], 30);
    assert_eq!(report["rejected"]["INVALID_TRANSITION"], 7);
    assert_eq!(report["final_status"]["delivered"], 4);
    assert_eq!(report["ends"]["by_true_status"]["delivered"], serde_json::json!({"right": 4, "wrong": 2}));
    assert_eq!(report["ends"]["wrong"][0]["line"], 3);
}

#[tokio::test]
async fn an_answer_that_the_read_back_does_not_bear_out_fails_the_run() {
    let played = play_sample(Fault::ForgetsDeliveries, &[]).await;
    assert_eq!(played.status.code(), Some(1));
    assert!(text(&played.stdout).contains("  read back wrong                      4\n"), "{}", text(&played.stdout));
    let complaint = "line 1: read back wrong: current_status: expected delivered, got in_transit";
    assert!(text(&played.stderr).contains(complaint), "{}", text(&played.stderr));
}

#[tokio::test]
async fn a_refused_event_fails_the_run_and_is_counted() {
    let played = play_sample(Fault::RefusesDeliveries, &[]).await;
    assert_eq!(played.status.code(), Some(1));
    assert!(text(&played.stdout).contains("  failed (not accepted)                6\n"), "{}", text(&played.stdout));
    assert!(text(&played.stderr).contains("503 Service Unavailable: UNAVAILABLE: later"), "{}", text(&played.stderr));
}

#[tokio::test]
async fn an_outcome_that_the_contract_does_not_give_is_found_by_expect() {
    for fault in [Fault::AppliesWhatItShouldReject, Fault::AppliesDuplicates] {
        let played = play_sample(fault, &["--expect"]).await;
        assert_eq!(played.status.code(), Some(1), "{fault:?}");
        assert!(text(&played.stderr).contains(", got applied"), "{fault:?}: {}", text(&played.stderr));
    }
}

#[tokio::test]
async fn the_table_of_a_field_run_is_the_same_in_every_order() {
    let mut tables = Vec::new();
    for order in [&["--order", "time"][..], &["--order", "listed"], &["--order", "shuffled"], &SHUFFLED_OTHERWISE] {
        let options = [&["--policy", "field", "--expect"], order].concat();
        let played = play_sample(Fault::None, &options).await;
        assert_eq!(played.status.code(), Some(0), "{order:?}: {}", text(&played.stderr));
        assert!(text(&played.stderr).contains("as judged when they came in: "), "{}", text(&played.stderr));
        tables.push(played.stdout);
    }
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", tables.iter().map(|table| text(table)));
    let table = text(&tables[0]);
    assert!(table.contains("  rejected                             0\n"), "{table}");
    assert!(table.contains("delivered, as the carrier says         6 of 6\n"), "{table}");
    // A cancelled parcel that turns up at a hub stays cancelled.
    assert!(table.contains("end right                              7 of 8 (87.5 %)\n"), "{table}");
    assert!(table.contains("  line 6, maya_paqueteria: in_warehouse, ended as cancelled: "), "{table}");
    let modelled = play(&["--policy", "field", "--order", "listed", "--model", SAMPLE]).await;
    assert_eq!(text(&modelled.stdout), table);
}

/// Another order than that of the usual seed.
const SHUFFLED_OTHERWISE: [&str; 4] = ["--order", "shuffled", "--seed", "20"];

#[tokio::test]
async fn the_same_seed_plays_the_same_order() {
    let shuffled = async |seed: &str| {
        let options = ["--policy", "strict", "--order", "shuffled", "--expect", "--seed", seed];
        let played = play_sample(Fault::None, &options).await;
        assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
        played.stdout
    };
    // Under the strict policy the table tells the orders apart.
    assert_eq!(text(&shuffled("1").await), text(&shuffled("1").await));
    assert_ne!(text(&shuffled("1").await), text(&shuffled("20").await));
}

#[tokio::test]
async fn two_scans_in_one_second_are_two_unless_the_platform_is_told_nothing() {
    let told = play_sample(Fault::None, &["--policy", "field"]).await;
    assert!(text(&told.stdout).contains("  conflict                             0\n"), "{}", text(&told.stdout));
    assert!(text(&told.stdout).contains("  duplicate                            1\n"), "{}", text(&told.stdout));
    let untold = play_sample(Fault::None, &["--policy", "field", "--ids", "none", "--expect"]).await;
    assert_eq!(untold.status.code(), Some(0), "{}", text(&untold.stderr));
    assert!(text(&untold.stdout).contains("  conflict                             1\n"), "{}", text(&untold.stdout));
}

#[tokio::test]
async fn too_few_right_ends_fail_a_run_that_asks_for_more() {
    let enough = play_sample(Fault::None, &["--policy", "field", "--at-least", "87"]).await;
    assert_eq!(enough.status.code(), Some(0), "{}", text(&enough.stderr));
    let too_few = play_sample(Fault::None, &["--policy", "field", "--at-least", "88"]).await;
    assert_eq!(too_few.status.code(), Some(1));
    assert!(text(&too_few.stderr).contains("fewer than 88 % of the histories end right"), "{}", text(&too_few.stderr));
}

#[tokio::test]
async fn a_field_shipment_that_shows_something_else_is_found_by_expect() {
    for (fault, complaint) in [
        (Fault::JudgesStrictly, ": expected applied, got rejected INVALID_TRANSITION"),
        (Fault::MiscountsAttempts, "line 8: attempts: expected 1, got 2"),
        (Fault::MistakesTheLastScan, "line 2: last_scan: expected delivered of "),
    ] {
        let played = play_sample(fault, &["--policy", "field", "--order", "listed", "--expect"]).await;
        assert_eq!(played.status.code(), Some(1), "{fault:?}");
        assert!(text(&played.stderr).contains(complaint), "{fault:?}: {}", text(&played.stderr));
    }
}

#[tokio::test]
async fn a_bad_line_is_named_and_nothing_is_played() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"\n{\"carrier\":\"andes\"}\n").expect("is written");
    let name = file.path().to_str().expect("is text");
    // Nothing listens there: it is not even tried.
    let played = play(&["--url", "http://127.0.0.1:9", name]).await;
    assert_eq!(played.status.code(), Some(2));
    assert!(text(&played.stderr).contains(": line 2: missing field `number`"), "{}", text(&played.stderr));
    assert!(played.stdout.is_empty());
}

#[tokio::test]
async fn a_refused_login_and_an_absent_platform_are_said() {
    let refused = play_sample(Fault::None, &["--password", "wrong"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("401 Unauthorized: UNAUTHORIZED"), "{}", text(&refused.stderr));
    assert!(!text(&refused.stderr).contains("\"wrong\""), "a password is never printed");
    let absent = play(&["--url", "http://127.0.0.1:9", SAMPLE]).await;
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent.stderr).contains("Connection refused"), "{}", text(&absent.stderr));
}
