//! Connections: how many, how long they may take to say something, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared::event_log::EventAppender;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::broken_head::{self, Wire};
use crate::line::PutOff;
use crate::listen::{Crowd, Listeners, Place};
use crate::router::Routers;
use crate::stall::Unstalled;

/// Most connections at a time. One more waits in the system's backlog; an idle one costs about 10 KB.
pub(crate) const CONNECTIONS: usize = 8_192;
/// The same on `ADMIN_PORT`: scrapers, probes and a few people. They have a place of their own when callers have taken all others.
const ADMIN_CONNECTIONS: usize = 256;
/// Longest time for the head of a request, and for a connection to lie idle between two: longer than the 60 s after which load balancers
/// let go of an idle one, so that none of them sends a request into a connection that we are closing.
const HEAD_DEADLINE: Duration = Duration::from_secs(75);
/// The same when most connections are taken: callers who have something to say say it within this, and those who only hold on (slowloris)
/// soon make room.
const PRESSED_DEADLINE: Duration = Duration::from_secs(5);
/// Largest head of a request, in bytes: a token of 4 KiB and as much again.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// Longest time that the other side may take nothing of what it asked for: a phone in a tunnel is patient for less, and a stream that
/// nobody reads must not be kept for ever.
const STALL: Duration = Duration::from_secs(60);
/// What is kept of an answer that is taken slowly, in bytes; thousands of streams may be.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long new connections are still taken after `/readyz` has turned false: those that a load balancer opened before it knew.
const NOTICE: Duration = Duration::from_millis(500);
/// Longest time for what is in flight at shutdown: an append takes up to 8 s. A longer `Prefer: wait` is cut off; its event is safe.
const DRAIN: Duration = Duration::from_secs(12);
/// How long to wait when no connection can be taken (no file descriptor left, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves `routers` on `listeners` until `stop` is cancelled. Then `/readyz` is false, new connections are taken for half a second more, what
/// is in flight is finished within twelve seconds, and `log` is flushed.
///
/// # Errors
/// None so far: what goes wrong with one connection ends that one.
pub async fn serve(
    listeners: Listeners,
    routers: Routers,
    log: Arc<dyn EventAppender>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let door = |router, room, crowd: &Crowd| Door {
        router,
        room: Arc::new(Semaphore::new(room)),
        most: room,
        crowd: crowd.clone(),
        unsaid: PutOff::default(),
        connections: connections.clone(),
        closing: closing.clone(),
    };
    let Listeners { public, admin, crowd } = listeners;
    let public_door = door(routers.public, CONNECTIONS, &crowd);
    let admin = admin.zip(routers.admin).map(|(listener, router)| (listener, door(router, ADMIN_CONNECTIONS, &crowd)));
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(NOTICE).await;
    };
    let admin_door = async {
        match &admin {
            Some((listener, door)) => door.accept(listener).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = last_call => {}
        never = public_door.accept(&public) => match never {},
        never = admin_door => match never {},
    }
    drop((public, admin));
    closing.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still in flight at the end of the shutdown");
    }
    log.flush().await;
    Ok(())
}

/// A way in.
struct Door {
    router: Router,
    /// What is left of the `most` connections that it may have.
    room: Arc<Semaphore>,
    most: usize,
    crowd: Crowd,
    /// What the log has said about connections that were refused.
    unsaid: PutOff,
    connections: TaskTracker,
    closing: CancellationToken,
}

/// What a connection takes up.
type Held = (OwnedSemaphorePermit, Place);

impl Door {
    async fn accept(&self, listener: &TcpListener) -> Infallible {
        loop {
            let room = self.room.clone().acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(place) = self.crowd.admit(peer.ip()) else {
                        if let Some(unsaid) = self.unsaid.say(Instant::now()) {
                            tracing::warn!(%peer, unsaid, "a connection was refused: its address has as many as it may have");
                        }
                        continue;
                    };
                    let (router, closing, patience) = (self.router.clone(), self.closing.clone(), self.patience());
                    self.connections.spawn(connection(stream, peer, router, closing, patience, (room, place)));
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
        if self.room.available_permits() < self.most / 4 { PRESSED_DEADLINE } else { HEAD_DEADLINE }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
    patience: Duration,
    held: Held,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed by Nagle's algorithm");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_header_size(HEAD_BYTES).max_buf_size(BUFFER_BYTES);
    let service = router.clone().map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let stream = TokioIo::new(Unstalled::new(Wire::new(stream), STALL));
    let mut serving = http.serve_connection(stream, TowerToHyperService::new(service));
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
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke"); // the caller's end, its silence, or what it sent
        let http1::Parts { io, read_buf, .. } = serving.into_parts();
        broken_head::answer(io.into_inner().into_inner(), &error, &read_buf, peer, router).await;
    }
    drop(held);
}
