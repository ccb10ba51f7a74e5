//! One event: its answer, its identity, its outcome.

use std::time::{Duration, Instant};

use acceptance::client::{Client, is_utc, text};
use acceptance::platform::Platform;
use acceptance::sample::{at, parcel, report, unregistered, with};
use serde_json::{Value, json};

// contract: "`POST /events` | 202 `{event_id,status:"queued""
// contract: "it can be looked up"
// contract: "`GET /events/{event_id}` | 200"
// contract: "what became of an accepted event"
// contract: "partition and offset of a record in the log"
pub(crate) async fn an_accepted_event_has_an_id_and_a_place_where_its_outcome_is_found(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let answer = ana.post("/events", &report(&number, "picked_up", 1)).await;
    let place = answer.header("location").map(str::to_owned).expect("a 202 says where");
    assert_eq!(answer.header("preference-applied"), None, "nothing was asked for");
    let accepted = answer.with_status(202);
    let id = text(&accepted, "event_id");
    assert!(id.starts_with(&format!("evt_{}_", &number[4..])), "{id}");
    assert_eq!(place, format!("/events/{id}"));
    assert_eq!((&accepted["status"], &accepted["tracking_number"]), (&json!("queued"), &json!(number)));
    assert_eq!(accepted["message"], "Event accepted for processing");
    let at_once = ana.get(&place).await.with_status(200);
    assert!(at_once["outcome"] == "queued" || at_once["outcome"] == "applied", "never unknown: {at_once}");

    let outcome = ana.outcome(&id).await;
    assert_eq!((&outcome["event_id"], &outcome["tracking_number"]), (&json!(id), &json!(number)));
    assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("applied"), &Value::Null));
    assert_eq!((&outcome["from"], &outcome["to"]), (&json!("created"), &json!("picked_up")));
    assert_eq!(outcome["timestamp"], at(1));
    assert!(is_utc(&outcome["recorded_at"]), "{outcome}");
    assert!(outcome["partition"].is_i64() && outcome["offset"].is_i64(), "{outcome}");
}

// contract: "sending the same event again returns the same id"
// contract: "Same key, same payload: `duplicate`"
// contract: "fractions of the second and spelling of the time zone"
// contract: "a duplicate shares its `event_id` with the first one"
pub(crate) async fn the_same_report_again_is_a_duplicate_and_stands_there_once(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    let first = driver.report(&with(report(&number, "picked_up", 1), json!({"place": "Hub"}))).await.with_status(200);
    let spellings = ["2025-02-12T15:00:01Z", "2025-02-12T15:00:01.999Z", "2025-02-12T09:00:01-06:00"];
    for spelling in spellings {
        let again = with(report(&number, "picked_up", 1), json!({"place": "Hub", "timestamp": spelling}));
        let answer = driver.report(&again).await.with_status(200);
        assert_eq!((&answer["status"], &answer["event_id"]), (&json!("duplicate"), &first["event_id"]), "{spelling}");
        let unwaited = driver.post("/events", &again).await.with_status(202);
        assert_eq!(unwaited["event_id"], first["event_id"]);
    }
    let outcome = ana.outcome(&text(&first, "event_id")).await;
    assert_eq!(outcome["outcome"], "applied", "a look-up gives the first one's outcome");
    assert_eq!(ana.shipment(&number).await["status_history"].as_array().map(Vec::len), Some(2));
    let other_source = with(report(&number, "in_warehouse", 1), json!({"source": "warehouse_scanner"}));
    assert_eq!(
        driver.report(&other_source).await.with_status(200)["status"],
        "applied",
        "another source has its own seconds"
    );
}

// contract: "Same key, other payload"
// contract: "it is not applied, never dropped silently"
// contract: "A conflict that is sent again"
// contract: "a `conflict` has the reason `KEY_CONFLICT`"
// contract: "The payload, for that comparison"
pub(crate) async fn another_report_in_the_same_second_is_a_conflict_that_can_be_found(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    let first = driver.report(&report(&number, "picked_up", 1)).await.with_status(200);
    let other = report(&number, "in_warehouse", 1);
    let answer = driver.report(&other).await;
    let problem = answer.problem(409, "KEY_CONFLICT");
    assert_eq!((&problem["outcome"], &problem["tracking_number"]), (&json!("conflict"), &json!(number)));
    let id = text(problem, "event_id");
    assert_ne!(first["event_id"], *id);
    let outcome = ana.outcome(&id).await;
    assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("conflict"), &json!("KEY_CONFLICT")));
    let again = driver.report(&other).await.with_status(200);
    assert_eq!((&again["status"], &again["event_id"]), (&json!("duplicate"), &json!(id)), "of that conflict");
    assert_eq!(driver.report(&report(&number, "picked_up", 1)).await.with_status(200)["event_id"], first["event_id"]);
    let noted = with(report(&number, "picked_up", 1), json!({"notes": "rang twice"}));
    driver.report(&noted).await.problem(409, "KEY_CONFLICT");
    let shipment = ana.shipment(&number).await;
    assert_eq!(
        (&shipment["current_status"], &shipment["version"]),
        (&json!("picked_up"), &json!(2)),
        "none was applied"
    );
}

// contract: "Key: `dedup:<tracking_number>"
// contract: "The payload, for that comparison"
pub(crate) async fn a_source_that_gives_its_own_ids_may_report_twice_in_a_second(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let own =
        |status: &str, second: i64, id: &str| with(report(&number, status, second), json!({"source_event_id": id}));
    let first = ana.report(&own("picked_up", 1, "A-1")).await.with_status(200);
    assert_eq!(ana.report(&own("in_warehouse", 1, "A-2")).await.with_status(200)["status"], "applied");
    let again = ana.report(&own("picked_up", 1, "A-1")).await.with_status(200);
    assert_eq!((&again["status"], &again["event_id"]), (&json!("duplicate"), &first["event_id"]));
    ana.report(&own("picked_up", 2, "A-1")).await.problem(409, "KEY_CONFLICT");
}

// contract: "whatever else is rejected with `INVALID_TRANSITION`"
// contract: "A rejected event keeps its key"
// contract: "409 rejected (`INVALID_TRANSITION`"
pub(crate) async fn a_step_that_the_whitelist_forbids_is_rejected_and_keeps_its_key(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let answer = ana.report(&report(&number, "delivered", 1)).await;
    let problem = answer.problem(409, "INVALID_TRANSITION");
    assert_eq!(
        (&problem["outcome"], &problem["from"], &problem["to"]),
        (&json!("rejected"), &json!("created"), &json!("delivered"))
    );
    let id = text(problem, "event_id");
    let outcome = ana.outcome(&id).await;
    assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("rejected"), &json!("INVALID_TRANSITION")));
    let shipment = ana.shipment(&number).await;
    assert_eq!((&shipment["current_status"], &shipment["version"]), (&json!("created"), &json!(1)));
    let again = ana.report(&report(&number, "delivered", 1)).await.with_status(200);
    assert_eq!((&again["status"], &again["event_id"]), (&json!("duplicate"), &json!(id)));
    for (status, second) in [("picked_up", 2), ("in_warehouse", 3), ("in_transit", 4), ("delivered", 5)] {
        ana.report(&report(&number, status, second)).await.with_status(200);
    }
    let settled = ana.report(&report(&number, "delivered", 1)).await.with_status(200);
    assert_eq!(settled["status"], "duplicate", "it was judged once and for all");
}

// contract: "then `SHIPMENT_NOT_FOUND`"
// contract: "`GET /shipments/{tracking_number}` | 404"
pub(crate) async fn an_event_about_no_shipment_is_rejected(platform: &Platform) {
    let (driver, admin) = (platform.driver().await, platform.admin().await);
    let number = unregistered();
    let answer = driver.report(&report(&number, "picked_up", 1)).await;
    let problem = answer.problem(409, "SHIPMENT_NOT_FOUND");
    assert_eq!((&problem["outcome"], &problem["from"]), (&json!("rejected"), &Value::Null));
    let outcome = admin.outcome(&text(problem, "event_id")).await;
    assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("rejected"), &json!("SHIPMENT_NOT_FOUND")));
    admin.get(&format!("/shipments/{number}")).await.problem(404, "NOT_FOUND");
}

// contract: "Whether a client's event is about its own shipment"
// contract: "then `FORBIDDEN`"
pub(crate) async fn an_event_about_another_client_s_shipment_is_rejected(platform: &Platform) {
    let (ana, eve) = (platform.a_client().await, platform.a_client().await);
    let number = ana.register(&parcel()).await;
    let answer = eve.report(&report(&number, "picked_up", 1)).await;
    let problem = answer.problem(409, "FORBIDDEN");
    assert_eq!(
        (&problem["outcome"], &problem["from"]),
        (&json!("rejected"), &Value::Null),
        "eve is not told where it is"
    );
    let outcome = eve.outcome(&text(problem, "event_id")).await;
    assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("rejected"), &json!("FORBIDDEN")));
    assert_eq!(outcome["from"], Value::Null);
    eve.report(&report(&number, "delivered", 2)).await.problem(409, "FORBIDDEN");
    assert_eq!(ana.shipment(&number).await["version"], 1);
}

// contract: "`GET /events/{event_id}` | 404"
pub(crate) async fn an_event_id_that_was_never_given_out_is_not_found(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let id = ana.accepted(&report(&number, "picked_up", 1)).await;
    ana.outcome(&id).await;
    let changed = |end: &str| format!("/events/{}{end}", &id[..id.len() - end.len()]);
    ana.get(&changed("000000")).await.problem(404, "NOT_FOUND");
    platform.admin().await.get("/events/evt_NSHP34_0000000000000000000000").await.problem(404, "NOT_FOUND");
    for malformed in ["evt_1", "nonsense", &id[4..]] {
        let answer = ana.get(&format!("/events/{malformed}")).await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), ["event_id"]);
    }
}

// contract: "admin, the sender's client, the shipment's client"
pub(crate) async fn an_outcome_is_shown_to_admins_and_to_the_clients_that_it_concerns(platform: &Platform) {
    let (ana, eve) = (platform.a_client().await, platform.a_client().await);
    let (driver, admin) = (platform.driver().await, platform.admin().await);
    let number = ana.register(&parcel()).await;
    let id = driver.accepted(&report(&number, "picked_up", 1)).await;
    for reader in [&ana, &admin] {
        assert_eq!(reader.outcome(&id).await["outcome"], "applied");
    }
    let path = format!("/events/{id}");
    eve.get(&path).await.problem(404, "NOT_FOUND");
    driver.get(&path).await.problem(403, "FORBIDDEN");
    let meddling = eve.accepted(&report(&number, "in_warehouse", 9)).await;
    for reader in [&ana, &eve, &admin] {
        assert_eq!(reader.outcome(&meddling).await["reason"], "FORBIDDEN", "sender's client and shipment's client");
    }
}

// contract: "`POST /events` | otherwise 202"
pub(crate) async fn whoever_does_not_wait_is_answered_at_once(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    let begun = Instant::now();
    let answer =
        ana.call("POST", "/events").header("prefer", "wait=0").json(&report(&number, "picked_up", 1)).send().await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.text);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let unclear = ana.call("POST", "/events").header("prefer", "wait=soon").json(&report(&number, "in_warehouse", 2));
    assert_eq!(unclear.send().await.status, 202, "a preference that cannot be understood is ignored (RFC 7240)");
    settled(&ana, &number, "in_warehouse").await;
}

async fn settled(client: &Client, number: &str, status: &str) {
    let shown = async || (client.shipment(number).await["current_status"] == status).then_some(());
    acceptance::wait::until("the status is shown", Duration::from_secs(30), shown).await;
}
