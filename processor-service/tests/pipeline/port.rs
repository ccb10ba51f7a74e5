//! The port of a processor: slow callers, by mistake or on purpose, do not keep scrapers and probes out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use processor_service::Processor;
use processor_service::config::Config;
use processor_service::listen::Listeners;
use shared::clock;
use shared::connections::{HEAD_DEADLINE, OPERATORS_CONNECTIONS, PRESSED_DEADLINE};
use shared::log_level::LogLevel;
use shared::metrics::MetricRegistry;
use shared::settings::Environment;
use shared::telemetry::LogFilter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// What a request may take when nobody is slow.
const PROMPT: Duration = Duration::from_secs(1);

struct Port {
    address: SocketAddr,
    end: CancellationToken,
    serving: JoinHandle<()>,
}

impl Port {
    async fn open() -> Self {
        let environment = Environment::of(&[("PORT", "0")]);
        let (world, registry) = (World::new(), MetricRegistry::default());
        let config = Config::from_environment(&environment).expect("valid");
        let processor = Processor::new(config, world.ports(), clock::system, &registry).expect("new names");
        let (filter, _layer) = LogFilter::new::<tracing_subscriber::Registry>("info").expect("a level");
        let level = LogLevel::new(filter, world.operators.clone(), "processor-service", clock::system);
        let listeners = Listeners::open(&environment).await.expect("a free port");
        let port = listeners.addresses().expect("bound").0.port();
        let (public, admin) = processor.health().routers(registry, level, false);
        let end = CancellationToken::new();
        let serving = tokio::spawn(listeners.serve(public, admin, end.clone()));
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), end, serving }
    }

    async fn send(&self, said: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.expect("listening");
        connection.write_all(said.as_bytes()).await.expect("sent");
        connection
    }

    /// The first line of the answer to `GET path`.
    async fn get(&self, path: &str) -> String {
        first_line(self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await).await
    }
}

/// The first line of all that is answered until the connection ends.
async fn first_line(mut connection: TcpStream) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an orderly end");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_holds_all_connections_of_a_processor_soon_makes_room() {
    let port = Port::open().await;
    assert_eq!(port.get("/metrics").await, "HTTP/1.1 200 OK");
    let mut slow = Vec::new();
    for _ in 0..OPERATORS_CONNECTIONS {
        slow.push(port.send("GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ").await);
    }
    let begun = Instant::now();
    assert_eq!(port.get("/metrics").await, "HTTP/1.1 200 OK");
    assert!(begun.elapsed() < PRESSED_DEADLINE + PROMPT, "{:?}", begun.elapsed());
    // The others have longer, and not for ever.
    for connection in slow {
        assert_eq!(first_line(connection).await, "", "nobody asked anything whole");
    }
    assert!(begun.elapsed() < HEAD_DEADLINE + PROMPT, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_more_is_closed() {
    let port = Port::open().await;
    let begun = Instant::now();
    let idle = port.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(first_line(idle).await, "HTTP/1.1 200 OK");
    assert!((HEAD_DEADLINE..HEAD_DEADLINE + PROMPT).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

/// A change of the log level whose body does not come.
const HALF_A_CHANGE: &str = "PUT /admin/log-level HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 20\r\n\r\n{\"level\"";

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let port = Port::open().await;
    let begun = Instant::now();
    let slow = port.send(HALF_A_CHANGE).await;
    assert_eq!(first_line(slow).await, "HTTP/1.1 408 Request Timeout");
    assert!(begun.elapsed() < HEAD_DEADLINE, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_is_in_flight_and_not_for_who_never_finishes() {
    let port = Port::open().await;
    let (idle, slow) = (port.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await, port.send(HALF_A_CHANGE).await);
    assert_eq!(port.get("/livez").await, "HTTP/1.1 200 OK", "both have been taken in before");
    let begun = Instant::now();
    port.end.cancel();
    assert_eq!(first_line(idle).await, "HTTP/1.1 200 OK");
    assert!(begun.elapsed() < PROMPT, "an idle connection is closed at once: {:?}", begun.elapsed());
    port.serving.await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    drop(slow);
}
