//! What is broken, ambiguous or beyond all bounds is refused like everything else: in one shape, by name.

use acceptance::platform::Platform;
use acceptance::sample::{parcel, report, with};
use serde_json::{Value, json};

/// `body` with `members` behind its own.
fn behind(body: &Value, members: &str) -> String {
    let text = body.to_string();
    format!("{},{members}}}", text.strip_suffix('}').expect("an object"))
}

// contract: "Errors, one shape everywhere"
pub(crate) async fn what_is_no_request_is_refused_in_the_one_shape_too(platform: &Platform) {
    let nobody = platform.nobody();
    let long = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let lines: String = (0..150).map(|number| format!("x{number}: y\r\n")).collect();
    let many = format!("GET /livez HTTP/1.1\r\n{lines}\r\n");
    for head in [long, many, "x".repeat(4 * 1024 * 1024)] {
        nobody.raw(head.as_bytes()).await.problem(431, "HEADERS_TOO_LARGE");
    }
    let heads: [&[u8]; 6] = [
        b"GET /shipments/\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /ship ments HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for head in heads {
        nobody.raw(head).await.problem(400, "MALFORMED_REQUEST");
    }
}

pub(crate) async fn a_member_that_stands_there_twice_is_refused_by_its_name(platform: &Platform) {
    let ana = platform.client_001().await;
    let refused = async |path: &str, body: String| {
        let answer = ana.call("POST", path).body("application/json", body).send().await;
        answer.problem(400, "VALIDATION_ERROR");
        assert!(answer.text.contains("\"duplicate\""), "{}", answer.text);
        answer.bad_fields().join(" ")
    };
    let event = report("99M-ABC12345", "picked_up", 1);
    assert_eq!(refused("/events", behind(&event, r#""source":"x","source":"y""#)).await, "source");
    let nested = behind(&parcel(), r#""recipient":{"name":"Ana","name":"Eva"}"#);
    assert_eq!(refused("/shipments", nested).await, "recipient.name");
    let twice = behind(&with(event.clone(), json!({"notes": "x"})), r#""notes":"y""#);
    assert_eq!(refused("/events/batch", format!("[{twice}]")).await, "events[0].notes");
    for (media, body) in [
        ("application/json", format!("{{\"events\":[{event},{twice}]}}")),
        ("application/json", format!("[{event},{twice}]")),
        ("application/x-ndjson", format!("{event}\n{twice}\n")),
    ] {
        let results = ana.call("POST", "/events/batch").body(media, body).send().await.with_status(202);
        assert_eq!(results["rejected"], 1, "{results}");
        assert_eq!(results["items"][1]["error"]["errors"][0]["field"], "notes", "{results}");
    }
}

pub(crate) async fn what_is_beyond_all_bounds_is_told_by_its_name(platform: &Platform) {
    let ana = platform.client_001().await;
    let event = with(report("99M-ABC12345", "picked_up", 1), json!({"location": null}));
    for number in ["1e400", &"9".repeat(400), "1e10"] {
        let event =
            event.to_string().replace("\"location\":null", &format!("\"location\":{{\"lat\":{number},\"lng\":1}}"));
        let answer = ana.call("POST", "/events").body("application/json", event).send().await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), ["location.lat"], "{number}");
    }
    for (path, field) in [
        ("/shipments/%FF", "tracking_number"),
        ("/shipments?offset=18446744073709551616", "offset"),
        ("/shipments?search=%zz", "search"),
        ("/shipments?client_id=%FF", "client_id"),
        ("/shipments?client_id=%00", "client_id"),
    ] {
        let answer = ana.get(path).await;
        answer.problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), [field], "{path}");
    }
    for notes in [r"\ud800", "\u{1}"] {
        let event = behind(&event, &format!("\"notes\":\"{notes}\""));
        ana.call("POST", "/events").body("application/json", event).send().await.problem(400, "INVALID_JSON");
    }
}

pub(crate) async fn a_caller_who_takes_no_json_is_told_so_before_anything_is_done(platform: &Platform) {
    let ana = platform.a_client().await;
    let call = ana.call("POST", "/shipments").header("accept", "text/html").json(&parcel());
    call.send().await.problem(406, "NOT_ACCEPTABLE");
    assert_eq!(ana.get("/shipments").await.with_status(200)["pagination"]["total"], 0);
    ana.call("GET", "/shipments")
        .header("accept", "application/json;q=0, */*")
        .send()
        .await
        .problem(406, "NOT_ACCEPTABLE");
    for accept in ["application/*", "text/html, */*;q=0.1", "application/problem+json"] {
        assert_eq!(ana.call("GET", "/shipments").header("accept", accept).send().await.status, 200, "{accept}");
    }
    for probe in ["/livez", "/readyz", "/health", "/metrics"] {
        assert_eq!(ana.call("GET", probe).header("accept", "text/html").send().await.status, 200, "{probe}");
    }
}

pub(crate) async fn a_path_says_what_it_has_and_head_answers_like_get(platform: &Platform) {
    let ana = platform.client_001().await;
    for (path, allow) in [("/shipments", "GET,HEAD,POST"), ("/v1/events/batch", "POST"), ("/livez", "GET,HEAD")] {
        let answer = platform.nobody().call("OPTIONS", path).send().await;
        assert_eq!((answer.status, answer.header("allow"), answer.text.as_str()), (204, Some(allow), ""), "{path}");
    }
    for path in ["/shipments", "/shipments/99M-AAAAAAAA", "/livez", "/nowhere"] {
        let (head, get) = (ana.call("HEAD", path).send().await, ana.get(path).await);
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        assert!(head.text.is_empty() && !get.text.is_empty(), "{path}");
    }
}
