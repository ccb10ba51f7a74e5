//! Requests whose head never becomes a request, over a real connection.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::world::{Answer, World};

struct Server {
    world: World,
    address: SocketAddr,
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let world = World::set(settings).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let log = std::sync::Arc::new(world.log.clone());
        tokio::spawn(ingest_service::serve(listener.into(), world.router.clone().into(), log, world.stop.clone()));
        Self { world, address }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listening")
    }

    /// Everything that is answered to `sent` until the connection ends.
    async fn exchange(&self, sent: &[u8]) -> Vec<Answer> {
        let mut connection = self.connect().await;
        connection.write_all(sent).await.expect("sent");
        answers(connection).await
    }
}

async fn answers(mut connection: TcpStream) -> Vec<Answer> {
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await.expect("an orderly end");
    let mut text = std::str::from_utf8(&received).expect("text");
    let mut answers = Vec::new();
    while let Some((head, rest)) = text.split_once("\r\n\r\n") {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let pairs = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers: HeaderMap = pairs
            .map(|(name, value)| {
                (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
            })
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.to_str().ok().and_then(|length| length.parse().ok()).expect("a number"));
        let (body, behind) = rest.split_at(length);
        let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
        answers.push(Answer { status, headers, text: body.to_owned() });
        text = behind;
    }
    assert!(text.is_empty(), "no whole answer: {text}");
    answers
}

/// The one answer is an error in the one shape, and the last word.
fn assert_refused(answers: &[Answer], status: u16, error: &str, what: &str) {
    let [answer] = answers else { panic!("{what}: {answers:?}") };
    let body = answer.json();
    assert_eq!(answer.failure(), (status, error.to_owned()), "{what}: {}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.header("connection"), Some("close"), "{what}");
    assert!(answer.header("date").is_some(), "{what}");
    for member in ["message", "timestamp", "type", "title", "detail", "instance", "trace_id"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{what} has no {member}: {body}");
    }
    let trace = answer.header("traceparent").and_then(|trace| trace.split('-').nth(1));
    assert_eq!(trace, body["trace_id"].as_str(), "{what}");
}

fn head_of(bytes: usize) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(bytes)).into_bytes()
}

// contract: "Errors, one shape everywhere"
#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_the_one_shape() {
    let server = Server::start(&[]).await;
    let fits = server.exchange(&[&head_of(15_000)[..], b"nonsense\r\n\r\n"].concat()).await;
    assert_eq!(fits.first().map(|answer| answer.status.as_u16()), Some(200));
    let lines: String = (0..150).map(|number| format!("x{number}: y\r\n")).collect();
    for (what, head) in [
        ("a long header", head_of(20_000)),
        ("many headers", format!("GET /livez HTTP/1.1\r\n{lines}\r\n").into_bytes()),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(20_000)).into_bytes()),
        ("no end", vec![b'x'; 1024 * 1024]),
    ] {
        assert_refused(&server.exchange(&head).await, 431, "HEADERS_TOO_LARGE", what);
    }
    let metrics = server.world.registry.text().expect("encodes");
    let line = "shipping_http_requests_total{code=\"431\",method=\"other\",url=\"unmatched\"} 4";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_in_the_one_shape() {
    let server = Server::start(&[]).await;
    let heads: [&[u8]; 12] = [
        b"GET /shipments/\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /ship ments HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GE(T /livez HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /livez HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: x\r\nno header\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for head in heads {
        let what = String::from_utf8_lossy(head);
        assert_refused(&server.exchange(head).await, 400, "MALFORMED_REQUEST", &what);
    }
}

#[tokio::test]
async fn answers_before_a_broken_head_arrive_whole() {
    let server = Server::start(&[]).await;
    let sent = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nOPTIONS /livez HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n";
    let mut answers = server.exchange(sent).await;
    let refused = answers.pop().expect("the last answer");
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 204]);
    assert_refused(&[refused], 400, "MALFORMED_REQUEST", "behind two requests");
}

#[tokio::test]
async fn a_refusal_is_read_by_whoever_is_still_sending_his_head() {
    let server = Server::start(&[]).await;
    let mut connection = server.connect().await;
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..64 {
        connection.write_all(&piece).await.expect("it is taken in");
    }
    connection.shutdown().await.expect("still connected");
    assert_refused(&answers(connection).await, 431, "HEADERS_TOO_LARGE", "4 MiB of a head");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_given_up_and_an_idle_connection_is_closed_in_silence() {
    let server = Server::start(&[]).await;
    assert_refused(
        &server.exchange(b"GET /livez HTTP/1.1\r\nhost: x\r\nx").await,
        408,
        "REQUEST_TIMEOUT",
        "half a head",
    );
    assert!(server.exchange(b"").await.is_empty(), "nobody asked anything");
    let answers = server.exchange(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answers.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn a_method_that_asks_for_no_path_has_an_instance_too() {
    let server = Server::start(&[]).await;
    let sent = b"CONNECT example.org:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_refused(&server.exchange(sent).await, 404, "NOT_FOUND", "CONNECT");
}

#[tokio::test]
async fn callers_are_told_apart_by_the_address_of_their_connection() {
    let server = Server::start(&[("RATE_LIMIT_READS", "1/h")]).await;
    let status_from = async |own: &str| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(own.parse().expect("an address")).expect("every machine has all of 127/8");
        let mut connection = socket.connect(server.address).await.expect("listening");
        connection.write_all(b"GET /shipments HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
        answers(connection).await.first().map_or(Value::Null, |answer| answer.json()["error"].clone())
    };
    assert_eq!(status_from("127.0.0.1:0").await, "UNAUTHORIZED");
    assert_eq!(status_from("127.0.0.1:0").await, "RATE_LIMITED");
    assert_eq!(status_from("127.0.0.2:0").await, "UNAUTHORIZED");
}
