//! The connections of a port: how many there may be, how long each may say nothing, and how it ends.
//!
//! Both services take their callers in here. Whoever only holds on (slowloris) has a connection for as long as it sends the head of a
//! request, and no longer; the fewer there are left, the shorter that is.

mod stall;

use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use stall::Unstalled;

/// Most connections at a time on a port for scrapers, probes and a few people. One more waits in the system's backlog.
pub const OPERATORS_CONNECTIONS: usize = 256;
/// Longest time for the head of a request, and for a connection to lie idle between two: longer than the 60 s after which load balancers
/// let go of an idle one, so that none of them sends a request into a connection that we are closing.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(75);
/// The same when most connections are taken: callers who have something to say say it within this, and those who only hold on (slowloris)
/// soon make room.
pub const PRESSED_DEADLINE: Duration = Duration::from_secs(5);
/// Largest head of a request, in bytes: a token of 4 KiB and as much again.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Longest time that the other side may take nothing of what it asked for: a phone in a tunnel is patient for less, and a stream that
/// nobody reads must not be kept for ever.
const STALL: Duration = Duration::from_secs(60);
/// What is kept of an answer that is taken slowly, in bytes; thousands of streams may be.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long to wait when no connection can be taken (no file descriptor left, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Room for so many connections.
#[derive(Debug)]
pub struct Room {
    left: Arc<Semaphore>,
    most: usize,
}

/// A new connection.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub stream: TcpStream,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Its place in the room, for as long as this is there.
    pub place: OwnedSemaphorePermit,
    /// How long it may say nothing.
    pub patience: Duration,
}

impl Room {
    /// Room for `most` connections.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(most)), most }
    }

    /// The next connection, when there is room for it. Nothing is lost when nobody waits for it any more.
    pub async fn next(&self, listener: &TcpListener) -> Arrival {
        let place = self.left.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "answers may be delayed by Nagle's algorithm");
                    }
                    return Arrival { stream, peer, place, patience: self.patience() };
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    /// How long a new connection may say nothing: less when most of the room is taken, by whoever holds it.
    fn patience(&self) -> Duration {
        if self.left.available_permits() < self.most / 4 { PRESSED_DEADLINE } else { HEAD_DEADLINE }
    }
}

/// A connection that broke: by its caller's end or silence, or by what it sent.
#[derive(Debug)]
pub struct Broken<I> {
    /// How.
    pub error: hyper::Error,
    /// The connection.
    pub stream: I,
    /// What was not understood of what it sent.
    pub unread: Bytes,
}

/// Answers the requests on `stream`, whose heads must each arrive within `patience`; when `closing` is cancelled, what is in flight is
/// answered yet.
///
/// # Errors
/// The connection broke.
pub async fn serve<I, S, B>(
    stream: I,
    service: S,
    patience: Duration,
    closing: &CancellationToken,
) -> Result<(), Broken<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_header_size(HEAD_BYTES).max_buf_size(BUFFER_BYTES);
    let mut serving = http.serve_connection(TokioIo::new(Unstalled::new(stream, STALL)), service);
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = closing.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut serving).graceful_shutdown();
            (&mut serving).await
        }
    };
    ended.map_err(|error| {
        let http1::Parts { io, read_buf, .. } = serving.into_parts();
        Broken { error, stream: io.into_inner().into_inner(), unread: read_buf }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_fewer_places_are_left_the_sooner_a_silent_one_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let room = Room::new(8);
        let (mut callers, mut arrivals) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            callers.push(TcpStream::connect(address).await.expect("listening"));
            arrivals.push(room.next(&listener).await);
        }
        let patiences: Vec<_> = arrivals.iter().map(|arrival| arrival.patience).collect();
        assert!(patiences[..6].iter().all(|&patience| patience == HEAD_DEADLINE), "{patiences:?}");
        assert!(patiences[6..].iter().all(|&patience| patience == PRESSED_DEADLINE), "{patiences:?}");
        callers.push(TcpStream::connect(address).await.expect("the system takes it"));
        let mut ninth = Box::pin(room.next(&listener));
        assert!(by_now(&mut ninth).await.is_none(), "there is no room for it");
        drop(arrivals.pop());
        assert_eq!(ninth.await.patience, PRESSED_DEADLINE, "it has the place of the one that left");
    }

    /// What `work` has come to by now.
    async fn by_now<T>(work: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = tokio::task::yield_now() => None,
        }
    }
}
