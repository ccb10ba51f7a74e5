//! Conditional reads of a shipment (RFC 9110, section 13).

use acceptance::platform::Platform;
use acceptance::sample::{parcel, report};

// contract: "`ETag` from its version"
pub(crate) async fn a_shipment_that_has_not_changed_is_answered_without_a_body(platform: &Platform) {
    let (ana, eve) = (platform.a_client().await, platform.a_client().await);
    let number = ana.register(&parcel()).await;
    let path = format!("/shipments/{number}");
    let first = ana.get(&path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    let modified = first.header("last-modified").expect("a time").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong one: {tag}");
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));

    let (weak, list) = (format!("W/{tag}"), format!("\"other\", {tag}"));
    for given in [&*tag, &*weak, &*list, "*"] {
        let again = ana.call("GET", &path).header("if-none-match", given).send().await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{given}");
        assert_eq!((again.header("etag"), again.header("last-modified")), (Some(&*tag), Some(&*modified)), "{given}");
        assert_eq!(again.header("cache-control"), Some("private, no-cache"), "{given}");
    }
    let dated = ana.call("GET", &path).header("if-modified-since", &modified).send().await;
    assert_eq!(dated.status, 304);
    let head = ana.call("HEAD", &path).header("if-none-match", &tag).send().await;
    assert_eq!(head.status, 304, "HEAD too");
    eve.call("GET", &path).header("if-none-match", "*").send().await.problem(403, "FORBIDDEN");

    ana.report(&report(&number, "delivered", 1)).await.problem(409, "INVALID_TRANSITION");
    let rejected = ana.call("GET", &path).header("if-none-match", &tag).send().await;
    assert_eq!(rejected.status, 304, "a rejected event changes nothing");
    ana.report(&report(&number, "picked_up", 2)).await.with_status(200);
    let changed =
        ana.call("GET", &path).header("if-none-match", &tag).header("if-modified-since", &modified).send().await;
    assert_ne!(changed.header("etag"), Some(&*tag));
    assert_eq!(changed.with_status(200)["current_status"], "picked_up", "with a tag the time does not count");
}
