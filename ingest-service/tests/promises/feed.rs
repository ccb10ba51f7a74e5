//! A feed of changes that can be held up, broken and made anew.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shared::change_feed::{Bounds, ChangeFeed, FeedError, Piece, ReadLimit, Stretch, Tail};
use shared::event_log::memory::MemoryLog;
use shared::event_log::{LogRecord, Position};
use shared::shipment::TrackingNumber;
use tokio::sync::watch;

/// The feed of a log, until it is given another one.
pub(crate) struct Feed {
    log: Mutex<MemoryLog>,
    /// Whether reads are answered.
    open: watch::Sender<bool>,
    /// Why those who follow cannot go on, and how often that happened.
    broken: watch::Sender<(usize, FeedError)>,
}

impl Feed {
    pub(crate) fn of(log: MemoryLog) -> Arc<Self> {
        let broken = watch::Sender::new((0, FeedError::OutOfRange));
        Arc::new(Self { log: Mutex::new(log), open: watch::Sender::new(true), broken })
    }

    /// From now on reads wait, or are answered again.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Those who follow cannot go on.
    pub(crate) fn break_off(&self, why: FeedError) {
        self.broken.send_modify(|(times, last)| {
            *times += 1;
            *last = why;
        });
    }

    /// The topic is made anew: another log stands in its place.
    pub(crate) fn make_anew(&self, log: MemoryLog) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
        self.break_off(FeedError::OutOfRange);
    }

    fn log(&self) -> MemoryLog {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ChangeFeed for Feed {
    fn partition_of(&self, number: TrackingNumber) -> i32 {
        self.log().partition_of(number)
    }

    async fn bounds(&self) -> Result<Vec<Bounds>, FeedError> {
        self.log().bounds().await
    }

    async fn read(&self, stretches: &[Stretch], limit: ReadLimit) -> Result<Piece, FeedError> {
        self.open.subscribe().wait_for(|open| *open).await.expect("the feed is there");
        self.log().read(stretches, limit).await
    }

    async fn later_before(&self, positions: &[Position], time: i64) -> Result<bool, FeedError> {
        self.log().later_before(positions, time).await
    }

    async fn follow(&self, from: &[Position]) -> Result<Box<dyn Tail>, FeedError> {
        Ok(Box::new(Followed { tail: self.log().follow(from).await?, broken: self.broken.subscribe() }))
    }
}

struct Followed {
    tail: Box<dyn Tail>,
    broken: watch::Receiver<(usize, FeedError)>,
}

#[async_trait]
impl Tail for Followed {
    async fn next(&mut self) -> Result<Vec<LogRecord>, FeedError> {
        tokio::select! {
            biased;
            changed = self.broken.changed() => {
                changed.expect("the feed is there");
                Err(self.broken.borrow().1.clone())
            }
            records = self.tail.next() => records,
        }
    }
}
