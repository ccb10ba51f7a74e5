//! How much a caller may ask for in a time.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::{Value, json};

use crate::errors::assert_shape;
use crate::keys;
use crate::world::{ADMIN, Answer, CLIENT, DRIVER, OTHER_CLIENT, World, pass, report};

/// Policy, balance and `Retry-After`.
fn told(answer: &Answer) -> (Option<&str>, Option<&str>, Option<&str>) {
    (answer.header("ratelimit-policy"), answer.header("ratelimit"), answer.header("retry-after"))
}

fn events(count: u32) -> Value {
    (0..count).map(|minute| report("99M-ABC12345", "picked_up", minute)).collect()
}

/// All worlds share their tokens, so whoever logs in elsewhere pays for it there.
async fn logged_in(users: &[&str]) {
    let elsewhere = World::new().await;
    for user in users {
        elsewhere.bearer(user).await;
    }
}

// contract: "400 malformed or invalid, 401"
// contract: "Errors, one shape everywhere"
#[tokio::test(start_paused = true)]
async fn a_caller_who_has_used_up_his_reads_is_told_when_there_is_more() {
    logged_in(&[CLIENT, OTHER_CLIENT, DRIVER]).await;
    let world = World::set(&[("RATE_LIMIT_READS", "2/s:3")]).await;
    let policy = Some("\"reads\";q=3;w=2");
    let balance = |left: u32| format!("\"reads\";r={left};t=1");
    for (path, status, left) in
        [("/shipments", 200, 2), ("/v1/shipments/99M-AAAAAAAA", 404, 1), ("/shipments?limit=0", 400, 0)]
    {
        let answer = world.get(CLIENT, path).await;
        assert_eq!(
            (answer.status.as_u16(), told(&answer)),
            (status, (policy, Some(balance(left).as_str()), None)),
            "{path}"
        );
    }
    let refused = world.get(CLIENT, "/shipments").await;
    assert_shape(&refused, "/shipments");
    assert_eq!(refused.failure(), (429, "RATE_LIMITED".to_owned()));
    assert_eq!(told(&refused), (policy, Some("\"reads\";r=0;t=1"), Some("1")));
    assert!(
        refused.json()["detail"].as_str().is_some_and(|text| text.contains("2 a second, up to 3 at once")),
        "{}",
        refused.text
    );
    let metrics = world.registry.text().expect("encodes");
    assert!(metrics.contains("shipping_rate_limited_total{class=\"reads\"} 1\n"), "{metrics}");
    assert!(metrics.contains("shipping_rate_limited_total{class=\"events\"} 0\n"), "{metrics}");

    assert_eq!(world.get(OTHER_CLIENT, "/shipments").await.status, 200, "each caller has his own");
    let event = world.post(CLIENT, "/events", &report("99M-ABC12345", "picked_up", 0)).await;
    assert_eq!((event.status.as_u16(), told(&event)), (202, (None, None, None)), "another class has no limit here");
    pass(Duration::from_millis(500)).await;
    assert_eq!(world.get(CLIENT, "/shipments").await.status, 200);
    assert_eq!(world.get(CLIENT, "/shipments").await.status, 429);
}

#[tokio::test(start_paused = true)]
async fn each_event_of_a_batch_counts() {
    logged_in(&[DRIVER]).await;
    let world = World::set(&[("RATE_LIMIT_EVENTS", "10/s:20")]).await;
    let first = world.post(DRIVER, "/events/batch", &events(15)).await;
    assert_eq!((first.status.as_u16(), told(&first).1), (202, Some("\"events\";r=5;t=1")));
    let refused = world.post(DRIVER, "/events/batch", &events(18)).await;
    assert_shape(&refused, "/events/batch");
    assert_eq!(refused.failure(), (429, "RATE_LIMITED".to_owned()));
    assert_eq!(
        told(&refused),
        (Some("\"events\";q=20;w=2"), Some("\"events\";r=5;t=2"), Some("2")),
        "1.3 s, rounded up"
    );
    let detail = refused.json()["detail"].as_str().expect("text").to_owned();
    assert!(detail.contains("18 were asked for, and 5 are left"), "{detail}");
    assert_eq!(world.records().len(), 15, "a refused batch is refused whole");

    // Bad items count too; and one event is an item like any other.
    let mixed = world.post(DRIVER, "/events/batch", &json!([{}, report("99M-ABC12345", "delivered", 20), 7, 8])).await;
    assert_eq!((mixed.status.as_u16(), told(&mixed).1), (202, Some("\"events\";r=1;t=1")));
    let single = world.post(DRIVER, "/v1/events", &report("99M-ABC12345", "delivered", 21)).await;
    assert_eq!((single.status.as_u16(), told(&single).1), (202, Some("\"events\";r=0;t=1")));
    assert_eq!(world.post(DRIVER, "/events", &report("99M-ABC12345", "delivered", 22)).await.failure().0, 429);
}

#[tokio::test(start_paused = true)]
async fn scans_of_carriers_and_batches_under_a_key_count_like_events() {
    logged_in(&[DRIVER]).await;
    let world = World::set(&[("RATE_LIMIT_EVENTS", "1/h:20")]).await;
    let left =
        |answer: &Answer| told(answer).1.map(|balance| balance.replace("\"events\";r=", "").replace(";t=3600", ""));
    let scan = |minute: u32| json!({"tracking_number": "99M-ABC12345", "code": "BDE/01", "time": format!("2025-06-14 12:{minute:02}")});
    let carrier = "/carriers/correios_br/events";
    let one = world.post(DRIVER, carrier, &scan(0)).await;
    assert_eq!((one.status.as_u16(), left(&one)), (202, Some("19".to_owned())));
    let many = world.post(DRIVER, carrier, &json!([scan(1), scan(2), scan(3)])).await;
    assert_eq!((many.status.as_u16(), left(&many)), (202, Some("16".to_owned())));
    let unknown = world.post(DRIVER, "/carriers/nobody/events", &json!([scan(4), scan(5)])).await;
    assert_eq!((unknown.status.as_u16(), left(&unknown)), (404, Some("15".to_owned())));

    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let first = world.post_with(DRIVER, "/events/batch", &headers, events(10).to_string()).await;
    assert_eq!((first.status.as_u16(), left(&first)), (202, Some("5".to_owned())));
    let again = world.post_with(DRIVER, "/events/batch", &headers, events(10).to_string()).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, Some("true")));
    assert_eq!(left(&again).as_deref(), Some("4"), "an answer that is given again is one item");
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_whole_batches_always_gets_on() {
    logged_in(&[DRIVER]).await;
    let world = World::set(&[("RATE_LIMIT_EVENTS", "3/s")]).await;
    for _ in 0..10 {
        // With nothing left it is refused unread, until there is one item; then it is counted, and told how long that takes.
        let mut refusals = 0;
        while let answer = world.post(DRIVER, "/events/batch", &events(20)).await
            && answer.status != 202
        {
            assert_eq!(answer.failure(), (429, "RATE_LIMITED".to_owned()));
            let seconds = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a wait");
            pass(Duration::from_secs(seconds)).await;
            refusals += 1;
        }
        assert!(refusals <= 2, "{refusals}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_turns_out_to_be_no_batch_counts_once_and_without_anything_left_it_is_not_even_read() {
    logged_in(&[DRIVER]).await;
    let world = World::set(&[("RATE_LIMIT_EVENTS", "1/h:20")]).await;
    let headers = [("content-type", "application/json")];
    for left in (0..20).rev() {
        let answer = world.post_with(DRIVER, "/events/batch", &headers, "[{".to_owned()).await;
        assert_eq!((answer.failure().0, told(&answer).1), (400, Some(format!("\"events\";r={left};t=3600").as_str())));
    }
    let refused = world.post_with(DRIVER, "/events/batch", &headers, "[{".to_owned()).await;
    assert_eq!((refused.failure().0, told(&refused).2), (429, Some("3600")));
}

async fn log_in_from(world: &World, address: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("/auth/login").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = SocketAddr::new(address.parse().expect("an address"), 4711);
    let body = json!({"username": "nobody", "password": "password123"}).to_string();
    world.send(request.extension(ConnectInfo(peer)).body(Body::from(body)).expect("well-formed")).await
}

#[tokio::test(start_paused = true)]
async fn whoever_is_nobody_is_counted_by_his_address() {
    logged_in(&[ADMIN]).await;
    let world = World::set(&[("RATE_LIMIT_WRITES", "1/h:2"), ("RATE_LIMIT_READS", "1/h:2")]).await;
    let forged = [("authorization", "Bearer forged")];
    assert_eq!(log_in_from(&world, "203.0.113.7", &[]).await.failure().0, 401);
    assert_eq!(log_in_from(&world, "203.0.113.7", &forged).await.failure().0, 401);
    for headers in [&[] as &[_], &forged] {
        let refused = log_in_from(&world, "203.0.113.7", headers).await;
        assert_eq!((refused.failure().1, refused.header("retry-after")), ("RATE_LIMITED".to_owned(), Some("3600")));
    }
    assert_eq!(log_in_from(&world, "203.0.113.8", &[]).await.failure().0, 401, "another address has its own");

    // A token that is none counts for the address, and so does none; a valid one does not.
    let get = async |token: Option<&str>| {
        let mut request = Request::get("/shipments");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        world.send(request.body(Body::empty()).expect("well-formed")).await.status.as_u16()
    };
    let admin = world.bearer(ADMIN).await;
    assert_eq!((get(None).await, get(Some("Bearer forged")).await), (401, 401));
    assert_eq!((get(None).await, get(Some("Bearer forged")).await), (429, 429));
    assert_eq!(get(Some(&admin)).await, 200);

    // What is refused before it is asked whose it is costs nobody anything.
    let odd = Request::delete("/shipments").header("authorization", &admin).body(Body::empty()).expect("well-formed");
    let answer = world.send(odd).await;
    assert_eq!((answer.status.as_u16(), told(&answer)), (405, (None, None, None)));
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_bucket_of_its_own_and_so_has_whoever_calls_through_a_proxy() {
    logged_in(&[ADMIN, DRIVER]).await;
    let world =
        World::set(&[("RATE_LIMIT_EVENTS", "1/h:20"), ("RATE_LIMIT_WRITES", "1/h:2"), ("TRUSTED_PROXIES", "10.0.0.1")])
            .await;
    let mut gates = Vec::new();
    for gate in ["Gate 1", "Gate 2"] {
        gates.push(keys::make(&world, &json!({"name": gate, "role": "source"})).await.0);
    }
    for key in &gates {
        let answer = world.call(key, "POST", "/events/batch", &events(20)).await;
        assert_eq!((answer.status.as_u16(), told(&answer).1), (202, Some("\"events\";r=0;t=3600")));
        assert_eq!(world.call(key, "POST", "/events", &events(1)[0]).await.failure().1, "RATE_LIMITED");
    }
    assert_eq!(world.post(DRIVER, "/events", &events(1)[0]).await.status, 202);

    for client in ["203.0.113.7", "203.0.113.8"] {
        let headers = [("x-forwarded-for", client)];
        for expected in [401, 401, 429] {
            assert_eq!(log_in_from(&world, "10.0.0.1", &headers).await.failure().0, expected, "{client}");
        }
    }
}

#[tokio::test]
async fn probes_and_metrics_are_never_limited() {
    let limits = [("RATE_LIMIT_READS", "1/h"), ("RATE_LIMIT_WRITES", "1/h"), ("RATE_LIMIT_EVENTS", "1/h")];
    let world = World::set(&limits).await;
    for path in ["/health", "/livez", "/readyz", "/metrics", "/v1/health", "/v1/livez", "/v1/readyz", "/v1/metrics"] {
        for _ in 0..3 {
            let answer = world.send(Request::get(path).body(Body::empty()).expect("well-formed")).await;
            assert_eq!((answer.status.as_u16(), told(&answer)), (200, (None, None, None)), "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_setting_there_is_no_limit() {
    let world = World::new().await;
    for _ in 0..50 {
        let answer = world.get(CLIENT, "/shipments").await;
        assert_eq!((answer.status.as_u16(), told(&answer)), (200, (None, None, None)));
    }
    assert_eq!(told(&world.post(DRIVER, "/events/batch", &events(20)).await), (None, None, None));
}
