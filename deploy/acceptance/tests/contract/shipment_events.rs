//! `GET /shipments/{tracking_number}/events`.

use acceptance::client::{Client, is_utc, text};
use acceptance::platform::Platform;
use acceptance::sample::{at, parcel, report, scan, unregistered, with};
use serde_json::{Value, json};

async fn events(client: &Client, number: &str) -> Vec<Value> {
    let page = client.get(&format!("/shipments/{number}/events?limit=100")).await.with_status(200);
    page["data"].as_array().expect("a page").clone()
}

// contract: "every event about it with its outcome, in log order"
// contract: "`GET /shipments/{tracking_number}/events` | admin, own client"
pub(crate) async fn every_event_of_a_shipment_is_shown_with_its_outcome_in_log_order(platform: &Platform) {
    let (ana, driver, admin) = (platform.a_client().await, platform.driver().await, platform.admin().await);
    let number = ana.register(&parcel()).await;
    let details = json!({"place": "Hub Puebla", "code": "ARR-1", "reason": "wet", "notes": "soaked", "source_event_id": "A/1",
        "location": {"lat": 0.5, "lng": -99.25}});
    let sent = [
        report(&number, "picked_up", 9),
        report(&number, "delivered", 1),
        report(&number, "cancelled", 9),
        with(scan(&number, "exception", 3), details.clone()),
    ];
    let mut ids = Vec::new();
    for event in &sent {
        ids.push(driver.accepted(event).await);
    }
    driver.accepted(&sent[0]).await;
    let last = ana.outcome(&ids[3]).await;
    assert_eq!(last["outcome"], "recorded");

    let shown = events(&admin, &number).await;
    let told = |member: &str| shown.iter().map(|event| event[member].clone()).collect::<Vec<_>>();
    assert_eq!(told("outcome"), ["applied", "applied", "rejected", "conflict", "recorded"].map(Value::from));
    assert_eq!(
        told("reason"),
        [Value::Null, Value::Null, "INVALID_TRANSITION".into(), "KEY_CONFLICT".into(), Value::Null]
    );
    assert_eq!(
        told("from"),
        [Value::Null, "created".into(), "picked_up".into(), "picked_up".into(), "picked_up".into()]
    );
    assert_eq!(told("to"), ["created", "picked_up", "delivered", "cancelled", "picked_up"].map(Value::from));
    assert_eq!(
        told("status"),
        [json!("created"), json!("picked_up"), json!("delivered"), json!("cancelled"), Value::Null]
    );
    assert_eq!(told("event_id")[1..], ids.iter().map(|id| json!(id)).collect::<Vec<_>>());
    assert!(told("recorded_at").iter().all(is_utc), "{shown:?}");
    let offsets: Vec<_> = shown.iter().map(|event| event["offset"].as_i64().expect("an offset")).collect();
    assert!(offsets.is_sorted() && shown.iter().all(|event| event["partition"] == shown[0]["partition"]), "{shown:?}");
    for (member, value) in details.as_object().expect("an object") {
        let member = if member == "reason" { "reported_reason" } else { member };
        assert_eq!(&shown[4][member], value, "{member}");
    }
    assert_eq!((&shown[4]["kind"], &shown[4]["timestamp"]), (&json!("exception"), &json!(at(3))));
    assert_eq!(shown[4]["reporter"]["role"], "source");
    assert!(
        events(&ana, &number).await.iter().all(|event| event["reporter"].is_null()),
        "the driver is not ana's user"
    );

    let eve = platform.a_client().await;
    let path = format!("/shipments/{number}/events");
    eve.get(&path).await.problem(403, "FORBIDDEN");
    driver.get(&path).await.problem(403, "FORBIDDEN");
    platform.nobody().get(&path).await.problem(401, "UNAUTHORIZED");
    admin.get(&format!("/shipments/{}/events", unregistered())).await.problem(404, "NOT_FOUND");
}

// contract: "`GET /shipments/{tracking_number}/events` | `?limit&cursor`"
// contract: "the whole is in `GET /shipments/{n}/events`"
pub(crate) async fn the_events_of_a_shipment_come_in_pages_that_link_to_the_next(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    let scans: Vec<_> = (0..12).map(|second| scan(&number, "customs", second)).collect();
    let batch = driver.post("/events/batch", &json!(scans)).await.with_status(202);
    ana.outcome(&text(&batch["items"][11], "event_id")).await;
    let all = events(&ana, &number).await;
    assert_eq!(all.len(), 13);

    let (mut walked, mut path) = (Vec::new(), format!("/v1/shipments/{number}/events?limit=5"));
    loop {
        let page = ana.get(&path).await;
        let link = page.header("link").map(str::to_owned);
        let page = page.with_status(200);
        walked.extend(page["data"].as_array().expect("a page").clone());
        let about = &page["pagination"];
        assert_eq!((&about["limit"], &about["has_next"]), (&json!(5), &json!(link.is_some())), "{about}");
        if walked.len() == 5 {
            // What comes meanwhile stands behind.
            ana.report(&scan(&number, "customs", 60)).await.with_status(200);
        }
        let Some(link) = link else { break };
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        path = next.unwrap_or_else(|| panic!("{link}")).to_owned();
        assert!(path.contains(about["next_cursor"].as_str().expect("a cursor")), "{path}");
    }
    assert_eq!((walked.len(), &walked[..13]), (14, &all[..]), "each once");

    let other = ana.register(&parcel()).await;
    let cursor =
        text(&ana.get(&format!("/shipments/{number}/events")).await.with_status(200)["pagination"], "next_cursor");
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("offset=1", "offset")] {
        let answer = ana.get(&format!("/shipments/{number}/events?{query}")).await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), [field]);
    }
    ana.get(&format!("/shipments/{other}/events?cursor={cursor}")).await.problem(400, "VALIDATION_ERROR");
}

pub(crate) async fn an_owner_learns_nothing_of_what_another_client_reported(platform: &Platform) {
    let (ana, eve, admin) = (platform.a_client().await, platform.a_client().await, platform.admin().await);
    let number = ana.register(&parcel()).await;
    // No event id holds an L or a U.
    let secrets = json!({"source": "lulu_own", "place": "lulu yard", "code": "LULU-1", "reason": "lulu", "notes": "lulu notes",
        "source_event_id": "lulu-77"});
    let meddling = eve.accepted(&with(report(&number, "picked_up", 1), secrets)).await;
    assert_eq!(ana.outcome(&meddling).await["reason"], "FORBIDDEN");
    let answer = ana.get(&format!("/shipments/{number}/events")).await;
    let told = answer.text.to_lowercase();
    assert!(!told.contains("lulu") && !told.contains(&eve.client_id().to_lowercase()), "{told}");
    let shown = &answer.with_status(200)["data"][1];
    assert_eq!((&shown["outcome"], &shown["reason"]), (&json!("rejected"), &json!("FORBIDDEN")));
    assert_eq!((&shown["event_id"], &shown["from"]), (&json!(meddling), &json!("created")));
    for member in ["to", "status", "kind", "timestamp", "source", "location"] {
        assert_eq!(shown[member], Value::Null, "{member}");
    }
    let whole = events(&admin, &number).await;
    assert_eq!(
        (&whole[1]["notes"], &whole[1]["reporter"]["client_id"]),
        (&json!("lulu notes"), &json!(eve.client_id()))
    );
}
