//! What answers tell browsers.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use shared::security_headers::SECURITY_HEADERS;
use tower::ServiceExt;

use crate::world::{ADMIN, World};

const PAGE: &str = "https://track.example.com";

async fn ask(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("well-formed");
    let answer = world.router.clone().oneshot(request).await.expect("an answer");
    (answer.status().as_u16(), answer.headers().clone())
}

/// What a browser asks before it lets a page call.
async fn preflight(world: &World, origin: &str, method: &str) -> (u16, HeaderMap) {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    ask(world, Method::OPTIONS, "/shipments", &asked).await
}

// contract: "keep a browser from taking it for a page"
#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_from_harm() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.token(ADMIN, "password123").await);
    let with_token = [("authorization", bearer.as_str())];
    for (method, path, headers, status) in [
        (Method::GET, "/shipments", &with_token as &[_], 200),
        (Method::GET, "/shipments", &[], 401),
        (Method::GET, "/nowhere", &[], 404),
        (Method::DELETE, "/shipments", &[], 405),
        (Method::OPTIONS, "/shipments", &[], 204),
        (Method::GET, "/livez", &[], 200),
        (Method::GET, "/metrics", &[], 200),
    ] {
        let (answered, headers) = ask(&world, method.clone(), path, headers).await;
        assert_eq!(answered, status, "{method} {path}");
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(
                headers.get(name).map(|value| value.as_bytes()),
                Some(value.as_bytes()),
                "{method} {path}: {name}"
            );
        }
    }
    // What an answer says itself stands: the page loads its own scripts, and a browser may keep it.
    let (_, page) = ask(&world, Method::GET, "/swagger", &[]).await;
    assert!(page["content-security-policy"].to_str().is_ok_and(|policy| policy.contains("script-src 'self'")));
    assert_eq!(
        (&page["cache-control"], &page["x-frame-options"]),
        (&"public, max-age=3600".parse().expect("a value"), &"DENY".parse().expect("a value"))
    );
}

// contract: "unless `CORS_ALLOWED_ORIGINS` names it"
#[tokio::test]
async fn no_page_of_another_origin_may_call_unless_it_is_named() {
    let closed = World::new().await;
    for (_, headers) in
        [preflight(&closed, PAGE, "POST").await, ask(&closed, Method::GET, "/livez", &[("origin", PAGE)]).await]
    {
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{headers:?}");
    }
    let open = World::set(&[("CORS_ALLOWED_ORIGINS", PAGE)]).await;
    let (status, headers) = preflight(&open, PAGE, "POST").await;
    assert_eq!((status, headers["access-control-allow-origin"].as_bytes()), (200, PAGE.as_bytes()));
    assert!(headers["access-control-allow-headers"].to_str().is_ok_and(|names| names.contains("idempotency-key")));
    assert!(headers.get("access-control-allow-credentials").is_none(), "there are no cookies of ours");
    assert!(headers.contains_key("traceparent") && headers.contains_key("x-content-type-options"), "{headers:?}");
    let (status, headers) = ask(&open, Method::GET, "/shipments", &[("origin", PAGE)]).await;
    assert_eq!(
        (status, headers["access-control-allow-origin"].as_bytes()),
        (401, PAGE.as_bytes()),
        "a page reads errors too"
    );
    assert!(headers["access-control-expose-headers"].to_str().is_ok_and(|names| names.contains("etag")));
    let (_, headers) = preflight(&open, "https://evil.example.com", "POST").await;
    assert!(headers.get("access-control-allow-origin").is_none(), "{headers:?}");
    let all = World::set(&[("CORS_ALLOWED_ORIGINS", "*")]).await;
    assert_eq!(preflight(&all, "https://evil.example.com", "GET").await.1["access-control-allow-origin"], "*");
}
