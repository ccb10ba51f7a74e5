//! Connections: how many, how long they may take to say something, and how they end.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared::event_log::EventAppender;
use shared::settings::SettingError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::broken_head::{self, Wire};
use crate::config::Config;
use crate::stall::Unstalled;

/// Most connections at a time. One more waits in the system's backlog; an idle one costs about 10 KB.
const CONNECTIONS: usize = 8_192;
/// Longest time for the head of a request, and for a connection to lie idle between two: longer than the 60 s after which load balancers
/// let go of an idle one, so that none of them sends a request into a connection that we are closing.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(75);
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

/// Listens where `config` says.
///
/// # Errors
/// The address or the port cannot be had; the message names the setting to change.
pub async fn listen(config: &Config) -> Result<TcpListener, SettingError> {
    let (address, port) = (config.listen_address, config.port);
    let wrong = |error: std::io::Error| match error.kind() {
        ErrorKind::AddrInUse => {
            let other = port.checked_add(1).unwrap_or(8080);
            SettingError::new("PORT", format!("{port} is in use; try PORT={other}"))
        }
        ErrorKind::AddrNotAvailable => {
            SettingError::new("LISTEN_ADDRESS", format!("{address} is no address of this machine"))
        }
        _ => SettingError::new("PORT", format!("cannot listen on {port}: {error}")),
    };
    TcpListener::bind((address, port)).await.map_err(wrong)
}

/// Serves `router` on `listener` until `stop` is cancelled. Then `/readyz` is false, new connections are taken for half a second more, what is
/// in flight is finished within twelve seconds, and `log` is flushed.
///
/// # Errors
/// None so far: what goes wrong with one connection ends that one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    log: Arc<dyn EventAppender>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let (room, connections, closing) =
        (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new(), CancellationToken::new());
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(NOTICE).await;
    };
    tokio::select! {
        () = last_call => {}
        never = accept(&listener, &router, &room, &connections, &closing) => match never {},
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still in flight at the end of the shutdown");
    }
    log.flush().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    room: &Arc<Semaphore>,
    connections: &TaskTracker,
    closing: &CancellationToken,
) -> Infallible {
    loop {
        let held = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, router.clone(), closing.clone(), held));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
    held: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed by Nagle's algorithm");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES);
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
