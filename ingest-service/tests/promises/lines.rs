//! One line for each request, and nothing of what was sent in it.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::traces::Log;
use crate::world::{ADMIN, Announce, CLIENT, DRIVER, World, registration, report};

/// What somebody said about himself or others, and what opens something.
const PERSONAL: [&str; 8] = [
    "Zoraida",
    "Quispe",
    "zoraida@example.com",
    "+52 55 1234 5678",
    "Calle 5 #123",
    "Llamar al portero",
    "19.4326",
    "password123",
];

#[tokio::test]
async fn each_request_has_one_line_and_probes_have_none() {
    let world = World::new().await;
    let _processor = world.processor(Announce::Yes);
    world.bearer(ADMIN).await;
    world.bearer(DRIVER).await;
    let (log, _guard) = Log::listen("info");
    let number = world.shipment("client_001").await;
    let answers = [
        (world.get(ADMIN, &format!("/shipments/{number}")).await, 200, "a request was answered"),
        (world.post(DRIVER, "/events", &report(&number, "picked_up", 0)).await, 202, "a request was answered"),
        (world.post(DRIVER, "/events", &json!({})).await, 400, "a request was refused"),
        (world.get(ADMIN, "/nowhere").await, 404, "a request was refused"),
        (world.get(DRIVER, "/shipments").await, 403, "a request was refused"),
    ];
    for (answer, status, message) in &answers {
        let lines = log.about(answer);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &(*message).into()), "{line}");
        assert_eq!(line["status"], *status, "{line}");
        assert!(line["took_ms"].is_u64() && line["path"].is_string() && line["span"]["url"].is_string(), "{line}");
        assert!(line["detail"].is_null(), "what a caller is told is for the level debug: {line}");
    }
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        let probe = world.send(Request::get(path).body(Body::empty()).expect("well-formed")).await;
        assert!(log.about(&probe).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn nothing_that_a_request_says_of_people_gets_into_a_line_at_any_level() {
    let world = World::new().await;
    let (log, _guard) = Log::listen("trace");
    let _processor = world.processor(Announce::Yes);
    let person = json!({"name": "Zoraida Quispe", "email": "zoraida@example.com", "phone": "+52 55 1234 5678"});
    let mut body = registration();
    body["client_id"] = json!("client_001");
    body["sender"] = person.clone();
    body["recipient"] = person.clone();
    let made = world.post(ADMIN, "/shipments", &body).await;
    let number = made.json()["tracking_number"].as_str().expect("a number").to_owned();
    let mut wrong = body.clone();
    wrong["recipient"]["phone"] = json!("+52 55 1234 5678 +52 55 1234 5678 +52 55 1234 5678 +52 55 1234 5678");
    wrong["recipient"]["nickname"] = json!("Zoraida");
    wrong["weight_kg"] = json!("Quispe");
    assert_eq!(world.post(ADMIN, "/shipments", &wrong).await.failure().0, 400);
    let mut event = report(&number, "picked_up", 0);
    event["notes"] = json!("Llamar al portero, Zoraida Quispe, +52 55 1234 5678");
    event["location"] = json!({"lat": 19.4326, "lng": -99.1332});
    assert_eq!(world.post_and_wait(DRIVER, &event).await.status.as_u16(), 200);
    event["status"] = json!("in_warehouse"); // a conflict, which is written to the dead letters
    world.post_and_wait(DRIVER, &event).await;
    world.get(CLIENT, "/shipments?search=Zoraida").await;
    assert!(world.get(CLIENT, &format!("/shipments/{number}")).await.text.contains("Zoraida"), "the caller reads it");
    world.get(CLIENT, &format!("/shipments/{number}/events")).await;
    world.change(ADMIN, "PATCH", "/auth/users/Zoraida", &json!({"password": "Quispe-Quispe"})).await;
    world.log_in("client_user_001", "Zoraida-Quispe").await;
    let text = log.text();
    assert!(text.lines().count() > 7, "{text}");
    for word in PERSONAL {
        assert!(
            !text.contains(word),
            "{word:?} is in the log: {}",
            text.lines().find(|line| line.contains(word)).unwrap_or_default()
        );
    }
}
