//! `ADMIN_PORT`: what is for operators stands on a port of its own. And nobody alone takes all connections.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use ingest_service::{Config, Listeners, Routers, listen};
use shared::connections::{HEAD_DEADLINE, OPERATORS_CONNECTIONS, PRESSED_DEADLINE};
use shared::settings::Environment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tower::ServiceExt;

use crate::world::{ADMIN, SECRET, World};

async fn status(router: &Router, path: &str, bearer: &str) -> u16 {
    let request = Request::get(path).header("authorization", bearer).body(Body::empty()).expect("well-formed");
    router.clone().oneshot(request).await.expect("an answer").status().as_u16()
}

// contract: "With `ADMIN_PORT`"
#[tokio::test]
async fn with_a_port_for_operators_metrics_and_admin_routes_are_there_and_nowhere_else() {
    let world = World::set(&[("ADMIN_PORT", "0")]).await;
    let admin = world.admin.clone().expect("a second router");
    let bearer = format!("Bearer {}", world.token(ADMIN, "password123").await);
    for path in
        ["/metrics", "/v1/metrics", "/admin/log-level", "/v1/admin/log-level", "/admin/carriers", "/admin/operator-log"]
    {
        assert_eq!(status(&world.router, path, &bearer).await, 404, "{path}");
        assert_eq!(status(&admin, path, &bearer).await, 200, "{path}");
    }
    for path in ["/livez", "/readyz", "/health"] {
        assert_eq!(status(&world.router, path, &bearer).await, 200, "{path}");
        assert_eq!(status(&admin, path, &bearer).await, 200, "{path}");
    }
    for path in ["/shipments", "/auth/users", "/openapi.json", "/swagger"] {
        assert_eq!(status(&world.router, path, &bearer).await, 200, "{path}");
        assert_eq!(status(&admin, path, &bearer).await, 404, "{path}");
    }
    assert_eq!(status(&admin, "/admin/log-level", "").await, 401, "the port is no proof of who calls");
    assert!(World::new().await.admin.is_none(), "without it there is one port for all");
}

struct Server {
    public: SocketAddr,
    admin: SocketAddr,
    _world: World,
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let world = World::set(&[&[("ADMIN_PORT", "0")], settings].concat()).await;
        let own = [&[("JWT_SECRET", SECRET), ("PORT", "0"), ("ADMIN_PORT", "0")], settings].concat();
        let config = Config::from_environment(&Environment::of(&own)).expect("valid");
        let listeners: Listeners = listen(&config).await.expect("free ports");
        let public = listeners.address().expect("bound");
        let admin = listeners.admin_address().expect("bound").expect("a second port");
        let routers = Routers { public: world.router.clone(), admin: world.admin.clone() };
        let log = std::sync::Arc::new(world.log.clone());
        tokio::spawn(ingest_service::serve(listeners, routers, log, world.stop.clone()));
        Self { public, admin, _world: world }
    }
}

/// A connection from an address of this machine's own.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("every machine has all of 127/8");
    socket.connect(to).await.expect("listening")
}

/// The first line of the answer to `GET path`; empty when the connection was refused.
async fn get(from: &str, to: SocketAddr, path: &str) -> String {
    let mut connection = connect(from, to).await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    if connection.write_all(head.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = String::new();
    // A refused connection ends with or without a reset: it depends on whether our request has arrived.
    drop(connection.read_to_string(&mut answer).await);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_port_answers_what_is_its_own() {
    let server = Server::start(&[]).await;
    assert_eq!(get("127.0.0.1", server.public, "/livez").await, "HTTP/1.1 200 OK");
    assert_eq!(get("127.0.0.1", server.public, "/metrics").await, "HTTP/1.1 404 Not Found");
    assert_eq!(get("127.0.0.1", server.admin, "/metrics").await, "HTTP/1.1 200 OK");
    assert_eq!(get("127.0.0.1", server.admin, "/shipments").await, "HTTP/1.1 404 Not Found");
}

#[tokio::test(start_paused = true)]
async fn who_holds_connections_with_heads_that_do_not_end_keeps_nobody_else_out() {
    let server = Server::start(&[("CONNECTIONS_PER_ADDRESS", "3")]).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut connection = connect("127.0.0.2", server.public).await;
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("sent");
        slow.push(connection);
    }
    assert_eq!(get("127.0.0.2", server.public, "/livez").await, "", "it has all that it may have");
    assert_eq!(get("127.0.0.3", server.public, "/livez").await, "HTTP/1.1 200 OK", "others have their own");
    // A byte from time to time does not keep a head alive.
    let begun = tokio::time::Instant::now();
    for connection in &mut slow {
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            tokio::select! {
                read = connection.read_buf(&mut answer) => assert!(read.expect("an orderly end") > 0, "closed without a word"),
                () = tokio::time::sleep(Duration::from_secs(5)) => connection.write_all(b"x").await.expect("still open"),
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    drop(slow);
    // Its places come back.
    while get("127.0.0.2", server.public, "/livez").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_holds_all_connections_of_a_port_soon_makes_room() {
    let server = Server::start(&[]).await;
    let mut slow = Vec::new();
    for _ in 0..OPERATORS_CONNECTIONS {
        let mut connection = connect("127.0.0.2", server.admin).await;
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await.expect("sent");
        slow.push(connection);
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(get("127.0.0.3", server.admin, "/metrics").await, "HTTP/1.1 200 OK");
    // Whoever is given up is told why, and has two seconds to hear it.
    assert!(begun.elapsed() < PRESSED_DEADLINE + Duration::from_secs(3), "{:?}", begun.elapsed());
    // Those who came while there was room have the time that everybody has.
    let mut first = [0];
    let waiting = tokio::time::timeout(HEAD_DEADLINE / 2, slow[0].read(&mut first)).await;
    waiting.expect_err("it is not given up yet");
    let mut answer = String::new();
    slow[0].read_to_string(&mut answer).await.expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() < HEAD_DEADLINE + Duration::from_secs(3), "{:?}", begun.elapsed());
}
