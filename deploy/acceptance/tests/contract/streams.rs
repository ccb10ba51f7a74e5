//! Changes as they happen, and a page at a time.

use std::collections::BTreeSet;

use acceptance::client::{Client, text};
use acceptance::listener::{Listener, Told};
use acceptance::platform::Platform;
use acceptance::poster::Poster;
use acceptance::sample::{parcel, parcel_of, report};
use acceptance::verdict;
use futures::future::join_all;
use serde_json::json;

/// Shipments and sources of the traffic that is listened to.
const SHIPMENTS: usize = 20;
const SOURCES: u64 = 4;
const ROUNDS: usize = 6;

/// The caller at each of the platform's edges.
fn everywhere(platform: &Platform, caller: &Client) -> Vec<Client> {
    platform.edges.iter().map(|edge| caller.before(&edge.url)).collect()
}

// contract: "200, the same for one shipment, all its changes in order"
pub(crate) async fn a_stream_tells_each_step_of_a_parcel(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    let other = ana.register(&parcel()).await;
    let path = format!("/shipments/{number}/stream");
    let mut listeners = Vec::new();
    for caller in everywhere(platform, &ana) {
        let begun = caller.listen(&path, None).await;
        // The creation may have been told already, or is told now.
        let created = begun.last_id.clone();
        listeners.push((caller, begun, created));
    }
    for (second, status) in (1..).zip(["picked_up", "in_warehouse", "in_transit", "delivered"]) {
        driver.report(&report(&other, status, second)).await.with_status(200);
        driver.report(&report(&number, status, second)).await.with_status(200);
        for (_, listener, _) in &mut listeners {
            let mut change = listener.change().await;
            while change["to"] == "created" {
                change = listener.change().await;
            }
            assert_eq!((&change["to"], &change["tracking_number"]), (&json!(status), &json!(number)), "{change}");
            assert_eq!(change["client_id"], ana.client_id());
        }
    }
    // Cut off before the first step, and now at another place.
    for ((_, _, begun), caller) in listeners.iter().zip(everywhere(platform, &ana).iter().rev()) {
        let mut again = caller.listen(&path, Some(begun)).await;
        let mut steps = Vec::new();
        while steps.last() != Some(&json!("delivered")) {
            steps.push(again.change().await["to"].clone());
        }
        steps.retain(|step| step != "created");
        assert_eq!(steps, ["picked_up", "in_warehouse", "in_transit", "delivered"]);
    }
}

// contract: "`Last-Event-ID` goes on behind that place"
// contract: "the same feed a page at a time"
pub(crate) async fn a_caller_who_is_cut_off_again_and_again_misses_nothing(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let edges = everywhere(platform, &ana);
    let mut listener = edges[0].listen("/stream", None).await;
    let shipments = ana.register_many(&parcel(), SHIPMENTS).await;
    let mut posters: Vec<_> = (0..SOURCES)
        .map(|seed| Poster::new(driver.clone(), &format!("streamed_{seed}"), &shipments, 500 + seed))
        .collect();
    let traffic = async {
        join_all(posters.iter_mut().map(async |poster| {
            for _ in 0..ROUNDS {
                poster.round().await;
            }
        }))
        .await;
        let accepted: Vec<_> = posters.iter().map(|poster| poster.accepted.as_slice()).collect();
        verdict::hold_to_account(&platform.admin().await, &accepted).await
    };
    let (mut told, mut cuts) = (Told::default(), 0);
    let mut traffic = std::pin::pin!(traffic);
    let moves = loop {
        tokio::select! {
            moves = traffic.as_mut() => break moves,
            change = listener.change() => {
                told.hear(&change);
                cuts += 1;
                // Every few events the connection ends, and another instance goes on.
                if cuts % 3 == 0 {
                    listener = edges[cuts / 3 % edges.len()].listen("/stream", Some(&listener.last_id)).await;
                }
            }
        }
    };
    while !told.holds(&moves) {
        told.hear(&listener.change().await);
    }
    told.assert_is(&moves);

    // The pull form tells the same, at every place.
    for caller in &edges {
        let (mut pulled, mut cursor, mut ids) = (Told::default(), String::new(), BTreeSet::new());
        loop {
            let page = caller.get(&format!("/changes?limit=50&cursor={cursor}")).await.with_status(200);
            for change in page["data"].as_array().expect("a page") {
                pulled.hear(change);
                assert!(ids.insert(text(change, "id")), "{change}");
            }
            cursor = text(&page["pagination"], "next_cursor");
            if page["pagination"]["has_next"] == false {
                break;
            }
        }
        pulled.assert_is(&moves);
        // And from its last place a stream goes on.
        let mut rest = caller.listen("/stream", Some(&cursor)).await;
        let number = ana.register(&parcel()).await;
        assert_eq!(rest.change().await["tracking_number"], *number);
    }
}

// contract: "`GET /stream` | admin, client (own shipments)"
// contract: "`GET /shipments/{tracking_number}/stream` | admin, own client"
// contract: "403 when it belongs to another client, 404"
// contract: "`GET /changes` | admin, client (own shipments)"
pub(crate) async fn a_client_hears_of_its_own_shipments_and_no_others(platform: &Platform) {
    let (ana, eve, admin) = (platform.a_client().await, platform.a_client().await, platform.admin().await);
    let mut hers: Vec<Listener> = Vec::new();
    let now = eve.get("/changes?cursor=now").await.with_status(200);
    for path in ["/stream", &format!("/stream?client_id={}", eve.client_id()), "/v1/stream?status=created"] {
        hers.push(eve.listen(path, None).await);
    }
    let number = ana.register(&parcel()).await;
    let own = eve.register(&parcel()).await;
    for listener in &mut hers {
        assert_eq!(listener.change().await["tracking_number"], *own, "and nothing before it");
    }
    let page = format!("/changes?cursor={}", text(&now["pagination"], "next_cursor"));
    let page = eve.get(&page).await.with_status(200);
    let numbers: Vec<_> =
        page["data"].as_array().expect("a page").iter().map(|change| &change["tracking_number"]).collect();
    assert_eq!(numbers, [&json!(own)]);

    let path = format!("/shipments/{number}/stream");
    let foreign = format!("/stream?client_id={}", ana.client_id());
    for path in [&path, &foreign, &format!("/changes?client_id={}", ana.client_id())] {
        eve.get(path).await.problem(403, "FORBIDDEN");
    }
    for path in ["/stream", "/changes", &path] {
        platform.driver().await.get(path).await.problem(403, "FORBIDDEN");
    }
    eve.get("/shipments/99M-ABC12345/stream").await.problem(404, "NOT_FOUND");

    let mut all = admin.listen(&format!("/stream?client_id={}", ana.client_id()), None).await;
    let another = admin.register(&parcel_of(ana.client_id())).await;
    assert_eq!(all.change().await["tracking_number"], *another);
}

// contract: "`event: reset` when the place is not kept any more"
pub(crate) async fn a_place_that_is_none_is_refused_or_told(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.register(&parcel()).await;
    for (path, id) in [("/stream".to_owned(), "nonsense"), (format!("/shipments/{number}/stream"), "1:x:0")] {
        let refused = ana.try_listen(&path, Some(id)).await.err().expect("refused");
        refused.problem(400, "VALIDATION_ERROR");
        assert_eq!(refused.bad_fields(), ["Last-Event-ID"]);
    }
    let answer = ana.get("/changes?cursor=nonsense&limit=0").await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["cursor", "limit"]);

    // A place that the topic has not reached.
    let path = format!("/shipments/{number}/stream");
    let id = ana.listen(&path, None).await.last_id;
    let partition = id.split(':').next().expect("a position");
    let far = format!("{partition}:999999999:0");
    for caller in everywhere(platform, &ana) {
        let mut listener = caller.listen(&path, Some(&far)).await;
        let reset = listener.next().await.expect("it goes on");
        assert_eq!((reset.name.as_str(), &reset.data["reason"]), ("reset", &json!("not_reached")));
        assert!(reset.data["message"].is_string());
    }
    ana.report(&report(&number, "picked_up", 1)).await.with_status(200);
}
