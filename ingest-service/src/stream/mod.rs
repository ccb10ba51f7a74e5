//! Streams: callers are told what changes, as it changes, as server-sent events (`text/event-stream`).
//!
//! ```text
//!   topic of changes ──► hub: one tail ──► ring ──► subscription ──► writer ──► caller      (joined)
//!          └───────────────────────── a page at a time ──► subscription ──► writer ──► caller      (catching up)
//! ```
//!
//! - [`place`]: where a caller stands in the feed, and the ids that say so;
//! - [`filter`]: what a caller may see and wants to see;
//! - [`ring`], [`hub`]: the newest changes, read once for all streams of this process, and pages for those who are behind;
//! - [`subscription`]: one caller's way through both, without a gap and without a repeat;
//! - [`writer`]: turns it into events, heartbeats and an end; [`seats`]: how many streams there may be.
//!
//! # What a caller may rely on
//! - The `id:` of each event is the caller's place behind it. With it as `Last-Event-ID` any instance goes on exactly there, after restarts of
//!   everything too. An id comes with the head of a stream, so that a caller who is cut off before the first change misses
//!   nothing, and from time to time without an event, so that a place does not grow old while others' changes pass.
//! - Without `Last-Event-ID` a stream begins now: before its head is sent, so that nothing is missed that happens after the 200.
//! - All changes of a shipment come in the order in which they were applied. One may come twice, when a processor was killed at the wrong moment: the
//!   `event_id` tells.
//! - A place that the topic does not hold any more, has not reached, or holds as another one (it was made anew) gives `event: reset`; the stream
//!   goes on from now. Who gets it reads the shipments anew.
//! - A stream ends when the caller's token or key does, when that is withdrawn, when this instance shuts down, and when the caller takes
//!   nothing for a minute.
//!
//! A slow caller costs nothing but its own time: its events are made when it takes them. When the ring has passed it, it is given pages
//! out of the topic until it has caught up.

mod filter;
mod hub;
mod place;
mod ring;
mod seats;
mod subscription;
mod writer;

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use prometheus::{IntCounterVec, IntGauge};
use shared::change_feed::{ChangeFeed, FeedError};
use shared::clock::Clock;
use shared::metrics::{MetricError, MetricRegistry};
use shared::shipment::TrackingNumber;
use tokio_util::sync::CancellationToken;

pub(crate) use filter::Filter;
pub(crate) use hub::{Hub, Match};
pub(crate) use place::{Gone, LONGEST as LONGEST_ID, Place};

use crate::authenticate::Pass;
use crate::authorize::Action;
use crate::error::{Code, Problem};
use crate::request::{Parameters, PathPart};
use crate::router::Edge;
use seats::Seats;
use subscription::Subscription;

/// The header that says where a caller was cut off.
const LAST_EVENT_ID: &str = "last-event-id";

/// What all streams of this process share.
pub(crate) struct Streams {
    /// Where changes come from.
    pub(crate) hub: Arc<Hub>,
    seats: Arc<Seats>,
    resets: IntCounterVec,
}

impl Streams {
    /// No stream yet; they are counted on `registry` and end with `stop`.
    pub(crate) fn new(
        feed: Arc<dyn ChangeFeed>,
        registry: &MetricRegistry,
        clock: Clock,
        stop: CancellationToken,
    ) -> Result<Self, MetricError> {
        let open: IntGauge = registry
            .gauge("shipping_streams_open", "Streams that are open on this instance", &[])?
            .with_label_values::<&str>(&[]);
        let help = "Streams whose caller came with a place that the changes do not hold, and was told to read anew";
        let resets = registry.counter("shipping_stream_resets_total", help, &["reason"])?;
        for gone in Gone::ALL {
            resets.with_label_values(&[gone.word()]).inc_by(0);
        }
        Ok(Self { hub: Arc::new(Hub::new(feed, clock, stop)), seats: Arc::new(Seats::new(open)), resets })
    }
}

/// `GET /stream`: the changes of all shipments that the caller may see.
pub(crate) async fn stream_all(
    State(edge): State<Edge>,
    pass: Pass,
    Parameters(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    pass.caller().require(Action::ReadShipments)?;
    let filter = Filter::read(parameters, pass.caller())?;
    let last = match last_event_id(&headers)? {
        None => None,
        Some(id) => Some(Place::read(id).ok_or_else(not_an_id)?),
    };
    open(&edge, pass, filter, last, None).await
}

/// `GET /shipments/{tracking_number}/stream`: the changes of one shipment.
pub(crate) async fn stream_shipment(
    State(edge): State<Edge>,
    pass: Pass,
    PathPart(number): PathPart,
    Parameters(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    pass.caller().require(Action::ReadShipments)?;
    let number: TrackingNumber =
        number.parse().map_err(|error| Problem::field("tracking_number", "malformed", format!("{error}")))?;
    if let Some((name, _)) = parameters.first() {
        return Err(Problem::field(name, "unknown_field", "is not a parameter of this stream"));
    }
    let Some(shipment) = edge.ports.store.shipment(number).await? else {
        return Err(Problem::new(Code::NotFound, "There is no shipment with this tracking number"));
    };
    if !pass.caller().may_see(Some(shipment.created.client_id())) {
        return Err(Problem::new(Code::Forbidden, "The shipment belongs to another client"));
    }
    let partition = edge.ports.changes.partition_of(number);
    let last = match last_event_id(&headers)? {
        None => None,
        Some(id) => Some(Place::read_of(id, partition).ok_or_else(not_an_id)?),
    };
    let filter = Filter::of(number, pass.caller());
    open(&edge, pass, filter, last, Some(partition)).await
}

/// Opens a stream at `last`, or now: on one partition, or on all of them.
async fn open(
    edge: &Edge,
    pass: Pass,
    filter: Filter,
    last: Option<Place>,
    partition: Option<i32>,
) -> Result<Response, Problem> {
    if edge.stop.is_cancelled() {
        return Err(Problem::unavailable("This instance is shutting down; connect again", "a stream at shutdown"));
    }
    let streams = &edge.streams;
    let seat = streams.seats.take(&pass.caller().sub)?;
    let hub = &streams.hub;
    let (begin, bounds) = (hub.seat(), hub.bounds().await?);
    let (place, reset) = match last {
        None => (hub.at_ends(&bounds, partition), None),
        Some(last) => {
            let _turn = hub.turn().await?;
            match hub.judge(last, &bounds).await? {
                Ok(last) => (last, None),
                Err(gone) => (hub.at_ends(&bounds, partition), Some(gone)),
            }
        }
    };
    let subscription = Subscription::begin(hub, (begin, &bounds), filter, place, reset).await?;
    Ok(writer::respond(edge.clone(), pass, subscription, seat, streams.resets.clone()))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = headers.get_all(LAST_EVENT_ID).iter();
    let (first, more) = (given.next(), given.next());
    if more.is_some() {
        return Err(Problem::field("Last-Event-ID", "not_allowed", "stands there twice"));
    }
    match first.map(|value| value.to_str()) {
        None | Some(Ok("")) => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(not_an_id()),
    }
}

fn not_an_id() -> Problem {
    Problem::field("Last-Event-ID", "malformed", "is not an id of this stream; leave it out to begin now")
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        Self::unavailable("The changes cannot be read; try again", error)
    }
}
