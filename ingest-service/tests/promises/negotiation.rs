//! What a path has, and in which form.

use axum::body::Body;
use axum::http::{Method, Request};

use crate::errors::assert_shape;
use crate::world::{ADMIN, Answer, World, report};

async fn call(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a token");
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).expect("well-formed")).await
}

const PATHS: [(&str, &str); 6] = [
    ("/shipments", "GET,HEAD,POST"),
    ("/shipments/99M-ABC12345", "GET,HEAD"),
    ("/events", "POST"),
    ("/events/batch", "POST"),
    ("/auth/login", "POST"),
    ("/readyz", "GET,HEAD"),
];

#[tokio::test]
async fn every_path_says_what_methods_it_has() {
    let world = World::new().await;
    for (path, has) in PATHS {
        for path in [path.to_owned(), format!("/v1{path}")] {
            for method in ["DELETE", "PATCH", "TRACE", "BREW"] {
                let answer = call(&world, method, &path, &[]).await;
                assert_shape(&answer, &path);
                assert_eq!(answer.failure(), (405, "METHOD_NOT_ALLOWED".to_owned()), "{method} {path}");
                assert_eq!(answer.header("allow"), Some(has), "{method} {path}");
            }
            let answer = call(&world, "OPTIONS", &path, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, Some(has)), "{path}");
            assert!(answer.text.is_empty() && answer.header("traceparent").is_some());
        }
    }
    for path in ["/nowhere", "/v1", "/"] {
        assert_eq!(call(&world, "OPTIONS", path, &[]).await.failure().0, 404, "{path}");
    }
}

#[tokio::test]
async fn head_answers_like_get_but_for_the_body() {
    let world = World::new().await;
    let bearer = world.bearer(ADMIN).await;
    let authorized = [("authorization", bearer.as_str())];
    for (path, headers) in [
        ("/livez", &[] as &[_]),
        ("/metrics", &[]),
        ("/shipments", &authorized),
        ("/shipments", &[]),
        ("/shipments/99M-AAAAAAAA", &authorized),
        ("/nowhere", &[]),
    ] {
        let (head, get) = (call(&world, "HEAD", path, headers).await, call(&world, "GET", path, headers).await);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.text.is_empty() && !get.text.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_caller_who_takes_no_json_is_told_before_anything_is_done() {
    let world = World::new().await;
    let bearer = world.bearer(ADMIN).await;
    for path in ["/shipments", "/v1/shipments", "/shipments/99M-ABC12345", "/auth/users"] {
        let headers = [("authorization", bearer.as_str()), ("accept", "text/html")];
        let answer = call(&world, "GET", path, &headers).await;
        assert_shape(&answer, path);
        assert_eq!(answer.failure(), (406, "NOT_ACCEPTABLE".to_owned()), "{path}");
    }
    let headers = [("content-type", "application/json"), ("accept", "application/json;q=0, */*")];
    let event = report("99M-ABC12345", "picked_up", 0).to_string();
    let refused = world.post_with(ADMIN, "/events", &headers, event.clone()).await;
    assert_eq!((refused.failure().0, world.records().len()), (406, 0));
    for accept in ["*/*", "application/*;q=0.5", "application/problem+json", "text/html, application/json"] {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        assert_eq!(world.post_with(ADMIN, "/events", &headers, event.clone()).await.status, 202, "{accept}");
    }
    // What is not there, or is not JSON anyway, is said as ever; and probes ask for whatever they like.
    let html = [("accept", "text/html")];
    for (method, path, status) in
        [("GET", "/nowhere", 404), ("GET", "/events", 405), ("GET", "/livez", 200), ("GET", "/metrics", 200)]
    {
        assert_eq!(call(&world, method, path, &html).await.status, status, "{path}");
    }
}
