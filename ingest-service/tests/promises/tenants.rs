//! A caller of one client never reads, lists or changes another client's shipment.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::world::{ADMIN, CLIENT, DRIVER, OTHER_CLIENT, World, registration, report};

// contract: "`admin` all"
// contract: "`client` own shipments only"
// contract: "may only post events"
// contract: "`GET /shipments` | admin, client"
// contract: "`POST /shipments` | admin, client"
// contract: "`GET /shipments/{tracking_number}` | admin, own client"
// contract: "admin, source, client (own shipments)"
// contract: "`POST /events/batch` | as above"
// contract: "admin, the sender's client, the shipment's client"
// contract: "`GET /shipments/{tracking_number}/events` | admin, own client"
#[tokio::test]
async fn each_role_gets_from_each_route_what_the_contract_says() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let posted = world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await;
    world.process().await;
    let (shipment, event) = (format!("/shipments/{number}"), posted.header("location").expect("a location").to_owned());
    // Columns: admin, own client, other client, source.
    let reads: [(&str, [u16; 4]); 7] = [
        (&shipment, [200, 200, 403, 403]),
        (&format!("{shipment}/events"), [200, 200, 403, 403]),
        ("/shipments", [200, 200, 200, 403]),
        (&event, [200, 200, 404, 403]),
        ("/auth/users", [200, 403, 403, 403]),
        ("/shipments/99M-ZZZZZZZZ", [404, 404, 404, 403]),
        ("/shipments/99M-ZZZZZZZZ/events", [404, 404, 404, 403]),
    ];
    for (path, expected) in reads {
        for (user, expected) in [ADMIN, CLIENT, OTHER_CLIENT, DRIVER].into_iter().zip(expected) {
            for path in [path.to_owned(), format!("/v1{path}")] {
                let answer = world.get(user, &path).await;
                assert_eq!(answer.status.as_u16(), expected, "{user} {path}: {}", answer.text);
                let told = answer.status == StatusCode::OK && answer.text.contains(&number);
                assert!(!told || matches!(user, ADMIN | CLIENT), "{user} {path}: {}", answer.text);
            }
        }
    }
    world.log.set_away(true); // what passes the roles stops here
    let mut own = registration();
    own["client_id"] = json!("client_001");
    let writes: [(&str, Value, [u16; 4]); 3] = [
        ("/shipments", own, [503, 503, 403, 403]),
        ("/events", report(&number, "in_warehouse", 1), [503; 4]),
        ("/events/batch", json!([report(&number, "in_warehouse", 1)]), [503; 4]),
    ];
    for (path, body, expected) in writes {
        for (user, expected) in [ADMIN, CLIENT, OTHER_CLIENT, DRIVER].into_iter().zip(expected) {
            let answer = world.post(user, path, &body).await;
            assert_eq!(answer.status.as_u16(), expected, "{user} {path}: {}", answer.text);
        }
    }
}

// contract: "a client is always held to its own `client_id`"
#[tokio::test]
async fn a_list_never_leaves_the_caller_s_own_client() {
    let world = World::new().await;
    let (own, other) = (world.shipment("client_001").await, world.shipment("client_002").await);
    for query in ["", "?client_id=client_002", "?search=99M-", "?status=created&client_id=client_002", "?limit=100"] {
        let answer = world.get(CLIENT, &format!("/shipments{query}")).await;
        assert!(answer.text.contains(&own) && !answer.text.contains(&other), "{query}: {}", answer.text);
        assert_eq!(answer.json()["pagination"]["total"], 1, "{query}");
    }
    let found = world.get(CLIENT, &format!("/shipments?search={other}")).await;
    assert_eq!(found.json()["pagination"]["total"], 0);
}

// contract: "Whether a client's event is about its own shipment"
// contract: "admin, the sender's client, the shipment's client"
#[tokio::test]
async fn what_a_client_sent_about_a_foreign_shipment_tells_nothing_about_it() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let posted = world.post(OTHER_CLIENT, "/events", &report(&number, "picked_up", 0)).await;
    assert_eq!(posted.status, StatusCode::ACCEPTED, "the processor decides");
    let path = posted.header("location").expect("a location").to_owned();
    assert_eq!(world.get(OTHER_CLIENT, &path).await.failure().0, 404, "not yet decided, and not its shipment");
    world.process().await;
    let decided = world.get(OTHER_CLIENT, &path).await;
    assert_eq!((&decided.json()["outcome"], &decided.json()["reason"]), (&json!("rejected"), &json!("FORBIDDEN")));
    assert_eq!(decided.json()["from"], Value::Null, "the sender sees its event, and not where the shipment stands");
    assert_eq!(
        (&decided.json()["to"], &decided.json()["timestamp"]),
        (&json!("picked_up"), &json!("2025-06-15T12:00:00Z"))
    );
    let seen = world.get(CLIENT, &path).await.json();
    assert_eq!(
        (&seen["reason"], &seen["from"]),
        (&json!("FORBIDDEN"), &json!("created")),
        "whose shipment it is sees that"
    );
    assert_eq!((&seen["to"], &seen["timestamp"]), (&Value::Null, &Value::Null), "and not what the other one reported");
    let whole = world.get(ADMIN, &path).await.json();
    assert_eq!((&whole["from"], &whole["to"]), (&json!("created"), &json!("picked_up")));
}
