//! Read your writes: `Tracking-Position`.

use std::time::Duration;

use acceptance::client::{Answer, Client, text};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report, scan};
use acceptance::wait;
use serde_json::json;

/// Longest time until what was accepted is applied, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn position(answer: &Answer) -> String {
    answer.header("tracking-position").unwrap_or_else(|| panic!("no position: {answer:?}")).to_owned()
}

fn is_position(text: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().is_ok_and(|number| number >= 0);
    text.split_once(':').is_some_and(|(partition, offset)| number(partition) && number(offset))
}

/// Reads with a position until the answer says that it was applied: mostly the first one does.
async fn read(client: &Client, path: &str, position: &str) -> serde_json::Value {
    let applied = async || {
        let answer = client.call("GET", path).header("tracking-position", position).send().await;
        let said = answer.header("tracking-position-applied").map(str::to_owned);
        assert!(matches!(said.as_deref(), Some("true" | "false")), "{path}: {said:?}");
        (said.as_deref() == Some("true")).then_some(answer)
    };
    wait::until(&format!("{position} is applied"), PATIENCE, applied).await.0.with_status(200)
}

pub(crate) async fn a_read_that_brings_a_position_along_shows_what_was_written(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let registered = ana.post("/shipments", &parcel()).await;
    let of_registration = position(&registered);
    let number = text(&registered.body, "tracking_number");
    assert_eq!(read(&ana, &format!("/shipments/{number}"), &of_registration).await["current_status"], "created");
    for (second, status) in (1..).zip(["picked_up", "in_warehouse", "in_transit", "delivered"]) {
        let posted = driver.post("/events", &report(&number, status, second)).await;
        let written = position(&posted);
        assert!(is_position(&written), "{written}");
        let id = text(&posted.with_status(202), "event_id");
        assert_eq!(read(&ana, &format!("/shipments/{number}"), &written).await["current_status"], status);
        assert_eq!(read(&ana, &format!("/events/{id}"), &written).await["outcome"], "applied");
        let events = read(&ana, &format!("/shipments/{number}/events"), &written).await;
        assert_eq!(
            events["data"].as_array().and_then(|all| all.last()).map(|last| &last["event_id"]),
            Some(&json!(id))
        );
        let listed = read(&ana, &format!("/v1/shipments?status={status}"), &written).await;
        assert_eq!(listed["data"][0]["tracking_number"], number, "{status}");
    }
    assert_eq!(ana.get("/shipments").await.header("tracking-position-applied"), None, "nothing was asked for");
}

pub(crate) async fn a_batch_says_how_far_it_goes_on_each_partition(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let numbers = ana.register_many(&parcel(), 8).await;
    let scans: Vec<_> =
        (1..4).flat_map(|second| numbers.iter().map(move |number| scan(number, "customs", second))).collect();
    let answer = driver.post("/events/batch", &json!(scans)).await;
    let written = position(&answer);
    let positions: Vec<_> = written.split(',').collect();
    assert!(positions.iter().all(|position| is_position(position)), "{written}");
    let partitions: std::collections::BTreeSet<_> = positions.iter().map(|one| one.split(':').next()).collect();
    assert_eq!(partitions.len(), positions.len(), "one for each partition: {written}");
    for number in &numbers {
        assert_eq!(read(&ana, &format!("/shipments/{number}"), &written).await["version"], 4);
    }
    let again = driver.post("/events/batch", &json!(scans)).await;
    assert_eq!(
        (again.status, again.header("tracking-position")),
        (202, None),
        "nothing went into the log: {}",
        again.text
    );
}

pub(crate) async fn a_position_that_is_not_there_yet_is_waited_for_and_then_what_is_there_is_shown(
    platform: &Platform,
) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let path = format!("/shipments/{number}");
    let far = ana.call("GET", &path).header("tracking-position", "0:9223372036854775807").send().await;
    assert_eq!(far.header("tracking-position-applied"), Some("false"));
    assert_eq!(far.with_status(200)["current_status"], "created");
    for path in [&*path, "/shipments", &format!("{path}/events"), "/events/evt_ABC12345_0000000000000000000000"] {
        for malformed in ["3", "a:b", "-1:5", "0:1;1:2"] {
            let answer = ana.call("GET", path).header("tracking-position", malformed).send().await;
            answer.problem(400, "VALIDATION_ERROR");
            assert_eq!(answer.bad_fields(), ["Tracking-Position"], "{path} {malformed}");
        }
    }
}
