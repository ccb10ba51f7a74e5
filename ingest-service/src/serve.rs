//! The edge's connections: who may have one, and how all of them end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use shared::connections::{self, Arrival, OPERATORS_CONNECTIONS, Room};
use shared::event_log::EventAppender;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::broken_head::{self, Wire};
use crate::line::PutOff;
use crate::listen::{Crowd, Listeners, Place};
use crate::router::Routers;

/// Most connections at a time. One more waits in the system's backlog; an idle one costs about 10 KB.
pub(crate) const CONNECTIONS: usize = 8_192;
/// How long new connections are still taken after `/readyz` has turned false: those that a load balancer opened before it knew.
const NOTICE: Duration = Duration::from_millis(500);
/// Longest time for what is in flight at shutdown: an append takes up to 8 s. A longer `Prefer: wait` is cut off; its event is safe.
const DRAIN: Duration = Duration::from_secs(12);

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
        room: Room::new(room),
        crowd: crowd.clone(),
        unsaid: PutOff::default(),
        connections: connections.clone(),
        closing: closing.clone(),
    };
    let Listeners { public, admin, crowd } = listeners;
    let public_door = door(routers.public, CONNECTIONS, &crowd);
    let admin =
        admin.zip(routers.admin).map(|(listener, router)| (listener, door(router, OPERATORS_CONNECTIONS, &crowd)));
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
    room: Room,
    crowd: Crowd,
    /// What the log has said about connections that were refused.
    unsaid: PutOff,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl Door {
    async fn accept(&self, listener: &TcpListener) -> Infallible {
        loop {
            let arrival = self.room.next(listener).await;
            let Some(place) = self.crowd.admit(arrival.peer.ip()) else {
                if let Some(unsaid) = self.unsaid.say(Instant::now()) {
                    let peer = arrival.peer;
                    tracing::warn!(%peer, unsaid, "a connection was refused: its address has as many as it may have");
                }
                continue;
            };
            self.connections.spawn(connection(arrival, place, self.router.clone(), self.closing.clone()));
        }
    }
}

async fn connection(arrival: Arrival, of_its_address: Place, router: Router, closing: CancellationToken) {
    let Arrival { stream, peer, place, patience } = arrival;
    let service = router.clone().map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let service = TowerToHyperService::new(service);
    if let Err(broken) = connections::serve(Wire::new(stream), service, patience, &closing).await {
        tracing::debug!(error = %broken.error, "a connection broke");
        broken_head::answer(broken, peer, router).await;
    }
    drop((place, of_its_address));
}
