//! `GET /shipments`.

use std::collections::BTreeSet;

use acceptance::client::{Client, text};
use acceptance::platform::Platform;
use acceptance::sample::{parcel, parcel_of, report, with};
use serde_json::{Value, json};

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("/shipments?{query}")).await.with_status(200)
}

fn numbers(page: &Value) -> Vec<String> {
    page["data"].as_array().expect("a page").iter().map(|shipment| text(shipment, "tracking_number")).collect()
}

// contract: "`?status&client_id&service_type&search"
// contract: "`search` is a tracking-number prefix"
// contract: "[…without history]"
pub(crate) async fn each_filter_leaves_what_it_names(platform: &Platform) {
    let (ana, admin) = (platform.a_client().await, platform.admin().await);
    let plain = ana.register(&parcel()).await;
    let quick = ana.register(&with(parcel(), json!({"service_type": "same_day"}))).await;
    let gone = ana.register(&parcel()).await;
    ana.report(&report(&gone, "picked_up", 1)).await.with_status(200);
    let client = format!("client_id={}", ana.client_id());
    let found = async |query: &str| numbers(&list(&admin, &format!("{client}&{query}")).await);

    assert_eq!(found("").await, [&*gone, &*quick, &*plain], "the newest first");
    assert_eq!(found("status=picked_up").await, [&*gone]);
    assert_eq!(found("status=created").await, [&*quick, &*plain]);
    assert_eq!(found("service_type=same_day").await, [&*quick]);
    assert_eq!(found("status=created&service_type=standard").await, [&*plain]);
    assert_eq!(found(&format!("search={quick}")).await, [&*quick]);
    assert_eq!(found(&format!("search={}", &quick[..9])).await, [&*quick], "a prefix");
    assert!(found(&format!("search={}", &quick[5..])).await.is_empty(), "not the middle");
    let created = |shipment: &Value| text(shipment, "created_at");
    let (first, second) = (created(&ana.shipment(&plain).await), created(&ana.shipment(&quick).await));
    assert!(found(&format!("created_from={second}")).await.contains(&quick));
    assert!(!found(&format!("created_to={first}")).await.contains(&plain), "its end does not belong to it");
    assert!(found("created_to=2020-01-01T00:00:00Z").await.is_empty());
    assert!(found("created_from=2000-01-01T01:00:00%2B01:00").await.contains(&plain));
    assert!(list(&admin, "client_id=nobody_has_this_one").await["data"].as_array().is_some_and(Vec::is_empty));

    let page = list(&admin, &client).await;
    assert_eq!(page["pagination"]["total"], 3);
    let shown = &page["data"][0];
    assert_eq!((&shown["current_status"], &shown["client_id"]), (&json!("picked_up"), &json!(ana.client_id())));
    assert_eq!(shown["status_history"], Value::Null, "a list is without histories");
    assert_eq!(shown["last_scan"]["status"], "picked_up", "{shown}");
}

// contract: "[…without history]"
pub(crate) async fn pages_by_offset_show_everything_once(platform: &Platform) {
    let ana = platform.a_client().await;
    let made: BTreeSet<_> = ana.register_many(&parcel(), 12).await.into_iter().collect();
    let mut seen = Vec::new();
    for (offset, length, has_next) in [(0, 5, true), (5, 5, true), (10, 2, false)] {
        let page = list(&ana, &format!("limit=5&offset={offset}")).await;
        let about = &page["pagination"];
        assert_eq!((&about["total"], &about["limit"], &about["offset"]), (&json!(12), &json!(5), &json!(offset)));
        assert_eq!((numbers(&page).len(), &about["has_next"]), (length, &json!(has_next)), "{about}");
        assert_eq!(about["next_cursor"].is_string(), has_next, "{about}");
        seen.extend(numbers(&page));
    }
    assert_eq!(seen.len(), 12);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made);
    let beyond = list(&ana, "limit=5&offset=50").await;
    assert_eq!((numbers(&beyond).len(), &beyond["pagination"]["has_next"]), (0, &json!(false)));
}

// contract: "[…without history]"
// contract: "`?status&client_id&service_type&search"
pub(crate) async fn a_cursor_leads_through_everything_once_while_more_arrives(platform: &Platform) {
    let ana = platform.a_client().await;
    let made: BTreeSet<_> = ana.register_many(&parcel(), 10).await.into_iter().collect();
    let mut query = "limit=4".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = list(&ana, &query).await;
        seen.extend(numbers(&page));
        ana.register(&parcel()).await; // it is newer than all that is still to come
        match page["pagination"]["next_cursor"].as_str() {
            Some(cursor) => query = format!("limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made);

    let of_all = text(&list(&ana, "limit=4").await["pagination"], "next_cursor");
    for other in
        [format!("status=created&cursor={of_all}"), "cursor=nonsense".to_owned(), format!("offset=1&cursor={of_all}")]
    {
        ana.get(&format!("/shipments?{other}")).await.problem(400, "VALIDATION_ERROR");
    }
}

// contract: "`?status&client_id&service_type&search"
pub(crate) async fn combined_filters_lead_from_link_to_link_while_shipments_change(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let quick = with(parcel(), json!({"service_type": "same_day"}));
    let made = ana.register_many(&quick, 9).await;
    ana.register_many(&parcel(), 3).await;
    // The first three move on before the walk, the next three during it.
    for number in &made[..3] {
        driver.report(&report(number, "picked_up", 1)).await.with_status(200);
    }
    let mut moving = made[3..6].iter();
    let filters = "service_type=same_day&status=created&search=99m-&created_from=2020-01-01T00:00:00%2B00:00";
    let (mut seen, mut path) = (Vec::new(), format!("/v1/shipments?{filters}&limit=2&offset=0"));
    loop {
        let answer = ana.get(&path).await;
        let link = answer.header("link").map(str::to_owned);
        let page = answer.with_status(200);
        assert_eq!(page["pagination"]["has_next"], json!(link.is_some()), "{page}");
        assert_eq!(page["pagination"]["total_is_exact"], true, "few shipments are counted");
        seen.extend(numbers(&page));
        if let Some(number) = moving.next() {
            driver.report(&report(number, "picked_up", 1)).await.with_status(200);
        }
        let Some(link) = link else { break };
        path = link.trim_start_matches('<').trim_end_matches(">; rel=\"next\"").to_owned();
        assert!(path.starts_with("/v1/shipments?") && !path.contains("offset"), "{path}");
    }
    let once: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "none twice: {seen:?}");
    assert!(made[6..].iter().all(|number| once.contains(number)), "whatever matched all the time is there: {seen:?}");
    assert!(made[..3].iter().all(|number| !once.contains(number)), "what never matched is not: {seen:?}");
}

// contract: "`limit` default 10, above 100 becomes 100"
pub(crate) async fn a_limit_is_held_to_its_bounds(platform: &Platform) {
    let (ana, admin) = (platform.a_client().await, platform.admin().await);
    admin.register_many(&parcel_of(ana.client_id()), 11).await;
    let page = list(&ana, "").await;
    assert_eq!((numbers(&page).len(), &page["pagination"]["limit"]), (10, &json!(10)));
    assert_eq!(list(&ana, "limit=5000").await["pagination"]["limit"], 100);
    for bad in ["0", "-1", "ten"] {
        let answer = ana.get(&format!("/shipments?limit={bad}")).await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), ["limit"]);
    }
}

// contract: "bad values 400"
// contract: "All bad fields are reported at once"
pub(crate) async fn bad_parameters_are_named_all_at_once(platform: &Platform) {
    let admin = platform.admin().await;
    let query = "status=lost&service_type=slow&created_from=yesterday&created_to=2025-13-01T00:00:00Z&offset=-1&limit=x&search=%25&stauts=created";
    let answer = admin.get(&format!("/shipments?{query}")).await;
    answer.problem(400, "VALIDATION_ERROR");
    let expected = ["created_from", "created_to", "limit", "offset", "search", "service_type", "status", "stauts"];
    assert_eq!(answer.bad_fields(), expected);
}
