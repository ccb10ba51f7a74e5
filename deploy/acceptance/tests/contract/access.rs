//! Who may do what.

use acceptance::client::Client;
use acceptance::platform::Platform;
use acceptance::sample::{parcel, parcel_of, report};
use serde_json::{Value, json};

/// Every call that needs a token.
const GUARDED: [(&str, &str); 22] = [
    ("GET", "/auth/users"),
    ("POST", "/auth/users"),
    ("GET", "/auth/users/admin_user"),
    ("PATCH", "/auth/users/admin_user"),
    ("DELETE", "/auth/users/admin_user"),
    ("GET", "/auth/api-keys"),
    ("POST", "/auth/api-keys"),
    ("GET", "/auth/api-keys/7G2BKBT9"),
    ("DELETE", "/auth/api-keys/7G2BKBT9"),
    ("GET", "/shipments"),
    ("POST", "/shipments"),
    ("GET", "/shipments/99M-ABC12345"),
    ("GET", "/shipments/99M-ABC12345/events"),
    ("POST", "/events"),
    ("POST", "/events/batch"),
    ("GET", "/events/evt_ABC12345_0000000000000000000000"),
    ("GET", "/shipments/99M-ABC12345/stream"),
    ("GET", "/stream"),
    ("GET", "/changes"),
    ("GET", "/admin/log-level"),
    ("PUT", "/admin/log-level"),
    ("GET", "/v1/shipments"),
];

// contract: "`Authorization: Bearer <JWT>` unless marked public"
pub(crate) async fn without_a_valid_token_nothing_is_told(platform: &Platform) {
    let nobody = platform.nobody();
    // {"alg":"none"} and an admin's claims, and a token that another secret signed.
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4Iiwicm9sZSI6ImFkbWluIiwiZXhwIjo5OTk5OTk5OTk5LCJpc3MiOiJyYXN0cm8iLCJhdWQiOiJyYXN0cm8tYXBpIn0.";
    let forged = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4Iiwicm9sZSI6ImFkbWluIiwiZXhwIjo5OTk5OTk5OTk5LCJpc3MiOiJyYXN0cm8iLCJhdWQiOiJyYXN0cm8tYXBpIn0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let callers =
        [nobody.clone(), nobody.with_token("nonsense"), nobody.with_token(unsigned), nobody.with_token(forged)];
    for (method, path) in GUARDED {
        for caller in &callers {
            let answer = caller.call(method, path).body("application/json", "{}").send().await;
            answer.problem(401, "UNAUTHORIZED");
            assert!(
                answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
                "{method} {path}"
            );
        }
    }
    let basic = nobody.call("GET", "/shipments").header("authorization", "Basic YWRtaW5fdXNlcjpwYXNzd29yZDEyMw==");
    basic.send().await.problem(401, "UNAUTHORIZED");
}

// contract: "a client is always held to its own `client_id`"
// contract: "403 for another client's shipment"
// contract: "`client` own shipments only"
pub(crate) async fn a_client_never_sees_or_changes_another_client_s_shipments(platform: &Platform) {
    let (ana, eve, admin) = (platform.a_client().await, platform.a_client().await, platform.admin().await);
    let hers = ana.register(&parcel()).await;
    let eves = eve.register(&parcel()).await;
    eve.get(&format!("/shipments/{hers}")).await.problem(403, "FORBIDDEN");
    let seen = async |client: &Client, query: &str| {
        let page = client.get(&format!("/shipments?{query}")).await.with_status(200);
        let numbers =
            page["data"].as_array().expect("a page").iter().map(|shipment| shipment["tracking_number"].clone());
        (numbers.collect::<Vec<_>>(), page["pagination"]["total"].clone())
    };
    let (only_eves, nothing) = ((vec![json!(eves)], json!(1)), (Vec::<Value>::new(), json!(0)));
    assert_eq!(seen(&eve, "").await, only_eves);
    assert_eq!(seen(&eve, &format!("client_id={}", ana.client_id())).await, only_eves, "held to its own");
    assert_eq!(seen(&eve, &format!("search={hers}")).await, nothing);
    assert_eq!(seen(&admin, &format!("client_id={}", ana.client_id())).await, (vec![json!(hers)], json!(1)));
    eve.report(&report(&hers, "picked_up", 1)).await.problem(409, "FORBIDDEN");
    assert_eq!(ana.shipment(&hers).await["current_status"], "created");
}

// contract: "may only post events"
// contract: "`GET /shipments` | admin, client"
// contract: "`POST /shipments` | admin, client"
// contract: "`GET /shipments/{tracking_number}` | admin, own client"
// contract: "admin, source, client (own shipments)"
// contract: "`POST /events/batch` | as above"
pub(crate) async fn a_source_may_post_events_and_nothing_else(platform: &Platform) {
    let (ana, driver) = (platform.a_client().await, platform.driver().await);
    let number = ana.register(&parcel()).await;
    driver.post("/shipments", &parcel_of(ana.client_id())).await.problem(403, "FORBIDDEN");
    for path in
        ["/shipments", &format!("/shipments/{number}"), "/auth/users", "/events/evt_ABC12345_0000000000000000000000"]
    {
        driver.get(path).await.problem(403, "FORBIDDEN");
    }
    driver.post("/events", &report(&number, "picked_up", 1)).await.with_status(202);
    let batch = json!([report(&number, "in_warehouse", 2)]);
    assert_eq!(driver.post("/events/batch", &batch).await.with_status(202)["queued"], 1);
}

// contract: "A client's own `client_id` is taken from its token"
// contract: "an admin names it"
// contract: "`client` own shipments only"
pub(crate) async fn a_client_registers_shipments_of_its_own_only(platform: &Platform) {
    let (ana, admin) = (platform.a_client().await, platform.admin().await);
    ana.post("/shipments", &parcel_of("somebody_else")).await.problem(403, "FORBIDDEN");
    let number = ana.register(&parcel_of(ana.client_id())).await;
    assert_eq!(ana.shipment(&number).await["client_id"], ana.client_id());
    let answer = admin.post("/shipments", &parcel()).await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["client_id"], "an admin says whose it is");
    let number = admin.register(&parcel_of(ana.client_id())).await;
    assert_eq!(ana.shipment(&number).await["client_id"], ana.client_id());
    let seeded = platform.client_001().await;
    let number = seeded.register(&parcel()).await;
    assert_eq!(admin.shipment(&number).await["client_id"], "client_001");
}
