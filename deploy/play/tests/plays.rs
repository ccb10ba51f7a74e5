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
