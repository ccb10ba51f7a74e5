//! A shutdown answers everything that was accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::event_log::memory::MemoryLog;
use shared::event_log::{AppendError, Appended, EventAppender, NewRecord, Position, Topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::world::{CLIENT, DRIVER, World, now, report};

/// A log that acknowledges when it is let.
struct Slow {
    log: MemoryLog,
    arrived: Semaphore,
    acknowledge: Semaphore,
    flushed: AtomicBool,
}

#[async_trait]
impl EventAppender for Slow {
    async fn append(&self, topic: Topic, records: Vec<NewRecord>) -> Appended {
        self.arrived.add_permits(1);
        self.acknowledge.acquire().await.expect("open").forget();
        self.log.append(topic, records).await
    }

    async fn end_of(&self, topic: Topic, key: &[u8]) -> Result<Position, AppendError> {
        self.log.end_of(topic, key).await
    }

    async fn check(&self) -> Result<(), AppendError> {
        Ok(())
    }

    async fn flush(&self) {
        self.flushed.store(true, Ordering::SeqCst);
    }
}

struct Server {
    world: World,
    log: Arc<Slow>,
    address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
}

async fn start() -> Server {
    let log = Arc::new(Slow {
        log: MemoryLog::new(4, || now().as_millis()),
        arrived: Semaphore::new(0),
        acknowledge: Semaphore::new(0),
        flushed: AtomicBool::new(false),
    });
    let world = World::with(|ports| ports.log = log.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let serving = ingest_service::serve(listener.into(), world.router.clone().into(), log.clone(), world.stop.clone());
    Server { world, log, address, serving: tokio::spawn(serving) }
}

#[tokio::test]
async fn what_is_in_flight_is_answered_and_the_log_is_flushed() {
    let Server { world, log, address, serving } = start().await;
    let mut idle = TcpStream::connect(address).await.expect("listening");
    let mut connection = TcpStream::connect(address).await.expect("listening");
    let (bearer, body) = (world.bearer(DRIVER).await, report("99M-ABC12345", "picked_up", 0).to_string());
    let length = body.len();
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).await.expect("sent");
    log.arrived.acquire().await.expect("open").forget();
    world.stop.cancel();
    // An idle connection is closed: it does not hold up the end.
    let closed = tokio::time::timeout(Duration::from_secs(5), idle.read(&mut [0; 16])).await.expect("in time");
    assert_eq!(closed.expect("an orderly end"), 0);
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("no new connection is taken");
    assert!(!serving.is_finished(), "it waits for what is in flight");
    assert!(!log.flushed.load(Ordering::SeqCst));

    log.acknowledge.add_permits(1);
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer and an orderly end");
    assert!(answer.starts_with("HTTP/1.1 202 Accepted\r\n"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    serving.await.expect("no panic").expect("an orderly end");
    assert!(log.flushed.load(Ordering::SeqCst));
    assert_eq!(log.log.records(Topic::Events).len(), 1);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let Server { world, address, serving, .. } = start().await;
    let mut connection = TcpStream::connect(address).await.expect("listening");
    for _ in 0..3 {
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut head = [0; 12];
        connection.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}") {
            rest.push(connection.read_u8().await.expect("the rest"));
        }
    }
    world.stop.cancel();
    serving.await.expect("no panic").expect("an orderly end");
}

#[tokio::test]
async fn open_streams_end_with_the_process_and_do_not_hold_it_up() {
    let Server { world, address, serving, .. } = start().await;
    let mut connection = TcpStream::connect(address).await.expect("listening");
    let bearer = world.bearer(CLIENT).await;
    let request = format!("GET /stream HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    while !text.contains("\nid: ") {
        text.push(char::from(connection.read_u8().await.expect("an answer")));
    }
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    world.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), connection.read_to_string(&mut text)).await;
    ended.expect("at once").expect("an orderly end");
    assert!(text.ends_with(": this instance is shutting down\n\n\r\n0\r\n\r\n"), "{text}");
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("at once").expect("no panic").expect("in order");
    let late = world.try_listen(CLIENT, "/stream", None).await.err().expect("refused");
    assert_eq!(late.failure().0, 503, "whoever comes now is sent elsewhere");
}
