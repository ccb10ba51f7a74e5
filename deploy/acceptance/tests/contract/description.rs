//! The API describes itself.

use acceptance::client::Client;
use acceptance::platform::Platform;

// contract: "(UI), `/swagger/doc.json` = `/openapi.json`"
// contract: "`GET /swagger` | public"
pub(crate) async fn the_api_describes_itself_to_anybody_and_everywhere_alike(platform: &Platform) {
    let mut descriptions = Vec::new();
    for edge in &platform.edges {
        let anybody = Client::nobody(&edge.url);
        let description = anybody.get("/openapi.json").await;
        for path in ["/swagger/doc.json", "/v1/openapi.json"] {
            assert_eq!(anybody.get(path).await.text, description.text, "{path}");
        }
        let tag = description.header("etag").expect("a tag").to_owned();
        let again = anybody.call("GET", "/openapi.json").header("if-none-match", &tag).send().await;
        assert_eq!((again.status, again.text.as_str()), (304, ""));
        descriptions.push(description.with_status(200));

        let page = anybody.get("/swagger").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text.contains("swagger/start.js"), "{}", page.text);
        assert_eq!(anybody.get("/swagger/start.js").await.status, 200);
    }
    let [first, others @ ..] = descriptions.as_slice() else { panic!("no edge") };
    assert_eq!(first["openapi"], "3.1.0");
    assert!(first["paths"]["/events"]["post"].is_object(), "{first}");
    assert!(others.iter().all(|other| other == first), "two edges say two things");
}
