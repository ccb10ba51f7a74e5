//! Scans in a carrier's own words.

use std::time::Duration;

use acceptance::client::text;
use acceptance::platform::Platform;
use acceptance::sample::{parcel, with};
use acceptance::wait;
use serde_json::{Value, json};

/// Longest time until every edge has handed on what it counted.
const HANDED_ON: Duration = Duration::from_secs(60);

pub(crate) async fn a_carrier_s_own_words_become_a_history_and_what_is_unknown_is_listed(platform: &Platform) {
    let (ana, admin, driver) = (platform.a_client().await, platform.admin().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    // A code that no other test sends, and no carrier either.
    let unknown = format!("ZZ/{number}");
    let scan = |code: &str, text: &str, minute: u32| {
        json!({"tracking_number": number, "code": code, "text": text, "time": format!("2025-02-12 12:{minute:02}"),
            "place": "Curitiba - PR"})
    };
    let scans = [
        scan("PO/01", "Objeto postado", 1),
        scan("PAR/16", "Objeto recebido pelos Correios do Brasil", 2),
        scan("RO/01", "Objeto em trânsito - por favor aguarde", 3),
        scan(&unknown, "Objeto em algum lugar", 3),
        scan("BDE/01", "Objeto entregue ao destinatário", 4),
    ];
    let path = "/carriers/correios_br/events";
    let first = driver.call("POST", path).header("prefer", "wait=20").json(&scans[0]).send().await.with_status(200);
    assert_eq!(
        (&first["status"], &first["mapped"]),
        (&json!("applied"), &json!({"status": "picked_up", "rule": "code"}))
    );
    let rest = driver.post(path, &json!({"events": scans[1..]})).await.with_status(202);
    assert_eq!((&rest["received"], &rest["queued"]), (&json!(4), &json!(4)), "{rest}");
    let items = rest["items"].as_array().expect("items");
    assert_eq!(items[2]["mapped"], json!({"kind": "other", "rule": "none"}));
    let outcomes = admin.outcomes(items.iter().map(|item| text(item, "event_id")).collect()).await;
    let words: Vec<_> = outcomes.iter().map(|outcome| text(outcome, "outcome")).collect();
    assert_eq!(words, ["applied", "applied", "recorded", "applied"], "two scans of one minute are two");
    let said = json!({"carrier": "correios_br", "code": unknown, "text": "Objeto em algum lugar",
        "time": "2025-02-12 12:03", "zone": "America/Sao_Paulo"});
    assert_eq!(outcomes[2]["carrier"], said);

    let shipment = ana.shipment(&number).await;
    assert_eq!(shipment["current_status"], "delivered");
    let history = shipment["status_history"].as_array().expect("a history");
    let shown = |member: &str| history.iter().take(5).map(|entry| entry[member].clone()).collect::<Vec<_>>();
    assert_eq!(shown("code"), scans.iter().map(|scan| scan["code"].clone()).collect::<Vec<_>>());
    assert_eq!(shown("source"), vec![json!("correios_br"); 5]);
    assert_eq!(shown("timestamp")[0], "2025-02-12T15:01:00Z", "12:01 in São Paulo");

    // The carrier's whole list again: nothing of it is new.
    let again = driver.post(path, &json!(scans)).await.with_status(202);
    let ids = again["items"].as_array().expect("items").iter().map(|item| text(item, "event_id")).collect();
    for outcome in admin.outcomes(ids).await {
        assert!(["applied", "recorded"].contains(&text(&outcome, "outcome").as_str()), "{outcome}");
    }
    assert_eq!(ana.shipment(&number).await["version"], 6);

    let listed = async || {
        let found = admin.get("/admin/unmapped-codes?carrier=correios_br&limit=1000").await.with_status(200);
        found["data"].as_array()?.iter().find(|entry| entry["code"] == json!(unknown)).cloned()
    };
    let (entry, _) = wait::until("the unknown code is listed", HANDED_ON, listed).await;
    assert_eq!((&entry["text"], &entry["tracking_number"]), (&json!("Objeto em algum lugar"), &json!(number)));
    assert_eq!((&entry["mapped_now"], &entry["rest"]), (&json!(false), &json!(false)));
}

pub(crate) async fn a_bad_scan_and_an_unknown_carrier_are_refused_by_name(platform: &Platform) {
    let driver = platform.driver().await;
    let scan = json!({"tracking_number": "99M-ABC12345", "code": "OK", "time": "2025-02-12 12:00"});
    driver.post("/carriers/nobody/events", &scan).await.problem(404, "NOT_FOUND");
    let path = "/carriers/dhl_express/events";
    for (change, field) in [
        (json!({}), "zone"), // its mapping names none, and the time has no offset
        (json!({"zone": "America/Macondo"}), "zone"),
        (json!({"zone": "UTC", "time": "noon"}), "time"),
        (json!({"zone": "UTC", "code": null}), "code"),
        (json!({"zone": "UTC", "status": "delivered"}), "status"),
    ] {
        let answer = driver.post(path, &with(scan.clone(), change)).await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), [field]);
    }
}

pub(crate) async fn operators_see_the_carriers_and_nobody_else_does(platform: &Platform) {
    let (ana, admin, driver) = (platform.a_client().await, platform.admin().await, platform.driver().await);
    let listed = admin.get("/admin/carriers").await.with_status(200);
    let carriers = listed["data"].as_array().expect("a list");
    let dhl = carriers.iter().find(|carrier| carrier["carrier"] == "dhl_parcel_de").expect("it is shipped");
    assert_eq!(dhl["zone"], "Europe/Berlin");
    assert!(dhl["rules"].as_u64().is_some_and(|rules| rules > 0), "{dhl}");
    let reloaded = admin.post("/admin/carriers/reload", &Value::Null).await.with_status(200);
    assert_eq!(reloaded["carriers"].as_u64(), u64::try_from(carriers.len()).ok());
    for nobody in [ana, driver] {
        for path in ["/admin/carriers", "/admin/unmapped-codes"] {
            nobody.get(path).await.problem(403, "FORBIDDEN");
        }
        nobody.post("/admin/carriers/reload", &Value::Null).await.problem(403, "FORBIDDEN");
    }
}
