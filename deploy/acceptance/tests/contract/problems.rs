//! What is wrong with a request is told in one shape.

use acceptance::client::Client;
use acceptance::platform::Platform;
use acceptance::sample::{parcel, report, with};
use serde_json::json;

// contract: "Errors, one shape everywhere"
// contract: "400 malformed or invalid, 401"
// contract: "`GET /shipments/{tracking_number}` | 404"
pub(crate) async fn every_bad_request_gets_its_status_in_the_one_shape(platform: &Platform) {
    let ana = platform.client_001().await;
    for path in ["/nothing/here", "/v1/nothing", "/v2/shipments", "/shipments/99M-ABC12345/nothing"] {
        ana.get(path).await.problem(404, "NOT_FOUND");
    }
    ana.get("/shipments/99M-AAAAAAAA").await.problem(404, "NOT_FOUND");
    let answer = ana.get("/shipments/99M-ILOU").await;
    answer.problem(400, "VALIDATION_ERROR");
    assert_eq!(answer.bad_fields(), ["tracking_number"]);
    for path in ["/events", "/shipments", "/auth/login"] {
        for body in ["", "{", "{\"a\":}", "nul", "\"text"] {
            let answer = ana.call("POST", path).body("application/json", body).send().await;
            answer.problem(400, "INVALID_JSON");
        }
        for body in ["7", "[]", "null", "\"text\""] {
            let answer = ana.call("POST", path).body("application/json", body).send().await;
            answer.problem(400, "VALIDATION_ERROR");
        }
        for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            ana.call("POST", path).body(media, "a=b").send().await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    let with_charset = ana.call("POST", "/events").body("application/json; charset=utf-8", "{}").send().await;
    with_charset.problem(400, "VALIDATION_ERROR");
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    ana.call("POST", "/events").body("application/json", deep).send().await.problem(400, "INVALID_JSON");
}

// contract: "Event body: `tracking_number"
// contract: "Unknown fields are refused by name"
// contract: "All bad fields are reported at once"
// contract: "the way out for sources"
pub(crate) async fn every_bad_field_of_an_event_is_named_at_once(platform: &Platform) {
    let ana = platform.client_001().await;
    let refused = async |event| {
        let answer = ana.post("/events", &event).await;
        answer.problem(400, "VALIDATION_ERROR");
        let errors = answer.body["errors"].as_array().expect("errors").clone();
        assert!(errors.iter().all(|error| error["code"].is_string() && error["message"].is_string()), "{errors:?}");
        answer.bad_fields().join(" ")
    };
    let good = || report("99M-ABC12345", "picked_up", 1);
    assert_eq!(refused(json!({})).await, "source status timestamp tracking_number");
    let wrong_types = json!({"tracking_number": 7, "status": true, "timestamp": 1_739_372_400, "source": ["x"],
        "location": "here", "place": 1, "code": {}, "reason": 2, "notes": false, "source_event_id": 3});
    let all = "code location notes place reason source source_event_id status timestamp tracking_number";
    assert_eq!(refused(wrong_types).await, all);
    let too_much = json!({"source": "Driver App!", "location": {"lat": 90.5, "lng": -181, "alt": 3}, "place": "x".repeat(121),
        "code": "x".repeat(41), "notes": "x".repeat(501), "source_event_id": "x".repeat(65), "reason": "Not A Slug"});
    let all = "code location.alt location.lat location.lng notes place reason source source_event_id";
    assert_eq!(refused(with(good(), too_much)).await, all);
    assert_eq!(refused(with(good(), json!({"statsu": "x"}))).await, "statsu", "an unknown field is refused by name");
    assert_eq!(refused(with(good(), json!({"status": "created"}))).await, "status");
    assert_eq!(refused(with(good(), json!({"kind": "other"}))).await, "kind", "a status or a kind, not both");
    assert_eq!(
        refused(with(good(), json!({"timestamp": "2025-02-12T15:00:00"}))).await,
        "timestamp",
        "without an offset"
    );
    let ahead = |seconds| {
        let now = shared::clock::system();
        json!({"timestamp": now.plus(std::time::Duration::from_secs(seconds)).to_string()})
    };
    assert_eq!(refused(with(good(), ahead(600))).await, "timestamp", "ten minutes in the future");
    ana.post("/events", &with(good(), ahead(120))).await.with_status(202);
}

// contract: "Shipment body (`POST /shipments`), flat"
// contract: "Weights and sizes > 0"
// contract: "All bad fields are reported at once"
// contract: "Unknown fields are refused by name"
pub(crate) async fn every_bad_field_of_a_shipment_is_named_at_once(platform: &Platform) {
    let ana = platform.client_001().await;
    let refused = async |body| {
        let answer = ana.post("/shipments", &body).await;
        answer.problem(400, "VALIDATION_ERROR");
        answer.bad_fields().join(" ")
    };
    let required = "content_description destination_address destination_lat destination_lng height_cm length_cm origin_address \
        origin_lat origin_lng weight_kg width_cm";
    assert_eq!(refused(json!({})).await, required);
    let wrong = json!({"weight_kg": 0, "length_cm": -1, "width_cm": "20", "origin_lat": 91, "origin_lng": 181,
        "service_type": "slow", "metadata": {"a": 1}, "sender": {"nmae": "Zoë"}, "surprise": 1, "origin_address": ""});
    let all = "length_cm metadata.a origin_address origin_lat origin_lng sender.nmae service_type surprise weight_kg width_cm";
    assert_eq!(refused(with(parcel(), wrong)).await, all);
    let pairs: serde_json::Map<_, _> = (0..21).map(|index| (format!("name{index}"), json!("x"))).collect();
    assert!(refused(with(parcel(), json!({"metadata": pairs}))).await.starts_with("metadata"));
    assert_eq!(refused(with(parcel(), json!({"origin_address": "x".repeat(100_000)}))).await, "origin_address");
}

// contract: "Errors, one shape everywhere"
pub(crate) async fn a_method_that_a_path_lacks_is_answered_with_those_it_has(platform: &Platform) {
    let ana = platform.client_001().await;
    for (method, path, has) in [
        ("DELETE", "/shipments", vec!["GET", "POST"]),
        ("PUT", "/shipments/99M-ABC12345", vec!["GET"]),
        ("GET", "/events", vec!["POST"]),
        ("GET", "/events/batch", vec!["POST"]),
        ("GET", "/auth/login", vec!["POST"]),
        ("POST", "/v1/health", vec!["GET"]),
    ] {
        let answer = ana.call(method, path).send().await;
        answer.problem(405, "METHOD_NOT_ALLOWED");
        let allow = answer.header("allow").unwrap_or_default().to_owned();
        let allowed: Vec<_> = allow.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
        assert_eq!(allowed, has, "{method} {path}");
    }
}

// contract: "also a bare array and `application/x-ndjson`"
// contract: "400 malformed or invalid, 401"
pub(crate) async fn a_body_that_is_too_large_is_refused(platform: &Platform) {
    let ana = platform.client_001().await;
    let large = format!("{{\"notes\":\"{}\"}}", "x".repeat(1024 * 1024));
    for path in ["/events", "/shipments", "/events/batch", "/auth/login", "/v1/events"] {
        let answer = ana.call("POST", path).body("application/json", large.clone()).send().await;
        answer.problem(413, "PAYLOAD_TOO_LARGE");
        let answer = ana.call("POST", path).chunked("application/json", &large).send().await;
        answer.problem(413, "PAYLOAD_TOO_LARGE");
    }
}

pub(crate) async fn a_refusal_is_read_by_whoever_is_still_sending(platform: &Platform) {
    let (nobody, ana) = (platform.nobody(), platform.client_001().await);
    let large = format!("[\"{}\"]", "x".repeat(4 * 1024 * 1024));
    for attempt in 0..2 {
        let sent = async |client: &Client, method: &str, path: &str, media: &str| {
            let call = client.call(method, path);
            let call = if attempt == 0 { call.body(media, large.clone()) } else { call.chunked(media, &large) };
            call.send().await
        };
        sent(&nobody, "POST", "/events/batch", "application/json").await.problem(401, "UNAUTHORIZED");
        sent(&ana, "POST", "/auth/users", "application/json").await.problem(403, "FORBIDDEN");
        sent(&ana, "POST", "/nothing", "application/json").await.problem(404, "NOT_FOUND");
        sent(&ana, "PUT", "/events", "application/json").await.problem(405, "METHOD_NOT_ALLOWED");
        sent(&ana, "POST", "/events", "application/json").await.problem(413, "PAYLOAD_TOO_LARGE");
        sent(&ana, "POST", "/events", "text/plain").await.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

// contract: "every path below is also served under `/v1`"
pub(crate) async fn every_path_is_served_under_v1_too(platform: &Platform) {
    let ana = platform.a_client().await;
    let number = ana.post("/v1/shipments", &parcel()).await.with_status(201)["tracking_number"].clone();
    let number = number.as_str().expect("a number");
    let accepted = ana.post("/v1/events", &report(number, "picked_up", 1)).await.with_status(202);
    let id = accepted["event_id"].as_str().expect("an id");
    assert_eq!(ana.outcome(id).await["outcome"], "applied");
    for path in [
        "/livez",
        "/readyz",
        "/health",
        "/metrics",
        "/shipments",
        &format!("/shipments/{number}"),
        &format!("/events/{id}"),
    ] {
        let (plain, versioned) = (ana.get(path).await, ana.get(&format!("/v1{path}")).await);
        assert_eq!((plain.status, versioned.status), (200, 200), "{path}");
    }
    let plain = ana.get(&format!("/shipments/{number}")).await.with_status(200);
    assert_eq!(ana.get(&format!("/v1/shipments/{number}")).await.with_status(200), plain);
    ana.post("/v1/events/batch", &json!([report(number, "in_warehouse", 2)])).await.with_status(202);
    ana.post("/v1/auth/login", &json!({"username": "x", "password": "y"})).await.problem(401, "UNAUTHORIZED");
    ana.get("/v1/auth/users").await.problem(403, "FORBIDDEN");
}

pub(crate) async fn a_request_keeps_the_trace_that_it_came_with(platform: &Platform) {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let call =
        platform.nobody().call("GET", "/shipments").header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"));
    let answer = call.send().await;
    assert_eq!(answer.problem(401, "UNAUTHORIZED")["trace_id"], trace);
    assert!(answer.header("traceparent").is_some_and(|value| value.contains(trace)), "{:?}", answer.headers);
    let answer = platform.nobody().call("GET", "/shipments").header("traceparent", "nonsense").send().await;
    answer.problem(401, "UNAUTHORIZED");
}
