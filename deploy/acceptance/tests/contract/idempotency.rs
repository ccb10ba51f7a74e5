//! Requests that are sent again under their `Idempotency-Key`.

use acceptance::client::{Answer, Client, text};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, parcel_of, report, with};
use futures::future::join_all;
use serde_json::{Value, json};

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

fn replayed(answer: &Answer) -> bool {
    match answer.header("idempotent-replayed") {
        None => false,
        value => value == Some("true") || panic!("{value:?}"),
    }
}

/// How many shipments the caller sees.
async fn shipments(client: &Client) -> Value {
    client.get("/shipments?limit=1").await.with_status(200)["pagination"]["total"].clone()
}

/// The caller before each program that serves the API.
fn everywhere(platform: &Platform, client: &Client) -> Vec<Client> {
    platform.edges.iter().map(|edge| client.before(&edge.url)).collect()
}

// contract: "same body again: the first answer again"
pub(crate) async fn a_registration_that_is_sent_again_is_made_once_whoever_answers(platform: &Platform) {
    let ana = platform.a_client().await;
    let first = ana.keyed("/shipments", KEY, &parcel()).send().await;
    assert_eq!((first.status, replayed(&first)), (201, false), "{}", first.text);
    let number = text(&first.body, "tracking_number");
    for ana in everywhere(platform, &ana) {
        for (path, key) in [("/shipments", KEY), ("/v1/shipments", KEY), ("/shipments", &format!("\"{KEY}\""))] {
            let again = ana.keyed(path, key, &parcel()).send().await;
            assert_eq!((again.status, &again.text, replayed(&again)), (201, &first.text, true), "{path} {key}");
            for header in ["location", "content-type"] {
                assert_eq!((again.header(header), again.header(header).is_some()), (first.header(header), true));
            }
        }
    }
    assert_eq!(shipments(&ana).await, 1);
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
    let again = ana.keyed("/shipments", KEY, &parcel()).send().await;
    assert_eq!(
        (again.status, &again.text),
        (201, &first.text),
        "the first answer, whatever has become of the shipment"
    );
}

// contract: "still running: 409"
pub(crate) async fn of_many_who_send_at_once_one_registers(platform: &Platform) {
    let ana = platform.a_client().await;
    let edges = everywhere(platform, &ana);
    let sending = (0..24).map(|sender| edges[sender % edges.len()].keyed("/shipments", KEY, &parcel()).send());
    let answers = join_all(sending).await;
    let (made, told): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    for answer in told {
        answer.problem(409, "IDEMPOTENCY_KEY_IN_USE");
        assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
    }
    assert_eq!(made.iter().filter(|answer| !replayed(answer)).count(), 1, "one is the first");
    assert!(made.iter().all(|answer| answer.text == made[0].text), "all are told the same");
    assert_eq!(shipments(&ana).await, 1);
}

pub(crate) async fn a_batch_that_is_sent_again_gets_its_first_answer(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let batch = json!({"events": [report(&number, "picked_up", 1), report(&number, "lost", 2), report(&number, "in_warehouse", 3)]});
    let first = ana.keyed("/events/batch", KEY, &batch).send().await;
    assert_eq!((first.status, replayed(&first)), (202, false), "{}", first.text);
    assert_eq!((&first.body["queued"], &first.body["rejected"]), (&json!(2), &json!(1)));
    for index in [0, 2] {
        let id = text(&first.body["items"][index], "event_id");
        assert_eq!(ana.outcome(&id).await["outcome"], "applied");
    }
    for ana in everywhere(platform, &ana) {
        let again = ana.keyed("/events/batch", KEY, &batch).send().await;
        assert_eq!((again.status, &again.text, replayed(&again)), (202, &first.text, true));
    }
    assert_eq!(ana.shipment(&number).await["version"], 3);

    let many: Vec<_> = (1..=1000).map(|second| report(&number, "picked_up", second)).collect();
    let first = ana.keyed("/events/batch", "a-thousand", &json!(many)).send().await;
    let again = ana.keyed("/events/batch", "a-thousand", &json!(many)).send().await;
    assert_eq!((first.status, again.status, replayed(&again)), (202, 202, true));
    assert!(again.text == first.text, "a large answer is kept to the byte");
}

// contract: "`Idempotency-Key` header: scoped"
// contract: "other body: 422"
// contract: "400 malformed or invalid, 401"
pub(crate) async fn a_key_belongs_to_one_request_of_one_caller_on_one_route(platform: &Platform) {
    let (ana, zoe, admin) = (platform.a_client().await, platform.a_client().await, platform.admin().await);
    let first = ana.keyed("/shipments", KEY, &parcel()).send().await.with_status(201);
    for body in [with(parcel(), json!({"weight_kg": 6})), json!({})] {
        for ana in everywhere(platform, &ana) {
            let refused = ana.keyed("/shipments", KEY, &body).send().await;
            refused.problem(422, "IDEMPOTENCY_KEY_REUSED");
            assert!(!replayed(&refused));
        }
    }
    let key = format!("{KEY}-{}", ana.client_id());
    let mut numbers = vec![text(&first, "tracking_number")];
    for (caller, body) in [(&zoe, parcel()), (&ana, parcel()), (&admin, parcel_of(ana.client_id()))] {
        let key = if caller.client_id() == zoe.client_id() { KEY } else { &key };
        let answer = caller.keyed("/shipments", key, &body).send().await;
        assert!(!replayed(&answer));
        numbers.push(text(&answer.with_status(201), "tracking_number"));
    }
    let batch = json!([report(&numbers[0], "picked_up", 1)]);
    let answer = ana.keyed("/events/batch", KEY, &batch).send().await;
    assert_eq!((answer.status, replayed(&answer)), (202, false), "{}", answer.text);
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 4);
}

pub(crate) async fn a_bad_key_is_refused_and_a_refused_request_takes_none(platform: &Platform) {
    let ana = platform.a_client().await;
    for (path, body) in [("/shipments", parcel()), ("/events/batch", json!([report("99M-ABC12345", "picked_up", 1)]))] {
        for key in ["", "\"\"", "two words", "k".repeat(256).as_str()] {
            let refused = ana.keyed(path, key, &body).send().await;
            refused.problem(400, "VALIDATION_ERROR");
            assert_eq!(refused.bad_fields(), ["Idempotency-Key"], "{key}");
        }
        let refused = ana.keyed(path, "one", &body).header("idempotency-key", "two").send().await;
        refused.problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.bad_fields(), ["Idempotency-Key"]);
    }
    let refused = ana.keyed("/shipments", KEY, &with(parcel(), json!({"weight_kg": 0}))).send().await;
    assert!(!replayed(&refused));
    refused.problem(400, "VALIDATION_ERROR");
    ana.keyed("/shipments", KEY, &parcel()).send().await.with_status(201);
    assert_eq!(shipments(&ana).await, 1);
}
