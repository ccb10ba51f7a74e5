//! Runs against a small platform of known behaviour: what is reported must be what it did.

mod platform;

use std::process::Stdio;
use std::time::Duration;

use bench::connection::Target;
use bench::load::Plan;
use bench::result::EventsResult;
use bench::run::Run;
use bench::walk::Walk;
use platform::Behaviour;

async fn measure(behaviour: Behaviour, change: impl FnOnce(&mut Run)) -> EventsResult {
    let url = platform::start(behaviour).await;
    let mut run = Run {
        label: "stub".to_owned(),
        target: Target::of(&url).expect("a URL"),
        user: "admin_user".to_owned(),
        password: "password123".to_owned(),
        plan: Plan::flat_out(Duration::from_secs(30), 10, 4),
        shipments: 100,
        policy: "strict".to_owned(),
        walk: Walk::Moves,
        probe_rate: 100,
        processes: Vec::new(),
    };
    change(&mut run);
    run.measure().await.expect("the platform is there")
}

#[tokio::test]
async fn every_event_of_every_shipment_is_sent_once_and_found() {
    for (walk, events, recorded) in [(Walk::Moves, 400, 0), (Walk::Parcel, 800, 400)] {
        let result = measure(Behaviour::default(), |run| run.walk = walk).await;
        assert_eq!((result.sent, result.accepted, result.used_up), (events, events, true));
        assert_eq!((result.sample.shipments, result.sample.applied, result.sample.recorded), (100, 400, recorded));
        assert_eq!((result.sample.accepted, result.sample.missing, result.unseen), (events, 0, 0));
        assert_eq!(result.http_ms.count, events / 10);
        assert!(result.is_sound() && result.refused.is_empty() && result.end_to_end_failed.is_empty(), "{result:?}");
    }
}

#[tokio::test]
async fn the_visible_rate_counts_the_time_until_the_last_event_can_be_read() {
    let visible_after = Duration::from_millis(400);
    let result = measure(Behaviour { visible_after, ..Behaviour::default() }, |_| ()).await;
    assert!(result.visible_after_seconds >= 0.35, "{result:?}");
    assert!(result.visible_per_second < result.accepted_per_second, "{result:?}");
    assert!(result.end_to_end_ms.count == 0 || result.end_to_end_ms.p50 >= 400.0, "{result:?}");
    assert!(result.is_sound(), "{result:?}");
}

#[tokio::test]
async fn accepted_events_that_are_forgotten_are_found_missing() {
    // Not the last ones: those would be waited for.
    let result = measure(Behaviour { forgets: Some("in_transit"), ..Behaviour::default() }, |_| ()).await;
    assert_eq!((result.sample.accepted, result.sample.missing, result.unseen), (400, 100, 0));
    assert!(!result.is_sound());
}

#[tokio::test]
async fn refused_batches_are_counted_by_their_code_and_not_as_accepted() {
    let result = measure(Behaviour { refuses: Some("delivered"), ..Behaviour::default() }, |_| ()).await;
    assert_eq!((result.sent, result.accepted), (400, 300));
    assert_eq!(result.refused.into_iter().collect::<Vec<_>>(), [("503 SERVICE_UNAVAILABLE".to_owned(), 100)]);
}

#[tokio::test]
async fn a_stall_counts_for_every_batch_that_it_delays() {
    let stall = Behaviour { first_batch_takes: Duration::from_millis(500), ..Behaviour::default() };
    let result = measure(stall, |run| {
        run.plan = Plan { rate: 1_000, ..Plan::flat_out(Duration::from_secs(30), 10, 1) };
        run.probe_rate = 0;
    })
    .await;
    // One batch every 10 ms: about 50 of the 40 were due while the first one was answered.
    assert_eq!(result.http_ms.count, 40);
    assert!(result.http_ms.p50 > 200.0, "{:?}", result.http_ms);
}

#[tokio::test]
async fn a_fixed_rate_is_not_exceeded_and_the_run_ends_in_time() {
    let result = measure(Behaviour::default(), |run| {
        run.plan = Plan { rate: 400, ..Plan::flat_out(Duration::from_millis(700), 10, 4) };
    })
    .await;
    // 40 batches a second for 0.7 s; the shipments would last for 1 s. How many of them a busy machine sends is its own matter.
    assert!((10..=280).contains(&result.sent) && !result.used_up, "{result:?}");
    assert!(result.end_to_end_ms.count > 0, "{result:?}");
}

#[tokio::test]
async fn the_program_prints_a_table_for_people_and_a_line_for_programs() {
    let url = platform::start(Behaviour::default()).await;
    let bench = |arguments: Vec<String>| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(arguments).stdin(Stdio::null());
        async move { command.output().await.expect("the program runs") }
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let output = bench(words(&format!("events --url {url} --shipments 40 --batch 10 --label pair"))).await;
    assert!(output.status.success());
    let table = String::from_utf8(output.stderr).expect("is text");
    assert!(table.contains("(160 of 160 sent)") && table.contains("\n  bench "), "{table}");

    let line: EventsResult = serde_json::from_slice(&output.stdout).expect("is one line of JSON");
    assert_eq!((line.label.as_str(), line.accepted), ("pair", 160));

    let absent = bench(words("events --url http://127.0.0.1:9")).await;
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).starts_with("POST /auth/login: cannot connect"), "{absent:?}");
}
