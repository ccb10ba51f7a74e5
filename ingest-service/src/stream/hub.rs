//! Where the changes come from: one tail for all streams of the process, and pages for those who are behind it.
//!
//! The tail begins with the first stream and ends when nobody has listened for a while: an instance to which nobody listens does not read
//! what ten thousand events a second do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::change_feed::{Bounds, Change, ChangeFeed, FeedError, ReadLimit};
use shared::clock::Clock;
use shared::event_log::LogRecord;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::place::{Gone, Place};
use super::ring::{Entry, Ring, Seat, Taken};
use crate::error::Problem;

/// Pages that are read at a time. Each takes a connection to the brokers and up to [`PAGE_BYTES`]; more would keep the machine from its work.
const PAGES_AT_A_TIME: usize = 4;
/// Longest wait of a caller for its turn to have a page read: when everybody connects again after a restart, a thousand wait.
const TURN: Duration = Duration::from_secs(5);
/// Most bytes that are read for one page.
const PAGE_BYTES: usize = 4 << 20;
/// How long the tail goes on without a listener, so that one who connects again finds its place in the ring.
const LINGER: Duration = Duration::from_secs(30);
/// How long to wait after the topic could not be followed.
const AGAIN: Duration = Duration::from_secs(1);

/// A change that passes a filter, and the place behind it.
pub(crate) struct Match {
    pub(crate) place: String,
    pub(crate) entry: Arc<Entry>,
}

/// The changes, for all streams of the process.
pub(crate) struct Hub {
    feed: Arc<dyn ChangeFeed>,
    state: Mutex<State>,
    /// Changes whenever there is something new in the ring.
    news: watch::Sender<()>,
    /// The last listener has left.
    left: Notify,
    pages: Semaphore,
    clock: Clock,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    /// There while the tail runs.
    ring: Option<Ring>,
    listeners: usize,
}

/// A listener; while there is one, the tail goes on.
pub(super) struct Listening(Arc<Hub>);

impl Hub {
    /// Nobody listens yet. The tail ends with `stop`.
    pub(super) fn new(feed: Arc<dyn ChangeFeed>, clock: Clock, stop: CancellationToken) -> Self {
        let (news, left, pages) = (watch::Sender::default(), Notify::new(), Semaphore::new(PAGES_AT_A_TIME));
        Self { feed, state: Mutex::default(), news, left, pages, clock, stop }
    }

    /// What the topic holds now.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(crate) async fn bounds(&self) -> Result<Vec<Bounds>, FeedError> {
        self.feed.bounds().await
    }

    /// The place behind everything that is there now: in the whole feed, or on one partition. The bounds must be fresh.
    pub(crate) fn at_ends(&self, bounds: &[Bounds], partition: Option<i32>) -> Place {
        Place::at_ends(bounds, partition, (self.clock)())
    }

    /// Listens from now on; begins to follow the topic, at the ends of `bounds`, when nobody did.
    pub(super) fn listen(self: &Arc<Self>, bounds: &[Bounds]) -> Listening {
        let mut state = self.state();
        state.listeners += 1;
        if state.ring.is_none() {
            state.ring = Some(Ring::begin(bounds));
            let hub = Arc::clone(self);
            tokio::spawn(async move { hub.run().await });
        }
        Listening(Arc::clone(self))
    }

    /// Changes whenever there is something new to take.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// A seat for a place that is judged by the bounds that are asked for after this.
    pub(super) fn seat(&self) -> Seat {
        Seat::of(self.state().ring.as_ref().map_or(0, Ring::life))
    }

    /// What comes next for a listener that stands at `place`.
    pub(super) fn take(&self, place: &Place, seat: &mut Seat) -> Taken {
        self.state().ring.as_ref().map_or(Taken::Away, |ring| ring.take(place, seat))
    }

    /// A turn to have a page read.
    ///
    /// # Errors
    /// 503: too many others wait.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let turn = tokio::time::timeout(TURN, self.pages.acquire()).await;
        let busy =
            || Problem::unavailable("Too many callers read older changes at once; try again", "no turn for a page");
        turn.ok().and_then(Result::ok).ok_or_else(busy)
    }

    /// A turn to have a page read, however long that takes: who waits was there before the later ones.
    pub(super) async fn turn_at_last(&self) -> SemaphorePermit<'_> {
        self.pages.acquire().await.expect("the semaphore is never closed")
    }

    /// The place as it is in the topic, which holds `bounds`. Call it in one's turn.
    ///
    /// # Errors
    /// See [`FeedError`]. Inside: the feed cannot go on from the place.
    pub(crate) async fn judge(&self, place: Place, bounds: &[Bounds]) -> Result<Result<Place, Gone>, FeedError> {
        let place = match place.within(bounds) {
            Ok(place) => place,
            Err(gone) => return Ok(Err(gone)),
        };
        let anew = self.feed.later_before(&place.positions(), place.latest()).await?;
        Ok(if anew { Err(Gone::MadeAnew) } else { Ok(place) })
    }

    /// Reads on from `place`, up to the ends of `bounds`: looks at `records` at most, and finds `matches` at most. The place is then behind
    /// everything that was looked at. Call it in one's turn.
    ///
    /// # Errors
    /// See [`FeedError`]. The place has not moved then.
    pub(crate) async fn page(
        &self,
        place: &mut Place,
        bounds: &[Bounds],
        filter: &Filter,
        records: usize,
        matches: usize,
    ) -> Result<Vec<Match>, FeedError> {
        let stretches = place.stretches(bounds);
        if stretches.is_empty() || matches == 0 {
            return Ok(Vec::new());
        }
        let piece = self.feed.read(&stretches, ReadLimit { records, bytes: PAGE_BYTES }).await?;
        let mut found = Vec::new();
        for record in piece.records {
            place.pass(record.position, record.timestamp);
            let entry = filter.may_pass(&record).then(|| entry(&record)).flatten();
            if let Some(entry) = entry.filter(|entry| filter.passes(&entry.change)) {
                found.push(Match { place: place.id(), entry });
                if found.len() >= matches {
                    return Ok(found);
                }
            }
        }
        piece.next.into_iter().for_each(|next| place.go_on_to(next));
        Ok(found)
    }

    async fn run(&self) {
        let unheard = async {
            loop {
                self.left.notified().await;
                tokio::time::sleep(LINGER).await;
                if self.close_unheard() {
                    return;
                }
            }
        };
        tokio::select! {
            () = unheard => tracing::debug!("nobody listens to the changes any more"),
            () = self.follow() => {}
            () = self.stop.cancelled() => self.state().ring = None,
        }
    }

    /// Forgets the ring when nobody listens; says whether that is so.
    fn close_unheard(&self) -> bool {
        let mut state = self.state();
        if state.listeners == 0 {
            state.ring = None;
        }
        state.ring.is_none()
    }

    /// Follows the topic, whatever happens to it.
    async fn follow(&self) {
        loop {
            let failure = self.follow_on().await;
            tracing::warn!(error = %failure, "the changes cannot be followed; trying again");
            if failure == FeedError::OutOfRange {
                // The topic was made anew, or we were away for longer than changes are kept.
                match self.feed.bounds().await {
                    Ok(bounds) => self.change(|ring| ring.begin_anew(&bounds)),
                    Err(error) => tracing::warn!(%error, "what the changes hold is not known"),
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Follows the topic from where the ring ends, until that fails.
    async fn follow_on(&self) -> FeedError {
        let ends = self.state().ring.as_ref().map(Ring::ends).unwrap_or_default();
        let mut tail = match self.feed.follow(&ends).await {
            Ok(tail) => tail,
            Err(error) => return error,
        };
        loop {
            match tail.next().await {
                Ok(records) => {
                    let read: Vec<_> = records.iter().map(|record| (record.position, entry(record))).collect();
                    self.change(|ring| read.into_iter().for_each(|(position, entry)| ring.push(position, entry)));
                }
                Err(error) => return error,
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        if let Some(ring) = self.state().ring.as_mut() {
            change(ring);
        }
        self.news.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let last = {
            let mut state = self.0.state();
            state.listeners -= 1;
            state.listeners == 0
        };
        if last {
            self.0.left.notify_one();
        }
    }
}

/// The change that a record publishes. Whoever may write into the topic can write what is none.
fn entry(record: &LogRecord) -> Option<Arc<Entry>> {
    let read = Change::read(record).and_then(|change| {
        let json = serde_json::to_string(&change)?;
        Ok(Entry { position: record.position, time: record.timestamp, change, json })
    });
    read.map(Arc::new)
        .inspect_err(|error| tracing::warn!(position = ?record.position, %error, "a record among the changes is none"))
        .ok()
}
