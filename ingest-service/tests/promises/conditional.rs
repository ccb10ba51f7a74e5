//! Conditional reads of a shipment.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use crate::world::{ADMIN, CLIENT, DRIVER, OTHER_CLIENT, World, report};

// contract: "`ETag` from its version"
#[tokio::test]
async fn a_shipment_that_has_not_changed_is_answered_without_a_body() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let path = format!("/shipments/{number}");
    let first = world.get(CLIENT, &path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with("\"1-"), "a strong one, from the version: {tag}");
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(first.header("last-modified"), Some("Sun, 15 Jun 2025 15:06:40 GMT"));

    let weak = format!("W/{tag}");
    let list = format!("\"other\", {tag}");
    for (user, given) in [(CLIENT, &*tag), (CLIENT, &weak), (CLIENT, &list), (CLIENT, "*"), (ADMIN, &tag)] {
        let again = world.get_with(user, &path, &[("if-none-match", given)]).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{given}");
        for name in ["etag", "cache-control", "last-modified"] {
            assert_eq!(again.header(name), first.header(name), "{given}");
        }
        assert_eq!(again.header("content-type"), None, "{given}");
    }
    let dated = [("if-modified-since", "Sun, 15 Jun 2025 15:06:40 GMT")];
    assert_eq!(world.get_with(CLIENT, &path, &dated).await.status, StatusCode::NOT_MODIFIED);
    let older = [("if-modified-since", "Sun, 15 Jun 2025 15:06:39 GMT")];
    assert_eq!(world.get_with(CLIENT, &path, &older).await.status, StatusCode::OK);

    world.post(DRIVER, "/events", &report(&number, "delivered", 0)).await;
    world.process().await;
    let rejected = world.get_with(CLIENT, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(rejected.status, StatusCode::NOT_MODIFIED, "a rejected event changes nothing");
    world.post(DRIVER, "/events", &report(&number, "picked_up", 1)).await;
    world.process().await;
    let both = [("if-none-match", &*tag), ("if-modified-since", "Sun, 15 Jun 2025 15:06:40 GMT")];
    let changed = world.get_with(CLIENT, &path, &both).await;
    assert_eq!((changed.status, &changed.json()["current_status"]), (StatusCode::OK, &"picked_up".into()));
    assert!(changed.header("etag").is_some_and(|tag| tag.starts_with("\"2-")), "{:?}", changed.headers);
}

#[tokio::test]
async fn a_tag_opens_nothing_to_who_may_not_read() {
    let world = World::new().await;
    let number = world.shipment("client_001").await;
    let path = format!("/shipments/{number}");
    for (user, path, status) in
        [(OTHER_CLIENT, &*path, 403), (DRIVER, &*path, 403), (CLIENT, "/shipments/99M-ZZZZZZZZ", 404)]
    {
        let answer = world.get_with(user, path, &[("if-none-match", "*")]).await;
        assert_eq!(answer.status.as_u16(), status, "{user} {path}");
        assert_eq!((answer.header("etag"), answer.header("last-modified")), (None, None), "{user} {path}");
    }
    let request = Request::get(&path).header(header::IF_NONE_MATCH, "*").body(Body::empty()).expect("well-formed");
    assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED);
}
