//! Writes a subscription to its caller as server-sent events, with heartbeats, until there is an end.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use prometheus::IntCounterVec;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::hub::Match;
use super::place::Gone;
use super::seats::TakenSeat;
use super::subscription::{Step, Subscription};
use crate::authenticate::Pass;
use crate::router::Edge;

/// After so long without anything else a heartbeat is sent (contract section 4): shorter than the 30 s and 60 s after which proxies let go of an
/// idle connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a caller should wait before it connects again, in milliseconds: an instance that shuts down is out of the load balancer by then.
const RETRY_MS: u32 = 2_000;
/// Largest piece that is handed over at once, in bytes, unless one event is larger.
const PIECE_BYTES: usize = 16 * 1024;
/// Longest wait for a caller to take the last line: one who takes nothing does not hold up the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Pieces that wait to be written: one is written while the next is made.
const PIECES: usize = 1;

/// The answer, whose body is written by a task of its own.
pub(super) fn respond(
    edge: Edge,
    pass: Pass,
    subscription: Subscription,
    seat: TakenSeat,
    resets: IntCounterVec,
) -> Response {
    let (pieces, mut written) = mpsc::channel::<Bytes>(PIECES);
    let (told, said) = (Instant::now(), subscription.began().to_owned());
    let writer = Writer { subscription, pieces, told, said, resets, _seat: seat };
    tokio::spawn(async move {
        let end = end(&edge, &pass);
        let mut end = std::pin::pin!(end);
        writer.run(end.as_mut()).await;
    });
    let body =
        futures::stream::poll_fn(move |context| written.poll_recv(context).map(|piece| piece.map(Ok::<_, Infallible>)));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Nginx and its like keep answers back to write them in large pieces.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (StatusCode::OK, headers, Body::from_stream(body)).into_response()
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PassEnded,
    ShuttingDown,
}

impl End {
    fn text(self) -> &'static str {
        match self {
            Self::PassEnded => ": the token or key has ended\n\n",
            Self::ShuttingDown => ": this instance is shutting down\n\n",
        }
    }
}

/// Waits for the end of the caller's token or key, or of the process.
async fn end(edge: &Edge, pass: &Pass) -> End {
    tokio::select! {
        () = edge.stop.cancelled() => End::ShuttingDown,
        () = pass.ended(edge) => End::PassEnded,
    }
}

/// What becomes of an attempt to tell something.
enum Told {
    GoOn,
    /// The caller has left, or there is an end.
    Over,
}

struct Writer {
    subscription: Subscription,
    pieces: mpsc::Sender<Bytes>,
    /// When something was told last.
    told: Instant,
    /// The id that was told last.
    said: String,
    resets: IntCounterVec,
    _seat: TakenSeat,
}

impl Writer {
    async fn run(mut self, mut end: std::pin::Pin<&mut impl Future<Output = End>>) {
        // An id without data: nothing happens to the caller, but it knows where it stands.
        let opening = format!("retry: {RETRY_MS}\nid: {}\n\n", self.said);
        let mut told = self.tell(opening, end.as_mut()).await;
        while let Told::GoOn = told {
            let Some(step) = self.next(end.as_mut()).await else { return };
            told = match step {
                Step::Changes(found) if found.is_empty() => self.say_where(end.as_mut()).await,
                Step::Changes(found) => self.tell_all(found, end.as_mut()).await,
                Step::Reset(gone) => self.reset(gone, end.as_mut()).await,
            };
        }
    }

    /// The next step; heartbeats until it comes. `None` when it is over.
    async fn next(&mut self, mut end: std::pin::Pin<&mut impl Future<Output = End>>) -> Option<Step> {
        let Self { subscription, pieces, told, .. } = self;
        // Not dropped by a heartbeat: what it has read so far would be read again.
        let mut next = std::pin::pin!(subscription.next(*told + HEARTBEAT));
        loop {
            tokio::select! {
                biased;
                why = end.as_mut() => {
                    let line = pieces.send(Bytes::from_static(why.text().as_bytes()));
                    // For whoever looks; nothing depends on it.
                    drop(tokio::time::timeout(FAREWELL, line).await);
                    return None;
                }
                () = pieces.closed() => return None,
                step = next.as_mut() => return Some(step),
                // It reads older changes, or waits for the topic.
                () = tokio::time::sleep_until(*told + HEARTBEAT) => {
                    *told = Instant::now();
                    // One who has not taken the last one yet needs no other.
                    pieces.try_send(Bytes::from_static(b": \n\n")).unwrap_or_default();
                }
            }
        }
    }

    /// There is nothing to tell. From time to time that is said, and where the caller stands, so that its place does not grow old while
    /// others' changes pass.
    async fn say_where(&mut self, end: std::pin::Pin<&mut impl Future<Output = End>>) -> Told {
        if self.told.elapsed() < HEARTBEAT {
            return Told::GoOn;
        }
        let id = self.subscription.place().id();
        let text = if id == self.said { ": \n\n".to_owned() } else { format!(": \nid: {id}\n\n") };
        self.said = id;
        self.tell(text, end).await
    }

    async fn tell_all(&mut self, found: Vec<Match>, mut end: std::pin::Pin<&mut impl Future<Output = End>>) -> Told {
        let mut text = String::new();
        for Match { place, entry } in found {
            write!(text, "id: {place}\ndata: {}\n\n", entry.json).expect("a string takes everything");
            self.said = place;
            if text.len() >= PIECE_BYTES
                && let Told::Over = self.tell(std::mem::take(&mut text), end.as_mut()).await
            {
                return Told::Over;
            }
        }
        if text.is_empty() { Told::GoOn } else { self.tell(text, end).await }
    }

    async fn reset(&mut self, gone: Gone, end: std::pin::Pin<&mut impl Future<Output = End>>) -> Told {
        self.resets.with_label_values(&[gone.word()]).inc();
        let id = self.subscription.place().id();
        let data = serde_json::json!({"reason": gone.word(), "message": gone.text()});
        let text = format!("id: {id}\nevent: reset\ndata: {data}\n\n");
        self.said = id;
        self.tell(text, end).await
    }

    /// Hands a piece over, as soon as the caller takes it.
    async fn tell(&mut self, text: String, end: std::pin::Pin<&mut impl Future<Output = End>>) -> Told {
        tokio::select! {
            biased;
            _ = end => Told::Over,
            sent = self.pieces.send(text.into()) => {
                self.told = Instant::now();
                if sent.is_ok() { Told::GoOn } else { Told::Over }
            }
        }
    }
}
