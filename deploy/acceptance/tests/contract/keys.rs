//! Keys of machines.

use std::time::Duration;

use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};
use acceptance::wait;
use serde_json::{Value, json};

/// Longest time until what was removed on one instance stops on all: what is promised, and what a busy machine needs besides.
const STOPS: Duration = Duration::from_secs(60);

pub(crate) async fn a_scanner_reports_with_a_key_and_its_events_name_it(platform: &Platform) {
    let (admin, ana) = (platform.admin().await, platform.a_client().await);
    let number = ana.register(&parcel()).await;
    let made = admin.post("/auth/api-keys", &json!({"name": "Gate 4, Puebla", "role": "source"})).await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.with_status(201);
    let key = made["key"].as_str().expect("a key");
    let (prefix, id) = (made["prefix"].as_str().expect("a prefix"), made["id"].as_str().expect("an id"));
    assert!(key.starts_with(&format!("{prefix}_")) && prefix == format!("rk_{id}"), "{prefix} {id}");

    // On whichever instance it calls next.
    for (minute, status) in [(1, "picked_up"), (2, "in_warehouse")] {
        let scanner = platform.nobody().with_token(key);
        let reported = scanner.report(&report(&number, status, minute)).await.with_status(200);
        assert_eq!(reported["status"], "applied");
        scanner.get(&format!("/shipments/{number}")).await.problem(403, "FORBIDDEN");
    }
    let listed = admin.get("/auth/api-keys").await;
    assert!(!listed.text.contains(&key[prefix.len()..]), "a key is shown once");
    let listed = listed.with_status(200);
    let own = listed["data"].as_array().expect("keys").iter().find(|listed| listed["id"] == id).expect("listed");
    assert_eq!(
        (&own["prefix"], &own["name"], &own["created_by"]),
        (&json!(prefix), &json!("Gate 4, Puebla"), &json!("admin_user"))
    );
}

pub(crate) async fn a_client_s_own_system_sees_what_the_client_sees(platform: &Platform) {
    let (admin, ana, eve) = (platform.admin().await, platform.a_client().await, platform.a_client().await);
    let body = json!({"name": "their shop", "role": "client", "client_id": ana.client_id()});
    let made = admin.post("/auth/api-keys", &body).await.with_status(201);
    let system = platform.nobody().with_token(made["key"].as_str().expect("a key"));
    let (own, foreign) = (system.register(&parcel()).await, eve.register(&parcel()).await);
    assert_eq!(ana.shipment(&own).await["client_id"], ana.client_id());
    system.get(&format!("/shipments/{foreign}")).await.problem(403, "FORBIDDEN");
}

pub(crate) async fn a_removed_key_stops_on_every_instance(platform: &Platform) {
    let admin = platform.admin().await;
    let made = admin.post("/auth/api-keys", &json!({"name": "lost", "role": "source"})).await.with_status(201);
    let path = format!("/auth/api-keys/{}", made["id"].as_str().expect("an id"));
    // One caller on each instance.
    let holders: Vec<_> =
        platform.edges.iter().map(|edge| edge.nobody().with_token(made["key"].as_str().expect("a key"))).collect();
    let event = report("99M-ABC12345", "picked_up", 1);
    for holder in &holders {
        holder.post("/events", &event).await.with_status(202);
    }
    admin.call("DELETE", &path).send().await.with_status(204);
    for holder in &holders {
        let stopped = async || (holder.post("/events", &event).await.status == 401).then_some(());
        wait::until("a removed key stops", STOPS, stopped).await;
    }
    admin.get(&path).await.problem(404, "NOT_FOUND");
    admin.call("DELETE", &path).send().await.problem(404, "NOT_FOUND");
}

pub(crate) async fn what_is_no_key_is_refused_and_only_an_admin_makes_one(platform: &Platform) {
    let nobody = platform.nobody();
    let forged = "rk_7G2BKBT9_0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for wrong in [forged, "rk_7G2BKBT9", "rk_"] {
        nobody.with_token(wrong).get("/shipments").await.problem(401, "UNAUTHORIZED");
    }
    let key = json!({"name": "x", "role": "source"});
    for caller in [platform.client_001().await, platform.driver().await] {
        caller.post("/auth/api-keys", &key).await.problem(403, "FORBIDDEN");
        caller.get("/auth/api-keys").await.problem(403, "FORBIDDEN");
    }
    let admin = platform.admin().await;
    let wrong =
        json!({"name": "", "role": "admin", "expires_at": "2001-01-01T00:00:00Z", "secret": Value::from("mine")});
    let answer = admin.post("/auth/api-keys", &wrong).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["expires_at", "name", "role", "secret"]);
}
