//! `POST /carriers/{carrier}/events` and what operators see of it: scans in a carrier's own words.

use std::path::Path;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::world::{ADMIN, Announce, Answer, CLIENT, DRIVER, OTHER_CLIENT, World};

const CORREIOS: &str = "/carriers/correios_br/events";

/// A scan of Correios: 12:04 in São Paulo is 15:04 in UTC.
fn scan(number: &str, code: &str) -> Value {
    json!({"tracking_number": number, "code": code, "text": "Objeto em algum lugar", "time": "2025-06-14 12:04",
        "place": "Curitiba - PR"})
}

fn with(mut scan: Value, members: Value) -> Value {
    let Value::Object(more) = members else { panic!("an object") };
    scan.as_object_mut().expect("an object").extend(more);
    scan
}

/// The values of the records.
fn values(world: &World) -> Vec<Value> {
    let value = |record: &shared::event_log::LogRecord| {
        serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON")
    };
    world.records().iter().map(value).collect()
}

async fn unmapped(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(ADMIN, &format!("/admin/unmapped-codes{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["data"].as_array().cloned().unwrap_or_default()
}

/// Code, text, count and whether it is mapped now.
fn shown(entries: &[Value]) -> Vec<(Value, Value, u64, bool)> {
    let one = |entry: &Value| {
        let (count, mapped) = (entry["count"].as_u64(), entry["mapped_now"].as_bool());
        (entry["code"].clone(), entry["text"].clone(), count.expect("a number"), mapped.expect("a flag"))
    };
    entries.iter().map(one).collect()
}

#[tokio::test]
async fn a_scan_becomes_an_event_that_keeps_the_carrier_s_own_words() {
    let world = World::new().await;
    let body =
        with(scan("99m-abc12345", "BDE/01"), json!({"location": {"lat": -25.4, "lng": -49.3}, "notes": "by poll"}));
    let answer = world.post(DRIVER, CORREIOS, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.json()["status"], "queued");
    assert_eq!(answer.json()["mapped"], json!({"status": "delivered", "rule": "code"}));
    let id = answer.json()["event_id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), Some(format!("/events/{id}").as_str()));

    let [value] = values(&world).try_into().expect("one record");
    assert_eq!((&value["event_id"], &value["status"]), (&json!(id), &json!("delivered")));
    assert_eq!((&value["source"], &value["code"]), (&json!("correios_br"), &json!("BDE/01")));
    assert_eq!((&value["timestamp"], &value["place"]), (&json!("2025-06-14T15:04:00Z"), &json!("Curitiba - PR")));
    assert_eq!((&value["location"]["lng"], &value["notes"]), (&json!(-49.3), &json!("by poll")));
    assert_eq!(value["reporter"]["sub"], DRIVER);
    let expected = json!({"carrier": "correios_br", "code": "BDE/01", "text": "Objeto em algum lugar",
        "time": "2025-06-14 12:04", "zone": "America/Sao_Paulo"});
    assert_eq!(value["carrier"], expected);
    let own = value["source_event_id"].as_str().expect("an id");
    assert!(own.starts_with("h:") && own.len() == 28, "{own}");
}

#[tokio::test]
async fn a_kind_comes_with_its_reason_and_a_scan_can_be_waited_for() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(Announce::Yes);
    let body = json!({"tracking_number": number, "code": "NH", "time": "2025-06-14T12:04:00-03:00", "scan_id": "S-7"});
    let headers = [("content-type", "application/json"), ("prefer", "wait=5")];
    let wait = async || world.post_with(CLIENT, "/v1/carriers/dhl_express/events", &headers, body.to_string()).await;
    let answer = wait().await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("recorded")), "{}", answer.text);
    assert_eq!(answer.header("preference-applied"), Some("wait=5"));
    let mapped = json!({"kind": "delivery_attempt_failed", "reason": "recipient_absent", "rule": "code"});
    assert_eq!(answer.json()["mapped"], mapped);
    let again = wait().await;
    assert_eq!((again.status, &again.json()["status"]), (StatusCode::OK, &json!("duplicate")));
    assert_eq!((&again.json()["mapped"], &again.json()["event_id"]), (&mapped, &answer.json()["event_id"]));

    let path = format!("/events/{}", answer.json()["event_id"].as_str().expect("an id"));
    let event = world.get(CLIENT, &path).await.json();
    assert_eq!(event["outcome"], "recorded");
    let said = json!({"carrier": "dhl_express", "code": "NH", "time": "2025-06-14T12:04:00-03:00", "scan_id": "S-7"});
    assert_eq!(event["carrier"], said);
    let shipment = world.get(CLIENT, &format!("/shipments/{number}")).await.json();
    assert_eq!(
        (&shipment["attempts"], &shipment["status_history"][0]["reason"]),
        (&json!(1), &json!("recipient_absent"))
    );
}

#[tokio::test]
async fn two_scans_in_one_minute_stay_two_and_the_whole_list_again_is_none() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let scans = json!([
        scan(&number, "PO/01"),
        scan(&number, "RO/01"),
        with(scan(&number, "RO/01"), json!({"place": "Recife - PE"}))
    ]);
    let statuses = |answer: &Answer| {
        let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["status"].clone()).collect::<Vec<_>>()
    };
    let first = world.post(DRIVER, CORREIOS, &scans).await;
    assert_eq!(statuses(&first), ["queued", "queued", "queued"], "{}", first.text);
    world.process().await;
    let again = world.post(DRIVER, CORREIOS, &scans).await;
    assert_eq!(statuses(&again), ["duplicate", "duplicate", "duplicate"], "{}", again.text);
    assert_eq!(again.json()["items"][1]["mapped"], json!({"status": "in_transit", "rule": "code"}));
    let ids: std::collections::HashSet<_> =
        values(&world).into_iter().skip(1).map(|value| value["event_id"].to_string()).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn many_scans_come_in_the_forms_of_a_batch_and_each_is_answered() {
    let scans = [
        scan("99M-ABC12345", "PO/01"),
        json!({"tracking_number": "99M-ABC12345"}),
        scan("99M-ABC12345", "ZZ/99"),
        json!(7),
    ];
    let lines: String = scans.iter().map(|scan| format!("{scan}\n")).collect();
    let forms = [
        ("application/json", json!({"events": scans}).to_string()),
        ("application/json", json!(scans).to_string()),
        ("application/x-ndjson", lines),
    ];
    let mut answers = Vec::new();
    for (media, body) in forms {
        let world = World::new().await;
        let answer = world.post_with(DRIVER, CORREIOS, &[("content-type", media)], body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(world.records().len(), 2);
        answers.push(answer.json());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let items = &answers[0]["items"];
    assert_eq!(items[0]["mapped"], json!({"status": "picked_up", "rule": "code"}));
    assert_eq!(items[2]["mapped"], json!({"kind": "other", "rule": "none"}));
    let fields: Vec<_> =
        items[1]["error"]["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&json!("code"), &json!("time")]);
    assert_eq!((&items[1]["mapped"], &items[3]["status"]), (&Value::Null, &json!("rejected")));

    let world = World::new().await;
    let none = world.post(DRIVER, CORREIOS, &json!({"events": [{}]})).await;
    assert_eq!(none.failure(), (400, "VALIDATION_ERROR".to_owned()));
    assert_eq!(none.fields()[0].0, "events[0].tracking_number");
    let many = world.post(DRIVER, CORREIOS, &json!(vec![json!({}); 21])).await;
    assert_eq!(many.fields(), [("events".to_owned(), "too_long".to_owned())]);
    let csv = world.post_with(DRIVER, CORREIOS, &[("content-type", "text/csv")], "a,b".to_owned()).await;
    assert_eq!(csv.failure(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    let broken = world.post_with(DRIVER, CORREIOS, &[("content-type", "application/json")], "{".to_owned()).await;
    assert_eq!(broken.failure(), (400, "INVALID_JSON".to_owned()));
}

#[tokio::test]
async fn every_bad_field_of_a_scan_is_named() {
    let world = World::new().await;
    let good = scan("99M-ABC12345", "PO/01");
    let cases = [
        (json!({"code": null, "text": null}), vec![("code", "required")]),
        (json!({"code": "", "text": "x".repeat(501)}), vec![("code", "too_short"), ("text", "too_long")]),
        (json!({"code": "x".repeat(81)}), vec![("code", "too_long")]),
        (json!({"code": 7}), vec![("code", "wrong_type")]),
        (json!({"time": null}), vec![("time", "required")]),
        (json!({"time": "yesterday"}), vec![("time", "malformed")]),
        (json!({"time": "2025-06-15 12:12"}), vec![("time", "in_future")]),
        (json!({"zone": "America/Macondo"}), vec![("zone", "unknown_value")]),
        (json!({"zone": 3, "time": "yesterday"}), vec![("zone", "wrong_type")]),
        (json!({"scan_id": "x".repeat(65)}), vec![("scan_id", "too_long")]),
        (json!({"place": "x".repeat(121), "notes": 1}), vec![("place", "too_long"), ("notes", "wrong_type")]),
        (json!({"location": {"lat": 91, "lng": 0}}), vec![("location.lat", "out_of_range")]),
        (json!({"tracking_number": "1"}), vec![("tracking_number", "malformed")]),
        (
            json!({"status": "delivered", "source": "me", "timestamp": "2025-06-14T12:04:00Z"}),
            vec![("source", "unknown_field"), ("status", "unknown_field"), ("timestamp", "unknown_field")],
        ),
    ];
    for (change, expected) in cases {
        let answer = world.post(DRIVER, CORREIOS, &with(good.clone(), change.clone())).await;
        assert_eq!(answer.failure(), (400, "VALIDATION_ERROR".to_owned()), "{change}");
        let fields: Vec<_> = expected.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
        assert_eq!(answer.fields(), fields, "{change}");
    }
    assert_eq!(world.records(), []);
}

#[tokio::test]
async fn a_local_time_needs_a_zone_from_somebody() {
    let world = World::new().await;
    let scan = json!({"tracking_number": "99M-ABC12345", "code": "PU", "time": "2025-03-30 02:30"});
    let answer = world.post(DRIVER, "/carriers/dhl_express/events", &scan).await;
    assert_eq!(answer.fields(), [("zone".to_owned(), "required".to_owned())], "{}", answer.text);
    let scan = with(scan, json!({"zone": "europe/berlin"}));
    let answer = world.post(DRIVER, "/carriers/dhl_express/events", &scan).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let [value] = values(&world).try_into().expect("one record");
    assert_eq!(value["timestamp"], "2025-03-30T01:30:00Z", "a time that no clock showed is moved forward");
    assert_eq!(value["carrier"]["zone"], "Europe/Berlin");
}

#[tokio::test]
async fn a_carrier_without_a_mapping_is_not_found_by_its_name() {
    let world = World::new().await;
    let answer = world.post(DRIVER, "/carriers/andes/events", &scan("99M-ABC12345", "PO/01")).await;
    assert_eq!(answer.failure(), (404, "NOT_FOUND".to_owned()));
    assert!(answer.text.contains("There is no carrier \\\"andes\\\" here"), "{}", answer.text);
    let answer = world.post(DRIVER, &format!("/carriers/{}/events", "a".repeat(500)), &json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.json()["detail"].as_str().expect("a text").contains(&"a".repeat(65)));
}

#[tokio::test]
async fn nobody_can_send_what_a_carrier_said_in_a_carrier_s_place() {
    let world = World::new().await;
    let event = json!({"tracking_number": "99M-ABC12345", "status": "picked_up", "source": "correios_br",
        "timestamp": "2025-06-14T12:04:00Z", "carrier": {"carrier": "correios_br", "code": "PO/01", "time": "now"}});
    for path in ["/events", "/events/batch"] {
        let body = if path == "/events" { event.clone() } else { json!([event]) };
        let answer = world.post(DRIVER, path, &body).await;
        let (field, code) = answer.fields().pop().expect("a field");
        assert!(field.ends_with("carrier") && code == "unknown_field", "{}", answer.text);
    }
}

fn write(directory: &Path, rules: &str) {
    let text = format!("carrier = \"andes\"\nzone = \"America/Lima\"\n{rules}");
    std::fs::write(directory.join("andes.toml"), text).expect("a temporary file can be written");
}

const ONE_RULE: &str = "[[rule]]\ncode = \"A\"\nstatus = \"picked_up\"\n";

async fn andes() -> (tempfile::TempDir, World) {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), ONE_RULE);
    let world = World::set(&[("CARRIERS_DIR", directory.path().to_str().expect("UTF-8"))]).await;
    (directory, world)
}

#[tokio::test]
async fn an_unknown_code_is_other_until_it_is_mapped_and_stays_the_same_event() {
    let (directory, world) = andes().await;
    let number = world.shipment("client_001").await;
    let unknown = json!({"tracking_number": number, "code": "B7", "text": "Clasificado", "time": "2025-06-14 12:04"});
    let post = async |scan: &Value| world.post(DRIVER, "/carriers/andes/events", scan).await;
    let first = post(&unknown).await;
    assert_eq!(first.json()["mapped"], json!({"kind": "other", "rule": "none"}));
    post(&with(unknown.clone(), json!({"time": "2025-06-14 12:05"}))).await;
    post(&json!({"tracking_number": number, "text": "Sin código", "time": "2025-06-14 12:04"})).await;
    post(&json!({"tracking_number": number, "code": "A", "time": "2025-06-14 12:00"})).await;
    world.process().await;
    let entries = unmapped(&world, "?carrier=andes").await;
    let expected = [(json!("B7"), json!("Clasificado"), 2, false), (Value::Null, json!("Sin código"), 1, false)];
    assert_eq!(shown(&entries), expected);
    assert_eq!((&entries[0]["carrier"], &entries[0]["tracking_number"]), (&json!("andes"), &json!(number)));
    assert_eq!(entries[0]["first_seen"], "2025-06-15T15:06:40Z");
    assert_eq!(unmapped(&world, "?carrier=andes&limit=1").await.len(), 1);
    assert_eq!(unmapped(&world, "?carrier=fedex").await, [] as [Value; 0]);

    write(
        directory.path(),
        &format!("{ONE_RULE}[[rule]]\ncode = \"B7\"\nstatus = \"in_warehouse\"\nreason = \"sorted\"\n"),
    );
    let reloaded = world.post(ADMIN, "/admin/carriers/reload", &json!({})).await;
    assert_eq!((reloaded.status, &reloaded.json()["rules"]), (StatusCode::OK, &json!(2)), "{}", reloaded.text);
    assert_eq!(shown(&unmapped(&world, "").await)[0], (json!("B7"), json!("Clasificado"), 2, true));
    let records = world.records().len();
    let again = post(&unknown).await;
    assert_eq!(again.json()["mapped"], json!({"status": "in_warehouse", "reason": "sorted", "rule": "code"}));
    assert_eq!(again.json()["event_id"], first.json()["event_id"], "it is the same scan, however it is read");
    assert_eq!((&again.json()["status"], world.records().len()), (&json!("duplicate"), records));
    let text = world.get(ADMIN, "/metrics").await.text;
    for line in [
        "shipping_carrier_scans_total{carrier=\"andes\",result=\"mapped\"} 1",
        "shipping_carrier_scans_total{carrier=\"andes\",result=\"unmapped\"} 3",
        "shipping_carrier_reload_refused 0",
        "shipping_carrier_mappings_read_timestamp_seconds 1750000000",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_broken_reload_names_its_lines_and_changes_nothing() {
    let (directory, world) = andes().await;
    write(directory.path(), "[[rule]]\ncode = \"A\"\nstatus = \"lost\"\n[[rule]]\nkind = \"other\"\n");
    let answer = world.post(ADMIN, "/admin/carriers/reload", &json!({})).await;
    assert_eq!(answer.failure(), (422, "BROKEN_MAPPING".to_owned()));
    let file = directory.path().join("andes.toml").display().to_string();
    let fields = [":5", ":6"].map(|line| (format!("{file}{line}"), "broken_mapping".to_owned()));
    assert_eq!(answer.fields(), fields);
    let listed = world.get(ADMIN, "/admin/carriers").await.json();
    assert_eq!(listed["data"], json!([{"carrier": "andes", "zone": "America/Lima", "rules": 1, "file": file}]));
    assert_eq!((&listed["last_reload_refused"], &listed["read_at"]), (&json!(true), &json!("2025-06-15T15:06:40Z")));
    let scan = json!({"tracking_number": "99M-ABC12345", "code": "A", "time": "2025-06-14 12:04"});
    let answer = world.post(DRIVER, "/carriers/andes/events", &scan).await;
    assert_eq!(answer.json()["mapped"]["status"], "picked_up");
    assert!(world.get(ADMIN, "/metrics").await.text.contains("shipping_carrier_reload_refused 1"));
}

#[tokio::test]
async fn without_a_setting_the_shipped_carriers_are_loaded() {
    let world = World::new().await;
    let listed = world.get(ADMIN, "/admin/carriers").await.json();
    let correios = listed["data"].as_array().expect("a list").iter().find(|one| one["carrier"] == "correios_br");
    let correios = correios.expect("it is shipped");
    assert_eq!(
        (&correios["zone"], &correios["file"]),
        (&json!("America/Sao_Paulo"), &json!("deploy/carriers/correios_br.toml"))
    );
    assert_eq!(listed["source"], "compiled in");
}

#[tokio::test]
async fn only_an_admin_operates_the_carriers() {
    let world = World::new().await;
    for user in [CLIENT, OTHER_CLIENT, DRIVER] {
        for path in ["/admin/carriers", "/admin/unmapped-codes"] {
            assert_eq!(world.get(user, path).await.failure(), (403, "FORBIDDEN".to_owned()), "{path}");
        }
        let answer = world.post(user, "/admin/carriers/reload", &json!({})).await;
        assert_eq!(answer.failure(), (403, "FORBIDDEN".to_owned()));
    }
    let answer = world.get(ADMIN, "/admin/unmapped-codes?limit=0&carier=fedex").await;
    let expected = [("limit", "malformed"), ("carier", "unknown_field")];
    assert_eq!(answer.fields(), expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn a_store_of_codes_that_is_away_holds_up_no_scan() {
    let world = World::new().await;
    world.unmapped.set_away(true);
    let answer = world.post(DRIVER, CORREIOS, &scan("99M-ABC12345", "ZZ/99")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let list = world.get(ADMIN, "/admin/unmapped-codes").await;
    assert_eq!(list.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    world.unmapped.set_away(false);
    assert_eq!(shown(&unmapped(&world, "").await)[0].2, 1, "nothing was forgotten");
}

#[tokio::test]
async fn a_scan_that_the_log_did_not_take_is_not_counted() {
    let world = World::new().await;
    world.log.set_away(true);
    let answer = world.post(DRIVER, CORREIOS, &scan("99M-ABC12345", "ZZ/99")).await;
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    let answer = world.post(DRIVER, CORREIOS, &json!([scan("99M-ABC12345", "ZZ/99")])).await;
    assert_eq!(answer.failure(), (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(unmapped(&world, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_client_s_scan_about_another_client_s_shipment_is_forbidden() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let _processor = world.processor(Announce::Yes);
    let headers = [("content-type", "application/json"), ("prefer", "wait=5")];
    let answer = world.post_with(OTHER_CLIENT, CORREIOS, &headers, scan(&number, "PO/01").to_string()).await;
    assert_eq!(answer.failure(), (409, "FORBIDDEN".to_owned()));
}
