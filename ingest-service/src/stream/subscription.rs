//! One caller's way through the changes: out of the ring as long as it keeps up, else a page at a time out of the topic.

use std::sync::Arc;
use std::time::Duration;

use shared::change_feed::{Bounds, FeedError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::filter::Filter;
use super::hub::{Hub, Listening, Match};
use super::place::{Gone, Place};
use super::ring::{Entry, Seat, TAKEN, Taken};
use crate::error::Problem;

/// Records of the first page of a caller who is behind, and of each one that was full of matches.
const FEW: usize = TAKEN;
/// Most records of a page; pages with few matches grow to this.
const MANY: usize = 2_048;
/// How long to wait when the topic cannot be asked, or has nothing yet.
const AGAIN: Duration = Duration::from_secs(1);

/// What comes next.
pub(super) enum Step {
    /// These changes; none, when others' changes have passed, or nothing came for as long as was asked.
    Changes(Vec<Match>),
    /// The place was not there: the caller reads anew, and goes on from the place where the subscription is now.
    Reset(Gone),
}

/// One caller's way.
pub(super) struct Subscription {
    hub: Arc<Hub>,
    _listening: Listening,
    news: watch::Receiver<()>,
    filter: Filter,
    /// The id of the place where it began.
    began: String,
    place: Place,
    seat: Seat,
    /// Records of the next page.
    reach: usize,
    /// What was found before the caller was answered.
    first: Option<Step>,
}

impl Subscription {
    /// Goes on at `place`, of which the topic holds everything behind it; `bounds` is what it holds, asked for after `seat` was taken.
    ///
    /// # Errors
    /// 503: the place lies before the ring, and it cannot be read from there.
    pub(super) async fn begin(
        hub: &Arc<Hub>,
        (seat, bounds): (Seat, &[Bounds]),
        filter: Filter,
        place: Place,
        reset: Option<Gone>,
    ) -> Result<Self, Problem> {
        let (mut probe, listening, news) = (seat, hub.listen(bounds), hub.news());
        let mut new = Self {
            hub: Arc::clone(hub),
            _listening: listening,
            news,
            filter,
            began: place.id(),
            place,
            seat,
            reach: FEW,
            first: reset.map(Step::Reset),
        };
        if new.first.is_none() && matches!(hub.take(&new.place, &mut probe), Taken::Away) {
            let turn = hub.turn().await?;
            let found = new.read_page(bounds).await;
            drop(turn);
            new.first = match found {
                Ok(found) => Some(Step::Changes(found)),
                Err(FeedError::OutOfRange) => None, // it has gone this moment: the next step finds out
                Err(error) => return Err(error.into()),
            };
        }
        Ok(new)
    }

    /// The id of the place where it began: what was found since is not told yet.
    pub(super) fn began(&self) -> &str {
        &self.began
    }

    /// Where the caller stands when it has got everything so far.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What comes next; waits for it until `patience` ends. It outlives every outage.
    pub(super) async fn next(&mut self, patience: Instant) -> Step {
        if let Some(first) = self.first.take() {
            return first;
        }
        loop {
            self.news.mark_unchanged();
            match self.hub.take(&self.place, &mut self.seat) {
                Taken::Entries(entries) => return Step::Changes(self.pass(entries)),
                Taken::Nothing => match tokio::time::timeout_at(patience, self.news.changed()).await {
                    Ok(changed) => changed.expect("the hub outlives its subscriptions"),
                    Err(_) => return Step::Changes(Vec::new()),
                },
                Taken::Away => match self.catch_up().await {
                    Ok(step) => return step,
                    Err(error) => {
                        tracing::debug!(%error, "a stream waits for the changes");
                        tokio::time::sleep(AGAIN).await;
                    }
                },
            }
        }
    }

    /// Passes entries of the ring, and keeps those that are news and pass the filter.
    fn pass(&mut self, entries: Vec<Arc<Entry>>) -> Vec<Match> {
        let mut found = Vec::new();
        for entry in entries {
            if self.place.is_before(entry.position) {
                self.place.pass(entry.position, entry.time);
                if self.filter.passes(&entry.change) {
                    found.push(Match { place: self.place.id(), entry });
                }
            }
        }
        found
    }

    /// Reads one page out of the topic.
    async fn catch_up(&mut self) -> Result<Step, FeedError> {
        let hub = Arc::clone(&self.hub);
        let (_turn, seat) = (hub.turn_at_last().await, hub.seat());
        let bounds = hub.bounds().await?;
        let judged = hub.judge(self.place.clone(), &bounds).await?;
        self.seat = seat;
        if let Err(gone) = judged {
            self.place = hub.at_ends(&bounds, self.place.partition());
            return Ok(Step::Reset(gone));
        }
        if self.place.stretches(&bounds).is_empty() {
            // The tail is ahead of what the topic says of itself: it will say so soon.
            return Err(FeedError::Unavailable("the topic is behind its tail".to_owned()));
        }
        Ok(Step::Changes(self.read_page(&bounds).await?))
    }

    async fn read_page(&mut self, bounds: &[Bounds]) -> Result<Vec<Match>, FeedError> {
        let found = self.hub.page(&mut self.place, bounds, &self.filter, self.reach, TAKEN).await?;
        self.reach = if found.len() >= TAKEN { FEW } else { (self.reach * 2).min(MANY) };
        Ok(found)
    }
}
